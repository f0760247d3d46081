"""What a plugin is: a class or function that fits one of these protocols, found by name through an entry point.

| group                 | protocol     | what it does                                        |
|-----------------------|--------------|-----------------------------------------------------|
| `solo_hub.tasks`      | `Task`       | rows of a dataset -> questions, gold answers        |
| `solo_hub.question_writers` | `QuestionWriter` | documents -> questions with answers          |
| `solo_hub.embedders`  | `Embedder`   | texts -> vectors                                    |
| `solo_hub.retrievers` | `Retriever`  | questions -> passages                               |
| `solo_hub.engines`    | `Engine`     | prompts -> option log-probabilities, generated text |
| `solo_hub.selectors`  | `Selector`   | pseudo-labels -> kept and dropped                   |
| `solo_hub.objectives` | `Objective`  | what the student is trained towards                 |
| `solo_hub.metrics`    | `Metric`     | one more number a question and arm                  |
| `solo_hub.reports`    | `ReportSection` | one more table in report.html                    |

Ours are registered the same way as a stranger's. Shapes: `(texts, dimension)` is a float32 array.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from solo_hub.core.errors import ConfigError, DependencyError, nearest
from solo_hub.core.records import (
    CuratedQuestion,
    Document,
    Gold,
    Prediction,
    PseudoLabel,
    Question,
    Retrieval,
    Selection,
)

GROUPS = (
    "tasks", "question_writers", "embedders", "retrievers", "engines", "selectors", "objectives", "metrics", "reports",
)  # fmt: skip

Floats = npt.NDArray[np.float32]
Progress = Callable[[int], None]
"""Called with the number of items done since the last call."""


@runtime_checkable
class Task(Protocol):
    """How one dataset's rows become questions; everything dataset-specific lives behind it.

    A task is made with the column mapping of the configuration: `Task(columns)`.
    """

    question_columns: tuple[str, ...]
    """Columns the label-free path may read; no others are loaded for it."""
    gold_columns: tuple[str, ...]
    """Columns evaluation reads besides."""

    def question(self, row: Mapping[str, Any], number: int) -> Question:
        """Turn a row (numbered from 1) into a question; reads `question_columns` only."""
        ...

    def gold(self, row: Mapping[str, Any], question: Question) -> Gold | None:
        """The row's known answer, or None when it has none."""
        ...


@runtime_checkable
class QuestionWriter(Protocol):
    """Writes questions, with their answers, from documents.

    Made as `QuestionWriter(options, seed)`, or as `QuestionWriter(options, seed, engine)` where the class has an
    attribute `needs_engine = True`. The same documents, options and seed give the same questions in the same order.
    """

    name: str
    """Its plugin name; written into every question."""

    def write(self, documents: Sequence[Document], progress: Progress | None = None) -> Iterator[CuratedQuestion]:
        """Write questions one at a time; `documents` may be read more than once, and may not fit into memory.

        Args:
            documents: What is asked about.
            progress: Called with documents done.
        """
        ...


@runtime_checkable
class Embedder(Protocol):
    """Texts to unit vectors."""

    identity: str
    """Model and commit: vectors of equal identity may be compared."""

    def embed(self, texts: Sequence[str], progress: Progress | None = None) -> Floats:
        """Embed documents; returns `(texts, dimension)`, rows of length 1.

        Queries are embedded by a method `embed_queries` of the same shape where there is one, else by this one.
        """
        ...


@runtime_checkable
class Retriever(Protocol):
    """Finds passages for questions."""

    def retrieve(
        self, questions: Sequence[Question], passages: int, progress: Progress | None = None
    ) -> list[Retrieval]:
        """Return one retrieval a question, in order, best passage first, at most `passages` each."""
        ...


@dataclass(frozen=True, slots=True)
class Prompt:
    """What a model is asked.

    Attributes:
        text: The prompt, ready for the tokenizer (chat template already applied where one is used).
        special_tokens: Whether the tokenizer should add its own special tokens.
    """

    text: str
    special_tokens: bool = True


@dataclass(frozen=True, slots=True)
class Generation:
    """What a model wrote.

    Attributes:
        text: Decoded, without special tokens.
        tokens: Number of tokens generated, the end-of-turn token included.
        log_probability: Sum over those tokens, or None when the engine does not tell.
        finished: Whether it stopped by itself rather than at the limit.
    """

    text: str
    tokens: int
    log_probability: float | None
    finished: bool


@runtime_checkable
class Engine(Protocol):
    """A language model that answers prompts.

    A class attribute `base_files` (a `models.base_files.BaseFiles`) lets the base's tokenizer, chat template and
    generation settings be checked before any work; an attribute `chat_day` takes the date for its chat template.
    """

    @property
    def identity(self) -> str:
        """Model, commit, engine and precision: equal identity means comparable numbers."""
        ...

    @property
    def context_length(self) -> int:
        """Longest prompt plus answer, in tokens."""
        ...

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text, without special tokens."""
        ...

    def score(self, prompts: Sequence[Prompt], continuations: Sequence[Sequence[str]]) -> list[list[float] | None]:
        """Log-probability of each continuation after its prompt, summed over tokens (natural log).

        Returns:
            One list a prompt, aligned with its continuations; None where the engine gives no log-probabilities.
        """
        ...

    def generate(self, prompts: Sequence[Prompt], max_new_tokens: int) -> list[Generation]:
        """Greedy decoding, one text a prompt."""
        ...


@runtime_checkable
class Selector(Protocol):
    """Decides which pseudo-labels the student learns from, ahead of training."""

    def select(self, labels: Sequence[PseudoLabel]) -> Selection:
        """Judge every label; the verdicts keep the labels' order."""
        ...


