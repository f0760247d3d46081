"""Training: the adapter learns to give the teacher's answer to the bare question.

`transformers.Trainer` runs the loop (optimiser, schedule, checkpoints, exact resume); what is ours is the batch
layout, shared with scoring, and the loss: the mean negative log-probability of the answer's tokens, end of turn
included, prompt excluded.
"""

from __future__ import annotations

import json
import math
import resource
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from solo_hub.config import StudentSettings
from solo_hub.errors import InputError, ModelError
from solo_hub.models.packing import Layout, Tree
from solo_hub.plugins import Progress, StepSelector
from solo_hub.prompts import PromptBuilder
from solo_hub.records import Example
from solo_hub.run import write_text
from solo_hub.student import adapters
from solo_hub.student.judging import Judge

if TYPE_CHECKING:
    from solo_hub.models.causal import CausalEngine

COMPLETE = "complete"
"""Marker in a checkpoint, written last: a checkpoint without it was being written when the process died."""


@dataclass(frozen=True, slots=True)
class Training:
    """What training did; becomes the report's `training`.

    Attributes:
        steps: Optimiser steps.
        tokens: Tokens the model read, prompts included, over all epochs.
        final_loss: Mean loss of the last tenth of the steps, in nats a token.
        seconds: Wall time of this process's share (a resumed run counts from the resume).
        peak_memory_bytes: Peak memory: of the accelerator where there is one, else resident memory of the process.
        trainable_parameters: Parameters of the adapter.
        largest_change: Largest change of an answer's log-probability by the adapter, in nats.
        log: One row a step: step, loss, learning_rate, and what a per-step selector logged.
    """

    steps: int
    tokens: int
    final_loss: float
    seconds: float
    peak_memory_bytes: int
    trainable_parameters: int
    largest_change: float
    log: tuple[dict[str, Any], ...]


def encode(engine: CausalEngine, builder: PromptBuilder, examples: Sequence[Example], style: str) -> list[Tree]:
    """Closed-book prompt and completion of each example, as tokens; the completion ends with the end-of-turn token.

    Raises:
        ModelError: The model's end-of-turn token would not be learnt (it would answer on and on).
    """
    stop = engine.stop_tokens[0]
    trees = []
    for example in examples:
        prompt, (answer,) = engine.encode(
            builder.ask(example.question, style), [builder.continuation(completion(builder, example, style))]
        )
        trees.append(Tree(prompt, ((*answer, stop),)))
    check_end_of_turn(trees, engine.stop_tokens)
    return trees


def completion(builder: PromptBuilder, example: Example, style: str) -> str:
    """What the student is taught to say: the answer, and the teacher's explanation where there is one."""
    label = example.label
    answer = label.text
    if label.option is not None:
        answer = builder.answers(example.question, style)[label.option]
    if label.explanation:
        from re import sub

        # the student has no passages: numbers that point at them would teach it to make some up
        answer += ". " + sub(r"\s*\[\d{1,3}\]", "", label.explanation)
    return answer


def check_end_of_turn(trees: Sequence[Tree], stop_tokens: Sequence[int]) -> None:
    """Refuse to train when an answer would not end, or would end before it is said.

    Raises:
        ModelError: The end-of-turn token is missing from the loss, or stands in the middle of an answer.
    """
    for tree in trees:
        for branch in tree.branches:
            if branch[-1] not in stop_tokens:
                raise ModelError(
                    "The end-of-turn token is outside the loss: the student would never stop.",
                    hint="Check the tokenizer's eos_token and the model's generation_config.",
                )
            if any(token in stop_tokens for token in branch[:-1]):
                raise ModelError(
                    "An answer holds the end-of-turn token in its middle.",
                    hint="Remove the model's special tokens from the options.",
                )


