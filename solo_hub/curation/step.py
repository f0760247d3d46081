"""The curated questions of a run: written once from its documents, each kept or dropped with its reason.

`1-curated.jsonl` holds every question that was chosen from what the writers wrote, in the order of the documents: those
that are learnt, those held out for evaluation (`UNSEEN`, `STUDIED`), and those dropped. What lies beyond
`curation.limit` is counted, not listed.
"""

from __future__ import annotations

import heapq
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property, partial

from solo_hub.core.errors import InputError
from solo_hub.core.plugins import QuestionWriter, find
from solo_hub.core.records import CuratedQuestion, Document, Gold, Passage, PseudoLabel, Question, Retrieval
from solo_hub.curation.coverage import Coverage, Tally, coverage
from solo_hub.curation.curating import curate
from solo_hub.curation.filters import AMBIGUOUS
from solo_hub.curation.splitting import fact_of, split
from solo_hub.knowledge.step import RunKnowledge
from solo_hub.run.context import RunContext
from solo_hub.tasks import step as task_step

UNSEEN = "held out: its documents are not studied"
STUDIED = "held out: another form of a studied fact"
PARTS = {"unseen": UNSEEN, "studied": STUDIED}
MOST_HELD_OUT = 500  # questions of either part: an interval of +-4.4 points at 0.5
FORMS_HELD_OUT, MOST_STUDIED = 3, 0.5
"""Of facts with several forms so many times the share held out lose one (most facts have one form), at most half."""
NO_OPTIONS = "held out, but without options, which the others have"
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
        return rows

    @cached_property
    def learnt(self) -> dict[str, CuratedQuestion]:
        """The questions that may be trained on, by id."""
        return {row.id: row for row in self.rows if row.kept}

    def answers(self) -> list[Gold]:
        """What the documents answer to the questions that may be trained on."""
        return [Gold(row.id, row.option, row.answer, row.sentences) for row in self.learnt.values()]

    def held_out(self) -> tuple[list[Question], list[Gold]]:
        """Questions held out for evaluation, and their answers in the documents' own words."""
        return as_held_out(self.rows)

    def parts(self) -> dict[str, list[str]]:
        """Ids of the held-out questions by what they measure.

        Returns:
            `unseen` facts; `studied` ones in other words; and `unseen_new`, those of the unseen whose answer is no
            learnt question's: where documents say the same of many things, the others can be guessed.
        """
        found = {name: [row.id for row in self.rows if row.dropped == reason] for name, reason in PARTS.items()}
        learnt = {row.answer.casefold() for row in self.learnt.values()}
        unseen = set(found["unseen"])
        new = [row.id for row in self.rows if row.id in unseen and row.answer.casefold() not in learnt]
        return {**found, "unseen_new": new}

    def passages(self, question: Question) -> Retrieval | None:
        """The sentences a curated question was written from, as its passages; None for a user's question."""
        row = self.learnt.get(question.id)
        if row is None:
            return None
        named = zip(row.documents, row.sentences, strict=True)
        return Retrieval(question.id, tuple(Passage(document, sentence, 1.0) for document, sentence in named))

    def is_answered(self, question: Question) -> bool:
        """Whether the document itself gives the label, and no teacher is asked."""
        return question.id in self.learnt and self._context.config.curation.check == "text"

    def label(self, question: Question, retrieval: Retrieval, key: str) -> PseudoLabel | None:
        """The label a document itself gives; None where the teacher is to be asked."""
        if not self.is_answered(question):
            return None
        row = self.learnt[question.id]
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


@dataclass(frozen=True, slots=True)
class Written:
    """What became of the documents of a run.

    Attributes:
        rows: Every question that was chosen, in the order of the documents.
        learnt: Those that are learnt.
        unseen: How many are held out about facts that are not studied.
        studied: How many are held out that ask for studied facts in other words.
        tallies: What became of all that each writer wrote.
        coverage: Which documents are asked about.
    """

    rows: tuple[CuratedQuestion, ...]
    learnt: tuple[CuratedQuestion, ...]
    unseen: int
    studied: int
    tallies: Mapping[str, Tally]
    coverage: Coverage

    @property
    def asked(self) -> str:
        """How much of the documents is asked about, in words."""
        total = self.coverage.total
        return f"{total.asked:,} of {total.documents:,} passages ({total.share:.0%}) are asked about"


