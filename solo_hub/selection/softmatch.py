"""SoftMatch: train on all samples, weighted by how far the student's confidence is below its mean.

    mu_t  = m mu_{t-1}  + (1-m) mean_{i in B} max_y p_S(y|x_i)            starts at 1/C
    var_t = m var_{t-1} + (1-m) var_{i in B} max_y p_S(y|x_i)             unbiased; starts at 1
    w_i   = exp(-min(max_y p_S(y|x_i) - mu_t, 0)^2 / (2 var_t / n^2))     n = 2, m = 0.999

Chen et al. 2023, arXiv 2301.10921 (the truncated Gaussian with a maximum weight of 1).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from pydantic import Field

from solo_hub.core.settings import Section
from solo_hub.selection.measures import Array
from solo_hub.selection.options import Configured
from solo_hub.selection.steps import Reason, StepBatch, StepDecision, Stepwise, divisor, log_of
from solo_hub.selection.thresholds import advanced, moved


class SoftMatchOptions(Section):
    """Options of `softmatch`."""

    momentum: float = Field(0.999, ge=0, lt=1, description="Momentum m of mean and variance.")
    start_mean: float | Literal["uniform", "first_batch"] = Field(
        "uniform", description="Start of the mean: a number, uniform (1/C; 0 for texts), first_batch."
    )
    start_variance: float = Field(1.0, gt=0, description="Start of the variance.")
    sigmas: float = Field(
        2.0, gt=0, description="n: the variance is divided by n squared, so larger values are stricter."
    )
    normalise: Literal["kept", "batch", "weight"] = Field(
        "batch", description="Divisor of the sum of losses; the original divides by the batch size."
    )


def gaussian_weights(confidence: Array, mean: float, variance: float, sigmas: float) -> Array:
    """Weight of each sample, `(B,)`: 1 at and above the mean, falling as a Gaussian below it."""
    below = np.minimum(confidence - mean, 0.0)
    if variance <= 0:
        return (below >= 0).astype(np.float64)
    return np.asarray(np.exp(-(below**2) / (2 * variance / sigmas**2)), dtype=np.float64)


class SoftMatch(Configured[SoftMatchOptions], Stepwise):
    """Weights samples by the student's confidence.

    Args:
        options: See `SoftMatchOptions`.
        seed: Not used: nothing is drawn.

    Raises:
        ConfigError: An unknown option or a bad value.
    """

    name = "softmatch"
    options_model = SoftMatchOptions

    def __init__(self, options: Mapping[str, Any], seed: int) -> None:
        super().__init__(options, seed)
        self.mean: float | None = None
        self.variance = self.options.start_variance

    def step(self, batch: StepBatch) -> StepDecision:
        """Update mean and variance with the batch, then weight it; a single sample updates only the mean.

        Raises:
            UsageError: The student's output is missing.
        """
        confidence = batch.confidence()
        momentum = self.options.momentum
        if len(batch):
            self.mean = advanced(self.mean, confidence, momentum, self.options.start_mean, batch.classes)
        if len(batch) > 1:
            self.variance = moved(self.variance, float(confidence.var(ddof=1)), momentum)
        weight = gaussian_weights(confidence, self.mean or 0.0, self.variance, self.options.sigmas)
        keep = weight > 0
        reasons = tuple(Reason.WEIGHTED if kept else Reason.STUDENT_UNCONFIDENT for kept in keep)
        mean_weight = float(weight.mean()) if len(batch) else None
        log = log_of(batch, keep, None, mean=self.mean, variance=self.variance, mean_weight=mean_weight)
        return StepDecision(keep, weight, reasons, divisor(self.options.normalise, weight, keep), log)

    def state(self) -> dict[str, Any]:
        """Mean and variance."""
        return {**super().state(), "mean": self.mean, "variance": self.variance}

    def load_state(self, state: dict[str, Any]) -> None:
        """Restore mean and variance.

        Raises:
            RunError: The state belongs to another method.
        """
        super().load_state(state)
        self.mean, self.variance = state["mean"], state["variance"]
