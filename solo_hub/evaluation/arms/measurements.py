"""What an evaluation measures beside the arms' answers: forgetting, recitation, cost, the map of the training set."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import numpy as np

from solo_hub.core.errors import InputError
from solo_hub.core.plugins import Progress, Prompt, Task, find
from solo_hub.core.records import Gold, Prediction, Question
from solo_hub.evaluation import forgetting, maps, trust
from solo_hub.evaluation.arms import cost
from solo_hub.evaluation.arms import weights as arm_weights
from solo_hub.evaluation.learnt import Learnt
from solo_hub.hub import tables
from solo_hub.knowledge.step import RunKnowledge
from solo_hub.models.answering import MARGIN
from solo_hub.models.asking import ask
from solo_hub.models.experts import Recipe
from solo_hub.models.prompts import PromptBuilder
from solo_hub.run.context import RunContext
from solo_hub.tasks import loading

PAIR = ("base", "student")
GENERAL_TEXT, SECOND_TASK = "reading general text", "answering the second task"
_TEXTS_AT_ONCE = 8  # texts scored in one call: a call of the progress bar
RECITED = 64  # passages whose continuation is compared
MAP_POINTS = 400  # questions on the map, of which more cover each other
_CONTINUED_TOKENS = 4 * trust.CONTINUED_WORDS  # enough for as many words


def additional_measurements(context: RunContext, held_out: Sequence[Question], learnt: Learnt) -> dict[str, Any]:
    """Measure forgetting, recitation, cost and the map.

    Args:
        context: The run.
        held_out: The held-out questions.
        learnt: What the student learnt from; only the map reads known answers.

    Returns:
        `forgetting`, `recitation`, `cost` and `map` of the report; each None where the settings leave it out, the first
        two also for an encoder, which is no language model.
    """
    settings, writes = context.config.evaluation, not context.classifies
    return {
        "forgetting": _forgetting(context) if settings.forgetting and writes else None,
        "recitation": _recitation(context, learnt) if settings.generate and writes else None,
        "map": _map(context, learnt),
        "cost": cost.measure(context, held_out),  # last: it releases the models
    }


def _forgetting(context: RunContext) -> dict[str, Any]:
    settings, seed = context.config.evaluation, context.config.seed
    texts, texts_from = _general_texts(context)
    questions, golds, task_from = _second_task(context)
    pieces = _fitting(context, texts)
    losses: dict[str, list[float]] = {}
    predictions: dict[str, list[Prediction]] = {}
    for arm in PAIR:
        with arm_weights.arm_model(context, arm) as (engine, builder):
            # two bars: a text takes several times as long as a question
            with context.console.progress(GENERAL_TEXT, len(pieces)) as progress:
                losses[arm] = _losses(engine, pieces, progress)
            with context.console.progress(SECOND_TASK, len(questions)) as progress:
                predictions[arm] = _answers(context, engine, builder, arm, questions, progress)
    tokens = context.engine.count_tokens([rest for _, rest in pieces])
    text = forgetting.summarise_text(losses, tokens, resamples=settings.resamples, seed=seed)
    task = forgetting.summarise_task(questions, golds, predictions)
    return {"text": {"source": texts_from, **text}, "second_task": {"source": task_from, **task}}


def _recitation(context: RunContext, learnt: Learnt) -> dict[str, Any] | None:
    """Whether base and student continue passages of the training labels word for word; None without passages."""
    used = {name for label in learnt.labels for name in label.passages}
    texts = {passage.id: passage.text for row in learnt.passages for passage in row.passages if passage.id in used}
    halves = [half for _, text in sorted(texts.items()) if (half := trust.cut(text)) is not None]
    if not halves:
        return None
    drawn = random.Random(context.config.seed)  # noqa: S311 - a sample, not a secret
    sample = drawn.sample(halves, min(RECITED, len(halves)))
    size = context.config.evaluation.batch_size
    written: dict[str, list[str]] = {}
    with context.console.progress("measuring recitation", len(PAIR) * len(sample)) as progress:
        for arm in PAIR:
            with arm_weights.arm_model(context, arm) as (engine, _):
                texts_of = written.setdefault(arm, [])
                for start in range(0, len(sample), size):
                    batch = [Prompt(begin) for begin, _ in sample[start : start + size]]
                    texts_of += [made.text for made in engine.generate(batch, _CONTINUED_TOKENS)]
                    progress(len(batch))
    return trust.summarise_recitation(written, [rest for _, rest in sample])


def forgetting_items(context: RunContext) -> dict[str, int]:
    """Texts and questions that measuring forgetting asks in all, by their bars' titles. The model is loaded."""
    if not context.config.evaluation.forgetting or context.classifies:
        return {}
    pieces, questions = _fitting(context, _general_texts(context)[0]), _second_task(context)[0]
    return {GENERAL_TEXT: len(PAIR) * len(pieces), SECOND_TASK: len(PAIR) * len(questions)}


