"""What solo-hub makes of a GPU: one script of at most 8 minutes that needs the environment and the packaged base alone.

First the preset `demo` on the device, and how often it chooses as a CPU in single precision does (the packaged base).
Then a model in the shape of Qwen2.5-1.5B with random weights: labelling, beside vLLM's offline engine; training with
LoRA, in 4 bits, and beside TRL's SFTTrainer with the same data, adapter and batch; writing answers. Rows whose package
is not installed say so.

Every row is a process of its own, so that its peak memory is its own. Tokens are those that are read or written, each
once, without padding. The share of the peak counts the multiplications with the layers' matrices (2 per weight and
token, and as many again for the gradients that pass frozen weights in training) against a large product measured in
the same process.

    python benchmarks/gpu.py [--quick] [--device auto|cpu|cuda] [--rows NAME;...] [--format human|json]

`--quick` is a tenth of the size, for a CPU.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from labelling import questions_with_passages
from telling import options_of, tell
from training import data

from solo_hub.core.console import Console
from solo_hub.core.plugins import find
from solo_hub.core.settings import EngineSettings, StudentSettings
from solo_hub.hub.seeds.packaged import MODELS
from solo_hub.models.answering import choose
from solo_hub.models.causal import CausalEngine
from solo_hub.models.loading import find_device
from solo_hub.models.packing import Tree
from solo_hub.models.prompts import PromptBuilder
from solo_hub.student import memory

BASE = "HuggingFaceTB/SmolLM2-135M-Instruct"
WARM_UP = 2  # steps, in which kernels are chosen and the optimiser makes its state
BUILDER = PromptBuilder()


@dataclass(frozen=True)
class Setup:
    """How large everything is; by default Qwen2.5-1.5B."""

    device: str = "cpu"
    layers: int = 28
    width: int = 1536
    inner: int = 8960
    heads: int = 12
    key_heads: int = 2
    words: int = 151_936
    questions: int = 512
    compared: int = 64
    steps: int = 12
    batch: int = 16
    seconds: int = 480  # for everything; rows that find none left say so
    demo: tuple[str, ...] = ()


TENTH = {
    "layers": 3, "width": 192, "inner": 896, "heads": 3, "key_heads": 1, "words": 49_152, "questions": 32,
    "compared": 8, "steps": 4, "batch": 4, "seconds": 1800,
    "demo": ("task.train_limit=40", "task.evaluation_limit=16", "teacher.calibration_sample=16", "student.epochs=1"),
}  # fmt: skip


def save_shape(folder: Path, setup: Setup) -> None:
    """Random weights in bfloat16, with the packaged base's tokenizer."""
    from transformers import AutoTokenizer, Qwen2Config, Qwen2ForCausalLM

    tokenizer = AutoTokenizer.from_pretrained(MODELS[BASE].prepare())
    config = Qwen2Config(
        vocab_size=setup.words, hidden_size=setup.width, intermediate_size=setup.inner, initializer_range=0.05,
        num_hidden_layers=setup.layers, num_attention_heads=setup.heads, num_key_value_heads=setup.key_heads,
        tie_word_embeddings=True, max_position_embeddings=4096, bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id, dtype=torch.bfloat16,
    )  # fmt: skip
    torch.manual_seed(0)
    with torch.device(setup.device):
        model = Qwen2ForCausalLM(config).to(torch.bfloat16)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def synchronize(device: str) -> None:
    """Wait until the device has done what it was given."""
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)


