"""How far an arm's probabilities can be trusted, and whether the adapter recites what it was taught from.

Three questions beside accuracy: does an arm know when it is right (calibration, accuracy on its surest answers); is it
confidently wrong where it cannot know (questions whose documents were kept from the student); does the student
continue its passages word for word.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from solo_hub.core.records import Gold, Question, Retrieval
from solo_hub.evaluation.error_causes import supports
from solo_hub.evaluation.report.plugins import Brier
from solo_hub.evaluation.scoring import Arm
from solo_hub.evaluation.statistics import intervals, significance
from solo_hub.evaluation.statistics.calibration import expected_calibration_error

COVERAGE = 0.8
"""Share of the questions that count for `accuracy_at_coverage`: those with the highest confidence."""
CONFIDENT = 0.8
"""Probability from which an answer counts as confident."""
PAIR = ("student", "base")
PROMPT_WORDS, CONTINUED_WORDS = 16, 8


def summarise(
    questions: Sequence[Question],
    golds: Sequence[Gold],
    arms: Mapping[str, Arm],
    unanswerable: Collection[str] = (),
    *,
    resamples: int,
    seed: int,
) -> dict[str, Any] | None:
    """The report's `trust`, for arms with a probability of every option.

    Args:
        questions: The held-out questions.
        golds: Their answers, aligned.
        arms: The arms, aligned.
        unanswerable: Ids of questions whose documents the student has not studied.
        resamples: Bootstrap resamples.
        seed: Seed of the resampling.

    Returns:
        `coverage`, `arms` (`ece`, `brier`, `accuracy_at_coverage`) and `unanswerable` (see `_confidently_wrong`; None
        without such questions); None where no arm has probabilities.
    """
    rows = {}
    for name, arm in arms.items():
        squared = [Brier().score(*each) for each in zip(questions, golds, arm.predictions, strict=True)]
        known = [value for value in squared if value is not None]
        if len(known) < len(squared):
            continue
        confidence = _confidence(arm)
        surest = np.argsort(-confidence, kind="stable")[: math.ceil(COVERAGE * len(confidence))]
        rows[name] = {
            "ece": expected_calibration_error(confidence, arm.correct),
            "brier": intervals.bootstrap_mean(known, resamples, seed).to_row(),
            "accuracy_at_coverage": intervals.wilson(int(arm.correct[surest].sum()), len(surest)).to_row(),
        }
    if not rows:
        return None
    asked = np.array([question.id in unanswerable for question in questions])
    judged = {name: arms[name] for name in rows}
    return {
        "coverage": COVERAGE,
        "arms": rows,
        "unanswerable": _confidently_wrong(judged, asked) if asked.any() else None,
    }


def _confidence(arm: Arm) -> intervals.Array:
    """Probability of the chosen option, `(questions,)`; floats may sum to a little above 1."""
    return np.array([min(max(prediction.probabilities or (0.0,)), 1.0) for prediction in arm.predictions])


def _confidently_wrong(arms: Mapping[str, Arm], asked: Any) -> dict[str, Any]:
    """Share of the questions in `asked` that an arm answers wrongly with at least `CONFIDENT` probability.

    Returns:
        `n`, `confident`, `arms` (the shares), and `student_vs_base`, their paired difference, where both are there.
    """
    wrong = {name: ((_confidence(arm) >= CONFIDENT) & (arm.correct == 0))[asked] for name, arm in arms.items()}
    return {**_shares(wrong), "confident": CONFIDENT}


def _shares(found: Mapping[str, Any]) -> dict[str, Any]:
    """`n`, `arms` (the share of each that is true), and `student_vs_base` where both are there."""
    total = len(next(iter(found.values())))
    shares = {name: intervals.wilson(int(rows.sum()), total).to_row() for name, rows in found.items()}
    paired = (
        {"student_vs_base": significance.paired(*(found[arm] for arm in PAIR))} if found.keys() >= set(PAIR) else {}
    )
    return {"n": total, "arms": shares, **paired}


def without_their_documents(
    questions: Sequence[Question], golds: Sequence[Gold], passages: Sequence[Retrieval], studied: Collection[str]
) -> list[str]:
    """Questions whose answer is in their passages, though in none that a training label was made with.

    Args:
        questions: The held-out questions.
        golds: Their answers.
        passages: Their passages, aligned with the questions.
        studied: Ids of the passages of the training labels.
    """
    gold = {row.question_id: row for row in golds}
    found = []
    for question, retrieval in zip(questions, passages, strict=True):
        support = [p.id for p in retrieval.passages if supports([p.text], gold[question.id])]
        if support and not any(name in studied for name in support):
            found.append(question.id)
    return found


def cut(text: str) -> tuple[str, tuple[str, ...]] | None:
    """The beginning of a passage and the words that follow, or None for one that is too short.

    The beginning is half of the text, at most `PROMPT_WORDS`; `CONTINUED_WORDS` follow, at least half as many.
    """
    split = text.split()
    start = min(len(split) // 2, PROMPT_WORDS)
    rest = tuple(split[start : start + CONTINUED_WORDS])
    return (" ".join(split[:start]), rest) if len(rest) >= CONTINUED_WORDS // 2 else None


def recites(written: str, rest: Sequence[str]) -> bool:
    """Whether a written continuation begins with exactly these words."""
    return tuple(written.split()[: len(rest)]) == tuple(rest)


def summarise_recitation(written: Mapping[str, Sequence[str]], rests: Sequence[Sequence[str]]) -> dict[str, Any]:
    """Share of passages that an arm continues word for word; the report's `recitation`.

    Args:
        written: Continuations by arm, aligned with `rests`.
        rests: The words that follow in the passages.

    Returns:
        `n`, `arms` (the shares) and `student_vs_base`. The base is the control: what it continues is common wording.
    """
    return _shares({
        arm: np.array([recites(*each) for each in zip(texts, rests, strict=True)]) for arm, texts in written.items()
    })  # fmt: skip
