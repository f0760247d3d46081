"""Intervals, vectorised; every formula with its source.

Shares are 0..1. Everything random takes a seed and gives the same numbers for the same seed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from solo_hub.core.rows import Record
from solo_hub.evaluation.statistics.calibration import Values

Array = npt.NDArray[np.float64]

LEVEL = 0.95
_CELLS = 4_000_000  # random numbers drawn at once: about 32 MB
_ANGLES = 181  # ways to split the imprecision of a product: ten times as many move no end by 0.0001 points


@dataclass(frozen=True, slots=True)
class Interval(Record):
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


def _around(value: float, low: float, high: float, n: int) -> Interval:
    """An interval that holds its value: rounding, or a skewed resampling, must not push an end past it."""
    return Interval(value, min(float(low), value), max(float(high), value), int(n))


def quantile(level: float) -> float:
    """Quantile of the normal distribution behind a two-sided level; 1.96 for 0.95."""
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
        n: Out of how many, at least one.
        level: Coverage.
    """
    from scipy import stats

    low, high = stats.binomtest(int(successes), int(n)).proportion_ci(level, method="wilson")
    return _around(successes / n, low, high, n)


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
    """
    array = np.asarray(values, dtype=np.float64)
    ends = _percentiles(_resampled_means(array[:, None], resamples, seed)[:, 0], level)
    return _around(float(array.mean()), *ends, array.size)


def paired_difference(only_first: int, only_second: int, n: int, level: float = LEVEL) -> Interval:
    """Interval for the difference of two shares, `first - second`, of two arms that answered the same questions.

    It agrees with McNemar's exact test: it excludes 0 exactly when that test's p-value is below 1 - level. The
    difference is a product, d = (2t - 1) * s, of two shares that are estimated independently: s, the questions on which
    exactly one arm is right (out of n), and t, those of them on which it is the first. McNemar's test asks whether
    t = 1/2, so t has the interval that inverts it, Clopper and Pearson's; s has Wilson's. Both are combined by
    propagating imprecision: with z the normal quantile and f from 0 to pi/2, t is taken at z*sin(f) and s at z*cos(f),
    and the ends are the extremes over f of the product of their limits. Its sign is that of t - 1/2 for every f, which
    is why interval and test cannot contradict each other; like the test it is conservative.

    Source: R. G. Newcombe, Propagating imprecision: combining confidence intervals from independent sources,
    Communications in Statistics - Theory and Methods 40 (2011); C. Clopper, E. Pearson, The use of confidence or
    fiducial limits illustrated in the case of the binomial, Biometrika 26 (1934).

    Args:
        only_first: Questions only the first arm got right.
        only_second: Questions only the second arm got right.
        n: All questions, those included on which both are right or wrong.
        level: Coverage.
    """
    from scipy import stats

    disagreements, value = only_first + only_second, (only_first - only_second) / n
    angles = np.linspace(0, np.pi / 2, _ANGLES)
    tails, z = stats.norm.sf(quantile(level) * np.sin(angles)), quantile(level) * np.cos(angles)
    # Clopper and Pearson's limits are quantiles of beta distributions; without a success (failure) the limit is 0 (1)
    low = stats.beta.ppf(tails, only_first, only_second + 1) if only_first else np.zeros(_ANGLES)
    high = stats.beta.isf(tails, only_first + 1, only_second) if only_second else np.ones(_ANGLES)
    centre = (disagreements + z * z / 2) / (n + z * z)
    half = z / (n + z * z) * np.sqrt(disagreements * (n - disagreements) / n + z * z / 4)
    fewest, most = np.maximum(centre - half, 0), np.minimum(centre + half, 1)
    low, high = 2 * low - 1, 2 * high - 1
    lower = np.where(low > 0, low * fewest, low * most).min()
    upper = np.where(high > 0, high * most, high * fewest).max()
    return _around(value, lower, upper, n)


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
    """
    rows = np.stack([base, teacher, student], axis=1).astype(np.float64)
    from_base, from_teacher, from_student = rows.mean(axis=0)
    if from_teacher <= from_base:
        return None
    means = _resampled_means(rows, resamples, seed)
    gap, gain = means[:, 1] - means[:, 0], means[:, 2] - means[:, 0]
    open_gap = gap > 0
    if 1 - open_gap.mean() > (1 - level) / 2:
        return None
    value = float((from_student - from_base) / (from_teacher - from_base))
    return _around(value, *_percentiles(gain[open_gap] / gap[open_gap], level), len(rows))


