"""One training of a run: what its student and the control students beside it have in common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from solo_hub.core.plugins import Selector, StepSelector
from solo_hub.core.records import Example, Passage
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
    logs: Path | None = None,
) -> None:
    """Train an adapter in the words and with the seed of a run; see `training.train` for what may go wrong.

    Args:
        context: The run.
        engine: The base model; afterwards it carries the adapter.
        examples: What is learnt.
        settings: Adapter and training settings.
        selector: Decides at every step what is learnt from, where it is one of those.
        work: Folder for checkpoints.
        out: Where the adapter goes.
        title: What the progress bar says.
        passages: The teacher's passages by question id, for objectives that ask it anew.
        logs: Folder for TensorBoard's files.
    """
    entry = context.resolved["repos"]["base"]
    with context.console.progress(title, training.planned_steps(len(examples), settings)) as progress:
        training.train(
            engine,
            context.builder,
            examples,
            style=context.resolved["teacher"]["style"],
            settings=settings,
            seed=context.config.seed,
            base=entry["repo_id"],
            commit=entry["commit"],
            work=work,
            out=out,
            selector=selector if isinstance(selector, StepSelector) else None,
            batch_of=StepBatch,
            passages=passages,
            logs=logs,
            progress=progress,
        )
