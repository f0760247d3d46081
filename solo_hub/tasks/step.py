"""Questions of a run, of the training or the held-out split: question columns alone are read.

Known answers are read by `evaluation.golds`, which no step before the evaluation may import.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

from solo_hub.core.errors import InputError
from solo_hub.core.records import Question
from solo_hub.hub import tables
from solo_hub.hub.formats import OnError
from solo_hub.hub.unusable import Unusable
from solo_hub.run.context import RunContext
from solo_hub.tasks import loading

QuestionRole = Literal["questions", "evaluation_questions"]


def questions(context: RunContext, role: QuestionRole) -> list[Question]:
    """Questions of the training or held-out split, without their answers.

    Raises:
        InputError: There are none, or a row cannot be read.
    """
    place = context.place(role)
    there = columns(context, role)
    if not there:
        raise InputError("there are no questions.", file=place, hint="Check task.questions and the split.")
    wanted = loading.columns_to_read(context.task, there)
    unusable = Unusable(context.config.task.unusable_rows)
    found = loading.load_questions(context.task, rows(context, role, wanted, unusable), place, unusable)
    context.set_left_out(role, unusable.left_out)
    return found


def own_questions(context: RunContext) -> list[Question]:
    """The user's questions to be learnt: those that are not also held out, a sample where the settings limit them.

    Raises:
        InputError: None is left.
    """
    remaining, overlap = loading.without_overlap(
        questions(context, "questions"), questions(context, "evaluation_questions")
    )
    if overlap:
        context.console.note(f"{overlap} questions are also in the held-out set and were left out")
    chosen = loading.sample(remaining, context.config.task.train_limit, context.config.seed)
    if not chosen:
        raise InputError(
            "every question is also in the held-out set.",
            file=context.place("questions"),
            hint="Hold out different questions.",
        )
    context.report_left_out("questions_left_out", context.left_out("questions"), "question")
    return chosen


def columns(context: RunContext, role: QuestionRole) -> list[str]:
    """Names of the columns that a split has."""
    return list(tables.read_columns(context.source(role), split=_split(context, role)))


def rows(
    context: RunContext, role: QuestionRole, wanted: list[str], on_error: OnError
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Row numbers from 1 and rows of a split, with the columns wanted and no others.

    Args:
        context: The run.
        role: Which split.
        wanted: Names of the columns.
        on_error: Called with what is wrong with a row that cannot be read; may raise it.
    """
    split = _split(context, role)
    return iter(tables.read_table(context.source(role), split=split, columns=wanted, on_error=on_error))


def _split(context: RunContext, role: QuestionRole) -> str:
    return context.config.task.train_split if role == "questions" else context.config.task.evaluation_split
