"""One training of a run, as shared by the student and the control students."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from solo_hub.core.plugins import Selector, StepSelector
from solo_hub.core.records import Example, Passage, Preference
from solo_hub.core.settings import StudentSettings
from solo_hub.run.context import RunContext
from solo_hub.selection.steps import StepBatch
from solo_hub.student import training


def learn(
    context: RunContext,
    engine: Any,
    examples: Sequence[Example],
    settings: StudentSettings,
    selector: Selector | StepSelector | None,
    *,
    work: Path,
    out: Path,
    title: str = "training",
    passages: Mapping[str, Sequence[Passage]] | None = None,
    preferences: Mapping[str, Preference] | None = None,
    logs: Path | None = None,
) -> None:
    """Train an adapter with the prompts and the seed of a run; see `training.train` for errors.

    Args:
        context: The run.
        engine: The base model; afterwards it has the adapter attached.
        examples: The training examples.
        settings: Adapter and training settings.
        selector: The selector; used at every step if it is a per-step selector.
        work: Folder for checkpoints.
        out: Folder of the adapter.
        title: Title of the progress bar.
        passages: The teacher's passages by question id, for objectives that ask it again.
        preferences: The teacher's rankings by question id, for objectives that learn from them.
        logs: Folder of TensorBoard files.
    """
    entry = context.resolved.repos["base"]
    with context.console.progress(title, training.planned_steps(len(examples), settings), saved=True) as progress:
        training.train(
            engine,
            context.builder,
            examples,
            style=context.resolved.style,
            settings=settings,
            seed=context.config.seed,
            base=entry.place,
            commit=str(entry.commit),
            work=work,
            out=out,
            selector=selector if isinstance(selector, StepSelector) else None,
            batch_of=StepBatch,
            passages=passages,
            preferences=preferences,
            logs=logs,
            progress=progress,
        )
