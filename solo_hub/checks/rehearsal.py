"""The steps of a run on a few of its questions, in a temporary folder: what `--plan` times and `--preview` shows.

The steps are the run's own, with the run's own prompts and batches; only the samples are smaller, and of a large corpus
that is not indexed yet a part is embedded. Nothing is kept but what a run would download anyway.
"""

from __future__ import annotations

import heapq
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from solo_hub import pipeline
from solo_hub.core.config import Config
from solo_hub.core.console import Console
from solo_hub.core.progress import Advance
from solo_hub.core.records import CuratedQuestion, Document, Gold, Question
from solo_hub.core.words import words
from solo_hub.curation import step as curation_step
from solo_hub.curation.step import RunCuration
from solo_hub.evaluation.arms import arms
from solo_hub.hub.connection import Connection
from solo_hub.knowledge.index import KnowledgeIndex
from solo_hub.knowledge.reading import Summary
from solo_hub.knowledge.step import RunKnowledge
from solo_hub.run.context import RunContext
from solo_hub.run.folder import RunFolder
from solo_hub.tasks import loading


@dataclass
class Work:
    """Counted work of one title.

    Attributes:
        total: Items of all bars with this title.
        done: Items done.
        first: Items and seconds of the first call, which also loads and warms up.
        last: Seconds until the last call.
        seconds: Seconds of all bars, what follows the last call included.
    """

    total: int = 0
    done: int = 0
    first: tuple[int, float] | None = None
    last: float = 0.0
    seconds: float = 0.0

    def seconds_for(self, items: int) -> float:
        """Seconds that so many items take: at the rate after the first call, or at that of the only call."""
        if self.first is None or not self.done or not items:
            return 0.0
        count, seconds = self.first
        once = self.seconds - self.last
        if self.done > count:
            return once + seconds + (self.last - seconds) / (self.done - count) * max(0, items - count)
        return once + seconds / count * items


class Stopwatch(Console):
    """A silent console that measures counted work by its title.

    Attributes:
        work: What was counted so far.
    """

    def __init__(self, show: Console | None = None) -> None:
        super().__init__("quiet")
        self.work: dict[str, Work] = {}
        self._show = show

    @contextmanager
    def progress(self, title: str, total: int | None, *, saved: bool = False) -> Iterator[Advance]:
        """See `Console.progress`."""
        work, started = self.work.setdefault(title, Work()), time.monotonic()
        done = 0
        show = self._show.progress if self._show else super().progress
        with show(title, total, saved=saved) as advance:

            def measured(count: int, detail: str = "", /) -> None:
                nonlocal done
                done += count
                work.done += count
                if work.first is None and count:
                    work.first = (count, time.monotonic() - started)
                work.last = work.seconds + time.monotonic() - started
                advance(count, detail)

            yield measured
        work.total += done if total is None else total
        work.seconds += time.monotonic() - started


@dataclass
class Rehearsal:
    """The whole run, as far as it can be read without a model, and a small one to be tried out.

    Attributes:
        whole: The run's context on a temporary folder: its questions and held-out questions.
        summary: What was read of the documents.
        documents: The documents, as they are indexed; empty without a knowledge base.
        indexed: Whether their index is in the cache already.
        questions: All questions to label.
        held_out: All held-out questions.
        golds: Their answers.
        watch: Measures reading and the small run.
        seconds: Seconds that reading took, without writing questions.
        folder: The temporary folder.
        connection: The Hub.
        written: The questions that are written from the documents, by id.
        embedded: The documents that the small run embedded.
    """

    whole: RunContext
    summary: Summary
    documents: Sequence[Document]
    indexed: bool
    questions: list[Question]
    held_out: list[Question]
    golds: list[Gold]
    watch: Stopwatch
    folder: Path
    connection: Connection
    seconds: float
    written: dict[str, CuratedQuestion] = field(default_factory=dict)
    embedded: Sequence[Document] = ()

    def small(
        self, questions: int, held_out: int, documents: int, changes: dict[str, dict[str, Any]]
    ) -> tuple[RunContext, list[Question]]:
        """A run of a few questions.

        Args:
            questions: How many are labelled.
            held_out: How many are held out.
            documents: How many are embedded if there is no index yet: those that share most words with the questions.
            changes: Settings by section.

        Returns:
            Its context, whose questions are written, and they.
        """
        config = self.whole.config
        asked = loading.sample(self.questions, questions, config.seed)
        held = loading.sample(self.held_out, held_out, config.seed)
        update: dict[str, Any] = {
            name: getattr(config, name).model_copy(update=values) for name, values in changes.items()
        }
        if self.documents and not self.indexed:
            embedder = self.whole.shared(RunKnowledge).embedder
            some = nearest(self.documents, [*asked, *held], documents)
            self.embedded = some
            with self.watch.progress("embedding passages", len(some)) as progress:
                KnowledgeIndex.build(some, embedder, self.folder / "index", progress)
            update["knowledge"] = config.knowledge.model_copy(update={"source": str(self.folder / "index")})
        run = RunFolder(self.folder / "small")
        run.create()
        small = RunContext(config.model_copy(update=update), run, lambda _: self.connection, self.watch)
        if self.written:
            run.write_rows("curated", [self.written[q.id] for q in [*asked, *held] if q.id in self.written])
        run.write_rows("questions", asked)
        return small, asked


def nearest(documents: Sequence[Document], questions: Sequence[Question], count: int) -> list[Document]:
    """The documents that share most words with the questions, in their order; all if there are no more than that."""
    if len(documents) <= count:
        return list(documents)
    wanted = {word for question in questions for text in (question.text, *question.options) for word in words(text)}
    shared = ((len(wanted.intersection(words(document.text))), -place) for place, document in enumerate(documents))
    return [documents[place] for place in sorted(-place for _, place in heapq.nlargest(count, shared))]


@contextmanager
def rehearse(config: Config, connection: Connection, console: Console) -> Iterator[Rehearsal]:
    """Read what a run would read.

    Args:
        config: The settings.
        connection: The Hub.
        console: Shows progress.

    Raises:
        SoloHubError: What would stop the run there.
    """
    with tempfile.TemporaryDirectory(prefix="solo-hub-rehearsal-") as temporary:
        folder, watch = Path(temporary), Stopwatch(console)
        run = RunFolder(folder / "whole")
        run.create()
        whole = RunContext(config, run, lambda _: connection, watch)
        started = time.monotonic()
        whole.check_base()
        summary, documents, indexed = Summary(), [], False
        if config.knowledge.passages or config.writers:
            index = whole.shared(RunKnowledge).existing()
            indexed = index is not None
            knowledge = whole.shared(RunKnowledge)
            documents = list(index.documents) if index else list(knowledge.read(summary))
        written = _write(whole, documents) if config.writers else {}
        questions = pipeline.load_questions(whole)
        held_out, golds = arms.read_held_out(whole)
        seconds = time.monotonic() - started - watch.work.get("generating questions", Work()).seconds
        yield Rehearsal(
            whole, summary, documents, indexed, questions, held_out, golds, watch, folder, connection, seconds, written
        )


def _write(whole: RunContext, documents: Sequence[Document]) -> dict[str, CuratedQuestion]:
    """Write the questions that the run would write from its documents."""
    rows = curation_step.write(whole, documents).rows
    whole.run.write_rows("curated", rows)
    return {row.id: row for row in whole.shared(RunCuration).rows}