def timed(device: str, work: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds of wall time, and the result."""
    synchronize(device)
    start = time.perf_counter()
    result = work()
    synchronize(device)
    return time.perf_counter() - start, result


def matmul_peak(device: str, dtype: torch.dtype) -> float:
    """Floating-point operations a second of a large square product, the best of a few."""
    size = 8192 if device.startswith("cuda") else 1024
    a, b = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    return max(2 * size**3 / timed(device, lambda: a @ b)[0] for _ in range(8))


def layer_weights(setup: Setup) -> int:
    """Weights of the layers' matrices; embeddings are looked up, and the head sees few tokens."""
    keys = setup.width // setup.heads * setup.key_heads
    return setup.layers * (2 * setup.width**2 + 2 * setup.width * keys + 3 * setup.width * setup.inner)


def asked(count: int) -> tuple[list[Any], list[Any]]:
    """Questions with eight options, and their prompts with six passages."""
    questions, passages = questions_with_passages(count)
    return questions, [BUILDER.ask(q, "text", p) for q, p in zip(questions, passages, strict=True)]


def choices(engine: Any, questions: list[Any], prompts: list[Any], batch: int = 64) -> list[int]:
    """What an engine chooses."""
    return [
        answer.option
        for at in range(0, len(questions), batch)
        for answer in choose(engine, BUILDER, questions[at : at + batch], prompts[at : at + batch], "text")
    ]


def demo(setup: Setup, folder: Path) -> dict[str, Any]:
    """The preset `demo`, without publishing."""
    changes = [part for change in (f"engine.device={setup.device}", *setup.demo) for part in ("--set", change)]
    command = [sys.executable, "-m", "solo_hub.cli.main", "distill", "demo", "--run", str(folder / "demo")]
    start = time.perf_counter()
    done = subprocess.run([*command, *changes, "--format", "json"], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr[-500:])
    arms = json.loads(done.stdout)["arms"]
    note = ", ".join(f"{name} {arm['accuracy']['value']:.2f}" for name, arm in arms.items())
    return {"seconds": time.perf_counter() - start, "note": note}


def agreement(setup: Setup, _: Path) -> dict[str, Any]:
    """The packaged base's choices on the device, beside a CPU's in single precision."""
    questions, prompts = asked(setup.compared)
    path, start = MODELS[BASE].prepare(), time.perf_counter()
    by_cpu = choices(CausalEngine(path, BASE, device="cpu", dtype="float32"), questions, prompts)
    shares = {}
    for dtype in ("float32", "bfloat16"):
        found = choices(CausalEngine(path, BASE, device=setup.device, dtype=dtype), questions, prompts)
        shares[dtype] = sum(a == b for a, b in zip(by_cpu, found, strict=True)) / len(found)
    note = ", ".join(f"{dtype}: {share:.3f} as the CPU" for dtype, share in shares.items())
    return {"seconds": time.perf_counter() - start, "shares": shares, "note": note}


def label(setup: Setup, folder: Path) -> dict[str, Any]:
    """Options of every question scored in process."""
    engine = CausalEngine(folder, "shape", device=setup.device, dtype="bfloat16")
    questions, prompts = asked(setup.questions)
    choices(engine, questions[:8], prompts[:8])
    memory.forget_peak(setup.device)
    seconds, chosen = timed(setup.device, lambda: choices(engine, questions, prompts))
    tokens = sum(
        Tree(*map(tuple, engine.encode(prompt, BUILDER.continuations(question, "text")))).length
        for question, prompt in zip(questions, prompts, strict=True)
    )
    return {**speed(setup, tokens, seconds, 2), "chosen": chosen}


def label_vllm(setup: Setup, folder: Path) -> dict[str, Any]:
    """The same by vLLM, which reads the prompt once for each option."""
    require("vllm")
    engine = find("engines", "vllm")(folder, "shape", settings=EngineSettings(name="vllm", dtype="bfloat16"))
    questions, prompts = asked(setup.questions)
    choices(engine, questions[:8], prompts[:8])
    seconds, chosen = timed(setup.device, lambda: choices(engine, questions, prompts, len(questions)))
    return {"seconds": seconds, "chosen": chosen, "note": f"{len(chosen) / seconds:.1f} questions/s"}


def write(setup: Setup, folder: Path) -> dict[str, Any]:
    """Answers of 24 tokens, 64 at a time."""
    engine = CausalEngine(folder, "shape", device=setup.device, dtype="bfloat16")
    _, prompts = asked(setup.compared)
    engine.generate(prompts[:2], 4)
    memory.forget_peak(setup.device)
    seconds, written = timed(setup.device, lambda: engine.generate(prompts, 24))
    made = sum(answer.tokens for answer in written)
    return {"seconds": seconds, "tokens_per_second": made / seconds, "peak_bytes": memory.peak(setup.device)}


def train(setup: Setup, folder: Path, adapter: str = "lora") -> dict[str, Any]:
    """A few steps of the student's training."""
    from solo_hub.student import training
    from solo_hub.student.objectives.material import TrainingData

    if adapter == "qlora":
        require("bitsandbytes")
    examples, passages = data(setup.steps * setup.batch)
    settings = StudentSettings(adapter=adapter, rank=16, alpha=32, batch_size=setup.batch, epochs=1)
    engine = CausalEngine(folder, "shape", device=setup.device, dtype="bfloat16")
    done = training.train(
        TrainingData(engine, BUILDER, examples, "text", passages), settings, seed=0, base=BASE, commit=None,
        work=folder / f"work-{adapter}", out=folder / f"adapter-{adapter}",
    )  # fmt: skip
    seconds = done.seconds_per_step * done.steps
    return {**speed(setup, done.tokens, seconds, 4), "peak_bytes": done.peak_memory_bytes}


def train_trl(setup: Setup, folder: Path) -> dict[str, Any]:
    """The same data, adapter and batch by TRL's SFTTrainer."""
    require("trl")
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
    from trl import SFTConfig, SFTTrainer

    times: list[float] = []

    class Tick(TrainerCallback):  # type: ignore[misc]
        def on_step_end(self, *_: Any, **__: Any) -> None:
            synchronize(setup.device)
            times.append(time.perf_counter())

    tokenizer = AutoTokenizer.from_pretrained(folder)
    rows = [
        {
            "prompt": BUILDER.ask(example.question, "text").text,
            "completion": BUILDER.continuation(example.label.text) + tokenizer.eos_token,
        }
        for example in data(setup.steps * setup.batch)[0]
    ]
    trainer = SFTTrainer(
        model=AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16).to(setup.device),
        args=SFTConfig(
            output_dir=str(folder / "trl"), num_train_epochs=1, per_device_train_batch_size=setup.batch, bf16=False,
            max_length=None, completion_only_loss=True, activation_checkpointing=False, report_to="none",
            save_strategy="no", disable_tqdm=True, use_cpu=setup.device == "cpu", dataloader_pin_memory=False,
        ),
        train_dataset=Dataset.from_list(rows),
        processing_class=tokenizer,
        peft_config=LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM"),
        callbacks=[Tick()],
    )  # fmt: skip
    memory.forget_peak(setup.device)
    trainer.train()
    tokens = sum(len(tokenizer(row["prompt"] + row["completion"])["input_ids"]) for row in rows)
    seconds = float(np.median(np.diff(times)[WARM_UP - 1 :])) * len(times)
    return speed(setup, tokens, seconds, 4)


