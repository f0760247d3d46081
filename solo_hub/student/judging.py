"""Selection at every step of training: what the selector is shown, and what becomes of its decision."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from solo_hub.errors import ConfigError
from solo_hub.models.answering import choose
from solo_hub.plugins import StepSelector
from solo_hub.prompts import PromptBuilder
from solo_hub.records import Example
from solo_hub.run import write_text

if TYPE_CHECKING:
    from solo_hub.models.causal import CausalEngine

Array = npt.NDArray[Any]


class Judge:
    """A per-step selector with what it looks at: the teacher's confidence and the student as it is at this step.

    Args:
        engine: The student, its adapter on.
        builder: Makes the closed-book prompts.
        examples: All examples.
        style: Scoring style.
        selector: Decides.
        batch_of: Makes what the selector is shown, by the names of `selection.steps.StepBatch`.

    Raises:
        ConfigError: The selector looks at the student's option probabilities, and there are questions without options.
    """

    FILE = "selector.json"

    def __init__(
        self,
        engine: CausalEngine,
        builder: PromptBuilder,
        examples: Sequence[Example],
        style: str,
        selector: StepSelector,
        batch_of: Callable[..., Any],
    ) -> None:
        self.engine, self.builder, self.examples, self.style, self.selector = engine, builder, examples, style, selector
        self.batch_of = batch_of
        self.log: list[dict[str, Any]] = []
        if selector.needs_student and not all(example.question.options for example in examples):
            raise ConfigError(
                "This selection method looks at the student's probability of every option, and some questions "
                "have no options.",
                hint="For free text choose selection.method=all, random or confidence.",
            )
        self.widest = max(len(example.question.options) for example in examples)

    def decide(self, indices: Sequence[int]) -> tuple[Array, Array, float]:
        """Judge a batch: what is kept `(B,)`, its weights `(B,)`, and what the weighted mean is to be multiplied by."""
        some = [self.examples[i] for i in indices]
        student = self._student(some) if self.selector.needs_student else None
        decision = self.selector.step(self._batch(some, student))
        # which they were, so that the labels learnt from can be looked at afterwards; places among the examples
        some_kept = [int(i) for i, keep in zip(indices, decision.keep, strict=True) if keep]
        self.log.append({**decision.log, "examples": [int(i) for i in indices], "kept_examples": some_kept})
        return decision.keep, decision.weight, float(decision.weight.sum()) / decision.divisor

    def _batch(self, some: Sequence[Example], student: Array | None) -> Any:
        teacher = [example.label.probabilities for example in some]
        known = all(row is not None for row in teacher)
        return self.batch_of(
            labels=np.array([example.label.option or 0 for example in some]),
            teacher_confidence=np.array([np.nan if e.label.confidence is None else e.label.confidence for e in some]),
            teacher_probabilities=self._pad([row for row in teacher if row is not None]) if known else None,
            student_probabilities=student,
            classes_are_positions=True,
            choices=np.array([len(example.question.options) for example in some]),
        )

    def _student(self, some: Sequence[Example]) -> Array:
        questions = [example.question for example in some]
        model = self.engine.model
        training = model.training
        model.eval()  # uncertainty of the student, not of its dropout
        answers = choose(
            self.engine, self.builder, questions, [self.builder.ask(q, self.style) for q in questions], self.style
        )
        model.train(training)
        return self._pad([answer.probabilities or () for answer in answers])

    def _pad(self, rows: Sequence[Sequence[float]]) -> Array:
        return np.array([[*row, *[0.0] * (self.widest - len(row))] for row in rows])

    def save(self, folder: Path) -> None:
        """Write the selector's state beside a checkpoint."""
        write_text(folder / self.FILE, json.dumps({"state": self.selector.state(), "log": self.log}))

    def load(self, folder: Path) -> None:
        """Go on from the state beside a checkpoint."""
        row = json.loads((folder / self.FILE).read_text("utf-8"))
        self.selector.load_state(row["state"])
        self.log = row["log"]
