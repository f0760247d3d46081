"""FreeMatch: keep samples whose student confidence reaches a moving, class-adaptive threshold.

    time_t = m time_{t-1} + (1-m) mean_{i in B} max_y p_S(y|x_i)          both start at 1/C
    p_t    = m p_{t-1}    + (1-m) mean_{i in B} p_S(.|x_i)                (C,)
    keep_i = [max_y p_S(y|x_i) >= time_t p_t[y'_i] / max_y p_t[y]]        m = 0.999

Wang et al. 2023, arXiv 2205.07246, equations 5 to 7; y' is the teacher's label here (`threshold_class: student` takes
the student's own choice, as the original does). Where labels are option positions or texts: keep_i = [max p_S >=
time_t].
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from pydantic import Field

from solo_hub.core.settings import Section
from solo_hub.selection.measures import Array, Integers
from solo_hub.selection.options import Configured
from solo_hub.selection.steps import Reason, StepBatch, StepDecision, Stepwise, divisor, log_of
from solo_hub.selection.thresholds import Start, advanced, start_value


class FreeMatchOptions(Section):
    """Options of `freematch`."""

    momentum: float = Field(0.999, ge=0, lt=1, description="Momentum m of the moving averages.")
    start: float | Literal["uniform", "first_batch"] = Field(
        "uniform", description="Start of the averages: a number, uniform (1/C; 0 for texts), first_batch."
    )
    per_class: bool = Field(True, description="Class-specific thresholds; always off for option positions and texts.")
    threshold_class: Literal["label", "student"] = Field(
        "label", description="Class of the threshold: the teacher's label, or the student's prediction."
    )
    normalise: Literal["kept", "batch"] = Field(
        "batch", description="Divisor of the sum of losses: number kept, or batch size as in the original."
    )


def moved_expectation(average: Array | None, probabilities: Array, momentum: float, start: Start) -> Array:
    """Move the expected class probabilities `(C,)` by the batch's mean."""
    mean = probabilities.mean(axis=0)
    if average is None:
        value = start_value(start, probabilities.shape[1])
        average = mean if value is None else np.full(probabilities.shape[1], value)
    return np.asarray(momentum * average + (1 - momentum) * mean, dtype=np.float64)


def thresholds(time: float, expectation: Array, classes: Integers) -> Array:
    """Threshold of each sample by its class, `(B,)`: `time p[y] / max p`."""
    highest = float(expectation.max())
    return time * expectation[classes] / highest if highest > 0 else np.full(len(classes), time)


class FreeMatch(Configured[FreeMatchOptions], Stepwise):
    """Keeps samples by the student's confidence.

    Args:
        options: See `FreeMatchOptions`.
        seed: Not used: nothing is drawn.

    Raises:
        ConfigError: An unknown option or a bad value.
    """

    name = "freematch"
    options_model = FreeMatchOptions

    def __init__(self, options: Mapping[str, Any], seed: int) -> None:
        super().__init__(options, seed)
        self.time: float | None = None
        self.expectation: Array | None = None

    def step(self, batch: StepBatch) -> StepDecision:
        """Update the averages with the batch, then apply them.

        Raises:
            UsageError: The student's output is missing.
        """
        confidence = batch.confidence()
        if len(batch):
            self.time = advanced(self.time, confidence, self.options.momentum, self.options.start, batch.classes)
        time = self.time or 0.0
        cut = np.full(len(batch), time)
        if self.options.per_class and batch.by_class and batch.student_probabilities is not None and len(batch):
            probabilities = batch.student_probabilities
            self.expectation = moved_expectation(
                self.expectation, probabilities, self.options.momentum, self.options.start
            )
            own = self.options.threshold_class == "student"
            cut = thresholds(time, self.expectation, probabilities.argmax(axis=1) if own else batch.labels)
        keep = confidence >= cut - 1e-12  # the mean of equal numbers may differ from them in the last bit
        weight = keep.astype(np.float64)
        log = log_of(
            batch,
            keep,
            None,
            student_threshold=self.time,
            expectation=None if self.expectation is None else self.expectation.tolist(),
        )
        reasons = tuple(Reason.STUDENT_CONFIDENT if kept else Reason.STUDENT_UNCONFIDENT for kept in keep)
        return StepDecision(keep, weight, reasons, divisor(self.options.normalise, weight, keep), log)

    def state(self) -> dict[str, Any]:
        """The moving averages."""
        expectation = None if self.expectation is None else self.expectation.tolist()
        return {**super().state(), "time": self.time, "expectation": expectation}

    def load_state(self, state: dict[str, Any]) -> None:
        """Restore the moving averages.

        Raises:
            RunError: The state belongs to another method.
        """
        super().load_state(state)
        self.time = state["time"]
        self.expectation = None if state["expectation"] is None else np.array(state["expectation"], dtype=np.float64)
