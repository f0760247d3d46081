"""Questions of a run, of the training or the held-out split: question columns alone are read.

Known answers are read by `evaluation.golds`, which no step before the evaluation may import.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

from solo_hub.core.errors import InputError
from solo_hub.core.records import Question
from solo_hub.hub import tables
from solo_hub.run.context import Workbench
from solo_hub.tasks import loading

QuestionRole = Literal["questions", "evaluation_questions"]


def questions(bench: Workbench, role: QuestionRole) -> list[Question]:
    """Questions of the training or held-out split, without their answers.

    Raises:
        InputError: There are none, or a row cannot be read.
    """
    place = bench.place(role)
    there = columns(bench, role)
    if not there:
        raise InputError("there are no questions.", file=place, hint="Check task.questions and the split.")
    # an id may be missing, the row number then serves; any other missing column is named by the reader
    own_id = bench.task.question_columns[0]
    wanted = [name for name in bench.task.question_columns if name in there or name != own_id]
    return loading.load_questions(bench.task, rows(bench, role, wanted), place)


def columns(bench: Workbench, role: QuestionRole) -> list[str]:
    """Names of the columns that a split has."""
    return list(tables.read_columns(bench.source(role), split=_split(bench, role)))


def rows(bench: Workbench, role: QuestionRole, wanted: list[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    """Row numbers from 1 and rows of a split, with the columns wanted and no others."""
    return iter(tables.read_table(bench.source(role), split=_split(bench, role), columns=wanted))


def _split(bench: Workbench, role: QuestionRole) -> str:
    return bench.config.task.train_split if role == "questions" else bench.config.task.evaluation_split
