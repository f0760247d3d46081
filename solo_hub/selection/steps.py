"""Selection inside training: input, output and state of per-step selectors.

The trainer draws a batch, scores it with the student (without gradients, if the selector needs the student), calls the
selector, and runs the backward pass on the kept samples only:

    decision = selector.step(StepBatch(...))
    loss = sum_{i kept} decision.weight[i] * CE(p_S(x_i), target_i) / decision.divisor

B is the whole batch of an optimiser step: with several processes or gradient accumulation, scores are gathered first,
so the selection does not depend on how a batch is split.

Shapes: B samples, C classes. A selector is created as `Selector(options, seed)`, like a static one; `select` runs
before training and drops only labels that the method can never evaluate.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import numpy as np
import numpy.typing as npt

from solo_hub.core.errors import ModelError, RunError, UsageError
from solo_hub.core.records import PseudoLabel, Selection, Verdict
from solo_hub.selection.measures import Array, Integers, Mask, normalised_entropy
from solo_hub.selection.options import JudgesConfidence
from solo_hub.selection.verdicts import judge


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
    """The input of a selector.

    Attributes:
        labels: `(B,)` class ids, or positions of the chosen options; any value for free text.
        teacher_confidence: `(B,)` 0..1, NaN if unknown.
        teacher_probabilities: `(B, C)`, or None.
        student_probabilities: `(B, C)`, or None for free text or a selector that does not need the student. Questions
            with fewer options than C are padded with zeros.
        classes_are_positions: Whether labels are shuffled option positions, which allow only global thresholds.
        choices: `(B,)` number of options of each question, if they differ.
        student_uncertainty: `(B,)` 0..1, for free text (the mean token entropy); computed from the probabilities
            otherwise.
        student_confidence: `(B,)` 0..1, for free text (mean of the highest token probability); else the highest
            probability.
        student_label_probability: `(B,)` 0..1, for free text (geometric mean of the label's token probabilities); else
            the probability of the label.

    Raises:
        UsageError: An array has the wrong shape, or a label is out of range.
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
                expected = f"({size},)" if dimensions == 1 else f"({size}, classes)"
                raise UsageError(f"StepBatch.{name} must have the shape {expected}, got {array.shape}.")
            object.__setattr__(self, name, array)
            if name.startswith("student_") and not np.isfinite(array).all():
                raise ModelError(
                    "the student's probabilities are not finite: training has diverged.",
                    hint="Lower student.learning_rate, or train in a higher precision.",
                )
        if self.classes and size and not (self.labels.min() >= 0 and self.labels.max() < self.classes):
            raise UsageError(f"StepBatch.labels must be between 0 and {self.classes - 1}.")

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def classes(self) -> int:
        """C, the number of classes or options; 0 for free text."""
        for probabilities in (self.student_probabilities, self.teacher_probabilities):
            if probabilities is not None:
                return int(probabilities.shape[1])
        return 0

    @property
    def by_class(self) -> bool:
        """Whether labels are classes, so that class-specific thresholds make sense."""
        return self.classes > 0 and not self.classes_are_positions

    @property
    def judged(self) -> Mask:
        """`(B,)` where the teacher gave a confidence."""
        return ~np.isnan(self.teacher_confidence)

    def uncertainty(self) -> Array:
        """The student's uncertainty u, `(B,)`, 0..1.

        Raises:
            UsageError: Neither probabilities nor uncertainties of the student were passed in.
        """
        if self.student_uncertainty is not None:
            return self.student_uncertainty
        return normalised_entropy(self._student("student_uncertainty"), self.choices)

    def confidence(self) -> Array:
        """The student's own highest probability, `(B,)`, 0..1.

        Raises:
            UsageError: Neither probabilities nor confidences of the student were passed in.
        """
        if self.student_confidence is not None:
            return self.student_confidence
        return np.asarray(self._student("student_confidence").max(axis=1, initial=0.0), dtype=np.float64)

    def label_probability(self) -> Array:
        """The student's probability of the label, `(B,)`, 0..1.

        Raises:
            UsageError: Neither the student's probabilities nor those of the labels were passed in.
        """
        if self.student_label_probability is not None:
            return self.student_label_probability
        return np.asarray(
            self._student("student_label_probability")[np.arange(len(self)), self.labels], dtype=np.float64
        )

    def _student(self, alternative: str) -> Array:
        if self.student_probabilities is None:
            raise UsageError(f"This selector needs the student: pass student_probabilities or {alternative}.")
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
    """The selector's decision on a batch.

    Attributes:
        keep: `(B,)` whether the sample is trained on.
        weight: `(B,)` weight of its loss term, 0 if dropped.
        reasons: B reasons.
        divisor: Positive divisor of the weighted sum of losses.
        log: JSON values: `batch`, `kept`, `kept_share`, `mean_confidence`, `mean_uncertainty` (None where unknown),
            thresholds.
        targets: `(B, C)` target distributions instead of the labels, or None.
    """

    keep: Mask
    weight: Array
    reasons: tuple[Reason, ...]
    divisor: float
    log: dict[str, Any] = field(default_factory=dict)
    targets: Array | None = None


class Stepwise:
    """Base of per-step selectors (`core.plugins.StepSelector`); a method adds `step` and its own state.

    Attributes:
        name: The plugin's name.
        options: Its options; those of a method that needs the teacher's confidence are a `JudgesConfidence`.
        needs_student: Whether the batch must include the student's output.
        gives_targets: Whether the method returns `StepDecision.targets` for fixed classes: an objective that cannot
            train on them is refused before training.
    """

    name: str
    options: Any
    needs_student = True
    gives_targets = False

    def select(self, labels: Sequence[PseudoLabel]) -> Selection:
        """Before training: keep all labels that the method can evaluate at its steps.

        Raises:
            InputError: Labels have no confidence, the method needs it, and `without_confidence` is `refuse`.
        """
        reason = "kept for training, where it is judged anew at every step"
        if isinstance(self.options, JudgesConfidence):
            return judge(
                self.name,
                labels,
                self.options.without_confidence,
                lambda known: (np.ones(len(known), dtype=np.bool_), [reason] * len(known), np.ones(len(known))),
            )
        return Selection(
            self.name, tuple(Verdict(label.question_id, True, reason, label.confidence) for label in labels)
        )

    def state(self) -> dict[str, Any]:
        """Name of the method; methods with state add it."""
        return {"method": self.name}

    def load_state(self, state: dict[str, Any]) -> None:
        """Check that the state is of this method.

        Raises:
            RunError: It belongs to another method.
        """
        if state.get("method") != self.name:
            raise RunError(
                f"the training checkpoint was selected by '{state.get('method')}', but this run uses '{self.name}'.",
                hint="Resume with the same selection.method, or use another folder with --run DIR.",
            )


def divisor(normalise: str, weight: Array, keep: Mask) -> float:
    """Divisor of the weighted sum of losses.

    Args:
        normalise: `kept` = number kept (the mean over kept), `batch` = B (fewer kept samples give a smaller step),
            `weight` = sum of the weights (a weighted mean).
        weight: `(B,)`, 0 where dropped.
        keep: `(B,)`.

    Returns:
        A positive number; 1.0 if nothing is kept.
    """
    value = {"kept": float(keep.sum()), "batch": float(len(keep)), "weight": float(weight.sum())}[normalise]
    return value if value > 0 else 1.0


def log_of(
    batch: StepBatch, keep: Mask, uncertainty: npt.NDArray[np.float64] | None, **thresholds: Any
) -> dict[str, Any]:
    """The log entry of a step, common to all methods, with thresholds; unknown means are None."""
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
