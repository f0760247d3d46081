"""Labels that are brought along: any dataset with the probabilities of every option; the teacher is not asked.

They may come from another model, from people who voted, or from a run published before. Rows are joined by id, never
by position.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from solo_hub.core.errors import ConfigError, InputError, nearest
from solo_hub.core.records import PseudoLabel, Question
from solo_hub.hub import tables
from solo_hub.models.prompts import BARE_STYLE, LISTED_STYLES, check_letters, suit_letters
from solo_hub.run.context import RunContext
from solo_hub.teacher import step as teacher_step
from solo_hub.teacher import style as styles

DEFAULTS = {"id": "id", "probabilities": "probabilities"}
STYLE = teacher_step.GIVEN
TOLERANCE = 0.01  # how far from 1 probabilities may sum: files round them


def load(context: RunContext, questions: Sequence[Question]) -> list[PseudoLabel]:
    """The label of each question, in order; those of a finished run are read without opening the Hub.

    Raises:
        ConfigError: Unknown columns are mapped.
        InputError: A question has no label; probabilities that are none, or not one for each option.
    """
    source = f"{context.name_of('labels')} {context.config.teacher.labels_split} {json.dumps(_columns(context))}"
    keys = [_key(question, source) for question in questions]
    if context.run.has("labels"):
        known = {row.key: row for row in context.run.read_rows("labels", PseudoLabel)}
        if len(known) == len(keys) and all(key in known for key in keys):
            if "teacher" not in context.resolved:  # the labels stay as they are, and how they are learnt was changed
                _decide_style(context, questions)
            return [known[key] for key in keys]
    labels = _read(context, questions, keys)
    _decide_style(context, questions)
    teacher_step.keep_others(context, labels)
    context.run.write_rows("labels", labels)
    return labels


def _columns(context: RunContext) -> dict[str, str]:
    given = context.config.teacher.labels_columns
    for name in given:
        if name not in DEFAULTS:
            raise ConfigError(f"teacher.labels_columns: unknown key '{name}'.", hint=nearest(name, DEFAULTS))
    return {**DEFAULTS, **given}


def _key(question: Question, source: str) -> str:
    parts = [question.asked(), source]
    return hashlib.sha256(json.dumps(parts, ensure_ascii=False, sort_keys=True).encode()).hexdigest()[:32]


def _read(context: RunContext, questions: Sequence[Question], keys: Sequence[str]) -> list[PseudoLabel]:
    columns, split, place = _columns(context), context.config.teacher.labels_split, context.place("labels")
    source = context.source("labels")
    places = {question.id: index for index, question in enumerate(questions)}
    names = [name.strip() for name in columns["probabilities"].split(",")]
    there = tables.read_columns(source, split=split)
    wanted = [*([columns["id"]] if columns["id"] in there else []), *names]
    found: dict[int, PseudoLabel] = {}
    for number, row in tables.read_table(source, split=split, columns=wanted):
        identifier = row.get(columns["id"])
        index = places.get(str(number if identifier is None else identifier))
        if index is None:
            continue
        if index in found:
            raise InputError(
                f"question '{questions[index].id}' has a label already.",
                file=place,
                row=number,
                field=columns["id"],
                hint="Keep one row for each question.",
            )
        try:
            given = probabilities(row, names, questions[index])
        except InputError as error:
            raise InputError(error.reason, file=place, row=number, field=error.field, hint=error.hint) from None
        found[index] = make_label(questions[index], given, keys[index])
    missing = [question.id for index, question in enumerate(questions) if index not in found]
    if missing:
        raise InputError(
            f"{len(missing)} of {len(questions)} questions have no label, the first is '{missing[0]}'.",
            file=place,
            field=columns["id"],
            hint="Bring a row for each question; teacher.labels_columns says how the columns are called.",
        )
    return [found[index] for index in range(len(questions))]


def probabilities(row: Mapping[str, Any], names: Sequence[str], question: Question) -> tuple[float, ...]:
    """The probability of each option: from one column with a list, or from one column for each option.

    Returns:
        `(options,)`, scaled to sum to exactly 1.

    Raises:
        InputError: They are not one for each option, not within 0..1, or do not sum to 1.
    """
    given = row[names[0]] if len(names) == 1 else [row[name] for name in names]
    if isinstance(given, str):
        try:
            given = json.loads(given)
        except ValueError:
            given = None
    field = ",".join(names)
    count = len(question.options)
    if not isinstance(given, list) or len(given) != count or not count:
        raise InputError(
            f"not one probability for each of the {count} options of question '{question.id}'.",
            field=field,
            hint="Write a list in the order of the options, or name one column for each, separated by commas.",
        )
    try:
        values = [float(value) for value in given]
    except (TypeError, ValueError):
        values = [math.nan]
    if not all(0 <= value <= 1 + TOLERANCE for value in values) or abs(sum(values) - 1) > TOLERANCE:
        raise InputError(
            f"the probabilities of question '{question.id}' are not numbers from 0 to 1 that sum to 1.",
            field=field,
            hint="Bring probabilities, not scores; softmax makes them of logits.",
        )
    total = sum(values)
    return tuple(value / total for value in values)


def make_label(question: Question, given: tuple[float, ...], key: str) -> PseudoLabel:
    """The pseudo-label of a distribution over the options; of equal probabilities the first option is taken."""
    option = max(range(len(given)), key=lambda index: given[index])
    return PseudoLabel(question.id, option, given, question.options[option], given[option], (), 0, STYLE, key)


def _decide_style(context: RunContext, questions: Sequence[Question]) -> None:
    """How base and student score options; with a teacher this is found out while labelling."""
    settings = context.config.teacher
    style: str = BARE_STYLE if context.classifies else settings.style
    tests: list[styles.StyleTest] = []
    if style in LISTED_STYLES:
        check_letters(questions)
    if style == "auto":
        sample = questions[: settings.style_sample]
        with context.engine.adapter(False):
            style, tests = styles.choose_style(
                context.engine,
                context.builder,
                sample,
                [()] * len(sample),
                seed=context.config.seed,
                letters=suit_letters(questions),
            )
    context.resolved["teacher"] = {
        "style": style,
        "style_tests": [{**dataclasses.asdict(test), "score": test.score} for test in tests],
        "explains": False,
        "explained_share": None,
        "settings": settings.model_dump(mode="json"),
    }
    context.save()
