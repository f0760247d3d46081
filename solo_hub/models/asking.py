"""Asks an arm: prompt, chosen option and generated answer, in the same way for every arm."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from solo_hub.core.plugins import Engine, OnePassEngine
from solo_hub.core.records import Passage, Prediction, Question
from solo_hub.core.report_settings import EvaluationSettings
from solo_hub.models import experts
from solo_hub.models.answering import fit, named_option, write, write_and_score
from solo_hub.models.experts import Recipe, Support
from solo_hub.models.prompts import LISTED_STYLES, PromptBuilder


@dataclass(frozen=True, slots=True)
class ArmAnswer:
    """An arm's answer with the passages in its prompt.

    Attributes:
        prediction: The answer.
        passages: The passages in the prompt, in that order (the best one last).
    """

    prediction: Prediction
    passages: tuple[Passage, ...]


def ask(
    engine: Engine,
    builder: PromptBuilder,
    questions: Sequence[Question],
    passages: Sequence[Sequence[Passage]],
    recipe: Recipe,
    settings: EvaluationSettings,
    *,
    arm: str,
    generate: bool,
    supports: Sequence[Support] = (),
) -> list[ArmAnswer]:
    """Ask a batch; the caller has activated the arm's weights.

    Args:
        engine: The model.
        builder: Builds the prompts, with the examples of a few-shot arm.
        questions: The batch.
        passages: Best first, one list per question.
        recipe: How options are scored, and the teacher's answers computed.
        settings: Maximum length of a generated answer, and prompts per generation batch.
        arm: The arm's name.
        generate: Whether to also generate an answer for questions with options; those without always have one.
        supports: Retrieval's log-probabilities of the options, for the teacher; aligned, or empty.

    Returns:
        One answer per question; the `seconds` of a batch are divided equally.

    Raises:
        InputError: A question is longer than the model's context.
        ModelError: A score is not finite.
    """
    started = time.perf_counter()
    fitted = [
        fit(engine, builder, q, given, recipe.style, reserve=settings.max_new_tokens)
        for q, given in zip(questions, passages, strict=True)
    ]
    with_options = [i for i, q in enumerate(questions) if q.options]
    prompts = [f.prompt for f in fitted]
    written, scored = None, None
    if generate and len(with_options) == len(questions) and isinstance(engine, OnePassEngine):
        options = [builder.continuations(question, recipe.style) for question in questions]
        written, scored = write_and_score(engine, prompts, options, settings.max_new_tokens, settings.batch_size)
    answers = experts.answer(
        engine,
        builder,
        [questions[i] for i in with_options],
        [fitted[i] for i in with_options],
        [supports[i] if supports else None for i in with_options],
        recipe,
        scored,
    )
    chosen = dict(zip(with_options, answers, strict=True))
    no_logprobs = any(answer.probabilities is None for answer in answers)  # the engine returns none
    if written is None and (generate or no_logprobs or len(with_options) < len(questions)):
        written = write(engine, prompts, settings.max_new_tokens, settings.batch_size)
    seconds = (time.perf_counter() - started) / max(len(questions), 1)
    prompt_tokens = engine.count_tokens([f.prompt.text for f in fitted])
    rows = []
    for i, question in enumerate(questions):
        answer = chosen.get(i)
        option = answer.option if answer is not None and answer.probabilities is not None else None
        text = written[i].text if written is not None else question.options[option] if option is not None else ""
        if written is not None and question.options:
            named = named_option(text, question, recipe.style)
            if named is not None and recipe.style in LISTED_STYLES:
                text = question.options[named]  # a letter means nothing without the prompt
            if answer is not None and answer.probabilities is None:
                option = named
        prediction = Prediction(
            question.id,
            arm,
            option,
            answer.probabilities if answer else None,
            text,
            tuple(p.id for p in fitted[i].passages),
            seconds,
            prompt_tokens[i],
            written[i].tokens if written is not None else 0,
        )
        rows.append(ArmAnswer(prediction, fitted[i].passages))
    return rows
