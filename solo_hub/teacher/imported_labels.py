"""Imported labels: any dataset with a probability for every option; the teacher is not asked.

They may come from another model, from human votes, or from a published run. Rows are joined by id, never by position.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from solo_hub.core.errors import ConfigError, InputError, nearest
from solo_hub.core.records import PseudoLabel, Question, Retrieval
from solo_hub.hub import tables
from solo_hub.models.prompts import BARE_STYLE, LISTED_STYLES, check_letters
from solo_hub.run.context import RunContext
from solo_hub.run.resolved import TeacherSetup
from solo_hub.run.row_cache import cache_key
from solo_hub.teacher import deciding
from solo_hub.teacher import step as teacher_step
from solo_hub.teacher import style as styles

DEFAULTS = {"id": "id", "probabilities": "probabilities"}
STYLE = teacher_step.GIVEN
TOLERANCE = 0.01  # of the sum of probabilities: files round them


def load(context: RunContext, questions: Sequence[Question]) -> list[PseudoLabel]:
    """The label of each question, in order; labels of a finished step are read without opening the Hub.

    Raises:
        ConfigError: Unknown columns are mapped.
        InputError: A question has no label, or invalid probabilities.
    """
    source = f"{context.name_of('labels')} {context.config.teacher.labels_split} {json.dumps(_columns(context))}"
    keys = [_key(question, source) for question in questions]
    if context.run.has("labels"):
        known = {row.key: row for row in context.run.read_rows("labels", PseudoLabel)}
        if len(known) == len(keys) and all(key in known for key in keys):
            if "teacher" not in context.resolved.setups:  # the labels are unchanged, but the training settings changed
                _decide_style(context, questions)
            return [known[key] for key in keys]
    labels = _read(context, questions, keys)
    _decide_style(context, questions)
    teacher_step.keep_others(context, labels)
    context.run.write_rows("labels", labels)
    return labels


def _columns(context: RunContext) -> dict[str, str]:
    columns = context.config.teacher.labels_columns
    for name in columns:
        if name not in DEFAULTS:
            raise ConfigError(f"teacher.labels_columns: unknown key '{name}'.", hint=nearest(name, DEFAULTS))
    return {**DEFAULTS, **columns}


def _key(question: Question, source: str) -> str:
    return cache_key(question.asked(), source)


def _read(context: RunContext, questions: Sequence[Question], keys: Sequence[str]) -> list[PseudoLabel]:
    columns, split, place = _columns(context), context.config.teacher.labels_split, context.place("labels")
    source = context.source("labels")
    places = {question.id: index for index, question in enumerate(questions)}
    names = [name.strip() for name in columns["probabilities"].split(",")]
    available = tables.read_columns(source, split=split)
    needed = [*([columns["id"]] if columns["id"] in available else []), *names]
    labels: dict[int, PseudoLabel] = {}
    for number, row in tables.read_table(source, split=split, columns=needed):
        identifier = row.get(columns["id"])
        index = places.get(str(number if identifier is None else identifier))
        if index is None:
            continue
        if index in labels:
            raise InputError(
                f"duplicate label for question '{questions[index].id}'.",
                file=place,
                row=number,
                field=columns["id"],
                hint="Keep one row per question.",
            )
        try:
            distribution = probabilities(row, names, questions[index])
        except InputError as error:
            raise error.at(place, number) from None
        labels[index] = make_label(questions[index], distribution, keys[index])
    missing = [question.id for index, question in enumerate(questions) if index not in labels]
    if missing:
        raise InputError(
            f"{len(missing)} of {len(questions)} questions have no label (first: '{missing[0]}').",
            file=place,
            field=columns["id"],
            hint="Add a row for each question; teacher.labels_columns maps the column names.",
        )
    return [labels[index] for index in range(len(questions))]


def probabilities(row: Mapping[str, Any], names: Sequence[str], question: Question) -> tuple[float, ...]:
    """The probability of each option: from one column with a list, or one column per option.

    Returns:
        `(options,)`, scaled to sum to exactly 1.

    Raises:
        InputError: Not one per option, not within 0..1, or not summing to 1.
    """
    raw = row[names[0]] if len(names) == 1 else [row[name] for name in names]
    if isinstance(raw, str):
        try:
            raw = json.loads(raw)
        except ValueError:
            raw = None
    field = ",".join(names)
    count = len(question.options)
    if not isinstance(raw, list) or len(raw) != count or not count:
        raise InputError(
            f"question '{question.id}' needs one probability for each of its {count} options.",
            field=field,
            hint="Use a list in the order of the options, or name one column per option, separated by commas.",
        )
    try:
        values = [float(value) for value in raw]
    except (TypeError, ValueError):
        values = [math.nan]
    if not all(0 <= value <= 1 + TOLERANCE for value in values) or abs(sum(values) - 1) > TOLERANCE:
        raise InputError(
            f"the probabilities of question '{question.id}' must be numbers between 0 and 1 that sum to 1.",
            field=field,
            hint="Provide probabilities, not scores; apply a softmax to logits.",
        )
    total = sum(values)
    return tuple(value / total for value in values)


def make_label(question: Question, distribution: tuple[float, ...], key: str) -> PseudoLabel:
    """The pseudo-label of a distribution over the options; ties go to the first option."""
    option = max(range(len(distribution)), key=lambda index: distribution[index])
    confidence = distribution[option]
    return PseudoLabel(question.id, option, distribution, question.options[option], confidence, (), 0, STYLE, key)


def _decide_style(context: RunContext, questions: Sequence[Question]) -> None:
    """Decide how base and student score options; with a teacher, labelling decides it."""
    settings = context.config.teacher
    style: str = BARE_STYLE if context.classifies else settings.style
    tests: list[styles.StyleTest] = []
    if style in LISTED_STYLES:
        check_letters(questions)
    if style == "auto":
        sample = [(question, Retrieval(question.id, ())) for question in questions[: settings.style_sample]]
        with context.engine.adapter(False):
            style, tests = deciding.try_styles(context, context.engine, context.builder, sample, questions, None)
    setup = TeacherSetup(
        style=style,
        explains=False,
        style_tests=tuple(test.to_row() for test in tests),
        explained_share=None,
        settings=settings.model_dump(mode="json"),
    )
    context.record(setups={"teacher": setup})
