"""What does a student learn from its labels, and what from the mere habit of answering? Selection on QASC.

Every arm trains an adapter with the same settings on the same questions of a labelled run; only the labels, or which of
them are learnt from, differ; the last arms differ from the first in the objective or in the kind of adapter alone, and
their time and memory are what the table is for; those of `dpo` also in what they start from: the base, or the student
of `sft`, as it is meant to be used. A gain counts over the *controls*, not over the base alone:

- `control: random options`: the label is drawn at random from each question's own options;
- `control: shuffled answers`: the teacher's answers, each given to another question.

All arms answer closed book, by likelihood, the held-out questions and the training questions themselves. Gold labels
are read for the ceiling arm and for counting right answers, nowhere else. Each arm is a process of its own, so that
memory is its own; each outcome is logged as it comes, and a run that was stopped goes on where it was, in the middle of
a training too.

    python benchmarks/qasc_selection.py --run RUN --model DIR --log outcomes.jsonl    # about an hour on one core
    python benchmarks/qasc_selection.py --run RUN --model DIR --log outcomes.jsonl --arms "kl;online over tokens;DoRA"
    python benchmarks/qasc_selection.py --run RUN --model DIR --log outcomes.jsonl --arms "No_DS: every label;dpo;kto"
    python benchmarks/qasc_selection.py --run RUN --model DIR --quick
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from telling import add_settings, alone, options_of, say, settings_from, tell

from solo_hub.core.console import Console
from solo_hub.core.files import Appender, read_jsonl
from solo_hub.core.plugins import StepSelector, find
from solo_hub.core.records import Example, Gold, Passage, PseudoLabel, Question, Retrieval, join
from solo_hub.core.settings import StudentSettings
from solo_hub.evaluation.statistics.intervals import paired_difference, pool_seeds, wilson
from solo_hub.evaluation.statistics.significance import mcnemar_exact
from solo_hub.models.answering import choose
from solo_hub.models.causal import CausalEngine
from solo_hub.models.prompts import PromptBuilder
from solo_hub.student import control_labels as controls
from solo_hub.student import training
from solo_hub.student.control_labels import relabelled
from solo_hub.student.merging import merge
from solo_hub.student.objectives.material import TrainingData
from solo_hub.tasks import loading
from solo_hub.tasks.qasc import Qasc

DATA = Path(__file__).parents[2] / "shared" / "hub" / "datasets" / "allenai" / "qasc"

BASE, ALL, GOLD = "base, not trained", "No_DS: every label", "gold labels (ceiling)"
BASE_LETTERS = "base, asked for a letter"
UNTRAINED = (BASE, BASE_LETTERS)
RANDOM_LABELS, SHUFFLED = "control: random options", "control: shuffled answers"
LLKD, RANDOM = "LLKD", "Random (LLKD's count)"
CONTROLS = (RANDOM_LABELS, SHUFFLED)
RELABELLED = {RANDOM_LABELS: controls.RANDOM, SHUFFLED: controls.SHUFFLED, GOLD: controls.GOLD}


@dataclass(frozen=True)
class Arm:
    """What sets an arm apart.

    Attributes:
        selector: Its selector.
        options: The selector's options.
        student: Student settings beside those all share.
        after: The arm whose student it starts from, of the same seed; None = the base.
        style: The style it is taught and asked in; None = that of the run.
    """

    selector: str = "all"
    options: dict[str, Any] = field(default_factory=dict)
    student: dict[str, Any] = field(default_factory=dict)
    after: str | None = None
    style: str | None = None


def prefers(objective: str, **options: Any) -> dict[str, Any]:
    """Student settings of an objective that prefers the label to the most probable other option."""
    return {"objective": objective, "objective_options": {"pairs": "labels", **options}}


ARMS = {
    ALL: Arm(),
    RANDOM_LABELS: Arm(),
    SHUFFLED: Arm(),
    GOLD: Arm(),
    LLKD: Arm("llkd"),
    RANDOM: Arm("random_step", {"counts": LLKD}),
    "LLKD_w": Arm("llkd_w"),
    "confidence, best half": Arm("confidence", {"share": 0.5}),
    "DoRA": Arm(student={"adapter": "dora"}),
    "kl": Arm(student={"objective": "kl"}),
    "online over tokens": Arm(student={"objective": "online", "objective_options": {"level": "tokens"}}),
    "online over options": Arm(student={"objective": "online", "objective_options": {"level": "options"}}),
    "dpo": Arm(student=prefers("dpo")),
    "dpo without answers": Arm(student=prefers("dpo", answer_share=0)),
    "dpo after sft": Arm(student=prefers("dpo", answer_share=0), after=ALL),
    "sft after sft": Arm(after=ALL),
    "kto": Arm(student=prefers("kto")),
    BASE_LETTERS: Arm(style="letter"),
    "grpo, by letters": Arm(
        student={"objective": "grpo", "objective_options": {"generations": 4, "max_new_tokens": 4}}, style="letter"
    ),
}
"""The most telling first; from DoRA on all learn from every label, as the first does with `sft` and LoRA."""


@dataclass(frozen=True)
class Setup:
    """The conditions, as they are printed."""

    labels: int = 1000
    held_out: int | None = None
    known: int = 500
    epochs: float = 2.0
    batch_size: int = 16
    learning_rate: float = 3e-4
    rank: int = 16
    alpha: int = 32
    seeds: int = 1
    dtype: str = "auto"


@dataclass(frozen=True)
class Data:
    """What the arms share; `right` are gold options by question id, for the ceiling arm and for counting."""

    questions: list[Question]
    labels: list[PseudoLabel]
    held_out: list[Question]
    right: dict[str, int]
    style: str
    passages: dict[str, tuple[Passage, ...]]


def read(run: Path, folder: Path, setup: Setup) -> Data:
    """Questions and labels of a labelled run, the held-out questions, and the gold answers of both splits."""
    import pyarrow.parquet as pq

    def rows(kind: Any, name: str) -> list[Any]:
        return [kind.from_row(row) for _, row in read_jsonl(run / f"{name}.jsonl")]

    def split(name: str) -> list[dict[str, Any]]:
        made: list[dict[str, Any]] = pq.read_table(folder / "data" / f"{name}-00000-of-00001.parquet").to_pylist()
        return made

    labels, everything = rows(PseudoLabel, "3-labels"), rows(Question, "1-questions")
    questions = loading.sample(everything, setup.labels, 0)
    by_id = {label.question_id: label for label in labels}
    validation = loading.load_questions(Qasc({}), enumerate(split("validation"), 1), str(folder))
    held_out = loading.sample(validation, setup.held_out, 0)
    golds: list[Gold] = [
        *loading.load_golds(Qasc({}), enumerate(split("validation"), 1), held_out, str(folder)),
        *loading.load_golds(Qasc({}), enumerate(split("train"), 1), questions, str(folder)),
    ]
    style = yaml.safe_load((run / "config.yaml").read_text("utf-8"))["resolved"]["teacher"]["style"]
    right = {gold.question_id: gold.option for gold in golds if gold.option is not None}
    found: list[Retrieval] = rows(Retrieval, "2-passages")
    passages = {row.question_id: row.passages for row in found}
    return Data(questions, [by_id[q.id] for q in questions], held_out, right, style, passages)


def examples_of(arm: str, data: Data, labels: Sequence[PseudoLabel], verdicts: Any, seed: int) -> list[Example]:
    """What an arm learns: the labels that were kept, or those of a control for the same questions."""
    examples = join(data.questions, labels, verdicts)
    if arm not in RELABELLED:
        return examples
    texts = {q.id: q.options[data.right[q.id]] for q in data.questions}
    right = {identity: (data.right[identity], text) for identity, text in texts.items()}
    return relabelled(RELABELLED[arm], examples, right, seed)


def answer(engine: CausalEngine, questions: Sequence[Question], style: str) -> list[int]:
    """The chosen option of each question, closed book."""
    builder, chosen = PromptBuilder(), []
    for start in range(0, len(questions), 32):
        some = questions[start : start + 32]
        answers = choose(engine, builder, some, [builder.ask(q, style) for q in some], style)
        chosen += [made.option for made in answers]
    return chosen


def log_probabilities(engine: CausalEngine, data: Data, count: int) -> dict[str, float]:
    """Mean log p, in nats, of the labels and of the most probable other options, closed book: what `dpo` sets apart."""
    builder, labels = PromptBuilder(), data.labels[:count]
    pairs = []
    for label in labels:
        known = label.probabilities or ()
        other = max((i for i in range(len(known)) if i != label.option), key=lambda i: known[i])
        pairs.append((label.option, other))
    scores = []
    for question, pair in zip(data.questions, pairs, strict=False):
        answers = [builder.continuation(builder.answers(question, data.style)[i]) for i in pair]
        scores += engine.score([builder.ask(question, data.style)], [answers])
    return dict(zip(("labels", "others"), np.mean(scores, axis=0).tolist(), strict=True))


def started_from(after: str, model: Path, work: Path, data: Data) -> Path:
    """The student of another arm as a model of its own: its adapter merged into the base."""
    out = work / "merged"
    if not out.exists():
        builder, question = PromptBuilder(), data.questions[0]
        engine = CausalEngine(model, str(model), dtype="float32")
        answers = [builder.continuation(text) for text in builder.answers(question, data.style)]
        adapter = work.with_name(folder_of(after, int(work.name.split("-")[1]))) / "adapter"
        merge(engine, adapter, out, [builder.ask(question, data.style)], [answers])
    return out


def folder_of(arm: str, seed: int) -> str:
    """Name of an arm's folder."""
    return f"seed-{seed}-{''.join(c for c in arm if c.isalnum())}"


