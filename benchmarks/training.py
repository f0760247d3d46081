"""How fast a student trains and how much memory that takes, beside TRL's SFTTrainer doing the same.

Same base, adapter, learning rate, data, batch and precision; no packing of several examples into one sample, no
gradient checkpointing on either side. Every row is a process of its own, one thread, run in turn; time is the process's
own processor time after the first steps, so that other work on the machine does not count. Tokens are those of prompt
and answer, without padding; rows that read options too (`kl`, `online`, LLKD's look at the student) are compared by
seconds a step. Memory is the peak of the process during training, the loaded base included.

LLKD appears twice: as it is, and keeping everything it has judged: the difference is what skipped backward work saves.

    python benchmarks/training.py [--quick] [--steps N] [--rows NAME;...] [--format human|json]

Needs the offline base model's package and `pip install trl`.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from telling import options_of, tell

from solo_hub.core.console import Console
from solo_hub.core.records import Example, Passage, PseudoLabel, Question
from solo_hub.core.settings import StudentSettings
from solo_hub.hub.seeds.packaged import MODELS
from solo_hub.hub.seeds.world.world import build_world
from solo_hub.models.prompts import PromptBuilder
from solo_hub.student import memory
from solo_hub.student.objectives.material import TrainingData

BASE = "HuggingFaceTB/SmolLM2-135M-Instruct"
GOAL = 2.0  # times as fast as SFTTrainer, at most its memory
WARM_UP = 2  # steps, in which shapes are compiled and the optimiser makes its state
OURS, TRL = "sft, lora", "TRL SFTTrainer, lora"
LLKD, JUDGED = "sft, lora, LLKD", "sft, lora, LLKD keeping all"
ROWS: dict[str, dict[str, Any]] = {
    OURS: {},
    TRL: {},
    "sft, dora": {"adapter": "dora"},
    LLKD: {},
    JUDGED: {},
    "kl, lora": {"objective": "kl"},
    "online over options, lora": {"objective": "online"},
    "online over tokens, lora": {"objective": "online", "objective_options": {"level": "tokens"}},
    "sft, lora, checkpointing": {"gradient_checkpointing": True},
}


def data(count: int) -> tuple[list[Example], dict[str, tuple[Passage, ...]]]:
    """Questions of the invented world with labels of a made-up teacher, eight options, six passages."""
    world, rng = build_world(0), np.random.default_rng(0)
    corpus = [row["text"] for row in world.corpus_rows]
    examples, passages = [], {}
    for i in range(count):
        row = world.train_rows[i % len(world.train_rows)]
        question = Question(str(i), row["question"], tuple(row["choices"]["text"]))
        probabilities = tuple(float(p) for p in rng.dirichlet(np.full(len(question.options), 0.3)))
        option = int(np.argmax(probabilities))
        label = PseudoLabel(
            question.id, option, probabilities, question.options[option], max(probabilities), (), 0, "text", "k"
        )
        examples.append(Example(question, label))
        passages[question.id] = tuple(Passage(str(k), corpus[(7 * i + k) % len(corpus)], 1.0) for k in range(6))
    return examples, passages


def base_model() -> Path:
    """The offline base model's folder."""
    return MODELS[BASE].prepare()


