"""What does a student know of documents it only read questions about? Curated questions of QASC's corpus, closed book.

Every arm trains an adapter of the same kind for the same number of steps on questions that rules wrote from the corpus;
nobody labelled them, and no question of QASC is among them. A gain counts over the *control*, questions written by the
same rules from sentences that share no rare word with any held-out question: what is left is not practice. All arms
then answer the held-out questions without passages, by likelihood minus prior. Gold answers are read for counting only.
With a labelled run (--run), two more arms: its pseudo-labels alone, and mixed with curated questions at equal steps.

Every arm is a process of its own; each outcome is logged as it comes, and what is logged is not done again.

    python benchmarks/study.py --model DIR --log study.jsonl               # 140 steps an arm: 20 minutes on one core
    python benchmarks/study.py --model DIR --quick
    python benchmarks/study.py --model DIR --arms "cloze;cloze and chains" --steps 1000 --without-retrieved
    python benchmarks/study.py --model DIR --run RUN --arms "labels;labels and cloze" --steps 375
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from qasc_selection import DATA, Log, answer, difference
from telling import add_settings, alone, options_of, say, settings_from, tell

from solo_hub.core.console import Console
from solo_hub.core.files import read_jsonl
from solo_hub.core.plugins import find
from solo_hub.core.records import CuratedQuestion, Document, Example, PseudoLabel, Question
from solo_hub.core.settings import StudentSettings
from solo_hub.curation.curating import curate
from solo_hub.curation.frequencies import Frequencies, words
from solo_hub.evaluation.statistics.intervals import wilson
from solo_hub.models.causal import CausalEngine
from solo_hub.models.prompts import PromptBuilder
from solo_hub.student import training
from solo_hub.student.objectives.material import TrainingData
from solo_hub.tasks import loading
from solo_hub.tasks.qasc import Qasc

CORPUS = Path(__file__).parents[2] / "shared" / "hub" / "datasets" / "solo-hub" / "qasc-corpus-62k"
BASE, CONTROL, RAW = "base, not trained", "control: unrelated sentences", "the sentences themselves"
LABELS, BOTH = "labels", "labels and cloze"
ARMS: dict[str, dict[str, float]] = {
    BASE: {},
    "cloze": {"cloze": 1.0},
    "cloze and chains": {"cloze": 0.5, "chains": 0.5},
    "chains": {"chains": 1.0},
    RAW: {},
    CONTROL: {"cloze": 1.0},
    LABELS: {},
    BOTH: {"cloze": 1.0},
}
"""Which writers an arm's questions are from, and their shares of what is left to learn beside the labels."""
OTHERS = (BASE, "cloze", CONTROL, LABELS)
STYLE = "text_minus_prior"
RARE = 4.0  # idf from which a word in common makes a sentence related: one document in fifty or fewer


@dataclass(frozen=True)
class Setup:
    """The conditions, as they are printed."""

    steps: int = 140
    limit: int | None = None
    batch_size: int = 16
    learning_rate: float = 3e-4
    rank: int = 16
    alpha: int = 32
    passes: int = 1
    seeds: int = 1
    retrieved: bool = True
    dtype: str = "bfloat16"


def read_table(folder: Path, split: str) -> list[dict[str, Any]]:
    """Rows of a dataset's split."""
    import pyarrow.parquet as pq

    rows: list[dict[str, Any]] = pq.read_table(folder / "data" / f"{split}-00000-of-00001.parquet").to_pylist()
    return rows


def read_documents(folder: Path, *, retrieved: bool) -> list[Document]:
    """The corpus; without those sentences that were retrieved with QASC's questions in hand, where that is asked."""
    rows = read_table(folder, "train")
    return [
        Document(str(row["id"]), row["text"], row["source"])
        for row in rows
        if retrieved or not row["source"].startswith("qasc_ir_")
    ]


def unrelated(documents: Sequence[Document], held_out: Sequence[Question]) -> list[Document]:
    """Documents that share no rare word with a held-out question or one of its options."""
    corpus = Frequencies.count(documents)
    asked = {word for question in held_out for word in words(" ".join((question.text, *question.options)))}
    rare = {word for word in asked if corpus.idf(word) >= RARE}
    return [document for document in documents if rare.isdisjoint(words(document.text))]


def examples_of(questions: Sequence[CuratedQuestion]) -> list[Example]:
    """Curated questions as what a student learns, free text: the answer in the document's words."""
    return [
        Example(
            Question(question.id, question.text),
            PseudoLabel(question.id, None, None, question.answer, None, question.documents, 0, STYLE, question.id),
        )
        for question in questions
    ]


def sentences_of(documents: Sequence[Document], count: int, seed: int) -> list[Example]:
    """Random documents as answers of one and the same question."""
    label = lambda d: PseudoLabel(d.id, None, None, d.text, None, (d.id,), 0, STYLE, d.id)  # noqa: E731
    return [Example(Question(d.id, "Tell me a fact."), label(d)) for d in random.Random(seed).sample(documents, count)]


