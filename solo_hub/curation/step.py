"""The curated questions of a run: written once from its documents, each kept or dropped with its reason.

`1-curated.jsonl` holds every question that was chosen from what the writers wrote, in the order of the documents: those
that are learnt, those held out for evaluation (`UNSEEN`, `STUDIED`), and those dropped. What lies beyond
`curation.limit` is counted, not listed.
"""

from __future__ import annotations

import heapq
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from functools import cached_property
from typing import Any

from solo_hub.core.errors import InputError
from solo_hub.core.plugins import QuestionWriter, find
from solo_hub.core.records import CuratedQuestion, Gold, Passage, PseudoLabel, Question, Retrieval
from solo_hub.curation.coverage import Tally, coverage
from solo_hub.curation.curating import curate
from solo_hub.curation.splitting import split
from solo_hub.knowledge.step import RunKnowledge
from solo_hub.run.context import RunContext
from solo_hub.tasks import step as task_step

UNSEEN = "held out: its documents are not studied"
STUDIED = "held out: another form of a studied fact"
PARTS = {"unseen": UNSEEN, "studied": STUDIED}
MOST_HELD_OUT = 500  # questions of either part: an interval of +-4.4 points at 0.5
WRITTEN = "written"
"""The style of a label whose answer is the document's own words."""


class RunCuration:
    """The curated questions of a run; one object for a run, from `context.shared(RunCuration)`.

    Args:
        context: The run.
    """

    def __init__(self, context: RunContext) -> None:
        self._context = context

    @cached_property
    def rows(self) -> tuple[CuratedQuestion, ...]:
        """All rows of `1-curated.jsonl`, written now where it is missing; none where nothing is curated."""
        if not self._context.config.writers:
            return ()
        if self._context.run.has("curated"):
            return tuple(self._context.run.read_rows("curated", CuratedQuestion))
        rows = _write(self._context)
        self._context.run.write_rows("curated", rows)
        return tuple(rows)

    @cached_property
    def learnt(self) -> dict[str, CuratedQuestion]:
        """The questions that may be trained on, by id."""
        return {row.id: row for row in self.rows if row.kept}

    def held_out(self) -> tuple[list[Question], list[Gold]]:
        """Questions held out for evaluation, and their answers in the documents' own words."""
        return as_held_out(self.rows)

    def parts(self) -> dict[str, list[str]]:
        """Ids of the held-out questions by what they measure: `unseen` facts, `studied` ones in other words."""
        return {name: [row.id for row in self.rows if row.dropped == reason] for name, reason in PARTS.items()}

    def passages(self, question: Question) -> Retrieval | None:
        """The sentences a curated question was written from, as its passages; None for a user's question."""
        row = self.learnt.get(question.id)
        if row is None:
            return None
        named = zip(row.documents, row.sentences, strict=True)
        return Retrieval(question.id, tuple(Passage(document, sentence, 1.0) for document, sentence in named))

    def label(self, question: Question, retrieval: Retrieval, key: str) -> PseudoLabel | None:
        """The label a document itself gives; None where the teacher is to be asked."""
        row = self.learnt.get(question.id)
        if row is None or self._context.config.curation.check == "teacher":
            return None
        read = tuple(passage.id for passage in retrieval.passages)
        return PseudoLabel(row.id, row.option, None, row.answer, None, read, 0, WRITTEN, key)

    def disagrees(self, label: PseudoLabel) -> bool:
        """Whether the teacher, with the source before it, gave another answer than the document."""
        row = self.learnt.get(label.question_id)
        if row is None or label.style == WRITTEN:
            return False
        if row.option is not None:
            return label.option != row.option
        return label.text.casefold().strip(" .") != row.answer.casefold().strip(" .")


def as_held_out(rows: Iterable[CuratedQuestion]) -> tuple[list[Question], list[Gold]]:
    """Those of curated questions that are held out, and their answers: the facts are the sentences they are made of."""
    held = [row for row in rows if row.dropped in PARTS.values()]
    return [row.question for row in held], [Gold(row.id, row.option, row.answer, row.sentences) for row in held]


