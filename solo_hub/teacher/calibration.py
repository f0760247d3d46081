"""A heuristic confidence, fitted without labels.

Sums of log-probabilities are overconfident: a few nats between options give a probability near 1, whether or not the
answer is right. Without gold answers, two views of the same question still bound how often either can be right: where
they disagree, one of them is wrong. The temperature is set so that the mean confidence equals the share of questions
on which the two views agree (cf. Jiang et al. 2022, "Assessing generalization of SGD via
disagreement": for calibrated members of an ensemble the expected agreement is the expected accuracy).

Views are more informative the less they share: the model's choice and retrieval's; else the model's choice under two
orders of the options (letters), or without its best passage and without its worst. Two halves of the passages share
too little: a question that needs two facts may have one in each half, and neither view resembles the teacher.

It remains a heuristic. The views are parts of the teacher, and their agreement is taken for the accuracy of the two
combined, which may differ: on QASC it is too low, and two views with the same error agree on it. Where gold answers
exist, the report shows the expected calibration error.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from solo_hub.core.plugins import Engine, Progress
from solo_hub.core.records import Passage, Question, Retrieval
from solo_hub.models.answering import Answer, choose, fit, softmax
from solo_hub.models.experts import Recipe, Support, combine, over_orders, rotated
from solo_hub.models.prompts import LISTED_STYLES, PromptBuilder

COLDEST, HOTTEST = 0.05, 50.0
STEPS = 60  # bisections: far below the noise of any sample
Scores = Sequence[float] | npt.NDArray[np.float64]
FEWEST = 8  # questions with two views; below this an agreement means nothing


@dataclass(frozen=True, slots=True)
class Calibration:
    """Temperatures, and what they were fitted to.

    Attributes:
        model_temperature: For the model's log-probabilities.
        temperature: For the combined scores.
        views: What was compared; None when there were no two views.
        agreement: Share of questions on which the views agreed, 0..1, or None.
        n: Questions with both views.
        before: Mean confidence with all temperatures 1, 0..1, or None.
    """

    model_temperature: float = 1.0
    temperature: float = 1.0
    views: str | None = None
    agreement: float | None = None
    n: int = 0
    before: float | None = None


def fit_temperature(scores: Sequence[Scores], target: float) -> float:
    """The temperature at which the mean of max softmax(scores / T) is the target.

    The mean falls as T rises, so bisection finds it; an unreachable target gives the nearest limit.

    Args:
        scores: Natural-log scores of the options, one sequence a question; may differ in length.
        target: Target mean confidence, 0..1.
    """
    rows = [np.asarray(row, dtype=np.float64) for row in scores]
    low, high = np.log(COLDEST), np.log(HOTTEST)
    for _ in range(STEPS):
        middle = (low + high) / 2
        if mean_confidence(rows, float(np.exp(middle))) > target:
            low = middle
        else:
            high = middle
    return round(float(np.exp((low + high) / 2)), 4)


def mean_confidence(scores: Sequence[Scores], temperature: float = 1.0) -> float:
    """Mean over the questions of the largest probability."""
    return float(np.mean([softmax(np.asarray(row, dtype=np.float64) / temperature).max() for row in scores]))


def calibrate(
    engine: Engine,
    builder: PromptBuilder,
    sample: Sequence[tuple[Question, Retrieval]],
    supports: Sequence[Support],
    recipe: Recipe,
    *,
    reserve: int = 0,
    batch_size: int = 16,
    progress: Progress | None = None,
) -> Calibration:
    """Fit the temperatures on a sample of unlabelled questions.

    Args:
        engine: The teacher's engine.
        builder: Builds its prompts.
        sample: Questions with options, and their passages.
        supports: Retrieval's log-probabilities of the options, aligned; None where there are none.
        recipe: How answers are computed; its temperatures are ignored.
        reserve: As in `answering.fit`.
        batch_size: Questions scored at once.
        progress: Called with questions done.
    """
    plain = replace(recipe, model_temperature=1.0, temperature=1.0)
    alone: list[Answer] = []
    first: list[int | None] = []
    second: list[int | None] = []
    by_retrieval = bool(recipe.support_weight) and sum(s is not None for s in supports) >= FEWEST
    for start in range(0, len(sample), batch_size):
        batch = sample[start : start + batch_size]
        fitted = [fit(engine, builder, q, r.passages, recipe.style, reserve=reserve) for q, r in batch]
        answers = over_orders(engine, builder, [q for q, _ in batch], fitted, plain)
        if any(a.scores is None for a in answers):  # the engine returns no log-probabilities
            return Calibration()
        alone += answers
        if not by_retrieval:
            one, other = _views(engine, builder, batch, recipe, reserve=reserve)
            first += one
            second += other
        if progress:
            progress(len(batch))
    views = "model and retrieval" if by_retrieval else _name(recipe)
    if by_retrieval:
        pairs = [(a, s) for a, s in zip(alone, supports, strict=True) if s is not None]
        alone = [a for a, _ in pairs]
        used: list[Support] = [s for _, s in pairs]
        first, second = [a.option for a in alone], [int(np.argmax(s)) for s in used if s is not None]
    else:
        both = [i for i, (a, b) in enumerate(zip(first, second, strict=True)) if a is not None and b is not None]
        alone, used = [alone[i] for i in both], [None] * len(both)
        first, second = [first[i] for i in both], [second[i] for i in both]
    if len(first) < FEWEST:
        return Calibration()
    agreement = float(np.mean([a == b for a, b in zip(first, second, strict=True)]))
    before = mean_confidence([combine(a, s, plain).scores or () for a, s in zip(alone, used, strict=True)])
    of_model = fit_temperature([np.log(np.maximum(a.probabilities or (), 1e-300)) for a in alone], agreement)
    cooled = replace(plain, model_temperature=of_model)
    combined = [combine(a, s, cooled).scores or () for a, s in zip(alone, used, strict=True)]
    # without retrieval the first temperature suffices
    of_all = fit_temperature(combined, agreement) if by_retrieval else 1.0
    return Calibration(of_model, of_all, views, round(agreement, 4), len(first), round(before, 4))


def _name(recipe: Recipe) -> str:
    return (
        "two orders of the options"
        if recipe.style in LISTED_STYLES
        else "without the best and without the last passage"
    )


def _views(
    engine: Engine,
    builder: PromptBuilder,
    batch: Sequence[tuple[Question, Retrieval]],
    recipe: Recipe,
    *,
    reserve: int,
) -> tuple[list[int | None], list[int | None]]:
    """The model's choices in two views; None where there are not two views."""

    def choices(questions: Sequence[Question], passages: Sequence[Sequence[Passage]]) -> list[int]:
        prompts = [
            fit(engine, builder, q, p, recipe.style, reserve=reserve).prompt
            for q, p in zip(questions, passages, strict=True)
        ]
        return [a.option for a in choose(engine, builder, questions, prompts, recipe.style)]

    questions, passages = [q for q, _ in batch], [r.passages for _, r in batch]
    if recipe.style in LISTED_STYLES:
        turns = [len(q.options) // 2 for q in questions]
        other = choices([rotated(q, turn) for q, turn in zip(questions, turns, strict=True)], passages)
        back = [(c + turn) % len(q.options) for c, turn, q in zip(other, turns, questions, strict=True)]
        return [*choices(questions, passages)], [*back]
    without = [choices(questions, [p[1:] for p in passages]), choices(questions, [p[:-1] for p in passages])]
    one, two = ([c if len(p) > 1 else None for c, p in zip(side, passages, strict=True)] for side in without)
    return one, two