def measure(
    arm: str, data: Data, model: Path, work: Path, setup: Setup, seed: int, counts: list[int]
) -> dict[str, Any]:
    """Train one arm and let it answer everything; returns its outcome."""
    Console("quiet").quieten_libraries()
    kind = ARMS.get(arm, Arm())
    if kind.after:
        model = started_from(kind.after, model, work, data)
    data = replace(data, style=kind.style or data.style)
    engine = CausalEngine(model, str(model), dtype=setup.dtype)
    outcome: dict[str, Any] = {"arm": arm, "seed": seed, "setup": asdict(replace(setup, seeds=0))}
    if arm not in UNTRAINED:
        options = {name: counts if value == LLKD else value for name, value in kind.options.items()}
        selector = find("selectors", kind.selector)(options, seed)
        labels = data.labels
        examples = examples_of(arm, data, labels, selector.select(labels).verdicts, seed)
        settings = StudentSettings(
            **{name: getattr(setup, name) for name in ("rank", "alpha", "epochs", "batch_size", "learning_rate")}
            | kind.student
        )
        resumed = (work / "work").exists()  # then only a part of it is done, and timed, here
        started = time.process_time()
        done = training.train(
            TrainingData(engine, PromptBuilder(), examples, data.style, data.passages), settings, seed=seed,
            base="base", commit=None, work=work / "work", out=work / "adapter",
            selector=selector if isinstance(selector, StepSelector) else None,
        )  # fmt: skip
        kept = training.selected_at_steps(done)
        outcome |= {
            "seconds": done.seconds,
            "cpu_seconds": None if resumed else time.process_time() - started,
            "steps": done.steps,
            "loss": done.final_loss,
            "seconds_per_step": done.seconds_per_step,
            "peak_memory_bytes": done.peak_memory_bytes,
            "counts": [row["kept"] for row in done.log if "kept" in row],
            "rewards": [row["reward"] for row in done.log if "reward" in row],
            "share": kept["kept_share"] if kept else len(examples) / len(labels),
            "labels_right": float(
                np.mean([e.question.options[data.right[e.question.id]] == e.label.text for e in examples])
            ),
        }
    outcome["held_out"] = answer(engine, data.held_out, data.style)
    outcome["known"] = answer(engine, data.questions[: setup.known], data.style)
    outcome["log_p"] = log_probabilities(engine, data, setup.known)
    return outcome


