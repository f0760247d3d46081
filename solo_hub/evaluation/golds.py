"""Gold answers of a run's questions: for evaluation and analysis only.

Packages below this one (tasks to student) cannot import it, so labelling, selection and training cannot see answers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from solo_hub.core.plugins import Task
from solo_hub.core.records import Gold, Question
from solo_hub.hub import tables
from solo_hub.hub.unusable import Unusable
from solo_hub.run.context import RunContext
from solo_hub.tasks import loading, step
from solo_hub.tasks.step import QuestionRole


def golds(
    context: RunContext, role: QuestionRole, questions: Sequence[Question], *, required: bool = False
) -> list[Gold]:
    """Known answers of a split; none where the dataset has no such columns.

    Args:
        context: The run.
        role: Which split.
        questions: The questions.
        required: Whether a question without an answer is an unusable row.
    """
    task, there = cast("Task", context.task), step.columns(context, role)
    if not tables.has_column(task.gold_columns[0], there):
        return []
    wanted = [name for name in (*task.question_columns, *task.gold_columns) if tables.has_column(name, there)]
    unusable = Unusable(context.config.task.unusable_rows)
    rows = step.rows(context, role, wanted, lambda _: None)  # reported when the questions were read
    place, note = context.place(role), context.console.note
    found = loading.load_golds(task, rows, questions, place, unusable, note, required=required)
    context.set_left_out(f"{role} answers", unusable.left_out)
    return found


def missing_column(context: RunContext, role: QuestionRole) -> str | None:
    """The column of gold answers, if the split does not have it."""
    name = cast("Task", context.task).gold_columns[0]
    return None if tables.has_column(name, step.columns(context, role)) else name
