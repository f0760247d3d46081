"""The teacher's answer as a product of experts: the model, averaged over option orders, and retrieval.

The base model with passages and the retriever that found them are two experts. Each assigns a probability to every
option, and these are multiplied (Hinton 2002, "Training products of experts by minimizing contrastive divergence"):

    log p(option) = log p_model(option) / T_model + weight * log p_retrieval(option) + constant
    confidence    = softmax(log p / T)

`T_model` corrects the model's overconfidence before weighting, `T` that of the product, whose experts are not
independent: both use the same passages. Both are fitted without labels (`solo_hub.teacher.calibration`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np
import numpy.typing as npt

from solo_hub.core.plugins import Engine
from solo_hub.core.records import Question
from solo_hub.models.answering import Answer, Fitted, Scores, choose, softmax
from solo_hub.models.prompts import LISTED_STYLES, PromptBuilder

Support = tuple[float, ...] | None
TINY = 1e-300  # a probability of 0 has no logarithm


@dataclass(frozen=True, slots=True)
class Recipe:
    """How an answer is computed.

    Attributes:
        style: How the model scores options.
        orders: Option orders the letter style averages over; other styles do not list the options.
        model_temperature: Divides the model's log-probabilities before they are combined.
        support_weight: Weight of the retriever's log-probabilities; 0 ignores them.
        temperature: Divides the combined scores before the softmax; does not change the chosen option.
    """

    __pydantic_config__ = {"extra": "forbid"}  # noqa: RUF012 - read by pydantic where a run's decisions are read

    style: str
    orders: int = 1
    model_temperature: float = 1.0
    support_weight: float = 0.0
    temperature: float = 1.0

    @property
    def identity(self) -> str:
        """The non-default settings, for cache keys; empty for the plain answer."""
        plain = asdict(Recipe(self.style))
        return " ".join(f"{name} {value}" for name, value in asdict(self).items() if value != plain[name])


def answer(
    engine: Engine,
    builder: PromptBuilder,
    questions: Sequence[Question],
    fitted: Sequence[Fitted],
    supports: Sequence[Support],
    recipe: Recipe,
    scored: Scores | None = None,
) -> list[Answer]:
    """Answer multiple-choice questions.

    Args:
        engine: The model.
        builder: Builds prompts.
        questions: The questions; all have options.
        fitted: Their prompts, aligned.
        supports: The retriever's log-probabilities of the options, or None.
        recipe: How the answers are computed.
        scored: Log-probabilities of the options after these prompts, if they are known already.

    Raises:
        ModelError: A score is not finite.
    """
    own = over_orders(engine, builder, questions, fitted, recipe, scored)
    return [combine(model, support, recipe) for model, support in zip(own, supports, strict=True)]


def over_orders(
    engine: Engine,
    builder: PromptBuilder,
    questions: Sequence[Question],
    fitted: Sequence[Fitted],
    recipe: Recipe,
    scored: Scores | None = None,
) -> list[Answer]:
    """The model's own answers; the letter style is averaged over cyclic option orders.

    This removes a preference for a letter. Probabilities are averaged, not their logarithms, so that one order in which
    an option has almost no probability does not rule it out.
    """
    first = choose(engine, builder, questions, [f.prompt for f in fitted], recipe.style, scored)
    if recipe.style not in LISTED_STYLES or recipe.orders == 1 or any(a.probabilities is None for a in first):
        return first
    sums: list[npt.NDArray[np.float64]] = [np.asarray(a.probabilities, dtype=np.float64) for a in first]
    choices = [[a.option] for a in first]
    for number in range(1, min(recipe.orders, max((len(q.options) for q in questions), default=0))):
        places = [i for i, q in enumerate(questions) if number < len(q.options)]
        shifts = {i: shift(len(questions[i].options), number, recipe.orders) for i in places}
        rotated_questions = [rotated(questions[i], shifts[i]) for i in places]
        prompts = [
            fitted[i].builder.ask(q, recipe.style, [p.text for p in fitted[i].passages])
            for q, i in zip(rotated_questions, places, strict=True)
        ]
        for i, answer in zip(places, choose(engine, builder, rotated_questions, prompts, recipe.style), strict=True):
            sums[i] += np.roll(np.asarray(answer.probabilities, dtype=np.float64), shifts[i])
            choices[i].append((answer.option + shifts[i]) % len(questions[i].options))
    answers = []
    for total, chosen in zip(sums, choices, strict=True):
        mean = _answer(np.log(np.maximum(total / len(chosen), TINY)))
        answers.append(replace(mean, agreement=chosen.count(mean.option) / len(chosen)))
    return answers


def shift(options: int, number: int, orders: int) -> int:
    """Rotation of the options in an order: evenly spread, without repetition.

    >>> [shift(8, number, 4) for number in range(4)]
    [0, 2, 4, 6]
    """
    return number * options // min(orders, options)


def rotated(question: Question, places: int) -> Question:
    """The question with its options rotated to the left by a number of places."""
    options = question.options
    return replace(question, options=(*options[places:], *options[:places]))


def combine(model: Answer, support: Support, recipe: Recipe) -> Answer:
    """Multiply the model's probabilities with the retriever's; an answer without probabilities is unchanged.

    Raises:
        ValueError: The support has another number of options.
    """
    if model.probabilities is None or recipe == Recipe(recipe.style, recipe.orders):
        return model
    scores = np.log(np.maximum(np.asarray(model.probabilities, dtype=np.float64), TINY)) / recipe.model_temperature
    if support is not None and recipe.support_weight:
        if len(support) != len(scores):
            raise ValueError(f"{len(support)} supports for {len(scores)} options")
        scores = scores + recipe.support_weight * np.asarray(support, dtype=np.float64)
    return replace(_answer(scores / recipe.temperature), agreement=model.agreement)


def _answer(scores: npt.NDArray[np.float64]) -> Answer:
    return Answer(int(np.argmax(scores)), tuple(float(p) for p in softmax(scores)), tuple(float(s) for s in scores))