def pool_seeds(scores: npt.ArrayLike, level: float = LEVEL, *, within: tuple[float, float] | None = None) -> Interval:
    """Interval for a mean over several training seeds *and* over questions.

    Both are samples: another seed gives another student, other questions another score. Questions answered by every
    seed are one crossed table of S seeds and Q questions, score = mean + seed + question + rest, whose mean has the
    variance (A + B - E) / SQ with the mean squares of seeds A, of questions B and of the rest E. The interval is
    Student's t with Satterthwaite's degrees of freedom: few where the seeds make the difference (two seeds then tell
    little, and the interval is wide), many where the questions do. The pigeonhole bootstrap, which draws seeds and
    questions with replacement, takes S - 1 of S parts of the seeds' variance only and is too narrow for few seeds.

    Source: S. R. Searle, G. Casella, C. McCulloch, Variance Components (1992), ch. 4; F. Satterthwaite, An approximate
    distribution of estimates of variance components, Biometrics Bulletin 2 (1946); for seeds, X. Bouthillier et al.,
    Accounting for variance in machine learning benchmarks, MLSys 2021.

    Args:
        scores: `(seeds, questions)`; right (1) or wrong (0), a score, or a difference between two arms.
        level: Coverage.
        within: Smallest and largest possible mean, to which the interval is cut.

    Returns:
        The interval; `n` counts the questions. One seed alone gives the interval over questions.
    """
    from scipy import stats

    table = np.asarray(scores, dtype=np.float64)
    (seeds, questions), value = table.shape, float(table.mean())
    by_seed, by_question = table.mean(axis=1) - value, table.mean(axis=0) - value
    free = np.maximum([seeds - 1, questions - 1, (seeds - 1) * (questions - 1)], 1)
    rest = table - value - by_seed[:, None] - by_question
    squares = np.array([questions * (by_seed @ by_seed), seeds * (by_question @ by_question), (rest * rest).sum()])
    of_seeds, of_questions, of_rest = squares / free
    # a variance is not negative: seeds (questions) differ at least as much as the rest alone would make them
    parts = np.array([max(of_seeds, of_rest), max(of_questions, of_rest), -of_rest])
    total = parts.sum()
    half = 0.0
    if total > 0:
        half = float(stats.t.isf((1 - level) / 2, total**2 / (parts**2 / free).sum()) * np.sqrt(total / table.size))
    low, high = value - half, value + half
    if within is not None:
        low, high = max(low, within[0]), min(high, within[1])
    return _around(value, low, high, questions)


def pooled_ratio(part: npt.ArrayLike, whole: npt.ArrayLike, level: float = LEVEL) -> Interval | None:
    """Interval for mean(part) / mean(whole) over seeds and questions; None where the whole is not clearly above 0.

    Fieller's: the ratios r for which `pool_seeds` of part - r * whole holds 0.

    Source: E. C. Fieller, Some problems in interval estimation, JRSS B 16 (1954).

    Args:
        part: `(seeds, questions)`.
        whole: Aligned with it.
        level: Coverage.
    """
    from scipy import optimize

    numerator, denominator = np.asarray(part, dtype=np.float64), np.asarray(whole, dtype=np.float64)
    if pool_seeds(denominator, level).low <= 0:
        return None
    value = float(numerator.mean() / denominator.mean())

    def outside(ratio: float) -> float:
        """Distance of 0 from the interval: negative within it."""
        found = pool_seeds(numerator - ratio * denominator, level)
        return abs(found.value) - (found.high - found.low) / 2

    ends = []
    for sign in (-1, 1):
        step = 1e-3
        while outside(value + sign * step) <= 0:
            step *= 2  # it ends: far away the interval is that of the whole, which excludes 0
        inside = outside(value) < 0
        ends.append(float(optimize.brentq(outside, value, value + sign * step)) if inside else value)
    return Interval(value, ends[0], ends[1], numerator.shape[1])


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
    """
    rng = np.random.default_rng(seed)
    value = float(statistic(np.arange(n)))
    ends = _percentiles(np.array([statistic(rng.integers(0, n, n)) for _ in range(resamples)]), level)
    return _around(value, *ends, n)
