"""Answers questions with an engine: fit the passages, score the options, convert scores to probabilities.

Used for labelling and for every arm of the evaluation, so that all answer in the same way.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from solo_hub.core.errors import InputError, ModelError
from solo_hub.core.plugins import Engine, Generation, OnePassEngine, Prompt
from solo_hub.core.records import Passage, Question
from solo_hub.models.options import find_mentioned, find_option
from solo_hub.models.prompts import LISTED_STYLES, PromptBuilder

MARGIN = 8  # tokens: special tokens and token merges at the joints


class NotNumbersError(ModelError):
    """A model's scores are not finite: the model's or its adapter's weights overflow."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An engine's answer to a multiple-choice question.

    Attributes:
        option: Index of the best option.
        probabilities: One per option, summing to 1; None if the engine returns no log-probabilities.
        scores: The scores behind them (natural log), or None.
        agreement: Share of option orders in which this option was chosen, 0..1; None for a single order.
    """

    option: int
    probabilities: tuple[float, ...] | None
    scores: tuple[float, ...] | None
    agreement: float | None = None


@dataclass(frozen=True, slots=True)
class Fitted:
    """A prompt that fits the context.

    Attributes:
        prompt: The prompt, with as many passages as fit, the best one last.
        passages: The passages in it, in that order.
        dropped: Number of passages left out.
        builder: Its builder, with as many examples as fit; also fits other option orders of the same question.
    """

    prompt: Prompt
    passages: tuple[Passage, ...]
    dropped: int
    builder: PromptBuilder


def fit(
    engine: Engine,
    builder: PromptBuilder,
    question: Question,
    passages: Sequence[Passage],
    style: str,
    *,
    reserve: int = 0,
) -> Fitted:
    """Build the prompt, leaving out the worst passages until it fits; the question is never truncated.

    The best passage comes last, next to the question, where small models use it best: SmolLM2-135M with four passages
    had an accuracy of 0.535 on 400 QASC training questions, and 0.505 in the opposite order.

    Args:
        engine: Counts tokens and has a context length.
        builder: Builds the prompt.
        question: The question asked.
        passages: Best first.
        style: Scoring style.
        reserve: Tokens to keep free for a generated answer.

    Raises:
        InputError: Question and options alone are longer than the context.
    """
    answers = builder.continuations(question, style)
    kept = list(passages)
    prompt = builder.ask(question, style, [p.text for p in reversed(kept)])
    # A token has at least one byte: most prompts fit without counting tokens.
    room = engine.context_length - MARGIN - reserve
    if len(prompt.text.encode()) + max((len(a.encode()) for a in answers), default=0) <= room:
        return Fitted(prompt, tuple(reversed(kept)), 0, builder)
    room -= max(engine.count_tokens(answers), default=0)
    while engine.count_tokens([prompt.text])[0] > room:
        if not kept and builder.examples:  # passages go first, then examples
            builder = dataclasses.replace(builder, examples=builder.examples[1:])
            prompt = builder.ask(question, style)
            continue
        if not kept:
            raise InputError(
                f"question '{question.id}' and its options are longer than the model's context"
                f" of {engine.context_length} tokens.",
                hint="Shorten or remove it, or choose a base model with a longer context.",
            )
        kept.pop()
        prompt = builder.ask(question, style, [p.text for p in reversed(kept)])
    return Fitted(prompt, tuple(reversed(kept)), len(passages) - len(kept), builder)


Scores = Sequence[Sequence[float] | None]
"""Of each question the log-probability of each option, or None where the engine gives none."""


def choose(
    engine: Engine,
    builder: PromptBuilder,
    questions: Sequence[Question],
    prompts: Sequence[Prompt],
    style: str,
    scored: Scores | None = None,
) -> list[Answer]:
    """Score every option of every question.

    `letter`: log p(letter | prompt with the options listed). `text`: log p(option | prompt). `text_minus_prior`: the
    same minus log p(option | "Answer:"), so that an option gains nothing from being a common phrase (Holtzman et al.
    2021, "Surface form competition", domain-conditional PMI). Probabilities are the softmax of the scores. `scored` is
    log p(option | prompt) where it is known already.

    Raises:
        NotNumbersError: A score is not finite.
    """
    continuations = [builder.continuations(question, style) for question in questions]
    scored = engine.score(prompts, continuations) if scored is None else scored
    priors: list[list[float] | None] = [None] * len(questions)
    if style == "text_minus_prior":
        priors = engine.score([builder.prior()] * len(questions), continuations)
    answers = []
    for question, values, prior in zip(questions, scored, priors, strict=True):
        if values is None or (style == "text_minus_prior" and prior is None):
            answers.append(Answer(-1, None, None))
            continue
        if not np.isfinite([*values, *(prior or ())]).all():
            raise NotNumbersError(
                f"The scores of question '{question.id}' are not finite: {engine.identity} overflows.",
                hint="Set engine.dtype=float32.",
            )
        scores = np.asarray(values) - (np.asarray(prior) if prior is not None else 0.0)
        answers.append(
            Answer(int(np.argmax(scores)), tuple(float(p) for p in softmax(scores)), tuple(float(s) for s in scores))
        )
    return answers


def softmax(scores: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """exp(s_i) / sum_j exp(s_j), shifted by the maximum so that nothing overflows."""
    shifted = np.exp(scores - np.max(scores))
    return np.asarray(shifted / shifted.sum())


def write(engine: Engine, prompts: Sequence[Prompt], max_new_tokens: int, batch_size: int = 32) -> list[Generation]:
    """Generate for many prompts, batched by length; results in the given order."""
    results: dict[int, Generation] = {}
    for batch in by_length(prompts, batch_size):
        results.update(zip(batch, engine.generate([prompts[index] for index in batch], max_new_tokens), strict=True))
    return [results[index] for index in range(len(prompts))]


def write_and_score(
    engine: OnePassEngine,
    prompts: Sequence[Prompt],
    continuations: Sequence[Sequence[str]],
    max_new_tokens: int,
    batch_size: int,
) -> tuple[list[Generation], Scores]:
    """Like `write`, and the log-probability of each continuation after its prompt."""
    results: dict[int, tuple[Generation, list[float] | None]] = {}
    for batch in by_length(prompts, batch_size):
        scores, written = engine.score_and_generate(
            [prompts[index] for index in batch], [continuations[index] for index in batch], max_new_tokens
        )
        results.update(zip(batch, zip(written, scores, strict=True), strict=True))
    made = [results[index] for index in range(len(prompts))]
    return [written for written, _ in made], [scores for _, scores in made]


def by_length(prompts: Sequence[Prompt], batch_size: int) -> list[list[int]]:
    """Places of prompts of similar length, so that little of a batch is padding."""
    order = sorted(range(len(prompts)), key=lambda index: (len(prompts[index].text), index))
    return [order[start : start + batch_size] for start in range(0, len(order), batch_size)]


def named_option(text: str, question: Question, style: str) -> int | None:
    """Index of the option that a generated text names by text or letter in the prompt, or mentions; else None."""
    found = find_option(text, question.options, letters_first=style in LISTED_STYLES)
    return find_mentioned(text, question.options, question.text) if found is None else found
