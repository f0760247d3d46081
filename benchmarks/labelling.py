"""How fast questions are labelled, beside lm-evaluation-harness scoring the same options in the same run.

Both score the same options after the same prompts with the same weights in memory, in the text style (log-probability
of each option, summed over its tokens), so the predictions must be equal. The harness is given its best batch size out
of those tried. Below stands what share of the machine's matrix-multiply peak, measured in the same run, is reached,
counting the multiplications the model needs for the tokens it reads, padding not counted; and where the rest goes, by
torch's profiler in a run of its own that is not timed.

    python benchmarks/labelling.py [--quick] [--questions N] [--format human|json]

Needs the offline base model's package and `pip install lm_eval`.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from solo_hub.core.console import Console
from solo_hub.core.records import Question
from solo_hub.hub.opening import open_hub
from solo_hub.hub.seeds.world.world import build_world
from solo_hub.models.answering import choose
from solo_hub.models.causal import CausalEngine
from solo_hub.models.prompts import PromptBuilder

BASE = "HuggingFaceTB/SmolLM2-135M-Instruct"
GOAL = 6.0  # times as fast as the harness
PASSAGES = 6


def base_model() -> tuple[Path, str]:
    """The offline base model, from the embedded Hub."""
    client = open_hub("local", needs=[BASE]).client()
    pinned = client.pin(BASE, "model")
    return client.pull(pinned), f"{BASE}@{pinned.commit[:12]}"


def questions_with_passages(count: int) -> tuple[list[Question], list[list[str]]]:
    """Questions of the invented world, each with passages of its own kind: about 90 tokens a prompt."""
    world = build_world(0)
    rows = [world.validation_rows[i % len(world.validation_rows)] for i in range(count)]
    corpus = [row["text"] for row in world.corpus_rows]
    asked = [Question(str(i), row["question"], tuple(row["choices"]["text"])) for i, row in enumerate(rows)]
    given = [
        [row["fact1"], row["fact2"], *corpus[(7 * i) % 200 : (7 * i) % 200 + PASSAGES - 2]]
        for i, row in enumerate(rows)
    ]
    return asked, given


def best_of(work: Any, repeats: int) -> tuple[float, Any]:
    """Shortest time of a few repeats, in seconds, and the last result.

    With one thread it is the processor's time, which other work on the machine does not lengthen; it equals wall time
    where there is none. With several threads only wall time says how long one waits.
    """
    clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
    times, result = [], None
    for _ in range(repeats):
        start = clock()
        result = work()
        times.append(clock() - start)
    return min(times), result


def matmul_peak(dtype: torch.dtype) -> float:
    """Floating-point operations a second of a large square product, the best of several sizes."""
    best = 0.0
    for size in (1024, 2048):
        a, b = torch.randn(size, size).to(dtype), torch.randn(size, size).to(dtype)
        seconds, _ = best_of(lambda a=a, b=b: a @ b, 6)
        best = max(best, 2 * size**3 / seconds)
    return best


KINDS = {
    "matrix products": ("aten::mm", "aten::addmm", "aten::bmm"),
    "attention": ("aten::_scaled_dot_product",),
    "moving and converting": ("aten::copy_", "aten::cat", "aten::index", "aten::clone", "aten::fill_"),
    "log-probabilities": ("aten::_log_softmax", "aten::gather", "aten::logsumexp"),
}
REST = "norms, gates, rotary positions, residuals: element by element"


def shares_of_time(work: Any) -> dict[str, float]:
    """Share of the model's own time in each kind of operation, by torch's profiler; largest first."""
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CPU]) as profiled:
        work()
    spent: dict[str, float] = dict.fromkeys([*KINDS, REST], 0.0)
    for event in profiled.key_averages():
        if event.key.startswith("aten::"):
            kind = next((kind for kind, names in KINDS.items() if event.key.startswith(names)), REST)
            spent[kind] += event.self_cpu_time_total
    total = sum(spent.values())
    return {kind: spent[kind] / total for kind in sorted(spent, key=lambda kind: -spent[kind])}


def measure(count: int, batches: tuple[int, ...], repeats: int) -> dict[str, Any]:
    """Time both, compare predictions, and count the multiplications."""
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM

    path, identity = base_model()
    engine, builder = CausalEngine(path, identity), PromptBuilder()
    questions, passages = questions_with_passages(count)
    prompts = [builder.ask(q, "text", p) for q, p in zip(questions, passages, strict=True)]

    def ours() -> list[int]:
        return [
            answer.option
            for start in range(0, count, 16)
            for answer in choose(engine, builder, questions[start : start + 16], prompts[start : start + 16], "text")
        ]

    ours()  # the first call compiles kernels for the shapes
    seconds, chosen = best_of(ours, repeats)
    rows = [
        {"what": "solo-hub", "batch": 16, "seconds": seconds, "questions_per_second": count / seconds, "equal": count}
    ]

    requests = [
        Instance(request_type="loglikelihood", doc={}, arguments=(prompt.text, answer), idx=k)
        for question, prompt in zip(questions, prompts, strict=True)
        for k, answer in enumerate(builder.continuations(question, "text"))
    ]
    for batch in batches:
        harness = HFLM(pretrained=engine.model, tokenizer=engine.tokenizer, batch_size=batch, device="cpu")
        # as many repeats as ours had: the best of several is shorter than one
        taken, scored = best_of(lambda harness=harness: harness.loglikelihood(requests, disable_tqdm=True), repeats)
        theirs = np.array([score for score, _ in scored]).reshape(count, -1).argmax(axis=1)
        equal = int((theirs == np.array(chosen)).sum())
        rows.append(
            {
                "what": "lm-evaluation-harness",
                "batch": batch,
                "seconds": taken,
                "questions_per_second": count / taken,
                "equal": equal,
            }
        )

    trees = [engine.encode(p, builder.continuations(q, "text")) for q, p in zip(questions, prompts, strict=True)]
    read = sum(len(head) + sum(map(len, branches)) for head, branches in trees)
    scored_tokens = sum(sum(map(len, branches)) for _, branches in trees)
    embedding = engine.model.get_input_embeddings().weight.numel()
    body = sum(p.numel() for p in engine.model.parameters()) - embedding
    needed = 2 * body * read + 2 * embedding * scored_tokens
    peak = matmul_peak(engine.dtype)
    best = max(row["questions_per_second"] for row in rows[1:])
    return {
        "rows": rows,
        "ratio": rows[0]["questions_per_second"] / best,
        "equal": min(row["equal"] for row in rows),
        "tokens_a_question": read / count,
        "reached": needed / seconds,
        "peak": peak,
        "share_of_peak": needed / seconds / peak,
        "shares_of_time": shares_of_time(ours),
        "identity": engine.identity,
    }


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="24 questions, one batch size")
    parser.add_argument("--questions", type=int, default=96)
    parser.add_argument("--format", choices=["human", "json"], default="human")
    options = parser.parse_args()
    count = 24 if options.quick else options.questions
    Console("quiet").quieten_libraries()
    found = measure(count, (8,) if options.quick else (1, 8, 16, 32), 2)
    conditions = {
        "model": found["identity"],
        "questions": count,
        "repeats": "2 each, the shorter counts",
        "options": 8,
        "passages": PASSAGES,
        "tokens a question, prompt and options": round(found["tokens_a_question"], 1),
        "threads": torch.get_num_threads(),
        "seconds": "of the processor" if torch.get_num_threads() == 1 else "by the wall clock",
        "machine": f"{platform.machine()}, {platform.system()}",
        "torch": torch.__version__,
        "equal predictions": f"{found['equal']} of {count}",
        "matrix-multiply peak": f"{found['peak'] / 1e9:.0f} GFLOP/s",
        "reached": f"{found['reached'] / 1e9:.0f} GFLOP/s, {found['share_of_peak']:.0%} of the peak",
        "where the model's time goes": "; ".join(
            f"{kind} {share:.0%}" for kind, share in found["shares_of_time"].items()
        ),
    }
    document = {
        "claim": "labelled questions per second, text style, beside lm-evaluation-harness at its best batch size",
        "value": found["ratio"],
        "unit": "times as fast",
        "goal": GOAL,
        "conditions": conditions,
        "table": found["rows"],
    }
    if options.format == "json":
        sys.stdout.write(json.dumps(document, indent=2) + "\n")
    else:
        print(f"{'':24}{'batch':>6}{'s/question':>12}{'questions/s':>13}{'equal':>7}")
        for row in found["rows"]:
            print(
                f"{row['what']:24}{row['batch']:>6}{row['seconds'] / count:>12.4f}"
                f"{row['questions_per_second']:>13.2f}{row['equal']:>7}"
            )
        print(f"\n{document['claim']}: {found['ratio']:.1f} (goal {GOAL})")
        for name, value in conditions.items():
            print(f"  {name}: {value}")
    return 0 if found["ratio"] >= GOAL and found["equal"] == count else 1


if __name__ == "__main__":
    sys.exit(main())
