"""The loop: `transformers.Trainer` for optimiser, schedule, checkpoints and resume, with our own batches and step.

A step sees its whole batch at once, in every process: the teacher's targets, the selector's decision, and the divisor
of the loss. Only then is it split among processes and into micro-batches, so the split changes nothing.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np

from solo_hub.core.plugins import Objective, OwnTrainer
from solo_hub.core.progress import Advance
from solo_hub.core.settings import StudentSettings
from solo_hub.models.causal import CausalEngine
from solo_hub.run.processes import Processes
from solo_hub.student.judging import StepSelection
from solo_hub.student.sharding import LockstepForwards
from solo_hub.student.stopping import Agreement

COMPLETE = "complete"
"""Marker in a checkpoint, written last: a checkpoint without it was being written when the process died."""


@dataclass(frozen=True, slots=True)
class TrainingContext:
    """The context of a training step.

    Attributes:
        engine: The model with its adapter.
        objective: The training objective.
        weights: Weight of each example.
        judge: Per-step selection, or None.
        agreement: Early stopping, or None.
        processes: The training processes.
        passes: Keeps their forward passes in lockstep.
    """

    engine: CausalEngine
    objective: Objective | OwnTrainer
    weights: Sequence[float]
    judge: StepSelection | None
    agreement: Agreement | None
    processes: Processes
    passes: LockstepForwards


class Order:
    """Batches of row numbers, reshuffled in every epoch; depends on (seed, epoch) only, so a resume repeats it.

    Args:
        count: Number of examples.
        size: Examples in a batch; the last may be smaller.
        seed: Seed of the order.
    """

    def __init__(self, count: int, size: int, seed: int) -> None:
        self.count, self.size, self.seed, self.epoch = count, size, seed, 0

    @property
    def batch_sampler(self) -> Order:
        """Itself: the trainer looks for the sampler inside a wrapper, which exists only after a resume."""
        return self

    def set_epoch(self, epoch: int) -> None:
        """Called by the trainer before each epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return math.ceil(self.count / self.size)

    def __iter__(self) -> Iterator[list[int]]:
        order = np.random.default_rng([self.seed, self.epoch]).permutation(self.count).tolist()
        for start in range(0, self.count, self.size):
            yield order[start : start + self.size]


