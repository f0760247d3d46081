"""Base, teacher and student on one question, side by side: what `solo-hub compare` and the Space show.

A run with imported labels has no teacher.

One copy of the base model is in memory; the adapter is turned on for the student and off for the others. A teacher that
is another model is loaded beside it; one on a server, or several, are not asked: their answers in the evaluation are
shown.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from solo_hub.core.errors import InputError
from solo_hub.core.records import Passage, Prediction, Question, Retrieval
from solo_hub.core.rows import Record
from solo_hub.evaluation.comparison.cases import ARMS, READING, TUNED, Case, same_as
from solo_hub.knowledge.step import RunKnowledge
from solo_hub.models import adapters
from solo_hub.models.asking import ask
from solo_hub.models.experts import Recipe
from solo_hub.run.context import RunContext
from solo_hub.run.resolved import PinnedRepo
from solo_hub.run.teachers import asked_here
from solo_hub.teacher.decision import require_setup

MOST_OPTIONS = 500
LONGEST_QUESTION, LONGEST_OPTION = 4000, 400  # characters; longer input is probably a mistake


@dataclass(frozen=True, slots=True)
class ShownAnswer(Record):
    """One arm's answer, as shown.

    Attributes:
        prediction: Option, probabilities, text; `seconds` is the time of answering alone.
        passages: What stood in the prompt, best first; empty for the closed-book arms.
        lookup_seconds: Time of finding the passages; 0 when they were known.
        note: What must be said about this answer, or empty.
    """

    prediction: Prediction
    passages: tuple[Passage, ...] = ()
    lookup_seconds: float = 0.0
    note: str = ""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a comparison comes from.

    Attributes:
        name: The run's name or the adapter's repo.
        page: The adapter repo's page on the Hub, or empty for a run that is not published.
        repos: Role (base, knowledge, ...) -> repo and commit, or the file's name, for display.
        published: Whether it was opened from a repo, where files of the run's own machine are not to be had.
    """

    name: str
    page: str = ""
    repos: Mapping[str, str] = field(default_factory=dict)
    published: bool = False


