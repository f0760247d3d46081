"""CCKD_L: train on all labels, each sample weighted by the teacher's probability of its label.

    loss = mean_i p_T(y'_i|x_i) CE(p_S, y'_i)

Mishra & Sundaram 2021, "Confidence conditioned knowledge distillation", arXiv 2107.06993, with the pseudo-label in the
place of the true one.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pydantic import Field

from solo_hub.core.records import PseudoLabel
from solo_hub.selection.measures import Array, Mask
from solo_hub.selection.options import JudgesConfidence
from solo_hub.selection.verdicts import ByConfidence


class CckdLOptions(JudgesConfidence):
    """Options of `cckd_l`."""

    mean_one: bool = Field(
        False, description="Scale the weights to a mean of 1, so that the effective learning rate stays the same."
    )


def label_probabilities(labels: Sequence[PseudoLabel]) -> Array:
    """The teacher's probability of each label; its confidence for free text.

    Returns:
        `(labels,)`.
    """
    values = [
        label.confidence or 0.0
        if label.probabilities is None or label.option is None
        else label.probabilities[label.option]
        for label in labels
    ]
    return np.array(values, dtype=np.float64)


def scale_to_mean_one(weights: Array) -> Array:
    """Scale weights to a mean of 1; all-zero or empty weights are unchanged."""
    total = float(weights.sum())
    return weights * (len(weights) / total) if total > 0 else weights


class CckdL(ByConfidence[CckdLOptions]):
    """Keeps every label that has a confidence, weighted by the teacher's probability of it.

    Args:
        options: `mean_one` (default off); `without_confidence`.
        seed: Not used.

    Raises:
        ConfigError: An unknown option or a bad value.
    """

    name = "cckd_l"
    options_model = CckdLOptions

    def _decide(self, labels: list[PseudoLabel]) -> tuple[Mask, list[str], Array]:
        probabilities = label_probabilities(labels)
        weights = scale_to_mean_one(probabilities) if self.options.mean_one else probabilities
        reasons = [
            f"kept; its weight follows the teacher's probability of the label, {p:.3f}" for p in probabilities.tolist()
        ]
        return np.ones(len(labels), dtype=np.bool_), reasons, weights
