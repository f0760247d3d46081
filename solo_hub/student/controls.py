"""Control students of a run: trained like its student, on labels that differ (`evaluation.controls`).

They are trained if `evaluation.arms` lists them, kept in `5-controls/`, and evaluated as arms.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from solo_hub.core.plugins import StepSelector, find
from solo_hub.core.records import Gold, PseudoLabel, Question, Selection, join
from solo_hub.core.settings import StudentSettings
from solo_hub.models.prompts import LISTED_STYLES
from solo_hub.run.context import RunContext
from solo_hub.student.control_labels import CONTROLS, GOLD, relabelled
from solo_hub.student.objectives.material import TrainingData
from solo_hub.student.step import learn
from solo_hub.student.training import Training


def folder(context: RunContext, control: str) -> Path:
    """Folder of a control student's adapter."""
    return context.run.file("controls") / control


def train(
    context: RunContext,
    questions: Sequence[Question],
    labels: Sequence[PseudoLabel],
    selection: Selection,
    student: Training,
    golds: Sequence[Gold],
) -> None:
    """Train the listed control students that do not exist yet; several processes do it together.

    Called by the evaluation: `golds`, gold answers of the training questions, are for `gold_student`.

    Each is trained like the student: same questions, settings, seed and number of samples per step. With per-step
    selection, as many samples are drawn at random. The objective is `sft`, the only one that needs no teacher
    probabilities. A control without labels is skipped with a note.

    Raises:
        ModelError: See `training.train`.
    """
    missing = [
        name for name in context.config.evaluation.arms if name in CONTROLS and not folder(context, name).exists()
    ]
    if not missing:
        return
    learnt = join(questions, labels, selection.verdicts)
    by_position = context.resolved.style in LISTED_STYLES
    for name in missing:
        right = {gold.question_id: (gold.option, gold.text) for gold in golds} if name == GOLD else {}
        examples = relabelled(name, learnt, right, context.config.seed, by_position=by_position)
        if not examples:
            context.console.note(f"there are no labels for {name.replace('_', ' ')}: it is skipped")
            continue
        # in an engine of its own: the run's has the student's adapter attached
        data = TrainingData(context.new_engine(), context.builder, examples, context.resolved.style)
        learn(
            context,
            data,
            *_as_the_student(context, student, len(learnt)),
            work=context.run.training / name,
            out=folder(context, name),
            title=f"training {name.replace('_', ' ')}",
        )


def _as_the_student(
    context: RunContext, student: Training, examples: int
) -> tuple[StudentSettings, StepSelector | None]:
    """The student's settings for its number of steps, and a selector for its number of samples per step."""
    settings = context.config.student
    changed: dict[str, object] = {"objective": "sft", "objective_options": {}, "patience": None, "log_to": ()}
    if settings.patience is not None:  # stopped early on held-back questions; controls have no such signal
        changed["epochs"] = student.steps / math.ceil(examples / settings.batch_size)
    counts = tuple(row["kept"] for row in student.log if "kept" in row)
    selector = find("selectors", "random_step")({"counts": counts}, context.config.seed) if counts else None
    return settings.model_copy(update=changed), selector
