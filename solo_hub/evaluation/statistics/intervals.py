"""Intervals, vectorised; every formula with its source.

Shares are 0..1. Everything random takes a seed and gives the same numbers for the same seed.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt

from solo_hub.evaluation.statistics.calibration import Values

Array = npt.NDArray[np.float64]

LEVEL = 0.95
_CELLS = 4_000_000  # random numbers drawn at once: about 32 MB


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate with its uncertainty.

    Attributes:
        value: The estimate.
        low: Lower end of the interval.
        high: Upper end of the interval.
        n: Number of observations behind it.
    """

    value: float
    low: float
    high: float
    n: int

    def to_row(self) -> dict[str, Any]:
        """Return it as JSON types."""
        return {"value": self.value, "low": self.low, "high": self.high, "n": self.n}


def _vector(values: Values, name: str = "values") -> Array:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1:
        raise ValueError(f"{name} must be one-dimensional, got shape {array.shape}")
    if array.size == 0:
        raise ValueError(f"{name} is empty: an estimate needs at least one observation")
    if not np.isfinite(array).all():
        raise ValueError(f"{name} holds NaN or infinite numbers")
    return array


def quantile(level: float) -> float:
    """Quantile of the normal distribution behind a two-sided level; 1.96 for 0.95."""
    if not 0 < level < 1:
        raise ValueError(f"level must lie between 0 and 1, got {level}")
    return NormalDist().inv_cdf(0.5 + level / 2)


def wilson(successes: int, n: int, level: float = LEVEL) -> Interval:
    """Interval for a share, by Wilson's score method.

    With p = successes / n and z the normal quantile:
    centre = (p + z²/2n) / (1 + z²/n), half width = z / (1 + z²/n) * sqrt(p(1-p)/n + z²/4n²).
    Unlike p ± z·sqrt(p(1-p)/n) it stays within 0..1 and has an honest width at 0 and n successes.

    Source: E. B. Wilson, Probable inference, the law of succession, and statistical inference, JASA 22 (1927);
    recommended by Brown, Cai, DasGupta, Interval estimation for a binomial proportion, Statistical Science 16 (2001).

    Args:
        successes: How many succeeded.
        n: Out of how many.
        level: Coverage.

    Raises:
        ValueError: No observations, or more successes than observations.
    """
    if n <= 0:
        raise ValueError("a share needs at least one observation, got n=0")
    if not 0 <= successes <= n:
        raise ValueError(f"successes must lie between 0 and n={n}, got {successes}")
    z = quantile(level)
    share = successes / n
    scale = 1 + z * z / n
    centre = (share + z * z / (2 * n)) / scale
    half = z / scale * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    # At 0 and n successes an end of the interval is the share itself; rounding must not push it past.
    return Interval(share, min(max(0.0, centre - half), share), max(min(1.0, centre + half), share), int(n))


