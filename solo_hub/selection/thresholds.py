"""A moving, class-adaptive threshold: FreeMatch's idea, used twice by LLKD.

    tau_t    = m tau_{t-1}    + (1-m) mean_{i in B} v_i                     global
    rho_t(y) = m rho_{t-1}(y) + (1-m) mean_{i in B, y'_i = y} v_i           per class; unchanged if absent
    tau_t(y) = tau_t rho_t(y) / max_y rho_t(y)                              final threshold of class y

Wang et al. 2023, "FreeMatch", arXiv 2205.07246, equations 5 to 7, with the mean of a class in place of the expected
probability; our interpretation of LLKD (arXiv 2411.08028). The maximum is over classes seen so far: otherwise the start
value of a class that never occurs would lower the thresholds of all others.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from solo_hub.core.errors import RunError
from solo_hub.selection.measures import Array, Integers

Start = float | Literal["uniform", "first_batch"]


def moved(average: float, value: float, momentum: float) -> float:
    """One step of an exponential moving average: `m average + (1-m) value`."""
    return momentum * average + (1 - momentum) * value


def class_means(values: Array, labels: Integers, classes: int) -> Array:
    """Mean of the values of each class, `(C,)`; NaN for a class that is absent."""
    counts = np.bincount(labels, minlength=classes)
    sums = np.bincount(labels, weights=values, minlength=classes)
    return np.asarray(np.where(counts > 0, sums / np.maximum(counts, 1), np.nan), dtype=np.float64)


def class_thresholds(overall: float, averages: Array) -> Array:
    """Final thresholds `tau rho(y) / max_y rho(y)`, `(C,)`; NaN for a class not seen yet.

    The class with the highest average gets the global threshold, the others a lower one.
    """
    highest = float(np.nanmax(averages, initial=0.0))
    return averages * (overall / highest) if highest > 0 else np.where(np.isnan(averages), np.nan, overall)


def start_value(start: Start, classes: int) -> float | None:
    """Start of an average: a number, `1/C` for `uniform` (0 when there are no classes), None for `first_batch`."""
    if start == "uniform":
        return 1.0 / classes if classes else 0.0
    return None if start == "first_batch" else start


def advanced(average: float | None, values: Array, momentum: float, start: Start, classes: int) -> float:
    """A moving average after the mean of a batch's values; before the first batch it is at its start."""
    before, mean = start_value(start, classes) if average is None else average, float(values.mean())
    return mean if before is None else moved(before, mean, momentum)


class MovingThreshold:
    """The pair (global, per class) of moving averages of one score.

    Args:
        momentum: m, 0..1; 0 uses the current batch only.
        start: Start of the averages: a number, `uniform` (1/C), or `first_batch` (the first mean seen, so there is no
            arbitrary start value to forget).
    """

    def __init__(self, momentum: float, start: Start) -> None:
        self.momentum = momentum
        self.start = start
        self.overall: float | None = None
        self.averages: Array = np.empty(0)

    def update(self, values: Array, labels: Integers, classes: int) -> None:
        """Update the averages with a batch.

        Args:
            values: `(B,)` scores; empty changes nothing.
            labels: `(B,)` class ids.
            classes: C; 0 keeps the global average only.

        Raises:
            RunError: The number of classes has changed.
        """
        if not len(values):
            return
        self.overall = advanced(self.overall, values, self.momentum, self.start, classes)
        if not classes:
            return
        if not len(self.averages):
            self.averages = np.full(classes, np.nan)
        if len(self.averages) != classes:
            raise RunError(f"the thresholds have {len(self.averages)} classes, but this batch has {classes}.")
        means, start = class_means(values, labels, classes), start_value(self.start, classes)
        base = np.where(np.isnan(self.averages), means if start is None else start, self.averages)
        self.averages = np.where(np.isnan(means), self.averages, self.momentum * base + (1 - self.momentum) * means)

    def thresholds_of(self, labels: Integers, *, by_class: bool) -> Array:
        """The threshold of each sample, `(B,)`: its class's, or the global one."""
        overall = 0.0 if self.overall is None else self.overall
        if not by_class or not len(self.averages):
            return np.full(len(labels), overall)
        own = class_thresholds(overall, self.averages)[labels]
        return np.where(np.isnan(own), overall, own)

    def report(self) -> tuple[float | None, list[float | None] | None]:
        """The global threshold and those of the classes (None for one not seen), as JSON types."""
        if self.overall is None or not len(self.averages):
            return self.overall, None
        return self.overall, _plain(class_thresholds(self.overall, self.averages))

    def state(self) -> dict[str, Any]:
        """The averages as JSON types; floats survive exactly."""
        return {"overall": self.overall, "averages": _plain(self.averages)}

    def load_state(self, state: dict[str, Any]) -> None:
        """Restore averages written by `state`."""
        self.overall = state["overall"]
        self.averages = np.array([np.nan if v is None else v for v in state["averages"]], dtype=np.float64)


def _plain(values: Array) -> list[float | None]:
    return [None if np.isnan(value) else float(value) for value in values]
