"""Questions of an evaluation with all that is known of them: what the comparison browses and a Space carries."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from solo_hub.core.records import Gold, Passage, Prediction, Question, Record
from solo_hub.evaluation.scoring import is_right
from solo_hub.run.folder import RunFolder
from solo_hub.run.rows import read_evaluation

ARMS = ("base", "teacher", "student")


@dataclass(frozen=True, slots=True)
class Case(Record):
    """A question of the evaluation with what is known of it.

    Attributes:
        question: The question.
        gold: Its known answer, or None.
        predictions: The arms' answers in the evaluation; empty where they were not published.
        passages: The teacher's passages, best first; empty where they were not published.
        support: What retrieval says for each option, natural log; None where it does not tell, or was not published.
    """

    question: Question
    gold: Gold | None = None
    predictions: tuple[Prediction, ...] = ()
    passages: tuple[Passage, ...] = ()
    support: tuple[float, ...] | None = None

    @classmethod
    def _read(cls, name: str, value: Any) -> Any:
        if name == "question":
            return Question.from_row(value)
        if name == "gold":
            return None if value is None else Gold.from_row(value)
        if name == "support":
            return None if value is None else tuple(value)
        kind: type[Record] = Prediction if name == "predictions" else Passage
        return tuple(kind.from_row(item) for item in value)

    def right(self, arm: str) -> bool | None:
        """Whether an arm was right; None where it did not answer or nothing is known."""
        given = next((p for p in self.predictions if p.arm == arm), None)
        if given is None or self.gold is None:
            return None
        return is_right(self.gold, given)

    def all_were(self, *, right: bool) -> bool:
        """Whether all that answered were right, or wrong; False where nobody did or nothing is known."""
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
"""Name -> (title, which cases belong to it); a case may be in several."""
_OF_THE_TEACHER = ("ahead", "behind")


def groups(arms: Sequence[str]) -> dict[str, tuple[str, Callable[[Case], bool]]]:
    """Those of `GROUPS` that there can be with these arms."""
    return {name: group for name, group in GROUPS.items() if "teacher" in arms or name not in _OF_THE_TEACHER}


def read_cases(run: RunFolder) -> list[Case]:
    """The questions of a run's evaluation with everything known of them, in their order.

    Raises:
        RunError: The run has not been evaluated.
    """
    left = read_evaluation(run)
    # an evaluation may have asked others besides; the page has three columns
    shown = [rows for arm, rows in left.predictions.items() if arm in ARMS]
    return [
        Case(question, gold, tuple(rows[i] for rows in shown), found.passages, found.option_support)
        for i, (question, gold, found) in enumerate(zip(left.questions, left.golds, left.passages, strict=True))
    ]


def excerpt(cases: Sequence[Case], most: int) -> list[Case]:
    """At most so many cases, those first in which the arms differ: one of each group in turn, then the rest.

    The same cases give the same excerpt. It is in the order of the evaluation, not in the order of choice.
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
    """What two questions share when they ask the same: text and options, blanks aside."""
    return " ".join(question.text.split()), tuple(" ".join(option.split()) for option in question.options)