class Comparison:
    """Answers questions with the arms of a run, and holds what the evaluation found.

    Args:
        context: a run context of its own; see `open_run` and `open_repo`.
        adapter: Folder of the student's adapter.
        report: The content of `6-report.json`.
        cases: Questions of the evaluation.
        total: How many the evaluation asked; more than `cases` where an excerpt was published.
        origin: Where all of it comes from.
        arms: Who is asked; all three by default, but no teacher that cannot be asked here.
    """

    def __init__(
        self,
        context: RunContext,
        adapter: Path,
        report: Mapping[str, Any],
        cases: Sequence[Case],
        origin: Origin,
        *,
        total: int,
        arms: Sequence[str] | None = None,
    ) -> None:
        self.context, self.adapter, self.report, self.origin = context, adapter, report, origin
        self.cases, self.total = tuple(cases), total
        self.arms = tuple(arms or (arm for arm in ARMS if arm != "teacher" or asked_here(context)))
        self._lock = threading.Lock()  # the adapter is on or off for everybody
        self._loaded = False
        self._known = {same_as(case.question): case for case in cases}

    @property
    def style(self) -> str:
        """How options are scored, as the run chose it."""
        return self.context.resolved.style

    @property
    def reads(self) -> bool:
        """Whether the teacher of this run has passages."""
        return self.context.config.knowledge.passages > 0

    @property
    def looks_up(self) -> str:
        """Why the teacher cannot look things up for a typed question; empty where it can."""
        if not self.reads:
            return "The teacher of this run has no passages."
        repos = self.context.resolved.repos
        if self.origin.published and not all(
            isinstance(repos.get(role), PinnedRepo) for role in ("knowledge", "embedder")
        ):
            return "The knowledge base of this run was not published: the teacher answers without it."
        return ""

    def find(self, question_id: str) -> Case | None:
        """The case of a question, by its id."""
        return next((case for case in self.cases if case.question.id == question_id), None)

    def known(self, question: Question) -> Case | None:
        """The case that asks the same with the same options, if there is one."""
        return self._known.get(same_as(question))

    def prepare(self, *, knowledge: bool = True, generate: bool = True) -> None:
        """Load the model and the adapter, open the knowledge base, and answer once.

        The first answer after loading is slow (kernels are compiled, memory is claimed); it would make the arm that
        happens to come first look slow.

        Args:
            knowledge: Also open the knowledge base now; it is opened when first needed otherwise.
            generate: Also write an answer, as `answer` then will.
        """
        if self.arms != ("teacher",):
            self.load()
        warm_up = Question("warm-up", "What is rain made of?", ("water", "stone"))
        for _ in self.answer(warm_up, look_up=False, generate=generate):
            pass
        if knowledge and READING.intersection(self.arms) and not self.looks_up:
            self._look_up(warm_up)

    def load(self) -> None:
        """Load the model and the adapter now; the first question does it otherwise."""
        with self._lock:
            self._load()

    def answer(self, question: Question, *, look_up: bool = True, generate: bool = True) -> Iterator[ShownAnswer]:
        """Ask the arms in turn.

        Args:
            question: Options may be empty; the arms then write freely.
            look_up: Whether the teacher gets passages.
            generate: Whether an answer is also written where there are options.

        Yields:
            One answer an arm, in their order.

        Raises:
            InputError: The question is longer than the model's context.
            ModelError: The model's scores are not numbers.
        """
        for arm in self.arms:
            found = Retrieval("", ())
            started, seconds, note = time.perf_counter(), 0.0, ""
            if arm in READING and look_up:
                case = self.known(question)
                if case is not None and case.passages:
                    found = Retrieval("", case.passages, case.support)
                elif self.looks_up:
                    note = self.looks_up
                else:
                    with self._lock:
                        found = self._look_up(question)
                    seconds = time.perf_counter() - started
            with self._lock:
                prediction, used = self._ask(arm, question, found, generate=generate)
            yield ShownAnswer(prediction, used, seconds, note)

    def _ask(
        self, arm: str, question: Question, found: Retrieval, *, generate: bool
    ) -> tuple[Prediction, tuple[Passage, ...]]:
        """Ask as the evaluation asks (`arms`), one question alone; for a served base the base here answers."""
        setup, teacher = require_setup(self.context), self.context.teacher
        if arm == "teacher" and teacher.source != "base":  # another model, without the base
            engine, builder, teaches = teacher.engine, teacher.builder, True
            if not teacher.is_base:
                self.context.cast_for_evaluation(engine)
        else:
            self._load()
            engine, builder = self.context.engine, self.context.builder
            teaches = arm == "teacher" and setup.recipe.style == setup.style
        with engine.adapter(arm in TUNED):
            (asked,) = ask(
                engine,
                setup.builder(builder) if teaches else builder,
                [question],
                [found.passages],
                setup.recipe if teaches else Recipe(self.style),
                self.context.config.evaluation,
                arm=arm,
                generate=generate,
                supports=[found.option_support] if teaches else (),
            )
        return asked.prediction, tuple(reversed(asked.passages))  # the best stands last in the prompt, first on a page

    def _look_up(self, question: Question) -> Retrieval:
        found: Sequence[Retrieval] = self.context.shared(RunKnowledge).retriever.retrieve(
            [question], self.context.config.knowledge.passages
        )
        return found[0]

    def _load(self) -> None:
        if self._loaded:
            return
        engine = self.context.engine
        self.context.cast_for_evaluation(engine)
        if TUNED.intersection(self.arms):
            adapters.load(engine, self.adapter)
        self._loaded = True


def read_question(text: str, options: str) -> Question:
    """A question as somebody typed it.

    Args:
        text: The question.
        options: One option a line; empty lines do not count; none for a free answer.

    Raises:
        InputError: It cannot be asked; the sentence says what to change.
    """
    asked = " ".join(text.split())
    listed = tuple(line for line in (" ".join(raw.split()) for raw in options.splitlines()) if line)
    if not asked:
        raise InputError("The question is empty.", hint="Pick or type a question.")
    if len(asked) > LONGEST_QUESTION or any(len(option) > LONGEST_OPTION for option in listed):
        raise InputError(
            f"Too long: questions are limited to {LONGEST_QUESTION:,} characters, options to {LONGEST_OPTION}.",
            hint="Shorten it.",
        )
    if len(listed) == 1:
        raise InputError("There is only one option.", hint="Enter at least two, one per line, or none.")
    if len(listed) > MOST_OPTIONS:
        raise InputError(f"There are {len(listed)} options.", hint=f"Enter at most {MOST_OPTIONS}.")
    if len(set(listed)) < len(listed):
        raise InputError("Two options are the same.", hint="Change or remove one.")
    return Question("typed", asked, listed)
