"""The student of a run, and one training as it shares it with the control students."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from solo_hub.core.plugins import Selector, StepSelector
from solo_hub.core.records import Preference, PseudoLabel, Question, Retrieval, Selection, join
from solo_hub.core.settings import StudentSettings
from solo_hub.run.context import RunContext
from solo_hub.selection.step import make_selector
from solo_hub.student import training
from solo_hub.student.objectives.material import TrainingData
from solo_hub.student.training import Training


def train(
    context: RunContext,
    questions: Sequence[Question],
    passages: Sequence[Retrieval],
    labels: Sequence[PseudoLabel],
    selection: Selection,
    preferences: Sequence[Preference],
) -> Training:
    """Train the student on the labels that were kept; with `preferences`, on those that have one."""
    examples = join(questions, labels, selection.verdicts)
    read = {row.question_id: row.passages for row in passages}
    ranked = {row.question_id: row for row in preferences}
    if ranked:
        examples = [example for example in examples if example.question.id in ranked]
    data = TrainingData(context.engine, context.builder, examples, context.resolved.style, read, ranked)
    work, out, logs = context.run.training, context.run.file("adapter"), context.run.file("logs")
    return learn(context, data, context.config.student, make_selector(context), work=work, out=out, logs=logs)


def learn(
    context: RunContext,
    data: TrainingData,
    settings: StudentSettings,
    selector: Selector | StepSelector | None,
    *,
    work: Path,
    out: Path,
    title: str = "training",
    logs: Path | None = None,
) -> Training:
    """Train an adapter on the base of a run, with its seed; arguments and errors are those of `training.train`.

    The selector is used if it is a per-step selector; `title` is that of the progress bar.
    """
    entry = context.pinned("base")
    with context.console.progress(title, training.planned_steps(len(data.examples), settings), saved=True) as progress:
        return training.train(
            data,
            settings,
            seed=context.config.seed,
            base=entry.place,
            commit=entry.commit,
            work=work,
            out=out,
            selector=selector if isinstance(selector, StepSelector) else None,
            logs=logs,
            progress=progress,
        )