class Clock:
    """Processor time of this process at the end of each step."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def __call__(self, count: int, *_: str) -> None:
        """A progress callback; the first call tells the steps done before."""
        if count:
            self.times.append(time.process_time())

    def seconds_a_step(self) -> float:
        """Mean over the steps after the first."""
        return (self.times[-1] - self.times[WARM_UP - 1]) / (len(self.times) - WARM_UP)


def settings_of(name: str, batch: int) -> StudentSettings:
    """The settings all rows share, and those of a row."""
    return StudentSettings(rank=16, alpha=32, batch_size=batch, epochs=1, checkpoint_every=10**6, **ROWS[name])


def train_ours(name: str, steps: int, batch: int) -> dict[str, Any]:
    """One row of ours."""
    from solo_hub.models.causal import CausalEngine
    from solo_hub.selection.llkd import Llkd
    from solo_hub.selection.steps import StepBatch, StepDecision
    from solo_hub.student.training import selected_at_steps, train

    class KeepsAll(Llkd):
        """LLKD that looks at everything and drops nothing."""

        def step(self, batch: StepBatch) -> StepDecision:
            made, every = super().step(batch), np.ones(len(batch), dtype=np.bool_)
            log = {**made.log, "kept": len(batch), "kept_share": 1.0}
            return StepDecision(every, every.astype(np.float64), made.reasons, float(len(batch)), log)

    examples, passages = data(steps * batch)
    engine, clock = CausalEngine(base_model(), BASE), Clock()
    selector = {LLKD: Llkd, JUDGED: KeepsAll}.get(name)
    with tempfile.TemporaryDirectory() as folder:
        done = train(
            TrainingData(engine, PromptBuilder(), examples, "text", passages), settings_of(name, batch), seed=0,
            base=BASE, commit=None, work=Path(folder) / "work", out=Path(folder) / "adapter", progress=clock,
            selector=selector({}, 0) if selector else None,
        )  # fmt: skip
    kept = selected_at_steps(done)
    return {
        "seconds_a_step": clock.seconds_a_step(),
        "tokens_a_step": done.tokens / done.steps,
        "peak_memory_bytes": done.peak_memory_bytes,
        "kept_share": kept["kept_share"] if kept else 1.0,
        "trainable_parameters": done.trainable_parameters,
        "dtype": str(engine.dtype).removeprefix("torch."),
    }


def train_trl(steps: int, batch: int) -> dict[str, Any]:
    """The same by TRL: prompt and completion, loss on the completion and its end of turn."""
    import torch
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
    from trl import SFTConfig, SFTTrainer

    from solo_hub.models.loading import find_dtype

    clock, builder, settings = Clock(), PromptBuilder(), settings_of(TRL, batch)
    examples, _ = data(steps * batch)

    class Tick(TrainerCallback):  # type: ignore[misc]
        def on_step_end(self, *_: Any, **__: Any) -> None:
            clock(1)

    tokenizer = AutoTokenizer.from_pretrained(base_model())
    model = AutoModelForCausalLM.from_pretrained(base_model(), dtype=find_dtype("auto", "cpu"))
    rows = [
        {
            "prompt": builder.ask(e.question, "text").text,
            "completion": builder.continuation(e.label.text) + tokenizer.eos_token,
        }
        for e in examples
    ]
    with tempfile.TemporaryDirectory() as folder:
        trainer = SFTTrainer(
            model=model,
            args=SFTConfig(
                output_dir=folder, num_train_epochs=1, per_device_train_batch_size=batch, max_length=None,
                learning_rate=settings.learning_rate, lr_scheduler_type="cosine", weight_decay=0.0,
                completion_only_loss=True, activation_checkpointing=False, bf16=False, use_cpu=True, report_to="none",
                save_strategy="no", logging_steps=1, disable_tqdm=True, dataloader_pin_memory=False,
            ),
            train_dataset=Dataset.from_list(rows),
            processing_class=tokenizer,
            peft_config=LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM"),
            callbacks=[Tick()],
        )  # fmt: skip
        memory.forget_peak("cpu")
        trainer.train()
    lengths = [len(tokenizer(row["prompt"] + row["completion"])["input_ids"]) for row in rows]
    trained = [p for p in trainer.model.parameters() if p.requires_grad]
    return {
        "seconds_a_step": clock.seconds_a_step(),
        "tokens_a_step": sum(lengths) / len(clock.times),
        "peak_memory_bytes": memory.peak("cpu"),
        "kept_share": 1.0,
        "trainable_parameters": sum(p.numel() for p in trained),
        "dtype": str(next(p for p in model.parameters() if p.dtype != torch.float32).dtype).removeprefix("torch."),
    }


def in_a_process(name: str, steps: int, batch: int) -> dict[str, Any]:
    """Run one row by itself, with one thread."""
    command = [sys.executable, "-W", "ignore", __file__, "--one", name, "--steps", str(steps), "--batch", str(batch)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{name} failed:\n{done.stderr[-2000:]}")
    print(f"{name}: done", file=sys.stderr, flush=True)
    return dict(json.loads(done.stdout.strip().splitlines()[-1]))


def measure(names: list[str], steps: int, batch: int, repeats: int) -> list[dict[str, Any]]:
    """Every row in turn; those of the claim several times, one after the other, and the mean of each."""
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
    for number in range(repeats):
        for name in names:
            if number == 0 or name in (OURS, TRL):
                runs[name].append(in_a_process(name, steps, batch))
    mean: Callable[[str, str], float] = lambda name, key: float(np.mean([row[key] for row in runs[name]]))  # noqa: E731
    return [
        {
            **runs[name][0],
            "row": name,
            "runs": len(runs[name]),
            "seconds_a_step": mean(name, "seconds_a_step"),
            "peak_memory_bytes": mean(name, "peak_memory_bytes"),
            "tokens_per_second": mean(name, "tokens_a_step") / mean(name, "seconds_a_step"),
        }
        for name in names
    ]


def document(table: list[dict[str, Any]], steps: int, batch: int) -> dict[str, Any]:
    """The claim, its goal, and the table."""
    rows: Mapping[str, dict[str, Any]] = {row["row"]: row for row in table}
    ratio = memory_ratio = None
    if OURS in rows and TRL in rows:
        ratio = rows[OURS]["tokens_per_second"] / rows[TRL]["tokens_per_second"]
        memory_ratio = rows[OURS]["peak_memory_bytes"] / rows[TRL]["peak_memory_bytes"]
    saved = None
    if LLKD in rows and JUDGED in rows:
        saved = 1 - rows[LLKD]["seconds_a_step"] / rows[JUDGED]["seconds_a_step"]
    return {
        "claim": "tokens per second of training, beside TRL's SFTTrainer",
        "value": ratio,
        "unit": "times as fast",
        "goal": GOAL,
        "conditions": {
            "base": BASE,
            "precision": table[0]["dtype"],
            "peak memory, as a share of SFTTrainer's (goal: at most 1)": memory_ratio,
            "time a step LLKD saves by skipping backward work, as a share": saved,
            "steps": steps,
            "warm-up steps": WARM_UP,
            "batch": batch,
            "adapter": "rank 16, alpha 32, all-linear",
            "threads": 1,
            "time": "processor time of the process",
            "machine": f"{platform.machine()}, {platform.system()}",
        },
        "table": table,
    }


def show(made: Mapping[str, Any]) -> None:
    """Print the table and the conditions."""
    print(f"{'row':32}{'s/step':>8}{'tokens/step':>13}{'tokens/s':>10}{'peak GB':>9}{'kept':>6}{'runs':>6}")
    for row in made["table"]:
        print(
            f"{row['row']:32}{row['seconds_a_step']:>8.2f}{row['tokens_a_step']:>13.0f}{row['tokens_per_second']:>10.0f}"
            f"{row['peak_memory_bytes'] / 1e9:>9.2f}{row['kept_share']:>6.2f}{row['runs']:>6}"
        )
    if made["value"] is not None:
        print(f"\n{made['claim']}: {made['value']:.2f} (goal {GOAL})")
    for name, value in made["conditions"].items():
        print(f"  {name}: {value:.2f}" if isinstance(value, float) else f"  {name}: {value}")


def main() -> int:
    """Read the options, measure, print."""
    parser = options_of(__doc__, "6 steps, one run a row, ours and TRL's and LLKD's alone")
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=2, help="runs of the two rows of the claim")
    parser.add_argument("--rows", help="beginnings of row names, separated by semicolons")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args()
    Console("quiet").quieten_libraries()
    if options.one:
        work = train_trl if options.one == TRL else lambda steps, batch: train_ours(options.one, steps, batch)
        print(json.dumps(work(options.steps, options.batch)))
        return 0
    names = [OURS, TRL, LLKD, JUDGED] if options.quick else list(ROWS)
    if options.rows:
        names = [name for name in ROWS if any(name.startswith(part.strip()) for part in options.rows.split(";"))]
    steps = 6 if options.quick else options.steps
    table = measure(names, steps, options.batch, 1 if options.quick else options.repeats)
    made = document(table, steps, options.batch)
    tell(made, options.format, show)
    return 0 if made["value"] is None or made["value"] >= GOAL else 1


if __name__ == "__main__":
    raise SystemExit(main())