class Log:
    """Outcomes as they come, one JSON line each; rows of another setup are left alone."""

    def __init__(self, path: Path, setup: Setup) -> None:
        self.path = path
        wanted = asdict(replace(setup, seeds=0))  # more seeds may be added later
        rows = [row for _, row in read_jsonl(path, torn_tail=True)] if path.exists() else []
        self.known = {(row["seed"], row["arm"]): row for row in rows if row["setup"] == wanted}

    def of(self, arm: str, seeds: int) -> list[dict[str, Any]]:
        """An arm's outcomes, in the order of the seeds."""
        return [row for (seed, name), row in sorted(self.known.items()) if name == arm and seed < seeds]

    def add(self, outcome: dict[str, Any]) -> None:
        """Write one down."""
        self.known[outcome["seed"], outcome["arm"]] = outcome
        with Appender(self.path) as file:
            file.append([outcome])


def run_all(data: Data, model: Path, log: Log, work: Path, setup: Setup, arms: Sequence[str]) -> None:
    """Run what is not logged yet, seed by seed."""
    for seed in range(setup.seeds):
        for arm in arms:
            place = (0 if arm in UNTRAINED else seed, arm)  # the base has no seed
            if place in log.known:
                continue
            counts = log.known[seed, LLKD]["counts"] if arm == RANDOM else []
            log.add(alone(measure, arm, data, model, work / folder_of(arm, seed), setup, seed, counts))
            say(f"seed {seed}: {arm} done, held out {right_of(log.known[place], data, 'held_out').mean():.3f}")


