"""How far a confidence can be trusted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from solo_hub.core.rows import Record

Values = Sequence[float] | Sequence[bool] | npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Bin(Record):
    """One bar of a reliability diagram.

    Attributes:
        low: Lower edge of the confidences in it (exclusive, but for the first bin).
        high: Upper edge (inclusive).
        n: How many fell in.
        confidence: Their mean confidence, or None for an empty bin.
        accuracy: The share of them that was right, or None.
    """

    low: float
    high: float
    n: int
    confidence: float | None
    accuracy: float | None


def reliability(confidences: Values, correct: Values, bins: int = 10) -> list[Bin]:
    """Sort confidences into bins of equal width and compare with how often they were right.

    Args:
        confidences: 0..1, one an item; may be empty.
        correct: Right (1) or wrong (0), aligned.
        bins: Number of bins over 0..1.
    """
    trust, right = np.asarray(confidences, dtype=np.float64), np.asarray(correct, dtype=np.float64)
    edges = np.linspace(0, 1, bins + 1)
    place = np.clip(np.searchsorted(edges, trust, side="left") - 1, 0, bins - 1)
    n = np.bincount(place, minlength=bins)
    trusted, hits = np.bincount(place, trust, bins), np.bincount(place, right, bins)
    return [
        Bin(
            float(edges[i]),
            float(edges[i + 1]),
            int(n[i]),
            float(trusted[i] / n[i]) if n[i] else None,
            float(hits[i] / n[i]) if n[i] else None,
        )
        for i in range(bins)
    ]


def expected_calibration_error(confidences: Values, correct: Values, bins: int = 10) -> float:
    """How far confidence and accuracy lie apart, on average over the items.

    ECE = sum over bins of (n_bin / n) * |accuracy_bin - confidence_bin|, bins of equal width. It is biased upwards for
    few items: a perfectly calibrated model does not get 0.

    Source: M. P. Naeini, G. Cooper, M. Hauskrecht, Obtaining well calibrated probabilities using Bayesian binning, AAAI
    2015; C. Guo et al., On calibration of modern neural networks, ICML 2017, eq. 3.

    Args:
        confidences: 0..1, one an item, at least one.
        correct: Right (1) or wrong (0), aligned.
        bins: Number of bins over 0..1.
    """
    total = len(confidences)
    filled = [bar for bar in reliability(confidences, correct, bins) if bar.n]
    return sum(bar.n / total * abs((bar.accuracy or 0.0) - (bar.confidence or 0.0)) for bar in filled)