def train(
    engine: CausalEngine,
    builder: PromptBuilder,
    examples: Sequence[Example],
    *,
    style: str,
    settings: StudentSettings,
    seed: int,
    base: str,
    commit: str | None,
    work: Path,
    out: Path,
    selector: StepSelector | None = None,
    batch_of: Callable[..., Any] | None = None,
    progress: Progress | None = None,
) -> Training:
    """Train an adapter and save it, resuming from the last whole checkpoint in `work`.

    Args:
        engine: The base model; afterwards it carries the trained adapter.
        builder: Makes the closed-book prompts.
        examples: The kept labels with their questions.
        style: Scoring style, which decides what the answer looks like.
        settings: Adapter and training settings.
        seed: Seed of the adapter's initial weights, the order of examples and dropout.
        base: Hub id of the base model.
        commit: Its commit.
        work: Folder for checkpoints; removed at the end.
        out: Where the adapter goes, by rename: it is there whole or not at all.
        selector: Decides at every step what of the batch is learnt from; everything where there is none.
        batch_of: Makes what the selector is shown.
        progress: Called with optimiser steps done.

    Raises:
        InputError: There is nothing to learn from.
        ModelError: See `encode` and `adapters.check`.
    """
    if not examples:
        raise InputError(
            "no pseudo-label was kept: there is nothing to learn from.",
            hint="Loosen the selection (selection.options), or label more questions.",
        )
    from transformers import set_seed

    trees = encode(engine, builder, examples, style)
    engine.packs(trees)
    set_seed(seed)
    parameters = adapters.attach(engine, settings)
    started = time.monotonic()
    judge = (
        Judge(engine, builder, examples, style, selector, batch_of)
        if selector is not None and batch_of is not None
        else None
    )
    checkpoint = _last_whole_checkpoint(work)
    if judge and checkpoint:
        judge.load(Path(checkpoint))
    trainer = _trainer(engine, trees, [e.weight for e in examples], settings, seed, work, progress, judge)
    trainer.train(resume_from_checkpoint=checkpoint)
    seconds = time.monotonic() - started
    engine.model.eval()
    steps_log = [row for row in trainer.state.log_history if "loss" in row]
    chosen = judge.log if judge else [{}] * len(steps_log)
    log = tuple(
        {"step": row["step"], "loss": row["loss"], "learning_rate": row["learning_rate"], **decision}
        for row, decision in zip(steps_log, chosen, strict=True)
    )
    steps = int(trainer.state.global_step)

    partial = out.with_name(f".{out.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    adapters.save(engine, partial, base=base, commit=commit)
    sample = examples[:8]
    change = adapters.check(
        engine,
        partial,
        [builder.ask(e.question, style) for e in sample],
        [[builder.continuation(completion(builder, e, style))] for e in sample],
    )
    tail = [row["loss"] for row in log[-max(1, len(log) // 10) :]]
    training = Training(
        steps, _tokens_read(trees, settings, steps), float(np.mean(tail)) if tail else float("nan"), seconds,
        _peak_memory(), parameters, change, log,
    )  # fmt: skip
    write_text(partial / "training.json", json.dumps({**summary(training), "log": list(log)}, indent=1) + "\n")
    shutil.rmtree(out, ignore_errors=True)
    partial.rename(out)
    shutil.rmtree(work, ignore_errors=True)
    return training


def read_training(folder: Path) -> Training:
    """Read back what `train` left beside the adapter.

    Raises:
        ModelError: The file is missing or broken.
    """
    try:
        row = json.loads((folder / "training.json").read_text("utf-8"))
        return Training(**{**row, "log": tuple(row["log"])})
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(
            f"'{folder / 'training.json'}' cannot be read.",
            hint="Delete the adapter folder and run the same command again.",
        ) from error


def summary(training: Training) -> dict[str, Any]:
    """All but the log, as JSON types."""
    return {name: getattr(training, name) for name in training.__dataclass_fields__ if name != "log"}


def selected_at_steps(training: Training) -> dict[str, float] | None:
    """What a per-step selector kept over the whole training; None where there was none."""
    rows = [row for row in training.log if "kept" in row]
    if not rows:
        return None
    seen, kept = sum(row["batch"] for row in rows), sum(row["kept"] for row in rows)
    return {"seen": seen, "kept": kept, "kept_share": kept / seen if seen else 0.0}


def _tokens_read(trees: Sequence[Tree], settings: StudentSettings, steps: int) -> int:
    return round(
        sum(tree.length for tree in trees)
        / len(trees)
        * min(steps * settings.batch_size, round(len(trees) * settings.epochs))
    )


def _peak_memory() -> int:
    import torch

    if torch.cuda.is_available():
        return int(torch.cuda.max_memory_allocated())
    unit = 1 if sys.platform == "darwin" else 1024  # ru_maxrss is in bytes on macOS, in KiB on Linux
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _last_whole_checkpoint(work: Path) -> str | None:
    whole = [path for path in work.glob("checkpoint-*") if (path / COMPLETE).exists()]
    return str(max(whole, key=lambda path: int(path.name.rsplit("-", 1)[1]))) if whole else None


def _trainer(
    engine: CausalEngine,
    trees: Sequence[Tree],
    weights: Sequence[float],
    settings: StudentSettings,
    seed: int,
    work: Path,
    progress: Progress | None,
    judge: Judge | None,
) -> Any:
    """A `transformers.Trainer` whose batches are layouts and whose loss is ours."""
    from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments

    report = progress or (lambda _: None)
    steps = planned_steps(len(trees), settings)

    def collate(indices: list[int]) -> dict[str, Any]:
        return {"indices": indices}

    class StudentTrainer(Trainer):  # type: ignore[misc, unused-ignore]
        def compute_loss(self, model: Any, inputs: dict[str, Any], *_: Any, **__: Any) -> Any:  # noqa: ARG002
            indices, scale = inputs["indices"], 1.0
            w = np.array([weights[i] for i in indices])
            if judge:
                # the backward pass runs on what is kept only; what is dropped has cost a forward pass without gradients
                keep, chosen, scale = judge.decide(indices)
                indices, w = [i for i, kept in zip(indices, keep, strict=True) if kept], (w * chosen)[keep]
            some = [trees[i] for i in indices]
            return scale * weighted_loss(engine, engine.layouts(some), w, packed=engine.packs(some))

        def _prepare_inputs(self, inputs: dict[str, Any]) -> dict[str, Any]:
            return inputs  # row numbers; the engine moves what it makes of them

    class Report(TrainerCallback):  # type: ignore[misc, unused-ignore]
        def on_step_end(self, *_: Any, **__: Any) -> None:
            report(1)

        def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
            report(state.global_step)  # steps of the run that was interrupted

        def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
            folder = work / f"checkpoint-{state.global_step}"
            if judge:
                judge.save(folder)
            (folder / COMPLETE).touch()

    arguments = TrainingArguments(
        output_dir=str(work),
        num_train_epochs=settings.epochs,
        per_device_train_batch_size=settings.batch_size,
        learning_rate=settings.learning_rate,
        lr_scheduler_type="cosine",
        # the first step of a rise has the rate 0: where there is but one step, it must not be that one
        warmup_steps=min(math.ceil(settings.warmup * steps), steps - 1),
        weight_decay=settings.weight_decay,
        max_grad_norm=settings.max_grad_norm,
        seed=seed,
        data_seed=seed,
        use_cpu=engine.device == "cpu",
        save_strategy="steps",
        save_steps=settings.checkpoint_every,
        save_total_limit=2,
        logging_strategy="steps",
        logging_steps=1,
        report_to="none",
        disable_tqdm=True,
        remove_unused_columns=False,
        dataloader_pin_memory=False,
    )
    trainer = StudentTrainer(
        model=engine.model,
        args=arguments,
        train_dataset=_Indices(len(trees)),
        data_collator=collate,
        callbacks=[Report()],
    )
    trainer.remove_callback(PrinterCallback)
    trainer.model_accepts_loss_kwargs = False
    return trainer


class _Indices:
    """A dataset of row numbers; the collator knows the rows."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> int:
        return index


def weighted_loss(engine: CausalEngine, layouts: Sequence[Layout], weights: np.ndarray, *, packed: bool) -> Any:
    """Mean negative log-probability of the batch's answer tokens, each weighted by its example's weight.

    sum_t w(t) * -log p(t) / sum_t w(t); with equal weights the plain token mean.
    """
    import torch

    if not len(weights):  # nothing of this batch is learnt from: a loss that moves nothing
        return sum((p.sum() for p in engine.model.parameters() if p.requires_grad), start=torch.zeros(())) * 0.0
    total: Any = 0.0
    mass = 0.0
    for layout in layouts:
        log_p = engine.token_log_probabilities(layout, packed=packed)
        w = torch.as_tensor(weights[layout.owner], dtype=torch.float32, device=log_p.device)
        total = total - (w * log_p).sum()
        mass += float(w.sum())
    return total / max(mass, 1e-12)


def planned_steps(examples: int, settings: StudentSettings) -> int:
    """Optimiser steps of a whole training, for the progress bar."""
    return max(1, math.ceil(-(-examples // settings.batch_size) * settings.epochs))
