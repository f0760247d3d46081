"""What does a teacher lose in bfloat16 and in 4 bits, and what does that save? The same questions in each precision.

The model scores all options of a finished run's held-out questions with the passages the run found for them, in
float32, bfloat16 and nf4 (bitsandbytes; needs the extra `qlora`); each precision is a process of its own, so that
memory is its own. Known answers are read for counting right ones only.

    python benchmarks/precision.py --run RUN --model DIR [--questions 300]
    python benchmarks/precision.py --run RUN --model DIR --quick
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from telling import alone, options_of, say, settings_from, tell

from solo_hub.core.console import Console
from solo_hub.core.files import read_jsonl
from solo_hub.core.records import Gold, Question, Retrieval
from solo_hub.evaluation.statistics.intervals import wilson
from solo_hub.models.answering import choose
from solo_hub.models.causal import CausalEngine
from solo_hub.models.prompts import PromptBuilder
from solo_hub.student import memory
from solo_hub.tasks import loading

PRECISIONS = ("float32", "bfloat16", "nf4")
BATCH = 16  # questions


@dataclass(frozen=True)
class Setup:
    """How much is asked.

    Attributes:
        questions: Held-out questions, drawn with a fixed seed.
    """

    questions: int = 300


def measure(precision: str, run: Path, model: Path, setup: Setup) -> dict[str, Any]:
    """Answers, processor seconds and memory of one precision."""
    Console("quiet").quieten_libraries()
    questions, passages, style = read(run, setup)
    engine = CausalEngine(model, str(model), dtype=precision)
    builder = PromptBuilder()
    prompts = [builder.ask(question, style, passages[question.id]) for question in questions]
    choose(engine, builder, questions[:2], prompts[:2], style)  # what is done once is not counted
    memory.forget_peak(engine.device)
    started, answers = time.process_time(), []
    for start in range(0, len(questions), BATCH):
        part = slice(start, start + BATCH)
        answers += choose(engine, builder, questions[part], prompts[part], style)
    return {
        "precision": engine.precision,
        "computed_in": str(engine.dtype).removeprefix("torch."),
        "device": engine.device,
        "cpu_seconds": time.process_time() - started,
        "weights_bytes": sum(p.numel() * p.element_size() for p in engine.model.parameters()),
        "chosen": [answer.option for answer in answers],
        "probabilities": [list(answer.probabilities or ()) for answer in answers],
    }


def read(run: Path, setup: Setup) -> tuple[list[Question], dict[str, list[str]], str]:
    """Held-out questions of a finished run, the passages they are asked with, and the style they are asked in."""
    config = yaml.safe_load((run / "config.yaml").read_text("utf-8"))
    count = config["settings"]["knowledge"]["passages"]
    found = [Retrieval.from_row(row) for _, row in read_jsonl(run / "6-passages.jsonl")]
    # the best stands last in the prompt
    passages = {row.question_id: [p.text for p in row.passages[:count]][::-1] for row in found}
    questions = [Question.from_row(row) for _, row in read_jsonl(run / "6-questions.jsonl")]
    return loading.sample(questions, setup.questions, 0), passages, config["resolved"]["teacher"]["style"]


def outcome(run: Path, measured: list[dict[str, Any]], setup: Setup) -> dict[str, Any]:
    """The document of this benchmark."""
    questions, _, style = read(run, setup)
    golds = [Gold.from_row(row) for _, row in read_jsonl(run / "6-golds.jsonl")]
    right = {gold.question_id: gold.option for gold in golds}
    reference = measured[0]
    table = []
    for row in measured:
        hits = int(sum(right[q.id] == chosen for q, chosen in zip(questions, row["chosen"], strict=True)))
        share = wilson(hits, len(questions))
        gaps = [
            float(np.max(np.abs(np.subtract(a, b))))
            for a, b in zip(row["probabilities"], reference["probabilities"], strict=True)
        ]
        table.append(
            {
                "precision": row["precision"],
                "computed_in": row["computed_in"],
                "right": [share.value, share.low, share.high],
                "same_choice": float(np.mean(np.equal(row["chosen"], reference["chosen"]))),
                "median_gap": float(np.median(gaps)),
                "cpu_seconds_per_question": row["cpu_seconds"] / len(questions),
                "weights_mb": row["weights_bytes"] / 1e6,
            }
        )
    return {
        "claim": "share of questions a teacher in 4 bits answers as in float32",
        "value": table[-1]["same_choice"],
        "unit": "share",
        "goal": None,
        "conditions": {**asdict(setup), "n": len(questions), "style": style, "device": reference["device"]},
        "table": table,
    }


def show(made: dict[str, Any]) -> None:
    """Print the table."""
    print(f"{'precision':12}{'computed in':>13}{'right':>22}{'as float32':>12}{'gap':>8}{'CPU s':>9}{'weights MB':>12}")
    for row in made["table"]:
        value, low, high = row["right"]
        print(
            f"{row['precision']:12}{row['computed_in']:>13}{f'{value:.3f} ({low:.3f}-{high:.3f})':>22}"
            f"{row['same_choice']:>12.3f}{row['median_gap']:>8.3f}{row['cpu_seconds_per_question']:>9.3f}"
            f"{row['weights_mb']:>12.0f}"
        )
    print(f"\ngap: median over questions of the largest difference of an option's probability\n{made['conditions']}")


def main() -> None:
    """Measure and print."""
    parser = options_of(__doc__, "24 questions")
    parser.add_argument("--run", type=Path, required=True, help="folder of a finished run")
    parser.add_argument("--model", type=Path, required=True, help="folder of its base model")
    parser.add_argument("--questions", type=int)
    arguments = parser.parse_args()
    setup = Setup(**{**({"questions": 24} if arguments.quick else {}), **settings_from(Setup, arguments)})
    measured = []
    for precision in PRECISIONS:
        measured.append(alone(measure, precision, arguments.run, arguments.model, setup))
        say(f"{precision}: {measured[-1]['cpu_seconds']:.1f} CPU seconds")
    tell(outcome(arguments.run, measured, setup), arguments.format, show)


if __name__ == "__main__":
    main()
