"""How the teacher's answer is put together: the model's own, over several orders of the options, and retrieval's.

The base model with passages and the retrieval that found them are two experts on one question. Each gives a
probability to every option, and they are multiplied (Hinton 2002, "Training products of experts by minimizing
contrastive divergence"):

    log p(option) = log p_model(option) / T_model + weight * log p_retrieval(option) + constant
    confidence    = softmax(log p / T)

`T_model` takes the model's overconfidence away before its word is weighed, `T` that of the product, whose experts are
not independent: they have read the same passages. Both are fitted without labels (`solo_hub.teacher.calibration`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from solo_hub.core.plugins import Engine
from solo_hub.core.records import Question
from solo_hub.models.answering import Answer, Fitted, choose, softmax
from solo_hub.models.prompts import LISTED_STYLES, PromptBuilder

Support = tuple[float, ...] | None
TINY = 1e-300  # a probability of 0 has no logarithm


@dataclass(frozen=True, slots=True)
class Recipe:
    """What an answer is made of.

    Attributes:
        style: How the model scores options.
        orders: Orders of the options that letters are averaged over; other styles do not list the options.
        model_temperature: Divides the model's log-probabilities before they are combined.
        support_weight: Weight of retrieval's log-probabilities; 0 leaves them out.
        temperature: Divides the combined scores before the softmax; no choice depends on it.
    """

    style: str
    orders: int = 1
    model_temperature: float = 1.0
    support_weight: float = 0.0
    temperature: float = 1.0

    @property
    def identity(self) -> str:
        """What differs from the plain answer, for keys; empty for the plain one."""
        plain = asdict(Recipe(self.style))
        return " ".join(f"{name} {value}" for name, value in asdict(self).items() if value != plain[name])

    def to_row(self) -> dict[str, Any]:
        """Return it as JSON types."""
        return asdict(self)


def answer(
    engine: Engine,
    builder: PromptBuilder,
    questions: Sequence[Question],
    fitted: Sequence[Fitted],
    supports: Sequence[Support],
    recipe: Recipe,
) -> list[Answer]:
    """Answer multiple-choice questions.

    Args:
        engine: The model.
        builder: Makes prompts.
        questions: What is asked; all have options.
        fitted: Their prompts, aligned.
        supports: Retrieval's log-probabilities of the options, where it gives them.
        recipe: What the answers are made of.

    Raises:
        ModelError: A score is not a number.
    """
    alone = over_orders(engine, builder, questions, fitted, recipe)
    return [combine(mine, support, recipe) for mine, support in zip(alone, supports, strict=True)]


def over_orders(
    engine: Engine, builder: PromptBuilder, questions: Sequence[Question], fitted: Sequence[Fitted], recipe: Recipe
) -> list[Answer]:
    """The model's own answers; letters are averaged over cyclic orders of the options.

    A model that likes "A" gives each option its share of A. Probabilities are averaged, not their logarithms: one order
    in which an option is as good as impossible does not rule it out.
    """
    first = choose(engine, builder, questions, [f.prompt for f in fitted], recipe.style)
    if recipe.style not in LISTED_STYLES or recipe.orders == 1 or any(a.probabilities is None for a in first):
        return first
    sums: list[npt.NDArray[np.float64]] = [np.asarray(a.probabilities, dtype=np.float64) for a in first]
    choices = [[a.option] for a in first]
    for number in range(1, min(recipe.orders, max((len(q.options) for q in questions), default=0))):
        places = [i for i, q in enumerate(questions) if number < len(q.options)]
        turned = {i: shift(len(questions[i].options), number, recipe.orders) for i in places}
        asked = [rotated(questions[i], turned[i]) for i in places]
        prompts = [
            fitted[i].builder.ask(q, recipe.style, [p.text for p in fitted[i].passages])
            for q, i in zip(asked, places, strict=True)
        ]
        for i, given in zip(places, choose(engine, builder, asked, prompts, recipe.style), strict=True):
            sums[i] += np.roll(np.asarray(given.probabilities, dtype=np.float64), turned[i])
            choices[i].append((given.option + turned[i]) % len(questions[i].options))
    answers = []
    for total, chosen in zip(sums, choices, strict=True):
        mean = _answer(np.log(np.maximum(total / len(chosen), TINY)))
        answers.append(replace(mean, agreement=chosen.count(mean.option) / len(chosen)))
    return answers


def shift(options: int, number: int, orders: int) -> int:
    """By how many places the options are turned in an order: evenly spread, never twice the same.

    >>> [shift(8, number, 4) for number in range(4)]
    [0, 2, 4, 6]
    """
    return number * options // min(orders, options)


def rotated(question: Question, places: int) -> Question:
    """The question with its options turned to the left: option i stands where i - places stood."""
    options = question.options
    return replace(question, options=(*options[places:], *options[:places]))


def combine(mine: Answer, support: Support, recipe: Recipe) -> Answer:
    """Multiply the model's probabilities with retrieval's; a model that tells none is left as it is.

    Raises:
        ValueError: Retrieval speaks of another number of options.
    """
    if mine.probabilities is None or recipe == Recipe(recipe.style, recipe.orders):
        return mine
    scores = np.log(np.maximum(np.asarray(mine.probabilities, dtype=np.float64), TINY)) / recipe.model_temperature
    if support is not None and recipe.support_weight:
        if len(support) != len(scores):
            raise ValueError(f"{len(support)} supports for {len(scores)} options")
        scores = scores + recipe.support_weight * np.asarray(support, dtype=np.float64)
    return replace(_answer(scores / recipe.temperature), agreement=mine.agreement)


def _answer(scores: npt.NDArray[np.float64]) -> Answer:
    return Answer(int(np.argmax(scores)), tuple(float(p) for p in softmax(scores)), tuple(float(s) for s in scores))