def write(context: RunContext, documents: Sequence[Document]) -> Written:
    """Write questions from documents, choose and split.

    Args:
        context: The run.
        documents: Its documents, read several times.

    Raises:
        InputError: No question could be written, or none could be held out where no others are.
    """
    settings, seed = context.config.curation, context.config.seed
    own = "evaluation_questions" in context.resolved.repos
    held_out = task_step.questions(context, "evaluation_questions") if own else ()
    writers = [_make(context, name) for name in context.config.writers]
    draw = partial(_draw, seed=seed, whole_facts=not own)
    with context.console.progress("generating questions", len(documents) * len(writers)) as progress:
        written = curate(documents, writers, held_out=held_out, seed=seed, progress=progress)
        chosen, tallies, ambiguous = _choose(written, settings.limit, set(context.config.writers), draw)
    share = 0.0 if own else settings.held_out
    studied_share = min(MOST_STUDIED, FORMS_HELD_OUT * share)
    parts = split(chosen, unseen=share, studied=studied_share, most=MOST_HELD_OUT, seed=seed)
    learnt = parts.learnt if settings.limit is None else _fewest(parts.learnt, settings.limit, draw)
    listed = any(row.options for row in learnt)
    facts = {fact_of(row) for row in learnt}
    # the limit may have left a fact's other forms out
    held = {UNSEEN: parts.unseen, STUDIED: [row for row in parts.studied if fact_of(row) in facts]}
    aside = [
        replace(row, dropped=_why_not_asked(row, ambiguous, listed=listed) or part)
        for part, some in held.items()
        for row in some
    ]
    unseen, studied = (sum(row.dropped == part for row in aside) for part in (UNSEEN, STUDIED))
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
    rows = sorted((*learnt, *aside, *parts.dropped), key=lambda row: places[row.id])
    return Written(tuple(rows), tuple(learnt), unseen, studied, tallies, coverage(documents, rows))


def _write(context: RunContext) -> tuple[CuratedQuestion, ...]:
    """Write; says what became of the documents, and keeps the counts in `config.yaml`."""
    made = write(context, context.shared(RunKnowledge).index.documents)
    curated = {
        "writers": {name: {**asdict(tally), "kept": tally.kept} for name, tally in made.tallies.items()},
        "learnt": len(made.learnt),
        "unseen": made.unseen,
        "studied": made.studied,
        "coverage": {
            "documents": made.coverage.total.documents,
            "asked": made.coverage.total.asked,
            "sources": {name: asdict(one) for name, one in made.coverage.by_source.items()},
            "not_asked": list(made.coverage.not_asked[:100]),
        },
    }
    context.record(curated=curated)
    by_writer = ", ".join(f"{name} {tally.written:,}" for name, tally in made.tallies.items())
    context.console.note(f"questions generated: {by_writer}; {len(made.learnt):,} for training")
    context.console.note(made.asked)
    return made.rows


def _why_not_asked(row: CuratedQuestion, ambiguous: set[int], *, listed: bool) -> str:
    """Why a held-out question is no part of the evaluation; empty where it is.

    Args:
        row: The question.
        ambiguous: Questions that have several answers in these documents.
        listed: Whether the learnt ones have options: accuracy is one number, and those without are no part of it.
    """
    if _words(row) in ambiguous:
        return AMBIGUOUS
    return "" if row.options or not listed else NO_OPTIONS


def _make(context: RunContext, name: str) -> QuestionWriter:
    plugin = find("question_writers", name)
    options = context.config.curation.options.get(name, {})
    engine = (context.teacher.engine,) if getattr(plugin, "needs_engine", False) else ()
    made: QuestionWriter = plugin(options, context.config.seed, *engine)
    return made


def _choose(
    written: Iterable[CuratedQuestion], limit: int | None, names: set[str], draw: Callable[[CuratedQuestion], int]
) -> tuple[list[CuratedQuestion], Mapping[str, Tally], set[int]]:
    """The questions to split, in their order, what became of all of each writer's, and which have several answers.

    With a limit, those with the least `draw` are taken: twice as many as are learnt and held out, for what splitting
    drops. Dropped questions are listed where there is room for them. Memory is bounded by the limit.
    """
    tallies = {name: Tally() for name in sorted(names)}
    most = None if limit is None else 2 * (limit + 2 * MOST_HELD_OUT)
    heap: list[tuple[int, int, CuratedQuestion]] = []
    dropped: list[tuple[int, CuratedQuestion]] = []
    ambiguous: set[int] = set()
    for place, question in enumerate(written):
        tallies.setdefault(question.writer, Tally()).add(question)
        if question.dropped == AMBIGUOUS:
            ambiguous.add(_words(question))
        if question.dropped is not None:
            if most is None or len(dropped) < most:
                dropped.append((place, question))
            continue
        entry = (-draw(question), place, question)
        if most is None or len(heap) < most:
            heapq.heappush(heap, entry)
        else:
            heapq.heappushpop(heap, entry)
    chosen = sorted([*((place, question) for _, place, question in heap), *dropped], key=lambda pair: pair[0])
    return [question for _, question in chosen], tallies, ambiguous


def _fewest(
    questions: Sequence[CuratedQuestion], limit: int, draw: Callable[[CuratedQuestion], int]
) -> list[CuratedQuestion]:
    """At most `limit` questions, first drawn first, in their order."""
    if len(questions) <= limit:
        return list(questions)
    names = {row.id for row in sorted(questions, key=lambda row: (draw(row), row.id))[:limit]}
    return [row for row in questions if row.id in names]


def _words(question: CuratedQuestion) -> int:
    return zlib.crc32(" ".join(question.text.casefold().split()).encode())


def _draw(question: CuratedQuestion, *, seed: int, whole_facts: bool) -> int:
    """A hash by which questions are drawn.

    By their sentences, all forms of a fact come or go together, and one can be held out. Where nothing is held out,
    each is drawn by itself: as many questions of more documents taught a student of QASC more
    (docs/measurements/student.md).
    """
    drawn = chr(0).join(question.sentences) if whole_facts else question.id
    return zlib.crc32(f"{seed}\0{drawn}".encode())
