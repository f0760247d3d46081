"""Does LLKD learn as much from fewer samples? Every selection method on Emotion, with one noisy teacher.

The claim: LLKD is at or above every baseline while it learns from under a quarter of the samples, and above Random at
the same count. A few-shot teacher on frozen sentence embeddings labels the texts; the student, the same encoder with a
LoRA adapter, learns from its labels alone. All methods of a seed share teacher, student start and order of batches;
gold labels serve the teacher's few examples and evaluation.

    python benchmarks/selection.py            # all texts, 5 seeds: hours on two cores
    python benchmarks/selection.py --quick    # 2,000 texts, 2 seeds
    python benchmarks/selection.py --readings # LLKD as its settings allow it to be read, judged on validation
    python benchmarks/selection.py --path product  # trained by solo-hub's own training with the engine `classifier`
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from encoder_student import Student, Texts, batches, device, prepare
from kept_accuracy import KeptAccuracy
from product_student import train_by_product
from selection_methods import METHODS, READINGS, named
from selection_outcome import CLASSES, Outcome, as_labels, scores
from telling import options_of, say, settings_from, tell

from solo_hub.core.files import Appender, read_jsonl
from solo_hub.core.plugins import StepSelector
from solo_hub.knowledge.lbl2transformervec import classify, label_vectors
from solo_hub.selection.no_ds import NoDs
from solo_hub.selection.steps import StepBatch

DATA = Path(__file__).parents[2] / "shared" / "hub" / "datasets" / "dair-ai" / "emotion"
SHARES = (0.1, 0.3, 0.5, 0.7, 0.9)  # the grid the fixed-share methods are tuned over

CONTROL = "Random (LLKD's count)"
TUNED = ("Entropy Score", "UNIXKD")
LOOPS = {
    "own": "of this benchmark: batches of texts of like length, layers below read from memory, pooler trained, warm-up "
    "over a tenth of the steps and a linear fall",
    "product": "solo_hub.student.training.train with ClassifierEngine: random batches, pooler frozen, warm-up over a "
    "tenth of the steps and a cosine, gradients clipped at 1",
}
GOLD, FEW_SHOT, ZERO_SHOT = "Gold labels (ceiling)", "Teacher, few-shot", "Lbl2TransformerVec, zero-shot"


@dataclass(frozen=True)
class Setup:
    """The conditions, as they are printed."""

    samples: int | None = None
    test: int | None = None
    seeds: int = 5
    epochs: int = 3
    batch_size: int = 32
    learning_rate: float = 5e-4
    layers: int = 6
    rank: int = 16
    alpha: int = 32
    few_shot: int = 64
    threads: int = 2
    tune: bool = True
    shares: tuple[float, ...] = SHARES
    first_seed: int = 0
    precision: str = "float32"
    split: str = "test"
    path: str = "own"
    ceiling: bool = True


def train(pool: Texts, teacher: np.ndarray, test: Texts, selector: Any, *, setup: Setup, seed: int) -> Outcome:
    """Train a student on the teacher's labels `(N, C)` under a selector and evaluate it.

    By the loop of this benchmark, which reads frozen layers from memory, or by the product's (`setup.path`).

    A static selector leaves out its samples ahead of training; a per-step one judges each batch. Where the selector
    looks at the student, the batch goes through it once without gradients; the pass with gradients holds the kept
    samples only.
    """
    if setup.path == "product":
        return train_by_product(pool, teacher, test, selector, setup=setup, seed=seed)
    rng = np.random.default_rng(seed)
    labels, confidence = teacher.argmax(1), teacher.max(1)
    one_hot = np.eye(len(CLASSES))[labels]
    per_step = isinstance(selector, StepSelector)
    verdicts = selector.select(as_labels(teacher)).verdicts
    allowed = np.flatnonzero([verdict.kept for verdict in verdicts])
    static_weight = np.array([verdict.weight for verdict in verdicts])
    steps = setup.epochs * -(-len(allowed) // setup.batch_size)
    student = Student(
        len(CLASSES),
        layers=setup.layers,
        rank=setup.rank,
        alpha=setup.alpha,
        learning_rate=setup.learning_rate,
        steps=steps,
        seed=seed,
        precision=setup.precision,
    )
    seen = KeptAccuracy()
    counts = []
    started, cpu_started = time.perf_counter(), time.process_time()
    for _ in range(setup.epochs):
        left_out = np.setdiff1d(np.arange(len(teacher)), allowed)
        seen.add(np.zeros(len(left_out), dtype=bool), labels[left_out], pool.gold[left_out])
        for positions in batches([len(pool.states[row]) for row in allowed], setup.batch_size, rng):
            rows = allowed[positions]
            texts = [pool.states[row] for row in rows]
            keep, weight, divisor = np.ones(len(rows), dtype=bool), static_weight[rows], float(len(rows))
            targets = one_hot[rows]
            if per_step:
                output = student.probabilities(texts) if selector.needs_student else None
                decision = selector.step(StepBatch(labels[rows], confidence[rows], teacher[rows], output))
                keep, weight, divisor = decision.keep, decision.weight, decision.divisor
                targets = targets if decision.targets is None else decision.targets
            seen.add(keep, labels[rows], pool.gold[rows])
            counts.append(int(keep.sum()))
            if keep.any():
                kept = np.flatnonzero(keep)
                student.learn([texts[at] for at in kept], targets[kept], weight[kept], divisor)
            student.end_step()
    seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - cpu_started
    accuracy, macro_f1 = scores(student.probabilities(test.states).argmax(1), test.gold)
    return Outcome(
        accuracy, macro_f1, seen.kept_share, seen.accuracy_kept, seen.accuracy_dropped, seconds, cpu_seconds, counts
    )


def read(folder: Path, split: str, limit: int | None) -> tuple[list[str], np.ndarray]:
    """Texts and gold classes of a split, a fixed random part of it when limited."""
    import pyarrow.parquet as pq

    table = pq.read_table(folder / "split" / f"{split}-00000-of-00001.parquet").to_pydict()
    rows = np.random.default_rng(0).permutation(len(table["text"]))[:limit]
    return [table["text"][row] for row in rows], np.array(table["label"])[rows]


def few_shot_teacher(train_set: Texts, shots: int, seed: int) -> tuple[Any, np.ndarray]:
    """Logistic regression on the embeddings of `shots` examples a class; returns it and the rows it did not see."""
    from sklearn.linear_model import LogisticRegression

    rng = np.random.default_rng(seed)
    rows = [rng.permutation(np.flatnonzero(train_set.gold == number))[:shots] for number in range(len(CLASSES))]
    shown = np.concatenate(rows)
    model = LogisticRegression(C=10, max_iter=1000).fit(train_set.vectors[shown], train_set.gold[shown])
    return model, np.setdiff1d(np.arange(len(train_set.gold)), shown)


class Log:
    """Outcomes as they come, one JSON line each, so that a run of hours goes on where it was stopped.

    Args:
        path: The file, or None to keep nothing; rows of another setup are left alone.
        setup: The conditions of this run.
    """

    def __init__(self, path: Path | None, setup: Setup) -> None:
        self.path = path
        self.setup = setup
        any_of = {"seeds": None, "first_seed": None, "ceiling": None}  # more seeds or rows may be added later
        self.conditions = plain(setup) | any_of
        rows = [row for _, row in read_jsonl(path, torn_tail=True)] if path and path.exists() else []
        defaults = plain(Setup())  # what logs of earlier versions do not name
        self.known = {
            (row["seed"], row["method"]): row["outcome"]
            for row in rows
            if defaults | row["setup"] | any_of == self.conditions
        }

    def outcome(self, seed: int, method: str, run: Callable[[], Outcome]) -> Outcome:
        """The outcome as logged, or run now and logged."""
        if (seed, method) in self.known:
            return Outcome(**self.known[seed, method])
        made = run()
        say(f"seed {seed}  {method:28} accuracy {made.accuracy:.3f}  share {made.share:.3f}  {made.seconds:.0f} s")
        if self.path:
            with Appender(self.path) as file:
                file.append([{"setup": self.conditions, "seed": seed, "method": method, "outcome": asdict(made)}])
        return made


def plain(setup: Setup) -> dict[str, Any]:
    """The setup as JSON types."""
    made: dict[str, Any] = json.loads(json.dumps(asdict(setup)))
    return made


def tuned_share(name: str, kind: Any, pool: Texts, teacher: np.ndarray, validation: Texts, log: Log) -> float:
    """The share of the grid with the best validation accuracy, at seed 0."""
    found = {}
    for share in log.setup.shares:
        run = partial(train, pool, teacher, validation, kind({"share": share}, 0), setup=log.setup, seed=0)
        found[share] = log.outcome(0, f"{name}, share {share} on validation", run).accuracy
    return max(found, key=lambda share: found[share])


def measure(
    setup: Setup, folder: Path, methods: Mapping[str, tuple[Any, dict[str, Any]]], log: Log
) -> dict[str, list[Outcome]]:
    """Run every method at every seed; the teachers are rows of their own."""
    import torch

    torch.set_num_threads(setup.threads)
    everything = prepare(*read(folder, "train", None if setup.samples is None else setup.samples * 4), setup.layers)
    test = prepare(*read(folder, setup.split, setup.test), setup.layers)
    names = prepare(list(CLASSES), np.arange(len(CLASSES)), setup.layers)
    tunes = setup.tune and set(methods) & set(TUNED)
    validation = prepare(*read(folder, "validation", setup.test), setup.layers) if tunes else None
    results: dict[str, list[Outcome]] = {}
    shares: dict[str, float] = {}
    for seed in range(setup.first_seed, setup.first_seed + setup.seeds):
        model, unseen = few_shot_teacher(everything, setup.few_shot, seed)
        pool = everything.take(np.random.default_rng(seed).permutation(unseen)[: setup.samples])
        teacher = model.predict_proba(pool.vectors)
        zero_shot = classify(test.vectors, label_vectors(list(names.vectors[:, None])))[0]
        right = float(np.mean(teacher.argmax(1) == pool.gold))
        for name, predicted, known in ((FEW_SHOT, model.predict(test.vectors), right), (ZERO_SHOT, zero_shot, None)):
            results.setdefault(name, []).append(Outcome(*scores(predicted, test.gold), 0.0, known, None, 0.0, 0.0))
        say(f"seed {seed}: {right:.3f} of the teacher's labels are right")
        for name, (kind, given) in methods.items():
            options = {k: results[value][-1].counts if k == "counts" else value for k, value in given.items()}
            own = replace(setup, epochs=setup.epochs * options.pop("longer", 1))
            if validation is not None and name in TUNED:
                if name not in shares:
                    shares[name] = tuned_share(name, kind, pool, teacher, validation, log)
                options["share"] = shares[name]
            run = partial(train, pool, teacher, test, kind(options, seed), setup=own, seed=seed)
            results.setdefault(name, []).append(log.outcome(seed, name, run))
        if setup.ceiling:
            run = partial(train, pool, np.eye(len(CLASSES))[pool.gold], test, NoDs({}, seed), setup=setup, seed=seed)
            results.setdefault(GOLD, []).append(log.outcome(seed, GOLD, run))
    say(f"shares chosen on validation: {shares}" if shares else "shares are not tuned")
    return results


def interval(values: Sequence[float]) -> dict[str, float | int]:
    """Mean and 95 % Student-t interval over seeds; of one seed the interval is the value itself."""
    from scipy.stats import t

    mean, n = float(np.mean(values)), len(values)
    half = float(t.ppf(0.975, n - 1) * np.std(values, ddof=1) / np.sqrt(n)) if n > 1 else 0.0
    return {"value": mean, "low": mean - half, "high": mean + half, "n": n}


def document(results: Mapping[str, list[Outcome]], setup: Setup) -> dict[str, Any]:
    """Claim, value, conditions and table as one JSON document."""

    def against(name: str, key: str) -> dict[str, float | int]:
        pairs = zip(results["LLKD"], results[name], strict=True)
        return interval([getattr(first, key) - getattr(second, key) for first, second in pairs])

    table = []
    for name, outcomes in results.items():
        row: dict[str, Any] = {"method": name}
        for key in ("accuracy", "macro_f1", "share", "seconds", "cpu_seconds"):
            row[key] = interval([getattr(outcome, key) for outcome in outcomes])
        for key in ("accuracy_kept", "accuracy_dropped"):
            known = [getattr(outcome, key) for outcome in outcomes if getattr(outcome, key) is not None]
            row[key] = float(np.mean(known)) if known else None
        if name != "LLKD":
            row["llkd_minus"] = {key: against(name, key) for key in ("accuracy", "macro_f1")}
        table.append(row)
    others = [name for name in results if name not in {GOLD, FEW_SHOT, ZERO_SHOT} and not name.startswith("LLKD")]
    best = max(others, key=lambda name: np.mean([outcome.accuracy for outcome in results[name]]))

    return {
        "claim": "LLKD is at or above every baseline while learning from under a quarter of the samples, and above "
        "Random at the same count.",
        "value": against(best, "accuracy"),
        "unit": f"accuracy (0..1), LLKD minus the best baseline ({best}), paired by seed",
        "goal": "at least 0, with a share under 0.25, and above Random",
        "conditions": {
            **asdict(setup),
            "dataset": "dair-ai/emotion, six classes",
            "student": f"all-MiniLM-L6-v2 + LoRA (all-linear, the last {setup.layers} layers), {device()}",
            "loop": LOOPS[setup.path],
            "teacher": f"logistic regression on frozen embeddings, {setup.few_shot} gold examples a class",
            "interval": "95 % Student t over seeds",
            "llkd_minus_random": {key: against(CONTROL, key) for key in ("accuracy", "macro_f1")},
            "best_baseline": best,
        },
        "table": table,
    }


def show(made: Mapping[str, Any]) -> None:
    """Print the table and the conditions."""
    print(
        f"{'method':30}{'accuracy':>22}{'macro F1':>22}{'share':>8}{'kept right':>12}{'CPU s':>8}{'LLKD minus it':>28}"
    )
    for row in made["table"]:
        cells = [
            f"{row[key]['value']:.3f} ({row[key]['low']:.3f}-{row[key]['high']:.3f})"
            for key in ("accuracy", "macro_f1")
        ]
        right = "-" if row["accuracy_kept"] is None else f"{row['accuracy_kept']:.3f}"
        gap = row.get("llkd_minus", {}).get("accuracy")
        gap = f"{gap['value']:+.3f} ({gap['low']:+.3f} to {gap['high']:+.3f})" if gap else ""
        print(
            f"{row['method']:30}{cells[0]:>22}{cells[1]:>22}{row['share']['value']:>8.3f}{right:>12}"
            f"{row['cpu_seconds']['value']:>8.1f}{gap:>28}"
        )
    print(f"\nClaim: {made['claim']}")
    value = made["value"]
    print(
        f"Measured: {value['value']:+.3f} ({value['low']:+.3f} to {value['high']:+.3f}), {made['unit']}; "
        f"goal: {made['goal']}"
    )
    print("Conditions: " + json.dumps(made["conditions"]))


def main() -> int:
    """Read the options, run, print."""
    parser = options_of(__doc__, "2,000 texts, 2 seeds, 2 epochs, half the test set, no tuning")
    parser.add_argument("--readings", action="store_true", help="compare readings of LLKD instead of methods")
    parser.add_argument(
        "--methods",
        help="comma-separated names, readings too, 'Random (count of NAME)' after NAME; LLKD and its Random always run",
    )
    parser.add_argument("--log", type=Path, help="file of outcomes: what is in it is not run again")
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the dataset repo dair-ai/emotion")
    for name in ("samples", "test", "seeds", "epochs", "batch_size", "few_shot", "threads", "layers", "first_seed"):
        parser.add_argument(f"--{name.replace('_', '-')}", type=int)
    parser.add_argument("--learning-rate", type=float)
    parser.add_argument("--split", choices=("test", "validation"), help="what students are evaluated on")
    parser.add_argument("--precision", choices=("float32", "bfloat16"))
    parser.add_argument("--path", choices=("own", "product"), help="loop of this benchmark, or solo-hub's training")
    parser.add_argument(
        "--no-ceiling", dest="ceiling", action="store_false", default=None, help="no row of gold labels"
    )
    parser.add_argument("--shares", type=float, nargs="+", help="shares the fixed-share methods are tuned over")
    arguments = parser.parse_args()
    if not arguments.data.is_dir():
        say(f"Skipped: the Emotion dataset is not at '{arguments.data}'. Name its folder with --data DIR.")
        return 0
    quick = {"samples": 2000, "test": 1000, "seeds": 2, "epochs": 2, "tune": False} if arguments.quick else {}
    chosen = settings_from(Setup, arguments)
    if arguments.shares:
        chosen["shares"] = tuple(arguments.shares)
    methods = READINGS if arguments.readings else METHODS
    if arguments.methods:
        wanted = ["LLKD", CONTROL, *arguments.methods.split(",")]
        unknown = [name for name in wanted if named(name) is None]
        if unknown:
            parser.error(f"no method '{unknown[0]}'; there are: {', '.join({**METHODS, **READINGS})}")
        methods = {name: made for name in wanted if (made := named(name))}
    setup = Setup(**{**quick, **({"tune": False, "split": "validation"} if arguments.readings else {}), **chosen})
    made = document(measure(setup, arguments.data, methods, Log(arguments.log, setup)), setup)
    tell(made, arguments.format, show)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
