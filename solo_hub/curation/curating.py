"""All of curation on one page: documents in, questions out, kept and dropped."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice

from solo_hub.core.plugins import Progress, QuestionWriter
from solo_hub.core.records import CuratedQuestion, Document, Question
from solo_hub.curation.distractors import AnswerPool, sample
from solo_hub.curation.filters import drop

SAMPLE = 20_000  # questions whose answers wrong options are drawn from, a writer
SAMPLE_DOCUMENTS = 2_000  # a kind has hundreds of answers in them


def curate(
    documents: Sequence[Document],
    writers: Sequence[QuestionWriter],
    *,
    held_out: Iterable[Question] = (),
    options: int = 4,
    seed: int = 0,
    progress: Progress | None = None,
) -> Iterator[CuratedQuestion]:
    """Write questions from documents, give them options, and say of each whether it is used.

    Args:
        documents: The knowledge base; read several times, never held as a whole.
        writers: Each writes its own questions, one writer after the other. A near-duplicate is kept where it comes
            first.
        held_out: Questions of the evaluation, which must not be learnt; only their words are read.
        options: Options of every question; 0 for free text.
        seed: Decides the wrong options and where the answer stands.
        progress: Called with documents done, once for each writer.

    Yields:
        Every question written, `dropped` where it is not used.
    """

    def written() -> Iterator[CuratedQuestion]:
        for writer in writers:
            questions = writer.write(documents, progress)
            if not options:
                yield from (replace(question, options=()) for question in questions)
                continue
            pool = AnswerPool(_sample(writer, documents))
            yield from (pool.with_options(question, options, seed) for question in questions)

    return drop(written(), held_out)


def _sample(writer: QuestionWriter, documents: Sequence[Document]) -> Iterator[CuratedQuestion]:
    """Questions of some documents: what wrong options are drawn from, whatever the corpus's size."""
    if getattr(writer, "needs_engine", False):
        return iter(())
    some = [documents[place] for place in sample((document.id for document in documents), SAMPLE_DOCUMENTS)]
    return islice(writer.write(some), SAMPLE)
