"""Whether a difference is more than chance: tests, and their correction where several are made at once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from solo_hub.evaluation.statistics import intervals

PRIMARY = "student_vs_base"
"""The primary endpoint of a run, declared beforehand: whether the student is better than its base.

It alone is judged by its own p-value; all other comparisons are judged by p-values corrected for their number.
"""


def mcnemar_exact(only_first: int, only_second: int) -> float:
    """Two-sided p-value that two arms are equally often right, from the items on which they disagree.

    Under the null hypothesis each disagreement falls on either side like a fair coin:
    p = min(1, 2 * P[Binomial(only_first + only_second, 1/2) <= min(only_first, only_second)]).

    Source: Q. McNemar, Note on the sampling error of the difference between correlated proportions, Psychometrika 12
    (1947), in its exact binomial form; for classifiers T. Dietterich, Neural Computation 10 (1998).

    Args:
        only_first: Items only the first arm got right.
        only_second: Items only the second arm got right.

    Returns:
        The p-value; 1.0 when the arms never disagree.
    """
    if only_first + only_second == 0:
        return 1.0
    from scipy import stats

    return float(stats.binomtest(only_first, only_first + only_second).pvalue)


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjust p-values of several comparisons so that the chance of any false claim stays at the level.

    Sorted ascending, the i-th of m (i from 0) is multiplied by m - i; then each is at least its predecessor and at most
    1.

    Source: S. Holm, A simple sequentially rejective multiple test procedure, Scand. J. Statistics 6 (1979).

    Args:
        p_values: Any order; may be empty.

    Returns:
        Adjusted p-values in the order given.
    """
    array = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(array, kind="stable")
    adjusted = np.minimum(1.0, np.maximum.accumulate(array[order] * np.arange(array.size, 0, -1)))
    result = np.empty_like(adjusted)
    result[order] = adjusted
    return [float(p) for p in result]


def add_holm(pairs: Iterable[dict[str, Any]]) -> None:
    """Add `p_value_holm`, corrected for all of these comparisons, to the rows of `paired`."""
    rows = list(pairs)
    for row, adjusted in zip(rows, holm([row["p_value"] for row in rows]), strict=True):
        row["p_value_holm"] = adjusted


def paired(first: intervals.Array, second: intervals.Array) -> dict[str, Any]:
    """Compare two arms on the same questions.

    Args:
        first: Right (1) or wrong (0), `(questions,)`.
        second: The same of the other arm, aligned.

    Returns:
        `n`, `only_first`, `only_second` (questions only that arm got right), `difference` (first minus second, with the
        interval that agrees with the test), `p_value`, `test`.
    """
    only_first, only_second = int((first > second).sum()), int((second > first).sum())
    return {
        "n": len(first),
        "only_first": only_first,
        "only_second": only_second,
        "difference": intervals.paired_difference(only_first, only_second, len(first)).to_row(),
        "p_value": mcnemar_exact(only_first, only_second),
        "test": "mcnemar_exact",
    }
