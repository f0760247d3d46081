"""Control students of a run: trained like its student, on labels that differ (`evaluation.controls`).

They are trained when the evaluation asks for them (`evaluation.arms`), kept in `5-controls/`, and asked as arms.
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
from solo_hub.student import training
from solo_hub.student.control_labels import CONTROLS, GOLD, relabelled
from solo_hub.student.step import learn


def folder(context: RunContext, control: str) -> Path:
    """Where a control student's adapter is kept."""
    return context.run.file("controls") / control


def train(
    context: RunContext,
    questions: Sequence[Question],
    labels: Sequence[PseudoLabel],
    selection: Selection,
    golds: Sequence[Gold],
) -> None:
    """Train the control students that are asked for and not there yet; several processes do it together.

    The evaluation calls this: `golds`, known answers of the training questions, are for the control that learns them.

    Each learns as the student did: the same questions, settings, seed and number of samples a step. Where samples were
    chosen at every step, as many are drawn by chance. The objective is `sft`, the only one that needs no teacher's
    probabilities. A control there are no labels for is left out, and the console says so.

    Raises:
        ModelError: See `training.train`.
    """
    missing = [
        name for name in context.config.evaluation.arms if name in CONTROLS and not folder(context, name).exists()
    ]
    if not missing:
        return
    learnt = join(questions, labels, selection.verdicts)
    by_position = context.resolved["teacher"]["style"] in LISTED_STYLES
    for name in missing:
        right = {gold.question_id: (gold.option, gold.text) for gold in golds} if name == GOLD else {}
        examples = relabelled(name, learnt, right, context.config.seed, by_position=by_position)
        if not examples:
            context.console.note(f"there are no labels for {name.replace('_', ' ')}: it is left out")
            continue
        learn(
            context,
            # the run's own engine carries the student's adapter by now
            context.new_engine(context.resolved["engine"]["dtype"]),
            examples,
            *_as_the_student(context, len(learnt)),
            work=context.run.training / name,
            out=folder(context, name),
            title=f"training {name.replace('_', ' ')}",
        )


def _as_the_student(context: RunContext, examples: int) -> tuple[StudentSettings, StepSelector | None]:
    """The student's settings for as many steps as it took, and a selector for as many samples in each."""
    settings, done = context.config.student, training.read_training(context.run.file("adapter"))
    changed: dict[str, object] = {"objective": "sft", "objective_options": {}, "patience": None, "log_to": ()}
    if settings.patience is not None:  # stopped early, on questions that were held back: there is no such signal here
        changed["epochs"] = done.steps / math.ceil(examples / settings.batch_size)
    counts = tuple(row["kept"] for row in done.log if "kept" in row)
    selector = find("selectors", "random_step")({"counts": counts}, context.config.seed) if counts else None
    return settings.model_copy(update=changed), selector
