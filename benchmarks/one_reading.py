"""What does it save to read a prompt once, for the options and for the answer that is written? One process, in turns.

A finished run's held-out questions with the passages the run found for them, in batches of similar length. Processor
seconds of scoring and writing apart, and of both after one reading; whether the choices and texts are the same.

    python benchmarks/one_reading.py --run RUN --model DIR [--questions 64] [--dtype bfloat16]
    python benchmarks/one_reading.py --run RUN --model DIR --quick
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from precision import Setup as Asked
from precision import read
from telling import add_settings, options_of, settings_from, tell

from solo_hub.core.console import Console
from solo_hub.models.answering import by_length
from solo_hub.models.causal import CausalEngine
from solo_hub.models.prompts import PromptBuilder


@dataclass(frozen=True)
class Setup:
    """The conditions.

    Attributes:
        questions: Held-out questions, drawn with a fixed seed.
        batch: Questions at a time.
        tokens: Most tokens written.
        dtype: Precision of the model.
    """

    questions: int = 64
    batch: int = 8
    tokens: int = 16
    dtype: str = "float32"


def measure(run: Path, model: Path, setup: Setup) -> dict[str, Any]:
    """Both ways, batch by batch."""
    Console("quiet").quieten_libraries()
    questions, passages, style = read(run, Asked(setup.questions))
    engine, builder = CausalEngine(model, str(model), dtype=setup.dtype), PromptBuilder()
    prompts = [builder.ask(question, style, passages[question.id]) for question in questions]
    options = [builder.continuations(question, style) for question in questions]
    engine.score_and_generate(prompts[:2], options[:2], 2)  # what is done once is not counted
    seconds = {"scored": 0.0, "written": 0.0, "both": 0.0}
    same, gaps = [], []

    def timed(name: str, work: Any, *arguments: Any) -> Any:
        started = time.process_time()
        made = work(*arguments)
        seconds[name] += time.process_time() - started
        return made

    for batch in by_length(prompts, setup.batch):
        asked, given = [prompts[place] for place in batch], [options[place] for place in batch]
        apart = timed("scored", engine.score, asked, given), timed("written", engine.generate, asked, setup.tokens)
        once = timed("both", engine.score_and_generate, asked, given, setup.tokens)
        for (one, first), (other, second) in zip(zip(*apart, strict=True), zip(*once, strict=True), strict=True):
            gaps.append(float(np.max(np.abs(np.subtract(one, other)))))
            same.append((int(np.argmax(one)) == int(np.argmax(other)), first.text == second.text))
    lengths = engine.count_tokens([prompt.text for prompt in prompts])
    return {
        "claim": "processor time of scoring and writing apart, over that of both after one reading",
        "value": (seconds["scored"] + seconds["written"]) / seconds["both"],
        "unit": "ratio",
        "goal": None,
        "conditions": {
            **asdict(setup),
            "n": len(questions),
            "style": style,
            "tokens_a_prompt": float(np.mean(lengths)),
        },
        "table": [
            {
                **{name: value / len(questions) for name, value in seconds.items()},
                "same_choices": float(np.mean([choice for choice, _ in same])),
                "same_texts": float(np.mean([text for _, text in same])),
                "widest_gap_nats": max(gaps),
            }
        ],
    }


def show(made: dict[str, Any]) -> None:
    """Print the seconds a question and the ratio."""
    for name, value in made["table"][0].items():
        print(f"{name.replace('_', ' '):18}{value:10.4f}")
    print(f"\n{made['claim']}: {made['value']:.2f}\n{made['conditions']}")


def main() -> int:
    """Read the options, measure, print."""
    parser = options_of(__doc__, "4 questions, 4 tokens")
    parser.add_argument("--run", type=Path, required=True, help="finished run folder")
    parser.add_argument("--model", type=Path, required=True, help="folder of the base model")
    add_settings(parser, Setup, "questions batch tokens")
    arguments = parser.parse_args()
    quick = {"questions": 4, "tokens": 4} if arguments.quick else {}
    setup = Setup(**{**quick, **settings_from(Setup, arguments)})
    tell(measure(arguments.run, arguments.model, setup), arguments.format, show)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
