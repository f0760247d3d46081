"""Training: the adapter learns to answer the bare question as the teacher did with its passages.

The objective is found by name; `loop` has the training step; this module has the whole training, from a new adapter to
the saved one, reloaded and compared.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from solo_hub.core.errors import ConfigError, InputError, ModelError
from solo_hub.core.files import write_text
from solo_hub.core.parsing import parse_json
from solo_hub.core.plugins import Objective, OwnTrainer, StepSelector, find
from solo_hub.core.progress import Advance
from solo_hub.core.rows import checks
from solo_hub.core.settings import StudentSettings
from solo_hub.models import adapters
from solo_hub.run import packages
from solo_hub.run.processes import Processes
from solo_hub.student import memory, sharding
from solo_hub.student.judging import StepSelection
from solo_hub.student.loop import TrainingContext, last_whole_checkpoint, planned_steps, trainer
from solo_hub.student.objectives.classify import Classify
from solo_hub.student.objectives.material import TrainingData, completion
from solo_hub.student.objectives.sft import Sft
from solo_hub.student.stopping import Agreement, hold_back

__all__ = ["Training", "planned_steps", "read_training", "selected_at_steps", "summary", "train"]


@dataclass(frozen=True, slots=True)
class Training:
    """The record of a training; becomes the report's `training`.

    Attributes:
        steps: Optimiser steps.
        tokens: Tokens with gradients, prompts included, over all epochs and processes.
        final_loss: Mean loss of the last tenth of the steps, in nats per token (`sft`).
        seconds: Wall time of this process's share (a resumed run counts from the resume).
        peak_memory_bytes: Peak memory: of the accelerator where there is one, else resident memory of the process.
        trainable_parameters: Parameters of the adapter.
        largest_change: Largest change of an answer's log-probability by the adapter, in nats.
        log: One row per step: step, loss, learning_rate, the mean reward (`grpo`), and the log of a per-step selector.
        seconds_per_step: Median over the steps; 0 if an older version did not measure it.
        processes: Number of training processes.
        agreement: Checks of early stopping: step, and share of held-back questions answered like the teacher; empty
            without early stopping. The adapter is that of the first check with the highest agreement.
    """

    steps: int
    tokens: int
    final_loss: float
    seconds: float
    peak_memory_bytes: int
    trainable_parameters: int
    largest_change: float
    log: tuple[dict[str, Any], ...]
    seconds_per_step: float = 0.0
    processes: int = 1
    agreement: tuple[dict[str, Any], ...] = ()


def train(
    data: TrainingData,
    settings: StudentSettings,
    *,
    seed: int,
    base: str,
    commit: str | None,
    work: Path,
    out: Path,
    selector: StepSelector | None = None,
    logs: Path | None = None,
    progress: Advance | None = None,
) -> Training:
    """Train an adapter and save it, resuming from the last complete checkpoint in `work`.

    With `accelerate launch`, the processes share every batch, and the first one writes.

    Args:
        data: The kept labels with all that training reads; its engine has the trained adapter attached afterwards.
        settings: Adapter and training settings.
        seed: Seed of the adapter's initial weights, the order of examples and dropout.
        base: Hub id of the base model.
        commit: Its commit.
        work: Folder for checkpoints; removed at the end.
        out: Folder of the adapter, written atomically.
        selector: Per-step selector; None trains on everything.
        logs: Folder of TensorBoard files.
        progress: Called with optimiser steps done, and their loss and learning rate. If it raises KeyboardInterrupt, a
            checkpoint is written first.

    Raises:
        InputError: There are no examples.
        ConfigError: The objective or the selector does not support these labels.
        ModelError: See `material.encode` and `adapters.check`.
    """
    engine, examples = data.engine, data.examples
    if not examples:
        raise InputError(
            "no pseudo-label was kept, so there is nothing to train on.",
            hint="Step 4 says what dropped them. `unparsed`: the teacher's written answers name no option (see "
            "3-labels.jsonl), so another teacher or prompt is needed; else relax filters or selection.options.",
        )
    packages.check(settings)
    from transformers import set_seed

    processes = Processes.here(cpu=engine.device == "cpu")
    places, apart = hold_back(examples, settings, seed)
    adapters.prepare(engine, settings)
    material = replace(data, examples=[examples[i] for i in places])
    objective = _objective(material, settings, alone=selector is None and processes.count == 1)
    set_seed(seed)
    parameters = adapters.attach(engine, settings)
    passes = sharding.shard(engine, processes)
    memory.forget_peak(engine.device)
    started = time.monotonic()
    judge, agreement = None, None
    if selector is not None:
        learns_targets = bool(getattr(objective, "learns_targets", False))
        judge = StepSelection(material, selector, processes, passes, places, learns_targets=learns_targets)
    if settings.patience is not None:
        held_back = replace(data, examples=[examples[i] for i in apart])
        agreement = Agreement(held_back, settings.patience, work / "best", processes, passes)
    checkpoint = last_whole_checkpoint(work)
    for checkpointable in (judge, agreement):
        if checkpointable and checkpoint:
            checkpointable.load(Path(checkpoint))
    weights = [example.weight for example in material.examples]
    parts = TrainingContext(engine, objective, weights, judge, agreement, processes, passes)
    with (
        sharding.without_trainer_fsdp(),
        contextlib.redirect_stdout(sys.stderr),
    ):  # trackio prints, but stdout is for data
        made = trainer(parts, settings, seed, work, logs, progress)
        made.train(resume_from_checkpoint=checkpoint)
    seconds = time.monotonic() - started
    engine.model.eval()
    if agreement:
        agreement.restore()
    peak = memory.peak(engine.device)
    if processes.sharded:
        sharding.gather(engine, settings)
    history = [row for row in made.state.log_history if "loss" in row]
    chosen = judge.log if judge else [{}] * len(history)
    log = tuple(
        {name: row[name] for name in ("step", "loss", "learning_rate", "reward") if name in row} | decision
        for row, decision in zip(history, chosen, strict=True)
    )
    tail = [row["loss"] for row in log[-max(1, len(log) // 10) :]]
    training = Training(
        steps=int(made.state.global_step),
        tokens=sum(int(row["tokens"]) for row in history) * processes.count,
        final_loss=float(np.mean(tail)) if tail else float("nan"),
        seconds=seconds,
        peak_memory_bytes=peak,
        trainable_parameters=parameters,
        largest_change=0.0,
        log=log,
        seconds_per_step=float(np.median([row["seconds"] for row in history])),
        processes=processes.count,
        agreement=tuple(agreement.checks) if agreement else (),
    )
    if processes.first:
        _save(training, material, settings, base=base, commit=commit, out=out)
        shutil.rmtree(work, ignore_errors=True)
    processes.wait()
    return read_training(out)


def _objective(material: TrainingData, settings: StudentSettings, *, alone: bool) -> Objective | OwnTrainer:
    """The training objective.

    Args:
        material: The training data.
        settings: Name and options of the objective.
        alone: Whether there is no per-step selection and no other process.

    Raises:
        ConfigError: The objective does not support the model, per-step selection or several processes.
    """
    # the default needs no entry point, which may be stale in an editable installation
    plain = Classify if getattr(material.engine, "classifies", False) else Sft
    if plain is Classify and settings.objective != "sft":
        raise ConfigError(
            f"student.objective={settings.objective} is for language models.", hint="Encoders support only sft."
        )
    kind = plain if settings.objective == "sft" else find("objectives", settings.objective)
    objective: Objective | OwnTrainer = kind(material, settings.objective_options)
    if isinstance(objective, OwnTrainer) and not alone:
        raise ConfigError(
            f"student.objective={settings.objective} has its own trainer, which supports neither per-step selection "
            "nor several processes.",
            hint="Use selection.method=all, random or confidence and launch one process, or another objective.",
        )
    return objective


def _save(
    training: Training, material: TrainingData, settings: StudentSettings, *, base: str, commit: str | None, out: Path
) -> None:
    """Write adapter and record, check that the written adapter equals the student, and move it into place."""
    engine, builder, style = material.engine, material.builder, material.style
    partial = out.with_name(f".{out.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    adapters.save(engine, partial, base=base, commit=commit)
    sample = material.examples[:8]
    change = adapters.check(
        engine,
        partial,
        [builder.ask(e.question, style) for e in sample],
        [[builder.continuation(completion(builder, e, style))] for e in sample],
    )
    row = {**summary(training), "largest_change": change, "log": list(training.log)}
    write_text(partial / "training.json", json.dumps(row, indent=1) + "\n")
    adapters.finish(engine, settings, partial)
    shutil.rmtree(out, ignore_errors=True)
    partial.rename(out)


def read_training(folder: Path) -> Training:
    """Read the record that `train` wrote with the adapter.

    Raises:
        ModelError: The file is missing or broken.
    """
    try:
        row = parse_json((folder / "training.json").read_text("utf-8"))
        done = Training(**{**row, "log": tuple(row["log"]), "agreement": tuple(row.get("agreement", ()))})
        wrong = next((name for name, fits in checks(Training).items() if not fits(getattr(done, name))), None)
        wrong = wrong or ("log" if not all(map(_is_step, done.log)) else None)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(
            f"'{folder / 'training.json'}' cannot be read.",
            hint="Delete the adapter folder and run the same command again.",
        ) from error
    if wrong:
        raise ModelError(
            f"'{folder / 'training.json'}': '{wrong}' cannot be {str(getattr(done, wrong))[:80]!r}.",
            hint="Delete the adapter folder and run the same command again.",
        )
    return done


def _is_step(row: Any) -> bool:
    """Whether a row of the log is valid: step, loss, and the counts of a per-step selector."""
    number = lambda value, kind: isinstance(value, kind) and not isinstance(value, bool)  # noqa: E731
    return (
        isinstance(row, dict)
        and number(row.get("step"), int)
        and all(number(row.get(name), int | float) for name in ("loss", "learning_rate"))
        and all(number(row[name], int) for name in ("kept", "batch") if name in row)
    )


def summary(training: Training) -> dict[str, Any]:
    """The record without its log, as JSON types."""
    values = {name: getattr(training, name) for name in training.__dataclass_fields__ if name != "log"}
    return {**values, "agreement": list(training.agreement)}


def selected_at_steps(training: Training) -> dict[str, float] | None:
    """Totals of a per-step selector over the training; None if there was none."""
    rows = [row for row in training.log if "kept" in row]
    if not rows:
        return None
    seen, kept = sum(row["batch"] for row in rows), sum(row["kept"] for row in rows)
    return {"seen": seen, "kept": kept, "kept_share": kept / seen if seen else 0.0}