def _resampled_means(rows: Array, resamples: int, seed: int) -> Array:
    """Means of bootstrap resamples of the rows of a table.

    The mean of a resample depends only on how often each *distinct* row was drawn, and those counts are multinomial. So
    where values repeat (right or wrong; eight combinations of three arms) a resample costs as many draws as there are
    distinct rows, not as many as there are questions: the same distribution, a thousand times faster.

    Args:
        rows: `(n, columns)`.
        resamples: Number of resamples.
        seed: Seed.

    Returns:
        `(resamples, columns)`.
    """
    if resamples < 1:
        raise ValueError(f"resamples must be at least 1, got {resamples}")
    n, columns = rows.shape
    distinct, counts = np.unique(rows, axis=0, return_counts=True)
    rng = np.random.default_rng(seed)
    means = np.empty((resamples, columns))
    by_counts = len(distinct) <= n // 4
    step = max(1, _CELLS // ((len(distinct) if by_counts else n) * columns))
    for start in range(0, resamples, step):
        size = min(step, resamples - start)
        if by_counts:
            drawn = rng.multinomial(n, counts / n, size=size)
            means[start : start + size] = drawn @ distinct / n
        else:
            means[start : start + size] = rows[rng.integers(0, n, size=(size, n))].mean(axis=1)
    return means


def _percentiles(samples: Array, level: float) -> tuple[float, float]:
    quantile(level)
    low, high = np.quantile(samples, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def bootstrap_mean(values: Values, resamples: int = 2000, seed: int = 0, level: float = LEVEL) -> Interval:
    """Interval for a mean, by the percentile bootstrap.

    Source: B. Efron, Bootstrap methods: another look at the jackknife, Annals of Statistics 7 (1979).

    Args:
        values: One number an item.
        resamples: Bootstrap resamples.
        seed: Seed of the resampling.
        level: Coverage.

    Raises:
        ValueError: No values, or NaN among them.
    """
    array = _vector(values)
    value = float(array.mean())
    low, high = _percentiles(_resampled_means(array[:, None], resamples, seed)[:, 0], level)
    return Interval(value, min(low, value), max(high, value), array.size)


def paired_bootstrap(
    first: Values, second: Values, resamples: int = 2000, seed: int = 0, *, level: float = LEVEL
) -> Interval:
    """Interval for the mean difference `first - second` of two arms on the same items.

    Items are resampled, so both arms keep their answers to the same question together: what is hard for both cancels,
    and the interval is narrower than one from two separate intervals.

    Source: B. Efron, R. Tibshirani, An Introduction to the Bootstrap (1993), ch. 8; for system comparison P. Koehn,
    Statistical significance tests for machine translation evaluation, EMNLP 2004.

    Args:
        first: One number an item.
        second: The other arm's numbers, aligned.
        resamples: Bootstrap resamples.
        seed: Seed of the resampling.
        level: Coverage.

    Raises:
        ValueError: No items, or arms of different length.
    """
    left, right = _vector(first, "first"), _vector(second, "second")
    if left.size != right.size:
        raise ValueError(f"paired arms must have equal length, got {left.size} and {right.size}")
    return bootstrap_mean(left - right, resamples, seed, level)


def gap_closed(
    base: Values, teacher: Values, student: Values, resamples: int = 2000, seed: int = 0, *, level: float = LEVEL
) -> Interval | None:
    """Share of the way from base to teacher that the student went: (student - base) / (teacher - base).

    The three arms answered the same questions, so questions are resampled and the ratio taken of each resample
    (percentile bootstrap of a ratio estimator, Efron and Tibshirani 1993, ch. 10). A ratio whose denominator may be
    zero has no bounded interval (E. C. Fieller, Some problems in interval estimation, JRSS B 16, 1954); there None is
    returned rather than a number that means nothing.

    Args:
        base: Right (1) or wrong (0), or any score, of the base on each question.
        teacher: The teacher's, aligned.
        student: The student's, aligned.
        resamples: Bootstrap resamples.
        seed: Seed of the resampling.
        level: Coverage.

    Returns:
        The ratio (below 0: the student fell behind its base; above 1: it passed its teacher), or None when the teacher
        is not above the base, or so little above it that more than (1 - level) / 2 of the resamples lose the gap.

    Raises:
        ValueError: No questions, or arms of different length.
    """
    columns = [_vector(base, "base"), _vector(teacher, "teacher"), _vector(student, "student")]
    if len({column.size for column in columns}) != 1:
        raise ValueError(f"arms must have equal length, got {[column.size for column in columns]}")
    rows = np.stack(columns, axis=1)
    from_base, from_teacher, from_student = rows.mean(axis=0)
    if from_teacher <= from_base:
        return None
    means = _resampled_means(rows, resamples, seed)
    gap, gain = means[:, 1] - means[:, 0], means[:, 2] - means[:, 0]
    open_gap = gap > 0
    if 1 - open_gap.mean() > (1 - level) / 2:
        return None
    value = float((from_student - from_base) / (from_teacher - from_base))
    low, high = _percentiles(gain[open_gap] / gap[open_gap], level)
    return Interval(value, min(low, value), max(high, value), len(rows))


def pool_seeds(scores: npt.ArrayLike, resamples: int = 2000, seed: int = 0, level: float = LEVEL) -> Interval:
    """Interval for a mean over several training seeds *and* over questions.

    Both are samples: another seed gives another student, other questions another score. Questions answered by every
    seed are one crossed table, so each resample draws seeds and questions, both with replacement, and takes the mean of
    the table they span. Averaging seeds first, or counting every answer as an observation of its own, gives intervals
    that are too narrow.

    Source: A. B. Owen, The pigeonhole bootstrap, Annals of Applied Statistics 1 (2007); for seeds, X. Bouthillier et
    al., Accounting for variance in machine learning benchmarks, MLSys 2021.

    Args:
        scores: `(seeds, questions)`; right (1) or wrong (0), a score, or a difference between two arms.
        resamples: Bootstrap resamples.
        seed: Seed of the resampling.
        level: Coverage.

    Returns:
        The interval; `n` counts the questions. One seed alone gives the interval over questions.

    Raises:
        ValueError: Not a table, an empty one, or NaN in it.
    """
    table = np.asarray(scores, dtype=np.float64)
    if table.ndim != 2 or not table.size:  # noqa: PLR2004 - a table
        raise ValueError(f"scores must be a filled table (seeds, questions), got shape {table.shape}")
    if not np.isfinite(table).all():
        raise ValueError("scores holds NaN or infinite numbers")
    seeds, questions = table.shape
    rng = np.random.default_rng(seed)
    seed_weights = rng.multinomial(seeds, np.full(seeds, 1 / seeds), size=resamples) / seeds
    means = np.empty(resamples)
    step = max(1, _CELLS // questions)
    for start in range(0, resamples, step):
        size = min(step, resamples - start)
        weights = rng.multinomial(questions, np.full(questions, 1 / questions), size=size) / questions
        means[start : start + size] = ((seed_weights[start : start + size] @ table) * weights).sum(axis=1)
    value = float(table.mean())
    low, high = _percentiles(means, level)
    return Interval(value, min(low, value), max(high, value), questions)


def bootstrap_statistic(
    statistic: Callable[[npt.NDArray[np.int64]], float],
    n: int,
    resamples: int = 2000,
    seed: int = 0,
    level: float = LEVEL,
) -> Interval:
    """Percentile interval for anything computed from `n` items that is no mean (macro F1, a correlation).

    Args:
        statistic: Called with the indices of a resample, `(n,)`.
        n: Number of items.
        resamples: Bootstrap resamples.
        seed: Seed of the resampling.
        level: Coverage.

    Raises:
        ValueError: No items.
    """
    if n < 1:
        raise ValueError("an estimate needs at least one observation")
    rng = np.random.default_rng(seed)
    value = float(statistic(np.arange(n)))
    low, high = _percentiles(np.array([statistic(rng.integers(0, n, n)) for _ in range(resamples)]), level)
    return Interval(value, min(low, value), max(high, value), n)