def right_of(outcome: dict[str, Any], data: Data, split: str) -> np.ndarray:
    """`(N,)` whether each question was answered rightly."""
    questions = data.held_out if split == "held_out" else data.questions[: len(outcome["known"])]
    return np.array([data.right[q.id] == option for q, option in zip(questions, outcome[split], strict=True)])


def difference(first: Sequence[np.ndarray], second: Sequence[np.ndarray]) -> dict[str, Any]:
    """Paired difference, over seeds and questions; with McNemar's test where there is one seed."""
    if len(first) == len(second) == 1:
        only_first, only_second = int((first[0] & ~second[0]).sum()), int((second[0] & ~first[0]).sum())
        made = paired_difference(only_first, only_second, len(first[0])).to_row()
        return {**made, "p": mcnemar_exact(only_first, only_second)}
    # an arm that has no seed (the base) stands against every seed of the other
    seeds = max(len(first), len(second)) if 1 in {len(first), len(second)} else min(len(first), len(second))
    one, two = (np.array(arm[:seeds], dtype=float) for arm in (first, second))
    return pool_seeds(one - two, within=(-1, 1)).to_row()


def table_row(arm: str, log: Log, data: Data, seeds: int) -> dict[str, Any] | None:
    """An arm's accuracy on both sets, its differences to others, and what it cost; None where it is not logged."""
    mine = log.of(arm, seeds)
    if not mine:
        return None
    row: dict[str, Any] = {"arm": arm, "seeds": len(mine)}
    for split in ("held_out", "known"):
        right = [right_of(outcome, data, split) for outcome in mine]
        mean, n = float(np.mean(right)), len(right[0])
        # over several seeds the questions are the same: the interval of one seed's n, around the mean
        row[split] = wilson(round(mean * n), n).to_row() | {"value": mean}
        for other in (*UNTRAINED, *CONTROLS, ALL, RANDOM):
            theirs = [right_of(outcome, data, split) for outcome in log.of(other, seeds)]
            if theirs and other != arm:
                row[f"{split} against {other}"] = difference(right, theirs)
    teacher = np.array([label.option for label in data.labels[: len(mine[0]["known"])]])
    row["agrees_with_teacher"] = float(np.mean([np.array(outcome["known"]) == teacher for outcome in mine]))
    for name in ("share", "labels_right", "seconds", "loss", "seconds_per_step", "peak_memory_bytes"):
        known = [outcome[name] for outcome in mine if name in outcome]  # older logs lack the last two
        row[name] = float(np.mean(known)) if known else None
    timed = [o["cpu_seconds"] / o["steps"] for o in mine if o.get("cpu_seconds") is not None]
    row["cpu_seconds_per_step"] = float(np.mean(timed)) if timed else None
    return row


