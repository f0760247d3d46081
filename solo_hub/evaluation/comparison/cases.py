"""Questions of an evaluation with answers and passages, as the comparison lists them and a Space carries them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from solo_hub.core.records import Gold, Passage, Prediction, Question
from solo_hub.core.rows import Record
from solo_hub.evaluation.scoring import is_right
from solo_hub.run.folder import RunFolder
from solo_hub.run.rows import read_evaluation

ARMS = ("base", "teacher", "student")
READING = frozenset({"teacher", "student_with_passages"})
"""Arms that have passages in their prompt."""
TUNED = frozenset({"student", "student_with_passages"})
"""Arms that wear the adapter."""


@dataclass(frozen=True, slots=True)
class Case(Record):
    """A question of the evaluation.

    Attributes:
        question: The question.
        gold: Its gold answer, or None.
        predictions: The arms' answers in the evaluation; empty where they were not published.
        passages: The teacher's passages, best first; empty where they were not published.
        support: Retrieval's log-probability (natural log) of each option; None if it gives none, or was not published.
    """

    question: Question
    gold: Gold | None = None
    predictions: tuple[Prediction, ...] = ()
    passages: tuple[Passage, ...] = ()
    support: tuple[float, ...] | None = None

    def right(self, arm: str) -> bool | None:
        """Whether an arm was right; None if it did not answer or there is no gold answer."""
        given = next((p for p in self.predictions if p.arm == arm), None)
        if given is None or self.gold is None:
            return None
        return is_right(self.gold, given)

    def all_were(self, *, right: bool) -> bool:
        """Whether all arms that answered were right, or all wrong; False if none did or there is no gold answer."""
        return bool(self.predictions) and all(self.right(given.arm) is right for given in self.predictions)


def _both(case: Case, right: str, wrong: str) -> bool:
    return case.right(right) is True and case.right(wrong) is False


GROUPS: Mapping[str, tuple[str, Callable[[Case], bool]]] = {
    "won": ("Student right, base wrong", lambda case: _both(case, "student", "base")),
    "lost": ("Base right, student wrong", lambda case: _both(case, "base", "student")),
    "ahead": ("Student right, teacher wrong", lambda case: _both(case, "student", "teacher")),
    "behind": ("Teacher right, student wrong", lambda case: _both(case, "teacher", "student")),
    "right": ("All right", lambda case: case.all_were(right=True)),
    "wrong": ("All wrong", lambda case: case.all_were(right=False)),
    "all": ("Every question", lambda _: True),
}
"""Name -> (title, predicate); a case may be in several groups."""
_OF_THE_TEACHER = ("ahead", "behind")


def groups(arms: Sequence[str]) -> dict[str, tuple[str, Callable[[Case], bool]]]:
    """The `GROUPS` that are possible with these arms."""
    return {name: group for name, group in GROUPS.items() if "teacher" in arms or name not in _OF_THE_TEACHER}


def read_cases(run: RunFolder) -> list[Case]:
    """The questions of a run's evaluation with answers and passages, in order.

    Raises:
        RunError: The run has not been evaluated.
    """
    evaluation = read_evaluation(run)
    # an evaluation may have further arms; the page has three columns
    shown = [rows for arm, rows in evaluation.predictions.items() if arm in ARMS]
    return [
        Case(question, gold, tuple(rows[i] for rows in shown), retrieval.passages, retrieval.option_support)
        for i, (question, gold, retrieval) in enumerate(
            zip(evaluation.questions, evaluation.golds, evaluation.passages, strict=True)
        )
    ]


def excerpt(cases: Sequence[Case], most: int) -> list[Case]:
    """At most `most` cases, chosen round-robin over the groups, so that cases in which the arms differ come first.

    Deterministic; the result is in the order of the evaluation.
    """
    queues = [[case for case in cases if belongs(case)] for _, belongs in GROUPS.values()]
    chosen: dict[str, None] = {}
    while len(chosen) < min(most, len(cases)) and any(queues):
        for queue in queues:
            while queue and queue[0].question.id in chosen:
                queue.pop(0)
            if queue and len(chosen) < most:
                chosen[queue.pop(0).question.id] = None
    return [case for case in cases if case.question.id in chosen]


def same_as(question: Question) -> tuple[str, tuple[str, ...]]:
    """Text and options with normalised whitespace: equal for two questions that are the same."""
    return " ".join(question.text.split()), tuple(" ".join(option.split()) for option in question.options)
