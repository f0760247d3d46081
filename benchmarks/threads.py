"""What waiting costs: a training by threads that spin while they wait and by threads that sleep, idle and beside a job.

Two threads of the same training meet at the end of every matrix product. OpenMP lets the first to arrive spin, which is
the fastest on idle cores; beside other work it spins on the core that the other one needs. `solo_hub.core.system`
chooses by how busy the cores are. Each training is a process of its own (the policy is read once); a loop in Python,
one for each two cores, is the other work. Seconds are of the training alone, loading left out.

    python benchmarks/threads.py --model DIR [--steps 12] [--repeats 3]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from telling import options_of, tell

SPIN, SLEEP = "active", "passive"


def train(model: Path, steps: int) -> float:
    """Seconds of a training on questions of the invented world, 16 a step, in bfloat16."""
    from solo_hub.core.records import Example, PseudoLabel, Question
    from solo_hub.core.settings import StudentSettings
    from solo_hub.hub.seeds.world.world import build_world
    from solo_hub.models.causal import CausalEngine
    from solo_hub.models.prompts import PromptBuilder
    from solo_hub.student import training
    from solo_hub.student.objectives.material import TrainingData

    rows = build_world(0).validation_rows[: 16 * steps]
    examples = []
    for row in rows:
        question = Question(row["id"], row["question"], tuple(row["choices"]["text"]))
        option = row["choices"]["label"].index(row["answerKey"])
        examples.append(
            Example(question, PseudoLabel(question.id, option, None, question.options[option], 1.0, (), 0, "text", ""))
        )
    engine = CausalEngine(model, str(model), dtype="bfloat16")
    with tempfile.TemporaryDirectory() as folder:
        done = training.train(
            TrainingData(engine, PromptBuilder(), examples, "text"), StudentSettings(epochs=1, batch_size=16), seed=0,
            base="base", commit=None, work=Path(folder) / "work", out=Path(folder) / "adapter",
        )  # fmt: skip
    return done.seconds


def seconds_of(model: Path, steps: int, policy: str) -> float:
    """Seconds of a training in a process of its own, whose threads wait in this way."""
    done = subprocess.run(
        [sys.executable, __file__, "--model", str(model), "--steps", str(steps), "--one"],
        env={**os.environ, "OMP_WAIT_POLICY": policy}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return float(json.loads(done.stdout.splitlines()[-1]))


def measure(model: Path, steps: int, repeats: int) -> dict[str, Any]:
    """Every policy, idle and busy, in turn; medians and their ratio."""
    cores, table = os.cpu_count() or 1, []
    for others in (0, max(1, cores // 2)):
        jobs = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(others)]
        try:
            found = [(seconds_of(model, steps, SPIN), seconds_of(model, steps, SLEEP)) for _ in range(repeats)]
        finally:
            for job in jobs:
                job.kill()
        spin, sleep = (statistics.median(seconds) for seconds in zip(*found, strict=True))
        table.append({"busy_jobs": others, SPIN: spin, SLEEP: sleep, "ratio": spin / sleep})
    return {
        "claim": "time of a training whose threads spin while they wait, over that of threads that sleep, beside a job",
        "value": table[-1]["ratio"],
        "unit": "ratio",
        "goal": None,
        "conditions": {"cores": cores, "steps": steps, "repeats": repeats},
        "table": table,
    }


def show(made: dict[str, Any]) -> None:
    """Print a line for each load."""
    for row in made["table"]:
        print(
            f"{made['conditions']['cores']} cores, {row['busy_jobs']} busy jobs: spinning {row[SPIN]:.1f} s, sleeping "
            f"{row[SLEEP]:.1f} s, ratio {row['ratio']:.2f}"
        )


def main() -> None:
    """Measure and print."""
    parser = options_of(__doc__, "two steps, once")
    parser.add_argument("--model", type=Path, required=True, help="folder of the base model")
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(train(arguments.model, arguments.steps)))
        return
    steps, repeats = (2, 1) if arguments.quick else (arguments.steps, arguments.repeats)
    tell(measure(arguments.model, steps, repeats), arguments.format, show)


if __name__ == "__main__":
    main()