def document(log: Log, data: Data, setup: Setup) -> dict[str, Any]:
    """The table and the claim: the gain over the better control."""
    table = [row for arm in (BASE, *ARMS) if (row := table_row(arm, log, data, setup.seeds))]
    controls = [row for row in table if row["arm"] in CONTROLS]
    everything = next((row for row in table if row["arm"] == ALL), None)
    value = None
    if everything and controls:
        best = max(controls, key=lambda row: float(row["held_out"]["value"]))
        value = everything[f"held_out against {best['arm']}"]
    return {
        "claim": "closed-book accuracy on held-out questions of a student trained on its teacher's labels, over the "
        "better of two controls trained in the same way on labels without knowledge",
        "value": value,
        "unit": "difference of accuracies, 0..1",
        "goal": "above 0, interval included",
        "conditions": {
            **asdict(setup),
            "held_out": len(data.held_out),
            "teacher_right": float(np.mean([data.right[x.question_id] == x.option for x in data.labels])),
            "style": data.style,
        },
        "table": table,
    }


def show(made: dict[str, Any]) -> None:
    """Print the table and the conditions."""
    cell = lambda x: f"{x['value']:.3f} ({x['low']:.3f}-{x['high']:.3f})"  # noqa: E731
    gain = lambda x: f"{x['value']:+.3f} ({x['low']:+.3f} {x['high']:+.3f})" if x else "-"  # noqa: E731
    print(
        f"{'arm':26}{'share':>7}{'right':>7}{'held out':>21}{'training questions':>21}{'agrees':>8}"
        f"{'- random options':>25}{'- shuffled answers':>25}{'- every label':>25}{'CPU s a step':>14}{'peak GB':>9}"
    )
    for row in made["table"]:
        share, right, cpu, peak = (
            row[name] for name in ("share", "labels_right", "cpu_seconds_per_step", "peak_memory_bytes")
        )
        print(
            f"{row['arm']:26}{'-' if share is None else f'{share:.2f}':>7}{'-' if right is None else f'{right:.2f}':>7}"
            f"{cell(row['held_out']):>21}{cell(row['known']):>21}{row['agrees_with_teacher']:>8.2f}"
            + "".join(f"{gain(row.get(f'held_out against {control}')):>25}" for control in (*CONTROLS, ALL))
            + f"{'-' if cpu is None else f'{cpu:.2f}':>14}{'-' if peak is None else f'{peak / 1e9:.2f}':>9}"
        )
    print(f"\nClaim: {made['claim']}\nMeasured: {gain(made['value'])}; goal: {made['goal']}")
    print("Conditions: " + json.dumps(made["conditions"]))


def main() -> int:
    """Read the options, run, print."""
    parser = options_of(__doc__, "64 labels, 1 epoch, 64 questions of each kind")
    parser.add_argument("--run", type=Path, required=True, help="folder of a labelled QASC run")
    parser.add_argument("--model", type=Path, required=True, help="folder of its base model")
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the dataset repo allenai/qasc")
    parser.add_argument("--log", type=Path, default=Path("qasc-selection.jsonl"), help="outcomes; done is not redone")
    parser.add_argument("--work", type=Path, default=Path("qasc-selection"), help="folder for adapters")
    parser.add_argument("--arms", help="only these, apart by ';'; Random at LLKD's count needs LLKD before it")
    parser.add_argument("--table", action="store_true", help="train nothing: show what the log holds")
    add_settings(parser, Setup, "labels held_out known batch_size rank alpha seeds epochs learning_rate")
    arguments = parser.parse_args()
    if not arguments.data.is_dir():
        say(f"Skipped: the QASC dataset is not at '{arguments.data}'. Name its folder with --data DIR.")
        return 0
    arms = [arm.strip() for arm in arguments.arms.split(";")] if arguments.arms else [BASE, *ARMS]
    unknown = [arm for arm in arms if arm not in {BASE, *ARMS}]
    if unknown:
        parser.error(f"no arm '{unknown[0]}'; there are: {'; '.join([BASE, *ARMS])}")
    Console("quiet").quieten_libraries()
    quick = {"labels": 64, "held_out": 64, "known": 64, "epochs": 1.0} if arguments.quick else {}
    setup = Setup(**{**quick, **settings_from(Setup, arguments)})
    data = read(arguments.run, arguments.data, setup)
    log = Log(arguments.log, setup)
    if not arguments.table:
        run_all(data, arguments.model, log, arguments.work, setup, arms)
    made = document(log, data, setup)
    tell(made, arguments.format, show)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