def questions_of(
    shares: dict[str, float], documents: Sequence[Document], held_out: Sequence[Question], count: int, seed: int
) -> list[CuratedQuestion]:
    """A random part of what each writer's questions were kept of, in the arm's shares, mixed."""
    chosen = []
    for name, share in shares.items():
        writer = find("question_writers", name)({}, seed)
        kept = [q for q in curate(documents, [writer], held_out=held_out, options=0, seed=seed) if q.kept]
        wanted = round(count * share)
        if len(kept) < wanted:
            raise SystemExit(f"{name} wrote {len(kept)} questions, {wanted} are needed; use fewer --steps.")
        chosen += random.Random(seed).sample(kept, wanted)
    random.Random(seed).shuffle(chosen)
    return chosen


def labelled(run: Path) -> list[Example]:
    """A run's pseudo-labels with their questions."""
    questions = {row["id"]: Question.from_row(row) for _, row in read_jsonl(run / "1-questions.jsonl")}
    labels = [PseudoLabel.from_row(row) for _, row in read_jsonl(run / "3-labels.jsonl")]
    return [Example(questions[label.question_id], label) for label in labels if label.question_id in questions]


def repeated(examples: Sequence[Example], count: int, seed: int) -> list[Example]:
    """`count` of the examples, in as many passes as that takes, each in an order of its own."""
    draw = random.Random(seed)
    passes = [draw.sample(examples, len(examples)) for _ in range(-(-count // len(examples)))]
    return [example for one in passes for example in one][:count]


def measure(
    arm: str,
    corpus: Path,
    held_out: list[Question],
    model: Path,
    work: Path,
    setup: Setup,
    seed: int,
    run: Path | None = None,
) -> dict[str, Any]:
    """Train one arm and let it answer; returns its outcome."""
    import torch

    torch.set_num_threads(1)
    Console("quiet").quieten_libraries()
    engine = CausalEngine(model, str(model), dtype=setup.dtype)
    outcome: dict[str, Any] = {"arm": arm, "seed": seed, "setup": asdict(replace(setup, seeds=0))}
    if arm != BASE:
        documents = read_documents(corpus, retrieved=setup.retrieved)
        if arm == CONTROL:
            documents = unrelated(documents, held_out)
        wanted = setup.steps * setup.batch_size // setup.passes
        examples: list[Example] = sentences_of(documents, wanted, seed) if arm == RAW else []
        if run and arm in (LABELS, BOTH):
            known = labelled(run)
            examples = repeated(known, wanted if arm == LABELS else min(len(known), wanted // 2), seed)
        questions = questions_of(ARMS[arm], documents, held_out, wanted - len(examples), seed)
        examples += examples_of(questions)
        random.Random(seed).shuffle(examples)
        settings = StudentSettings(
            rank=setup.rank, alpha=setup.alpha, epochs=setup.passes, batch_size=setup.batch_size,
            learning_rate=setup.learning_rate,
        )  # fmt: skip
        done = training.train(
            TrainingData(engine, PromptBuilder(), examples, STYLE), settings, seed=seed, base="base", commit=None,
            work=work / "work", out=work / "adapter",
        )  # fmt: skip
        outcome |= {
            "steps": done.steps, "tokens": done.tokens, "loss": done.final_loss, "seconds": done.seconds,
            "documents": len(documents), "questions": len(questions), "labels": len(examples) - len(questions),
            "asked_documents": len({name for question in questions for name in question.documents}),
        }  # fmt: skip
    outcome["held_out"] = answer(engine, held_out, STYLE)
    return outcome


def run_all(
    log: Log,
    corpus: Path,
    held_out: list[Question],
    model: Path,
    work: Path,
    setup: Setup,
    arms: Sequence[str],
    run: Path | None = None,
) -> None:
    """Run what is not logged yet."""
    for seed in range(setup.seeds):
        for arm in arms:
            place = (0 if arm == BASE else seed, arm)
            if place in log.known:
                continue
            folder = work / f"seed-{seed}-{''.join(c for c in arm if c.isalnum())}"
            log.add(alone(measure, arm, corpus, held_out, model, folder, setup, seed, run))
            say(f"seed {seed}: {arm} done")


def document(
    log: Log, held_out: list[Question], right: dict[str, int], setup: Setup, arms: Sequence[str]
) -> dict[str, Any]:
    """The table and the claim."""
    found: dict[str, list[np.ndarray]] = {}
    table = []
    for arm in arms:
        outcomes = log.of(arm, setup.seeds)
        if not outcomes:
            continue
        found[arm] = [
            np.array([right[q.id] == option for q, option in zip(held_out, outcome["held_out"], strict=True)])
            for outcome in outcomes
        ]
        mean, n = float(np.mean(found[arm])), len(held_out)
        row: dict[str, Any] = {"arm": arm, "seeds": len(outcomes)}
        row["held_out"] = wilson(round(mean * n), n).to_row() | {"value": mean}
        for name in ("steps", "tokens", "loss", "seconds", "questions", "labels", "asked_documents"):
            row[name] = float(np.mean([outcome[name] for outcome in outcomes])) if name in outcomes[0] else None
        table.append(row)
    for row in table:
        for other in OTHERS:
            if other in found and other != row["arm"]:
                row[f"against {other}"] = difference(found[row["arm"]], found[other])
    best = max((row for row in table if row["arm"] not in (BASE, CONTROL)), key=_value, default=None)
    return {
        "claim": "closed-book accuracy on held-out questions of a student that learnt curated questions, over a "
        "control that learnt as many from unrelated sentences",
        "value": (best.get(f"against {CONTROL}") or best.get(f"against {BASE}")) if best else None,
        "unit": "difference of accuracies, 0..1",
        "goal": 0.12,
        "conditions": {**asdict(setup), "held_out": len(held_out), "style": STYLE},
        "table": table,
    }


def _value(row: dict[str, Any]) -> float:
    return float(row["held_out"]["value"])


def show(made: dict[str, Any]) -> None:
    """Print the table and the conditions."""
    gain = lambda x: f"{x['value']:+.3f} ({x['low']:+.3f} {x['high']:+.3f})" if x else "-"  # noqa: E731
    print(
        f"{'arm':30}{'seeds':>6}{'held out':>22}{'- base':>26}{'- cloze':>26}{'- control':>26}"
        f"{'- labels':>26}{'tokens':>10}{'loss':>7}"
    )
    for row in made["table"]:
        cell = row["held_out"]
        print(
            f"{row['arm']:30}{row['seeds']:>6}"
            f"{cell['value']:>8.3f} ({cell['low']:.3f}-{cell['high']:.3f})"
            + "".join(f"{gain(row.get(f'against {other}')):>26}" for other in OTHERS)
            + (f"{row['tokens']:>10,.0f}{row['loss']:>7.2f}" if row["tokens"] else "")
        )
    print(f"\nClaim: {made['claim']}\nMeasured: {gain(made['value'])}; goal: {made['goal']}")
    print("Conditions: " + json.dumps(made["conditions"]))


def main() -> int:
    """Read the options, run, print."""
    parser = options_of(__doc__, "4 steps, 32 held-out questions")
    parser.add_argument("--model", type=Path, required=True, help="folder of the base model")
    parser.add_argument("--corpus", type=Path, default=CORPUS, help="folder of the corpus's dataset repo")
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the dataset repo allenai/qasc")
    parser.add_argument("--run", type=Path, help="run folder whose pseudo-labels are learnt too")
    parser.add_argument("--log", type=Path, default=Path("study.jsonl"), help="outcomes; done is not redone")
    parser.add_argument("--work", type=Path, default=Path("study"), help="folder for adapters")
    parser.add_argument("--arms", help="only these, apart by ';'")
    parser.add_argument("--without-retrieved", action="store_true", help="leave the qasc_ir_* sentences out")
    add_settings(parser, Setup, "steps limit batch_size rank alpha passes seeds learning_rate")
    arguments = parser.parse_args()
    for folder in (arguments.data, arguments.corpus):
        if not folder.is_dir():
            say(f"Skipped: there is no dataset at '{folder}'. Name its folder with --data DIR or --corpus DIR.")
            return 0
    arms = [arm for arm in ARMS if arguments.run or arm not in (LABELS, BOTH)]
    if arguments.arms:
        arms = [arm.strip() for arm in arguments.arms.split(";")]
    if unknown := [arm for arm in arms if arm not in ARMS]:
        parser.error(f"no arm '{unknown[0]}'; there are: {'; '.join(ARMS)}")
    if not arguments.run and {LABELS, BOTH}.intersection(arms):
        parser.error("the labels are those of a run: --run RUN")
    quick = {"steps": 4, "limit": 32} if arguments.quick else {}
    setup = Setup(**{**quick, **settings_from(Setup, arguments)}, retrieved=not arguments.without_retrieved)
    rows = read_table(arguments.data, "validation")
    questions = loading.load_questions(Qasc({}), enumerate(rows, 1), str(arguments.data))
    held_out = loading.sample(questions, setup.limit, 0)
    golds = loading.load_golds(Qasc({}), enumerate(rows, 1), held_out, str(arguments.data))
    right = {gold.question_id: gold.option for gold in golds if gold.option is not None}
    log = Log(arguments.log, setup)
    run_all(log, arguments.corpus, held_out, arguments.model, arguments.work, setup, arms, arguments.run)
    tell(document(log, held_out, right, setup, arms), arguments.format, show)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