def speed(setup: Setup, tokens: int, seconds: float, products: int) -> dict[str, Any]:
    """Tokens a second, the share of the device's peak, and the peak of memory."""
    peak_bytes = memory.peak(setup.device)
    share = products * layer_weights(setup) * tokens / seconds / matmul_peak(setup.device, torch.bfloat16)
    return {"seconds": seconds, "tokens_per_second": tokens / seconds, "share": share, "peak_bytes": peak_bytes}


def require(package: str) -> None:
    """End this row where a package is missing."""
    if importlib.util.find_spec(package) is None:
        raise SystemExit(f"{package} is not installed")


ROWS: dict[str, Callable[[Setup, Path], dict[str, Any]]] = {
    "label": label,
    "label, vLLM": label_vllm,
    "train, lora": train,
    "train, qlora": lambda setup, folder: train(setup, folder, "qlora"),
    "train, TRL SFTTrainer": train_trl,
    "write": write,
    "agreement": agreement,
    "demo": demo,
}
"""Those of the shape first: the demo takes what is left of the time."""


def in_a_process(name: str, setup: Setup, folder: Path, seconds: float) -> dict[str, Any]:
    """One row by itself; a row that fails or takes too long must not cost the others."""
    order = json.dumps({"row": name, "folder": str(folder), "setup": asdict(setup)})
    command = [sys.executable, "-W", "ignore", __file__, "--one", order]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, start_new_session=True) as process:
        try:
            out, error = process.communicate(timeout=max(seconds, 1))
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)  # the demo is a process of its own below it
            return {"row": name, "note": "no time was left"}
    print(f"{name}: done", file=sys.stderr, flush=True)
    if process.returncode:
        return {"row": name, "note": (error.strip().splitlines() or ["it ended"])[-1][:200]}
    return {"row": name, **json.loads(out.strip().splitlines()[-1])}


