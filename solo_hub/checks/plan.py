"""What a run will do and take, before it begins: `solo-hub distill --plan`.

Counts come from the functions that the steps use; minutes and memory from a small run on this machine (`rehearsal`).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from solo_hub import pipeline
from solo_hub.checks.rehearsal import Rehearsal, rehearse
from solo_hub.core.config import Config
from solo_hub.core.console import Console
from solo_hub.core.progress import duration
from solo_hub.core.records import Question, Retrieval
from solo_hub.core.system import format_bytes, free_disk, free_memory
from solo_hub.curation.step import RunCuration
from solo_hub.evaluation.arms import cost, measurements
from solo_hub.evaluation.comparison.cases import READING
from solo_hub.hub.connection import Connection
from solo_hub.knowledge.chunking import estimate_tokens
from solo_hub.models.loading import find_device
from solo_hub.run.context import RunContext
from solo_hub.student import memory, training
from solo_hub.teacher import deciding

DOCUMENTS = 512  # embedded to be timed: about a second on two CPU cores
HELD_OUT = 16  # most questions held out, in two batches (the first one also warms up), and most for a trial
FEWEST, ON_CPU = 4, 8000  # fewer on a CPU, whose time is that of tokens: as many as have so many tokens of passages
TRAINING_STEPS = 3
COST_QUESTIONS = 3  # asked to measure cost; the median leaves the first one out
WORTH_A_LINE = 1.0  # seconds of a step of the small run that are told
CHECKPOINTS = 2 * 3  # two are kept, each with the adapter and the optimiser's two moments


@dataclass
class StepPlan:
    """What one step takes.

    Attributes:
        name: The step.
        work: What it does, in words.
        seconds: Estimated wall time on this machine.
        memory_bytes: Peak memory of the small run's step; None if it was not tried out.
        disk_bytes: What it writes, in the run folder or the cache of indexes.
    """

    name: str
    work: str
    seconds: float
    memory_bytes: int | None = None
    disk_bytes: int = 0


@dataclass
class Plan:
    """A run's plan.

    Attributes:
        counts: What is read and asked: exact where `exact` says so.
        totals: Items of each counted piece of work, by the title of its progress.
        tokens: Tokens of documents, of the labels' prompts, and with gradients in training; estimated.
        steps: What each step takes.
        took: Seconds that planning took.
        notes: What the estimates rest on.
    """

    counts: dict[str, int] = field(default_factory=dict)
    totals: dict[str, int] = field(default_factory=dict)
    tokens: dict[str, int] = field(default_factory=dict)
    steps: list[StepPlan] = field(default_factory=list)
    took: float = 0.0
    notes: list[str] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        """Seconds of all steps."""
        return sum(step.seconds for step in self.steps)

    def to_row(self) -> dict[str, Any]:
        """Return it as JSON types."""
        return {**asdict(self), "seconds": self.seconds}


def plan(config: Config, connection: Connection, console: Console, folder: Path) -> Plan:
    """Plan a run.

    Args:
        config: The settings.
        connection: The Hub.
        console: Shows progress.
        folder: The run folder of the future run.

    Raises:
        SoloHubError: What would stop the run.
    """
    started = time.monotonic()
    with rehearse(config, connection, console) as rehearsal:
        made = _Planner(rehearsal, console).plan()
    made.took = time.monotonic() - started
    disk = sum(step.disk_bytes for step in made.steps)
    if disk > free_disk(folder):
        made.notes.append(
            f"{format_bytes(disk)} are needed, but the disk of {folder} has {format_bytes(free_disk(folder))}."
        )
    most, free = max((step.memory_bytes or 0 for step in made.steps), default=0), free_memory()
    if free is not None and most > free:
        made.notes.append(f"{format_bytes(most)} of memory are needed, but {format_bytes(free)} are free.")
    return made


class _Planner:
    """Tries a small run out and scales what it took."""

    def __init__(self, rehearsal: Rehearsal, console: Console) -> None:
        self.rehearsal, self.console, self.made = rehearsal, console, Plan()
        self.config, self.watch = rehearsal.whole.config, rehearsal.watch
        self.device = find_device(self.config.engine.device)
        self.held_out = self._held_out()
        first = "documents" if rehearsal.documents else "questions"
        self.overhead = {first: rehearsal.seconds}  # seconds of a step outside counted work
        self.titles: dict[str, set[str]] = {"questions": {"generating questions"}}
        self.peaks: dict[str, int] = {}

    @contextmanager
    def timed(self, step: str) -> Iterator[None]:
        """Measure a step of the small run: seconds outside of counted work, memory, and which work it counted."""
        before = {title: (work.done, work.seconds) for title, work in self.watch.work.items()}
        memory.forget_peak(self.device)
        started = time.monotonic()
        yield
        wall = time.monotonic() - started
        work = self.watch.work
        counted = {title for title in work if before.get(title) != (work[title].done, work[title].seconds)}
        inside = sum(work[title].seconds - before.get(title, (0, 0.0))[1] for title in counted)
        self.titles.setdefault(step, set()).update(counted)
        self.overhead[step] = self.overhead.get(step, 0.0) + max(0.0, wall - inside)
        self.peaks[step] = max(self.peaks.get(step, 0), memory.peak(self.device))
        if wall >= WORTH_A_LINE:
            self.console.note(f"small run, {step}: {duration(wall)}")

    def _held_out(self) -> int:
        """How many held-out questions are asked: an even number."""
        some = self.rehearsal.documents[: DOCUMENTS // 4]
        if self.device != "cpu" or not some:
            return HELD_OUT
        tokens = self.config.knowledge.passages * sum(estimate_tokens([row.text for row in some])) / len(some)
        return min(HELD_OUT, max(FEWEST, int(ON_CPU / max(tokens, 1)) // 2 * 2))

    def plan(self) -> Plan:
        """Try it out, and scale."""
        rehearsal, config = self.rehearsal, self.config
        asked = max(config.teacher.batch_size, config.student.batch_size, self.held_out)
        batches = math.ceil(min(asked, len(rehearsal.questions)) / config.student.batch_size)
        with self.timed("documents"):
            small, questions = rehearsal.small(
                asked,
                self.held_out,
                DOCUMENTS,
                {
                    "task": {"evaluation_limit": self.held_out},
                    "teacher": {"style_sample": self.held_out // 2, "calibration_sample": self.held_out},
                    "student": {"epochs": TRAINING_STEPS / batches, "patience": None, "log_to": ()},
                    "evaluation": {
                        "cost_questions": 0,
                        "second_task_limit": self.held_out,
                        "batch_size": min(self.held_out // 2, config.evaluation.batch_size),
                    },
                },
            )
        with self.timed("passages"):
            passages = pipeline.find_passages(small, questions)
        with self.timed("labels"):
            labels = pipeline.label(small, questions, passages)
        with self.timed("selection"):
            selection = pipeline.select(small, questions, passages, labels)
        kept = round(len(rehearsal.questions) * selection.kept_share)
        with self.timed("training"):
            preferences = pipeline.rank(small, questions, passages, labels)
            trained = pipeline.train(small, questions, passages, labels, selection, preferences)
        full = RunContext(config, small.run, lambda _: small.connection, self.watch, resolved=small.resolved)
        full.engine = small.engine
        forgetting = measurements.forgetting_items(full)
        with self.timed("evaluation"):
            pipeline.evaluate(small, questions, passages, labels, selection, preferences, trained)
        # only the bars of this one are the run's: it does not choose documents
        self.overhead["documents"] = rehearsal.seconds
        self._count(small, kept, forgetting, len(rehearsal.questions) / len(questions))
        self._count_tokens(small, questions, passages, trained, kept)
        cost_seconds = self._cost(small)
        self._steps(small, kept, len(questions), cost_seconds)
        return self.made

    def _count(self, small: RunContext, kept: int, forgetting: Mapping[str, int], scale: float) -> None:
        """The totals of the whole run, by title; what no step foretells grows with the questions."""
        rehearsal, config, work = self.rehearsal, self.config, self.watch.work
        questions, held_out = len(rehearsal.questions), len(rehearsal.held_out)
        documents = len(rehearsal.documents)
        curation = rehearsal.whole.shared(RunCuration)
        own = sum(curation.passages(question) is None for question in rehearsal.questions)
        steps = training.planned_steps(kept, config.student)
        totals = {title: round(item.total * scale) for title, item in work.items()}
        recited = len(measurements.PAIR) * measurements.RECITED
        totals |= {
            "generating questions": work["generating questions"].total if "generating questions" in work else 0,
            "measuring recitation": min(recited, totals.get("measuring recitation", 0)),
            "embedding passages": 0 if rehearsal.indexed else documents,
            "building the word index": documents if "building the word index" in totals else 0,
            "retrieving": own + held_out if config.knowledge.passages else 0,
            "measuring student uncertainty": questions if config.selection.ask_student else 0,
            **forgetting,
            "measuring cost": len(cost.asked_arms(small)) if config.evaluation.cost_questions else 0,
            **({} if config.teacher.labels else deciding.planned(rehearsal.whole, rehearsal.questions)),
        }
        for title in totals:
            if title.startswith("training"):
                totals[title] = steps
            if title.startswith("evaluating"):
                totals[title] = held_out
        self.made.totals = {title: total for title, total in totals.items() if total}
        answers = sum(total for title, total in totals.items() if title.startswith("evaluating"))
        self.made.counts = {
            "documents": documents,
            "questions": questions,
            "held_out_questions": held_out,
            "labels": questions,
            "kept_at_most": kept,
            "training_steps": steps,
            "evaluated_answers": answers,
        }

    def _count_tokens(
        self,
        small: RunContext,
        questions: list[Question],
        passages: list[Retrieval],
        trained: training.Training,
        kept: int,
    ) -> None:
        """Tokens, from the means of the samples."""
        rehearsal, count = self.rehearsal, small.engine.count_tokens
        if rehearsal.documents:
            some = rehearsal.documents[: DOCUMENTS // 4]
            mean = sum(count([document.text for document in some])) / len(some)
            self.made.tokens["documents"] = round(mean * len(rehearsal.documents))
        if not self.config.teacher.labels:
            fitted = deciding.prompts(small, questions, passages)
            mean = sum(small.teacher.engine.count_tokens([row.prompt.text for row in fitted])) / len(fitted)
            self.made.tokens["prompts"] = round(mean * len(rehearsal.questions))
        share = trained.tokens / trained.steps / min(self.config.student.batch_size, len(questions))
        self.made.tokens["training"] = round(share * kept * self.config.student.epochs)

    def _cost(self, small: RunContext) -> float:
        """Seconds of measuring cost, from one arm that reads passages and one that does not."""
        settings, arms = self.config.evaluation, cost.asked_arms(small)
        if not settings.cost_questions:
            return 0.0
        few = min(COST_QUESTIONS, settings.cost_questions)
        asks_few = small.config.model_copy(
            update={"evaluation": small.config.evaluation.model_copy(update={"cost_questions": few})}
        )
        total, count = 0.0, settings.cost_questions
        for kind in ([arm for arm in arms if arm in READING], [arm for arm in arms if arm not in READING]):
            asked = RunContext(asks_few, small.run, lambda _: small.connection, self.watch, resolved=small.resolved)
            started = time.monotonic()
            measured = cost.measure(asked, self.rehearsal.held_out[:few], kind[:1]) if kind else None
            if measured is not None:
                wall, latency = time.monotonic() - started, measured["arms"][kind[0]]["latency"]["p50"]
                count = min(count, max(cost.FEWEST, round(cost.LONG / max(latency, 1e-3))))
                total += len(kind) * (wall + max(0, count - few) * latency)
        return total

    def _steps(self, small: RunContext, kept: int, sampled: int, cost_seconds: float) -> None:
        rehearsal, counts, totals, work = self.rehearsal, self.made.counts, self.made.totals, self.watch.work
        scale = len(rehearsal.questions) / sampled
        size: Callable[..., int] = lambda *names: sum(_size(small.run.file(name)) for name in names)  # noqa: E731
        adapter = _size(small.run.file("adapter"))
        index = 0
        if not rehearsal.indexed and rehearsal.documents:
            share = len(rehearsal.documents) / max(work["embedding passages"].total, 1)
            index = round(_size(rehearsal.folder / "index") * share)
        answers = counts["evaluated_answers"]
        plans = (
            ("documents", _reading(rehearsal), index),
            ("questions", f"{counts['questions']:,} to label, {counts['held_out_questions']:,} held out",
             round(size("questions", "curated") * scale)),
            ("passages", f"{totals.get('retrieving', 0):,} questions looked up", round(size("passages") * scale)),
            ("labels", _asking(totals), round(size("labels") * scale)),
            ("selection", f"{kept:,} of {counts['labels']:,} labels kept, filters aside",
             round(size("selected", "dropped") * scale)),
            ("training", f"{counts['training_steps']:,} steps", adapter * (1 + CHECKPOINTS)),
            ("evaluation", f"{answers:,} answers",
             round(size("predictions", "held_out_passages") * len(rehearsal.held_out) / self.held_out)),
        )  # fmt: skip
        for name, text, disk in plans:
            seconds = self.overhead.get(name, 0.0) + (cost_seconds if name == "evaluation" else 0.0)
            seconds += sum(self._seconds(title, name, totals) for title in self.titles.get(name, ()))
            self.made.steps.append(StepPlan(name, text, seconds, self.peaks.get(name), disk))
        self.made.steps = [step for step in self.made.steps if step.name != "documents" or rehearsal.documents]

    def _seconds(self, title: str, step: str, totals: Mapping[str, int]) -> float:
        work, total = self.watch.work.get(title), totals.get(title, 0)
        if work is None or (title == "retrieving" and step == "evaluation"):  # counted with the passages
            return 0.0
        if title == "generating questions":  # they are written for the plan as they are for the run
            return work.seconds
        if title == "embedding passages":
            total = round(total / self._length_of_sample())
        return work.seconds_for(total)

    def _length_of_sample(self) -> float:
        """Mean length of the documents embedded, in those of all: they share most words with the questions."""
        embedded, documents = self.rehearsal.embedded, self.rehearsal.documents
        some = documents[:: max(1, len(documents) // DOCUMENTS)]
        mean, mean_of_all = (np.mean(estimate_tokens([row.text for row in rows])) for rows in (embedded, some))
        return float(mean / mean_of_all)


_TRIALS = {
    "choosing the scoring style": "to choose the scoring style",
    "calibrating": "to calibrate",
    "choosing examples": "to choose examples",
    "trying explanations": "to try explanations",
}


def _asking(totals: Mapping[str, int]) -> str:
    trials = [f"{totals[title]:,} {text}" for title, text in _TRIALS.items() if totals.get(title)]
    return ", ".join([f"{totals.get('labelling', 0):,} questions", *trials])


def _reading(rehearsal: Rehearsal) -> str:
    if rehearsal.indexed:
        return f"{len(rehearsal.documents):,} passages, indexed already"
    return (
        f"{rehearsal.summary}, to be embedded" if rehearsal.summary.chunks else f"{len(rehearsal.documents):,} passages"
    )


def _size(path: Path) -> int:
    """Bytes of a file or folder; 0 if it does not exist."""
    if path.is_dir():
        return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    return path.stat().st_size if path.exists() else 0


def prices(connection: Connection, flavor: str) -> dict[str, Any] | None:
    """Price of a flavor of Hugging Face Jobs: `name`, `hardware` and `usd_per_hour`; None if the Hub names none."""
    from solo_hub.run.jobs.backends import hardware

    info = hardware(connection).get(flavor)
    if info is None:
        return None
    hours = {"minute": 60, "hour": 1, "second": 3600}.get(str(info.unit_label), 60)
    return {"name": flavor, "hardware": info.pretty_name, "usd_per_hour": info.unit_cost_usd * hours}


def headline(made: Plan) -> str:
    """The plan in a sentence."""
    return f"about {duration(made.seconds)} on this machine, timed on a small run of {duration(made.took)}"