def _write(context: RunContext) -> list[CuratedQuestion]:
    """Write, choose and split; says what became of them, and keeps the counts in `config.yaml`."""
    settings, seed = context.config.curation, context.config.seed
    documents = context.shared(RunKnowledge).index.documents
    own = "evaluation_questions" in context.resolved["repos"]
    held_out = task_step.questions(context, "evaluation_questions") if own else ()
    writers = [_make(context, name) for name in context.config.writers]
    with context.console.progress("generating questions", len(documents) * len(writers)) as progress:
        written = curate(documents, writers, held_out=held_out, seed=seed, progress=progress)
        chosen, tallies = _choose(written, settings.limit, seed, set(context.config.writers))
    share = 0.0 if own else settings.held_out
    parts = split(chosen, unseen=share, studied=share, most=MOST_HELD_OUT, seed=seed)
    learnt = parts.learnt if settings.limit is None else _fewest(parts.learnt, settings.limit, seed)
    # accuracy is one number: where questions have options, those without are no part of it
    listed = any(row.options for row in learnt)
    facts = {_fact(row) for row in learnt}
    unseen = [row for row in parts.unseen if row.options or not listed]
    # the limit may have left a fact's other forms out
    studied = [row for row in parts.studied if (row.options or not listed) and _fact(row) in facts]
    if not learnt:
        raise InputError(
            f"no questions could be generated from the {len(documents):,} documents.",
            file=context.place("knowledge"),
            hint="Check that they contain sentences, or set task.questions to your own questions.",
        )
    if not own and not unseen and not studied:
        raise InputError(
            f"the {len(documents):,} documents are too few to hold out questions for evaluation.",
            file=context.place("knowledge"),
            hint="Add documents, increase curation.held_out, or set task.evaluation_questions.",
        )
    places = {row.id: place for place, row in enumerate(chosen)}
    rows = [
        *learnt,
        *(replace(row, dropped=UNSEEN) for row in unseen),
        *(replace(row, dropped=STUDIED) for row in studied),
        *parts.dropped,
    ]
    covered = coverage(documents, rows)
    context.resolved["curated"] = {
        "writers": {name: {**asdict(tally), "kept": tally.kept} for name, tally in tallies.items()},
        "learnt": len(learnt),
        "unseen": len(unseen),
        "studied": len(studied),
        "coverage": {
            "documents": covered.total.documents,
            "asked": covered.total.asked,
            "sources": {name: asdict(one) for name, one in covered.by_source.items()},
            "not_asked": list(covered.not_asked[:100]),
        },
    }
    context.save()
    by_writer = ", ".join(f"{name} {tally.written:,}" for name, tally in tallies.items())
    context.console.note(f"questions generated: {by_writer}; {len(learnt):,} for training")
    context.console.note(
        f"{covered.total.asked:,} of {covered.total.documents:,} documents ({covered.total.share:.0%}) have questions"
    )
    return sorted(rows, key=lambda row: places[row.id])


def _make(context: RunContext, name: str) -> QuestionWriter:
    plugin = find("question_writers", name)
    options = context.config.curation.options.get(name, {})
    engine = (context.teacher_engine,) if getattr(plugin, "needs_engine", False) else ()
    made: QuestionWriter = plugin(options, context.config.seed, *engine)
    return made


def _choose(
    written: Iterable[CuratedQuestion], limit: int | None, seed: int, names: set[str]
) -> tuple[list[CuratedQuestion], Mapping[str, Tally]]:
    """The questions to split, in their order, and what became of all of each writer's.

    With a limit, facts are drawn by a hash of their sentences, so that all forms of a fact come or go together; twice
    as many are drawn as are learnt and held out, for what splitting drops. Dropped questions are listed where there is
    room for them. Memory is bounded by the limit.
    """
    tallies = {name: Tally() for name in sorted(names)}
    most = None if limit is None else 2 * (limit + 2 * MOST_HELD_OUT)
    heap: list[tuple[int, int, CuratedQuestion]] = []
    dropped: list[tuple[int, CuratedQuestion]] = []
    for place, question in enumerate(written):
        tally = tallies.setdefault(question.writer, Tally())
        tally.written += 1
        table, name = (tally.forms, question.form) if question.dropped is None else (tally.dropped, question.dropped)
        table[name] = table.get(name, 0) + 1
        if question.dropped is not None:
            if most is None or len(dropped) < most:
                dropped.append((place, question))
            continue
        entry = (-_draw(question, seed), place, question)
        if most is None or len(heap) < most:
            heapq.heappush(heap, entry)
        else:
            heapq.heappushpop(heap, entry)
    chosen = sorted([*((place, question) for _, place, question in heap), *dropped], key=lambda pair: pair[0])
    return [question for _, question in chosen], tallies


def _fewest(questions: Sequence[CuratedQuestion], limit: int, seed: int) -> list[CuratedQuestion]:
    """At most `limit` questions, whole facts first drawn first, in their order."""
    if len(questions) <= limit:
        return list(questions)
    names = {row.id for row in sorted(questions, key=lambda row: (_draw(row, seed), row.id))[:limit]}
    return [row for row in questions if row.id in names]


def _fact(question: CuratedQuestion) -> tuple[str, ...]:
    return (*question.sentences, question.answer.casefold())


def _draw(question: CuratedQuestion, seed: int) -> int:
    return zlib.crc32(f"{seed}\0{chr(0).join(question.sentences)}".encode())


def report(context: RunContext) -> dict[str, Any] | None:
    """What the report says of the written questions; None where all are the user's."""
    found: dict[str, Any] | None = context.resolved.get("curated")
    return found