def measure(names: list[str], setup: Setup) -> list[dict[str, Any]]:
    """Every row in turn."""
    end = time.monotonic() + setup.seconds
    with tempfile.TemporaryDirectory() as temporary:
        save_shape(Path(temporary), setup)
        table = [in_a_process(name, setup, Path(temporary), end - time.monotonic()) for name in names]
    chosen = {row["row"]: row.pop("chosen", None) for row in table}
    ours, theirs = chosen.get("label"), chosen.get("label, vLLM")
    if ours and theirs:
        row = next(row for row in table if row["row"] == "label, vLLM")
        row["note"] += f", {sum(a == b for a, b in zip(ours, theirs, strict=True))} of {len(ours)} choices as ours"
    return table


def show(made: dict[str, Any]) -> None:
    """Print the table."""
    print(f"{'row':24}{'seconds':>9}{'tokens/s':>11}{'of peak':>9}{'GB':>7}  note")
    for row in made["table"]:
        cells = [
            f"{row[name]:{form}}" if name in row else "-"
            for name, form in (("seconds", ".1f"), ("tokens_per_second", ",.0f"), ("share", ".1%"))
        ]
        gigabytes = f"{row['peak_bytes'] / 1e9:.2f}" if "peak_bytes" in row else "-"
        print(f"{row['row']:24}{cells[0]:>9}{cells[1]:>11}{cells[2]:>9}{gigabytes:>7}  {row.get('note', '')}")
    if made["value"] is not None:
        print(f"\n{made['claim']}: {made['value']:.2f} {made['unit']}")
    print("  " + ", ".join(f"{name} {value}" for name, value in made["conditions"].items()))


def main() -> int:
    """Read the options, measure, print."""
    parser = options_of(__doc__, "a tenth of the size, for a CPU")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--rows", help="beginnings of row names, separated by semicolons")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args()
    Console("quiet").quieten_libraries()
    if options.one:
        order = json.loads(options.one)
        setup = Setup(**{**order["setup"], "demo": tuple(order["setup"]["demo"])})
        print(json.dumps(ROWS[order["row"]](setup, Path(order["folder"]))))
        return 0
    setup = Setup(**{"device": find_device(options.device), **(TENTH if options.quick else {})})
    names = [n for n in ROWS if not options.rows or any(n.startswith(p.strip()) for p in options.rows.split(";"))]
    table = measure(names, setup)
    gpu = torch.cuda.get_device_name() if setup.device.startswith("cuda") else None
    speeds = {row["row"]: row.get("tokens_per_second") for row in table}
    ours, theirs = speeds.get("train, lora"), speeds.get("train, TRL SFTTrainer")
    made = {
        "claim": "tokens per second of training, beside TRL's SFTTrainer",
        "value": ours / theirs if ours and theirs else None,
        "unit": "times as fast",
        "goal": 1.0,
        "conditions": {**asdict(setup), "gpu": gpu},
        "table": table,
    }
    tell(made, options.format, show)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