@runtime_checkable
class InformedSelector(Selector, Protocol):
    """A selector that judges by the student's uncertainty, too; with `selection.ask_student` it is told it."""

    def select_with(self, labels: Sequence[PseudoLabel], uncertainty: Mapping[str, float]) -> Selection:
        """Judge every label, knowing the student's uncertainty, 0..1, by question id."""
        ...


@runtime_checkable
class StepSelector(Protocol):
    """A selector that decides anew at every step of training; see `solo_hub.selection.steps` for batch and decision."""

    needs_student: bool
    """Whether the batch must carry the student's option probabilities."""

    def step(self, batch: Any) -> Any:
        """Judge a `StepBatch`; returns a `StepDecision`."""
        ...

    def state(self) -> dict[str, Any]:
        """Everything needed to go on exactly from here, as JSON types."""
        ...

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from a state that `state` returned."""
        ...


@runtime_checkable
class Objective(Protocol):
    """What the student is trained towards.

    Made as `Objective(material, options)`; see `solo_hub.student.objectives.material` for what it is given and for
    `TeacherTargets` and `LossWeights`. Targets are made for a whole batch; the loss is then summed over parts of it:
    over processes and micro-batches, and over what a selector kept. The parts' losses add up to the batch's, because
    each is divided by the whole batch's normalizer. One that can learn `TeacherTargets.targets`, distributions over
    the options that a per-step selector puts in the place of the labels, says so by an attribute `learns_targets =
    True`.
    """

    def targets(self, indices: Sequence[int]) -> Any:
        """What the teacher says of these examples at this step: `TeacherTargets`."""
        ...

    def normalizer(self, indices: Sequence[int], weights: npt.NDArray[Any], said: Any) -> Any:
        """What the sums over these examples are divided by: `LossWeights`."""
        ...

    def loss(self, indices: Sequence[int], weights: npt.NDArray[Any], said: Any, mass: Any) -> Any:
        """These examples' part of the loss, a tensor with gradients; of no examples one that moves nothing."""
        ...

    def tokens(self, indices: Sequence[int]) -> int:
        """Tokens the student reads for these examples."""
        ...


@runtime_checkable
class OwnTrainer(Protocol):
    """An objective that brings a trainer of its own instead of a loss; found and made like an `Objective`.

    Selection at every step and several processes need our step, and are refused with it.
    """

    def trainer(self, settings: Any, arguments: Mapping[str, Any], order: Any, callbacks: Sequence[Any]) -> Any:
        """A `transformers.Trainer` that logs `loss`, `tokens` and `seconds` at every step.

        Args:
            settings: `StudentSettings`.
            arguments: What `transformers.TrainingArguments` takes.
            order: Batches of places among the examples, a sampler with `set_epoch`.
            callbacks: Trainer callbacks to be called.
        """
        ...


@runtime_checkable
class Metric(Protocol):
    """One more number for every question and arm; named in `evaluation.metrics` and made without arguments.

    The report gives its mean with a bootstrap interval, under the plugin's name.
    """

    label: str
    """What it is called in tables, with its direction where that is not plain."""

    def score(self, question: Question, gold: Gold, prediction: Prediction) -> float | None:
        """The number of one answer, or None where it does not apply."""
        ...


@runtime_checkable
class ReportSection(Protocol):
    """One more table in `report.html`; named in `evaluation.reports` and made without arguments."""

    title: str
    """Heading of the section."""

    def table(
        self,
        report: Mapping[str, Any],
        questions: Sequence[Question],
        golds: Sequence[Gold],
        predictions: Mapping[str, Sequence[Prediction]],
    ) -> tuple[Sequence[str], Sequence[Sequence[str]]]:
        """Column heads and rows, as plain text; questions, golds and each arm's predictions are in one order."""
        ...


@dataclass(frozen=True, slots=True)
class Listing:
    """A plugin as found.

    Attributes:
        group: Short group name, e.g. `tasks`.
        name: Name used in configurations.
        origin: Distribution it comes from.
        version: That distribution's version.
        problem: Why it cannot be used, or None.
    """

    group: str
    name: str
    origin: str
    version: str
    problem: str | None = None


def _entry_points(group: str) -> dict[str, metadata.EntryPoint]:
    return {point.name: point for point in metadata.entry_points(group=f"solo_hub.{group}")}


def find(group: str, name: str) -> Any:
    """Load the plugin `name` of a group.

    Raises:
        ConfigError: There is none of that name; the nearest is named.
        DependencyError: A package it needs is missing.
    """
    points = _entry_points(group)
    if name not in points:
        raise ConfigError(f"There is no {group.removesuffix('s')} '{name}'.", hint=nearest(name, points))
    try:
        return points[name].load()
    except DependencyError:
        raise
    except AttributeError as error:
        raise ConfigError(
            f"The {group.removesuffix('s')} '{name}' cannot be used: {error}.", hint="See `solo-hub plugins`."
        ) from error
    except ImportError as error:
        missing = getattr(error, "name", None) or str(error)
        raise DependencyError(
            missing.split(".")[0], extra="all", purpose=f"The {group.removesuffix('s')} '{name}'"
        ) from error


def listings() -> list[Listing]:
    """Every plugin of every group; a broken one is listed with its problem, never raised."""
    found = []
    for group in GROUPS:
        for name, point in sorted(_entry_points(group).items()):
            problem = None
            try:
                point.load()
            except Exception as error:  # noqa: BLE001 - a stranger's plugin may fail in any way; that is what is reported
                problem = f"{type(error).__name__}: {error}"
            origin = point.dist
            found.append(
                Listing(group, name, origin.name if origin else "?", origin.version if origin else "?", problem)
            )
    return found
