"""Selection inside training: what a per-step selector is given, what it answers, and how it is resumed.

The trainer draws a batch, lets the student score it (without gradients, when the selector needs the student), asks the
selector, and runs the backward pass on the kept samples only:

    decision = selector.step(StepBatch(...))
    loss = sum_{i kept} decision.weight[i] * CE(p_S(x_i), target_i) / decision.divisor

B is the whole batch of an optimiser step: over several processes, or with gradient accumulation, scores are gathered
first, so that what is selected does not depend on how a batch is split.

Shapes: B samples, C classes. A selector is made as `Selector(options, seed)`, like a static one; `select` runs ahead
of training and leaves out only the labels the method could never judge.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from solo_hub.core.errors import ModelError, RunError, UsageError
from solo_hub.core.records import PseudoLabel, Selection, Verdict
from solo_hub.selection.measures import Array, Integers, Mask, normalised_entropy
from solo_hub.selection.options import WithoutConfidence
from solo_hub.selection.verdicts import confidences, judge


class Reason(StrEnum):
    """Why a sample was kept or dropped at a step, as a phrase."""

    EVERYTHING = "every label is learnt from"
    USEFUL = "the teacher is confident and the student uncertain"
    TEACHER_UNSURE = "the teacher is less confident than its threshold"
    STUDENT_SURE = "the student is already more certain than its threshold"
    NEITHER = "the teacher is unsure and the student certain"
    STUDENT_CONFIDENT = "the student is confident enough"
    STUDENT_UNCONFIDENT = "the student is less confident than its threshold"
    WEIGHTED = "learnt from, with a weight"
    MOST_UNCERTAIN = "among the samples the student is most uncertain of"
    LESS_UNCERTAIN = "not among the samples the student is most uncertain of"
    NOT_YET_KNOWN = "the student is less sure of the label than the teacher"
    ALREADY_KNOWN = "the student is already as sure of the label as the teacher"
    DRAWN = "drawn at random"
    NOT_DRAWN = "not drawn"
    UNJUDGED_KEPT = "no teacher confidence to judge by; kept as set"
    UNJUDGED_DROPPED = "no teacher confidence to judge by; dropped as set"


@dataclass(frozen=True, slots=True, eq=False)
class StepBatch:
    """What a selector may look at.

    Attributes:
        labels: `(B,)` class ids, or positions of the chosen options; any value for free text.
        teacher_confidence: `(B,)` 0..1, NaN where the teacher gave none.
        teacher_probabilities: `(B, C)`, or None.
        student_probabilities: `(B, C)`, or None for free text or a selector that does not need the student. Questions
            with fewer options than C are padded with zeros.
        classes_are_positions: Whether labels are shuffled option positions: then only global thresholds have a meaning.
        choices: `(B,)` number of options of each question, where they differ.
        student_uncertainty: `(B,)` 0..1, for free text (the mean token entropy); computed from the probabilities
            otherwise.
        student_confidence: `(B,)` 0..1, for free text (mean of the highest token probability); else the highest
            probability.
        student_label_probability: `(B,)` 0..1, for free text (geometric mean of the label's token probabilities); else
            the probability of the label.

    Raises:
        UsageError: An array has another shape, or a label is none of the C.
        ModelError: The student's output is not finite.
    """

    labels: Integers
    teacher_confidence: Array
    teacher_probabilities: Array | None = None
    student_probabilities: Array | None = None
    classes_are_positions: bool = False
    choices: Integers | None = None
    student_uncertainty: Array | None = None
    student_confidence: Array | None = None
    student_label_probability: Array | None = None

    def __post_init__(self) -> None:
        size = len(self.labels)
        for name, dimensions in _ARRAYS.items():
            value = getattr(self, name)
            if value is None:
                continue
            array = np.asarray(value, dtype=_KINDS.get(name, np.float64))
            if array.ndim != dimensions or len(array) != size:
                wanted = f"({size},)" if dimensions == 1 else f"({size}, classes)"
                raise UsageError(f"StepBatch.{name} must have the shape {wanted}, got {array.shape}.")
            object.__setattr__(self, name, array)
            if name.startswith("student_") and not np.isfinite(array).all():
                raise ModelError(
                    "the student's probabilities are not finite numbers: its training has diverged.",
                    hint="Lower student.learning_rate, or train in a higher precision.",
                )
        if self.classes and size and not (self.labels.min() >= 0 and self.labels.max() < self.classes):
            raise UsageError(f"StepBatch.labels must lie from 0 to {self.classes - 1}.")

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def classes(self) -> int:
        """C: how many classes or options there are; 0 for free text."""
        for probabilities in (self.student_probabilities, self.teacher_probabilities):
            if probabilities is not None:
                return int(probabilities.shape[1])
        return 0

    @property
    def by_class(self) -> bool:
        """Whether labels are classes, so that thresholds per class have a meaning."""
        return self.classes > 0 and not self.classes_are_positions

    @property
    def judged(self) -> Mask:
        """`(B,)` where the teacher gave a confidence."""
        return ~np.isnan(self.teacher_confidence)

    def uncertainty(self) -> Array:
        """The student's uncertainty u, `(B,)`, 0..1.

        Raises:
            UsageError: Neither probabilities nor uncertainties of the student were handed in.
        """
        if self.student_uncertainty is not None:
            return self.student_uncertainty
        return normalised_entropy(self._student("student_uncertainty"), self.choices)

    def confidence(self) -> Array:
        """The student's own highest probability, `(B,)`, 0..1.

        Raises:
            UsageError: Neither probabilities nor confidences of the student were handed in.
        """
        if self.student_confidence is not None:
            return self.student_confidence
        return np.asarray(self._student("student_confidence").max(axis=1, initial=0.0), dtype=np.float64)

    def label_probability(self) -> Array:
        """The student's probability of the label, `(B,)`, 0..1.

        Raises:
            UsageError: Neither the student's probabilities nor those of the labels were handed in.
        """
        if self.student_label_probability is not None:
            return self.student_label_probability
        return np.asarray(
            self._student("student_label_probability")[np.arange(len(self)), self.labels], dtype=np.float64
        )

    def _student(self, alternative: str) -> Array:
        if self.student_probabilities is None:
            raise UsageError(f"This selector looks at the student: hand in student_probabilities or {alternative}.")
        return self.student_probabilities


_KINDS = {"labels": np.int64, "choices": np.int64}
_ARRAYS = {
    "labels": 1,
    "teacher_confidence": 1,
    "teacher_probabilities": 2,
    "student_probabilities": 2,
    "choices": 1,
    "student_uncertainty": 1,
    "student_confidence": 1,
    "student_label_probability": 1,
}


@dataclass(frozen=True, slots=True, eq=False)
class StepDecision:
    """What to learn from this batch.

    Attributes:
        keep: `(B,)` whether the sample is learnt from.
        weight: `(B,)` weight of its loss term, 0 where it is dropped.
        reasons: B reasons.
        divisor: What the weighted sum of losses is divided by; positive.
        log: JSON values: `batch`, `kept`, `kept_share`, `mean_confidence`, `mean_uncertainty` (None where unknown),
            thresholds.
        targets: `(B, C)` distributions to learn instead of the labels, or None.
    """

    keep: Mask
    weight: Array
    reasons: tuple[Reason, ...]
    divisor: float
    log: dict[str, Any] = field(default_factory=dict)
    targets: Array | None = None


@runtime_checkable
class StepSelector(Protocol):
    """Decides at every training step which samples of the batch are learnt from."""

    needs_student: bool
    """Whether the batch must carry the student's output.

    One that answers with `StepDecision.targets` for fixed classes may have an attribute `gives_targets = True` besides:
    an objective that cannot learn them is then refused before the training begins.
    """

    def step(self, batch: StepBatch) -> StepDecision:
        """Judge a batch and move what is moving; called once a batch, in training order."""
        ...

    def state(self) -> dict[str, Any]:
        """Everything needed to go on exactly from here, as JSON types."""
        ...

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from a state that `state` returned."""
        ...


class Stepwise:
    """What the per-step selectors share; a method adds `step`, and its own part of the state."""

    name: str
    needs_student = True
    needs_confidence = False

    def without_confidence(self) -> WithoutConfidence:
        """What becomes of labels without a confidence, for methods that need one."""
        return "keep"

    def select(self, labels: Sequence[PseudoLabel]) -> Selection:
        """Ahead of training: keep all that the method can judge later; it decides at every step of training.

        Raises:
            InputError: Labels have no confidence, the method needs it, and `without_confidence` is `refuse`.
        """
        reason = "kept for training, where it is judged anew at every step"
        if self.needs_confidence:
            return judge(
                self.name,
                labels,
                self.without_confidence(),
                lambda known: (np.ones(len(known), dtype=np.bool_), [reason] * len(known), np.ones(len(known))),
            )
        confidences(labels)  # refuses what is no probability
        return Selection(
            self.name, tuple(Verdict(label.question_id, True, reason, label.confidence) for label in labels)
        )

    def state(self) -> dict[str, Any]:
        """Name of the method; those that move add what moves."""
        return {"method": self.name}

    def load_state(self, state: dict[str, Any]) -> None:
        """Check that the state is of this method.

        Raises:
            RunError: It is another method's.
        """
        if state.get("method") != self.name:
            raise RunError(
                f"the training checkpoint was selected by '{state.get('method')}', this run selects by '{self.name}'.",
                hint="Resume with the same selection.method, or start in another folder with --run DIR.",
            )


def divisor(normalise: str, weight: Array, keep: Mask) -> float:
    """What the weighted sum of losses is divided by.

    Args:
        normalise: `kept` = number kept (the mean over kept), `batch` = B (a small kept share takes a small step),
            `weight` = sum of the weights (a weighted mean).
        weight: `(B,)`, 0 where dropped.
        keep: `(B,)`.

    Returns:
        A positive number: 1.0 where nothing is kept.
    """
    value = {"kept": float(keep.sum()), "batch": float(len(keep)), "weight": float(weight.sum())}[normalise]
    return value if value > 0 else 1.0


def log_of(
    batch: StepBatch, keep: Mask, uncertainty: npt.NDArray[np.float64] | None, **thresholds: Any
) -> dict[str, Any]:
    """What every method logs of a step, and its thresholds; means are None where nothing is known."""
    return {
        "batch": len(batch),
        "kept": int(keep.sum()),
        "kept_share": float(keep.mean()) if len(batch) else 0.0,
        "mean_confidence": mean_or_none(batch.teacher_confidence[batch.judged]),
        "mean_uncertainty": None if uncertainty is None else mean_or_none(uncertainty),
        **thresholds,
    }


def mean_or_none(values: Array) -> float | None:
    """Mean as a JSON number; None for no values."""
    mean = float(values.mean()) if len(values) else math.nan
    return mean if math.isfinite(mean) else None