def planned_steps(examples: int, settings: StudentSettings) -> int:
    """Total number of optimiser steps, for the progress bar."""
    return max(1, math.ceil(-(-examples // settings.batch_size) * settings.epochs))


def last_whole_checkpoint(work: Path) -> str | None:
    """The last complete checkpoint, to resume from; None if there is none."""
    whole = [path for path in work.glob("checkpoint-*") if (path / COMPLETE).exists()]
    return str(max(whole, key=lambda path: int(path.name.rsplit("-", 1)[1]))) if whole else None


def step(
    parts: TrainingContext, indices: Sequence[int], micro: int | None, backward: Callable[[Any], None]
) -> tuple[float, int]:
    """Forward and backward pass of one batch; afterwards the gradients of all processes are reduced.

    Returns:
        The batch's loss, in nats, and the number of tokens with gradients in this process.
    """
    objective = cast("Objective", parts.objective)  # objectives with their own trainer have their own step
    teacher = objective.targets(indices)
    weights, scale, rows = np.array([parts.weights[i] for i in indices]), 1.0, list(range(len(indices)))
    if parts.judge:
        # the backward pass runs on kept samples only; dropped ones had a forward pass without gradients
        judged = parts.judge.decide(indices, teacher)
        scale, weights = judged.scale, weights * judged.weight
        teacher = teacher if judged.targets is None else replace(teacher, targets=judged.targets)
        rows = [row for row in rows if judged.keep[row] and weights[row]]
    if not rows:
        # nothing is kept: without gradients the optimiser does nothing (else momentum and weight decay would change the
        # student), while the learning rate schedule continues
        return 0.0, 0
    kept_indices = [indices[row] for row in rows]
    totals = objective.normalizer(kept_indices, weights[rows], teacher.take(rows))
    own_share = parts.processes.share(rows)
    largest = max(-(-len(rows) // parts.processes.count), 1)  # share of a process; all split theirs alike
    size = micro or largest
    total, tokens = 0.0, 0
    for start in range(0, largest, size):
        piece = own_share[start : start + size]
        with parts.passes.lockstep() as others:
            loss = scale * objective.loss([indices[row] for row in piece], weights[piece], teacher.take(piece), totals)
        backward(sum(others, start=loss))
        total += float(loss.detach())
        tokens += objective.tokens([indices[row] for row in piece])
    import torch

    value = torch.tensor([total], device=parts.engine.device)  # NCCL adds up tensors of the GPU alone
    parts.processes.add_up([value])
    parts.processes.add_up(p.grad for p in parts.engine.model.parameters() if p.requires_grad)
    return float(value), tokens


def trainer(
    parts: TrainingContext,
    settings: StudentSettings,
    seed: int,
    work: Path,
    logs: Path | None,
    progress: Advance | None,
) -> Any:
    """A `transformers.Trainer` whose step is `step`, or the objective's own trainer."""
    from transformers import PrinterCallback, Trainer, TrainingArguments

    count = len(parts.weights)
    arguments = _arguments(settings, planned_steps(count, settings), seed, work, parts.engine.device)
    callbacks = [
        _report(parts, settings.checkpoint_every, work, progress or (lambda *_: None)),
        *(_loggers(settings, logs or work) if parts.processes.first else []),
    ]
    if isinstance(parts.objective, OwnTrainer):
        own = parts.objective.trainer(settings, arguments, Order(count, settings.batch_size, seed), callbacks)
        own.remove_callback(PrinterCallback)
        return own

    class StudentTrainer(Trainer):  # type: ignore[misc, unused-ignore]
        def get_train_dataloader(self) -> Any:
            from torch.utils.data import DataLoader

            order = Order(count, settings.batch_size, seed)
            return DataLoader(range(count), batch_sampler=order, collate_fn=list)  # type: ignore[arg-type, unused-ignore]

        def training_step(self, model: Any, inputs: list[int], *_: Any, **__: Any) -> Any:
            import torch

            started = time.perf_counter()
            model.train()
            loss, tokens = step(parts, inputs, settings.micro_batch_size, self.accelerator.backward)
            self.last_step = {"seconds": time.perf_counter() - started, "tokens": tokens}
            return torch.tensor(loss, device=self.args.device)

        def log(self, logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
            if "loss" in logs:
                logs |= self.last_step
                if parts.judge:
                    logs["kept_share"] = parts.judge.log[-1]["kept_share"]
            super().log(logs, *args, **kwargs)

        def floating_point_ops(self, inputs: Any) -> int:  # noqa: ARG002 - counts a batch's tensors; ours has none
            return 0

    made = StudentTrainer(
        model=parts.engine.model,
        args=one_device(TrainingArguments(**arguments)),
        train_dataset=range(count),  # type: ignore[arg-type, unused-ignore]
        callbacks=callbacks,
    )
    made.remove_callback(PrinterCallback)
    made.model_accepts_loss_kwargs = False
    return made


def one_device(arguments: Any) -> Any:
    """Use one GPU a process: without a launcher the trainer would copy the model to all (`torch.nn.DataParallel`)."""
    arguments._n_gpu = min(arguments.n_gpu, 1)  # noqa: SLF001 - as the trainer itself does for a model in parts
    return arguments


def _arguments(settings: StudentSettings, steps: int, seed: int, work: Path, device: str) -> dict[str, Any]:
    return {
        "output_dir": str(work),
        "num_train_epochs": settings.epochs,
        "per_device_train_batch_size": settings.batch_size,
        "learning_rate": settings.learning_rate,
        "lr_scheduler_type": "cosine",
        # the first warm-up step has rate 0: a single step must not be that one
        "warmup_steps": min(math.ceil(settings.warmup * steps), steps - 1),
        "weight_decay": settings.weight_decay,
        "max_grad_norm": settings.max_grad_norm,
        "seed": seed,
        "data_seed": seed,
        "use_cpu": device == "cpu",
        "save_strategy": "steps",
        "save_steps": settings.checkpoint_every,
        "save_total_limit": 2,
        "logging_strategy": "steps",
        "logging_steps": 1,
        "report_to": "none",
        "project": "solo-hub",
        "disable_tqdm": True,
        "remove_unused_columns": False,
        "dataloader_pin_memory": False,
    }


def _report(parts: TrainingContext, every: int, work: Path, report: Advance) -> Any:  # noqa: C901 - callbacks
    """The callback after each step and checkpoint."""
    from transformers import TrainerCallback

    judge, agreement, processes = parts.judge, parts.agreement, parts.processes

    class Report(TrainerCallback):  # type: ignore[misc, unused-ignore]
        detail = ""
        interrupted: KeyboardInterrupt | None = None

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
            if agreement and state.global_step % every == 0 and agreement.check(state.global_step):
                control.should_training_stop = True
            try:
                report(1, self.detail)
            except KeyboardInterrupt as stop:
                if processes.count > 1:  # only all of them together can write a checkpoint
                    raise
                self.interrupted, control.should_save = stop, True

        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:  # noqa: ARG002
            if logs and "loss" in logs:
                learnt = f"reward {logs['reward']:.3f}" if "reward" in logs else f"loss {logs['loss']:.3f}"
                self.detail = f"{learnt}, learning rate {logs['learning_rate']:.1e}"

        def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
            report(state.global_step)  # steps done before the interruption

        def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
            folder = work / f"checkpoint-{state.global_step}"
            processes.wait()  # until each has written its random state
            if processes.first:
                for checkpointable in (judge, agreement):
                    if checkpointable:
                        checkpointable.save(folder)
                (folder / COMPLETE).touch()
            if self.interrupted:
                raise self.interrupted

    return Report()


def _loggers(settings: StudentSettings, folder: Path) -> list[Any]:
    """Callbacks of external loggers."""
    from transformers import integrations

    made: list[Any] = []
    for name in settings.log_to:
        if name == "tensorboard":
            from torch.utils.tensorboard import SummaryWriter

            made.append(integrations.TensorBoardCallback(SummaryWriter(log_dir=str(folder))))
        else:
            made.append(integrations.TrackioCallback())
    return made