def _losses(engine: Any, pieces: Sequence[tuple[str, str]], progress: Progress) -> list[float]:
    """-log p of each piece after its first word, nats."""
    losses: list[float] = []
    for start in range(0, len(pieces), _TEXTS_AT_ONCE):
        some = pieces[start : start + _TEXTS_AT_ONCE]
        scored = engine.score([Prompt(first) for first, _ in some], [[rest] for _, rest in some])
        if any(row is None for row in scored):
            raise InputError(
                "the engine returns no log-probabilities; perplexity cannot be computed.",
                hint="Skip it with --set evaluation.forgetting=false.",
            )
        losses += [-row[0] for row in scored]
        progress(len(some))
    return losses


def _answers(
    context: RunContext,
    engine: Any,
    builder: PromptBuilder,
    arm: str,
    questions: Sequence[Question],
    progress: Progress,
) -> list[Prediction]:
    """The second task, asked as the first one is; options only."""
    settings, style = context.config.evaluation, context.resolved.style
    answers = []
    for start in range(0, len(questions), settings.batch_size):
        some = questions[start : start + settings.batch_size]
        given = ask(
            engine,
            builder,
            some,
            [()] * len(some),
            Recipe("text" if style == "generate" else style),
            settings,
            arm=arm,
            generate=False,
        )
        answers += [answer.prediction for answer in given]
        progress(len(some))
    return answers


def _general_texts(context: RunContext) -> tuple[list[str], str]:
    """Texts and where they are from."""
    settings = context.config.evaluation
    if settings.general_text is None:
        return forgetting.general_texts()[: settings.second_task_limit], "general prose included in solo-hub"
    rows = tables.read_table(
        context.source("general_text"),
        split=settings.general_text_split,
        columns=["text"],
        limit=settings.second_task_limit,
    )
    return [str(row["text"] or "") for _, row in rows], context.name_of("general_text")


def _second_task(context: RunContext) -> tuple[list[Question], list[Gold], str]:
    """Questions, answers, and where they are from."""
    settings = context.config.evaluation
    if settings.second_task is None:
        questions, golds = forgetting.second_task()
        limit = settings.second_task_limit
        return questions[:limit], golds[:limit], "kinds of things, questions included in solo-hub"
    task: Task = find("tasks", "multiple_choice")(settings.second_task_columns)
    source, place, split = context.source("second_task"), context.place("second_task"), settings.second_task_split
    there = tables.read_columns(source, split=split)
    columns = loading.columns_to_read(task, there, task.gold_columns)
    everything = loading.load_questions(task, tables.read_table(source, split=split, columns=columns), place)
    questions = loading.sample(everything, settings.second_task_limit, context.config.seed)
    golds = loading.load_golds(
        task, tables.read_table(source, split=split, columns=columns), questions, place, note=context.console.note
    )
    answered = {gold.question_id for gold in golds}
    return [question for question in questions if question.id in answered], golds, context.name_of("second_task")


def _fitting(context: RunContext, texts: Sequence[str]) -> list[tuple[str, str]]:
    """Pieces of the texts that fit the model's context."""
    longest = forgetting.LONGEST_TEXT
    while True:
        pieces = forgetting.pieces(texts, longest)
        tokens = context.engine.count_tokens([f"{first}{rest}" for first, rest in pieces])
        if max(tokens) + MARGIN <= context.engine.context_length or longest <= forgetting.SHORTEST_TEXT:
            return pieces
        longest //= 2


def _map(context: RunContext, learnt: Learnt) -> dict[str, Any] | None:
    """Original and pseudo-labelled answers in two dimensions; the original ones only where gold answers are known."""
    settings = context.config.evaluation
    if settings.map == "off" or not learnt.labels:
        return None
    asked, gold = {q.id: q.text for q in learnt.questions}, {g.question_id: g.text for g in learnt.golds}
    pool = [label for label in learnt.labels if label.question_id in gold] if gold else list(learnt.labels)
    if not pool:
        return None
    count = min(MAP_POINTS, len(pool))
    drawn = random.Random(context.config.seed).sample(pool, count)  # noqa: S311 - a sample, not a secret
    pseudo = [f"{asked[label.question_id]} {label.text}" for label in drawn]
    original = [f"{asked[label.question_id]} {gold[label.question_id]}" for label in drawn] if gold else []
    method = maps.choose(settings.map, len(pseudo) + len(original))
    with context.console.working(f"map by {method}"):
        vectors = np.asarray(context.shared(RunKnowledge).embedder.embed([*original, *pseudo]))
        places = np.round(maps.lay_out(vectors, method, context.config.seed), 4).tolist()
    return {
        "method": method,
        "n": count,
        "embedder": context.name_of("embedder"),
        "original": places[: len(original)],
        "pseudo": places[len(original) :],
    }
