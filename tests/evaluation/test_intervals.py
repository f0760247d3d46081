"""Every statistic by a worked example, against an independent implementation, and by simulation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, stats
from statsmodels.stats.proportion import proportion_confint

from solo_hub.evaluation.statistics import intervals as s
from solo_hub.evaluation.statistics.significance import mcnemar_exact


class TestWilson:
    @pytest.mark.parametrize(
        ("successes", "n", "low", "high"),
        [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
    )
    def test_newcombe_table(self, successes, n, low, high):
        """R. G. Newcombe, Statistics in Medicine 17 (1998), table I, method 3."""
        interval = s.wilson(successes, n)
        assert (round(interval.low, 4), round(interval.high, 4)) == (low, high)
        assert (interval.value, interval.n) == (successes / n, n)

    @given(st.integers(1, 5000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), st.floats(0.5, 0.999))
    def test_equals_statsmodels(self, share, level):
        successes, n = share
        low, high = proportion_confint(successes, n, alpha=1 - level, method="wilson")
        interval = s.wilson(successes, n, level)
        assert interval.low == pytest.approx(low, abs=1e-12)
        assert interval.high == pytest.approx(high, abs=1e-12)
        assert 0 <= interval.low <= interval.value <= interval.high <= 1

    def test_coverage(self):
        """An interval of 95 % holds the true share in about 95 % of samples (exact sum over all outcomes, p 0.02 ..
        0.98)."""
        n = 100
        intervals = [s.wilson(k, n) for k in range(n + 1)]
        shares = np.linspace(0.02, 0.98, 97)
        chance = stats.binom.pmf(np.arange(n + 1)[:, None], n, shares)
        holds = np.array([[i.low <= p <= i.high for p in shares] for i in intervals])
        coverage = (chance * holds).sum(axis=0)
        assert coverage.mean() == pytest.approx(0.95, abs=0.01)
        assert coverage.min() > 0.91


class TestBootstrap:
    def test_worked_example(self):
        """Two values, 0 and 1: a resample's mean is 0, 1/2 or 1 with chances 1/4, 1/2, 1/4, so 95 % spans 0..1, 40 % is
        1/2."""
        assert s.bootstrap_mean([0, 1]).to_row() == {"value": 0.5, "low": 0.0, "high": 1.0, "n": 2}
        narrow = s.bootstrap_mean([0, 1], level=0.4)
        assert (narrow.low, narrow.high) == (0.5, 0.5)

    def test_constant_values_have_no_width(self):
        interval = s.bootstrap_mean([0.3] * 50)
        assert interval.low == pytest.approx(0.3)
        assert interval.high == pytest.approx(0.3)

    def test_same_seed_same_interval(self):
        values = np.random.default_rng(1).normal(size=200)
        assert s.bootstrap_mean(values, seed=3) == s.bootstrap_mean(values, seed=3)
        assert s.bootstrap_mean(values, seed=3) != s.bootstrap_mean(values, seed=4)

    @pytest.mark.parametrize("distinct", [True, False])
    def test_equals_scipy(self, distinct):
        """Both ways of resampling (by counts of distinct values, by index) agree with scipy's percentile bootstrap."""
        rng = np.random.default_rng(0)
        values = rng.normal(size=400) if distinct else rng.integers(0, 4, size=400).astype(float)
        expected = stats.bootstrap(
            (values,), np.mean, n_resamples=20000, method="percentile", rng=1, vectorized=True
        ).confidence_interval
        interval = s.bootstrap_mean(values, resamples=20000, seed=2)
        width = expected.high - expected.low
        assert interval.low == pytest.approx(expected.low, abs=0.03 * width)
        assert interval.high == pytest.approx(expected.high, abs=0.03 * width)

    def test_coverage(self):
        """Means of 100 skewed values (exponential): 95 % nominal; the percentile bootstrap is known to fall a little
        short."""
        rng = np.random.default_rng(0)
        hits = 0
        for trial in range(600):
            interval = s.bootstrap_mean(rng.exponential(size=100), resamples=400, seed=trial)
            hits += interval.low <= 1 <= interval.high
        assert 0.91 <= hits / 600 <= 0.97

    def test_big_input_is_quick(self):
        """300,000 right-or-wrong values cost two draws a resample, not 300,000."""
        values = np.arange(300_000) % 3 == 0
        interval = s.bootstrap_mean(values, resamples=2000)
        reference = s.wilson(100_000, 300_000)
        assert interval.low == pytest.approx(reference.low, abs=1e-4)
        assert interval.high == pytest.approx(reference.high, abs=1e-4)


class TestPaired:
    def test_pairing_cancels_what_is_hard_for_both(self):
        """Arms that differ on 6 of 100 questions, all the same way: +6 points, and the interval excludes 0.

        Unpaired, 56 and 50 of 100 have widely overlapping intervals.
        """
        paired = s.paired_difference(6, 0, 100)
        assert paired.value == pytest.approx(0.06)
        assert paired.low > 0
        assert s.wilson(56, 100).low < s.wilson(50, 100).high

    def test_the_card_that_contradicted_itself(self):
        """-5.0 points were told as "-9.4 to -0.6" beside p = 0.057: 160 questions, 3 to 11 of them right alone."""
        interval = s.paired_difference(3, 11, 160)
        assert interval.value == -0.05
        assert mcnemar_exact(3, 11) == pytest.approx(0.057, abs=0.001)
        assert interval.low < 0 < interval.high

    @pytest.mark.parametrize(("n", "level"), [(40, 0.95), (40, 0.8), (500, 0.95), (1, 0.95)])
    def test_interval_and_test_never_disagree(self, n, level):
        """Every pair of counts up to 40: the interval excludes 0 exactly where McNemar's p-value is below 1 - level, on
        the side of the arm that was right more often."""
        counts = [(a, b) for a in range(min(n, 40) + 1) for b in range(min(n, 40) + 1 - a)]
        contradictions = []
        for a, b in counts:
            interval = s.paired_difference(a, b, n, level)
            side = (interval.low > 0) - (interval.high < 0)
            expected = ((a > b) - (a < b)) if mcnemar_exact(a, b) < 1 - level else 0
            if side != expected:
                contradictions.append((a, b, interval))
        assert contradictions == []

    @given(st.integers(0, 3000), st.integers(0, 3000), st.integers(0, 3000))
    @settings(max_examples=60, deadline=None)
    def test_properties(self, only_first, only_second, both_alike):
        """Swapped arms mirror; the estimate lies inside; it agrees with the test."""
        n = only_first + only_second + both_alike + 1
        interval, swapped = (
            s.paired_difference(only_first, only_second, n),
            s.paired_difference(only_second, only_first, n),
        )
        assert (interval.low, interval.high) == pytest.approx((-swapped.high, -swapped.low), abs=1e-9)
        assert -1 <= interval.low <= interval.value <= interval.high <= 1
        excludes = interval.low > 0 or interval.high < 0
        assert excludes == (mcnemar_exact(only_first, only_second) < 0.05)

    def test_without_a_disagreement_it_has_a_width(self):
        """Nobody disagreed on 100 questions: the share of disagreements is within Wilson's 0 to 3.7 %, so is the
        difference, to either side. Resampling the questions would have said [0, 0]."""
        interval, share = s.paired_difference(0, 0, 100), s.wilson(0, 100)
        assert (interval.low, interval.high) == pytest.approx((-share.high, share.high), abs=1e-6)

    def test_near_the_score_interval(self):
        """Many questions: T. Tango's score interval (Statistics in Medicine 17, 1998), which inverts the test without
        its exactness, is hardly narrower. It is solved here from its definition."""
        a, b, n = 263, 72, 926
        interval = s.paired_difference(a, b, n)

        def score(delta):
            """(a - b - n * delta) over its standard error with the share of b at its maximum under delta."""
            first = -a - b + (2 * n - a + b) * delta
            share = (np.sqrt(first**2 - 8 * n * -b * delta * (1 - delta)) - first) / (4 * n)
            return (a - b - n * delta) / np.sqrt(n * (2 * share + delta * (1 - delta)))

        z = stats.norm.isf(0.025)
        low, high = (optimize.brentq(lambda d, end: score(d) - end, -0.5, 0.9, args=(end,)) for end in (z, -z))
        assert interval.low == pytest.approx(low, abs=0.005)
        assert interval.high == pytest.approx(high, abs=0.005)

    def test_coverage(self):
        """Exact sums over all outcomes of 60 questions: the true difference is held in at least 95 %, and where an arm
        is never right alone as well, where resampling holds it in 70 %."""
        n = 60
        counts = np.array([(a, b) for a in range(n + 1) for b in range(n + 1 - a)])
        found = [s.paired_difference(int(a), int(b), n) for a, b in counts]
        low, high = np.array([(i.low, i.high) for i in found]).T
        for first, second in ((0.02, 0), (0.05, 0.05), (0.1, 0.0), (0.1, 0.05), (0.3, 0.0), (0.3, 0.05), (0.6, 0.1)):
            chance = stats.multinomial.pmf(np.c_[counts, n - counts.sum(1)], n, [first, second, 1 - first - second])
            holds = (low <= first - second + 1e-12) & (first - second <= high + 1e-12)
            assert (chance * holds).sum() >= 0.95


class TestGapClosed:
    def test_worked_example(self):
        """Base 20 of 100, teacher 60, student 50: (50 - 20) / (60 - 20) = 3/4."""
        order = np.arange(100)
        gap = s.gap_closed(order < 20, order < 60, order < 50)
        assert gap is not None
        assert gap.value == pytest.approx(0.75)
        assert gap.low < 0.75 < gap.high
        assert gap.n == 100

    def test_student_equal_to_teacher_closes_all(self):
        order = np.arange(100)
        gap = s.gap_closed(order < 20, order < 60, order < 60)
        assert gap is not None
        assert (gap.value, gap.low, gap.high) == (1, 1, 1)

    def test_student_behind_base_and_beyond_teacher(self):
        order = np.arange(100)
        behind, beyond = (
            s.gap_closed(order < 20, order < 60, order < 10),
            s.gap_closed(order < 20, order < 60, order < 80),
        )
        assert behind is not None
        assert beyond is not None
        assert (behind.value, beyond.value) == pytest.approx((-0.25, 1.5))

    @pytest.mark.parametrize("teacher", [20, 10])
    def test_no_gap(self, teacher):
        order = np.arange(100)
        assert s.gap_closed(order < 20, order < teacher, order < 50) is None

    def test_gap_too_small_to_divide_by(self):
        """Teacher above the base by 1 of 100 with 41 disagreements: many resamples have no gap, so no ratio is told."""
        order = np.arange(100)
        assert s.gap_closed(order < 20, (order >= 20) & (order < 41), order < 30) is None

    def test_coverage(self):
        """Base 0.3, teacher 0.7, student 0.5, answers independent, 300 questions: true ratio 0.5."""
        rng = np.random.default_rng(0)
        hits = 0
        for trial in range(500):
            base, teacher, student = (rng.random(300) < p for p in (0.3, 0.7, 0.5))
            gap = s.gap_closed(base, teacher, student, resamples=400, seed=trial)
            assert gap is not None
            hits += gap.low <= 0.5 <= gap.high
        assert 0.92 <= hits / 500 <= 0.98


class TestPoolSeeds:
    def test_one_seed_is_the_bootstrap_over_questions(self):
        right = np.random.default_rng(0).random(300) < 0.4
        pooled, single = s.pool_seeds(right[None, :]), s.bootstrap_mean(right)
        assert pooled.value == pytest.approx(single.value)
        assert pooled.low == pytest.approx(single.low, abs=0.01)
        assert pooled.high == pytest.approx(single.high, abs=0.01)

    def test_equal_seeds_add_no_certainty(self):
        """Five copies of one student are no five students: the interval stays as wide as that of one."""
        right = np.random.default_rng(0).random(300) < 0.4
        one, five = s.pool_seeds(right[None, :]), s.pool_seeds(np.tile(right, (5, 1)))
        assert five.high - five.low == pytest.approx(one.high - one.low, rel=0.1)

    @pytest.mark.parametrize("seeds", [2, 3, 5, 10])
    @pytest.mark.parametrize("spread", [0.0, 0.02, 0.05, 0.1])
    def test_coverage(self, seeds, spread):
        """Seeds differ (standard deviation `spread`), questions differ, 200 of them; 400 simulated experiments.

        95 % nominal, whose 400 trials lie within 2.2 points of it; with two and three seeds that hardly differ the
        interval is wider than it had to be, which nobody could know. The pigeonhole bootstrap that stood here before
        holds the truth in 82 % at two seeds and a spread of 0.1, and in 88 % at three.
        """
        rng, trials = np.random.default_rng([seeds, int(100 * spread)]), 400
        hits = 0
        for _ in range(trials):
            chance = np.clip(0.5 + rng.normal(0, spread, (seeds, 1)) + rng.normal(0, 0.25, (1, 200)), 0, 1)
            interval = s.pool_seeds(rng.random((seeds, 200)) < chance)
            hits += interval.low <= 0.5 <= interval.high
        assert hits / trials >= 0.928
        assert hits / trials <= 0.985 or seeds <= 3

    def test_bootstrap_over_seeds_was_too_narrow(self):
        """What stood here before, on two seeds: S - 1 of S parts of the seeds' variance are seen, here half."""
        rng = np.random.default_rng(0)
        hits = np.zeros(2)
        for _ in range(300):
            chance = np.clip(0.5 + rng.normal(0, 0.1, (2, 1)) + rng.normal(0, 0.25, (1, 200)), 0, 1)
            table = (rng.random((2, 200)) < chance).astype(float)
            weights = [rng.multinomial(k, np.full(k, 1 / k), 200) / k for k in table.shape]
            low, high = np.quantile(((weights[0] @ table) * weights[1]).sum(axis=1), [0.025, 0.975])
            now = s.pool_seeds(table)
            hits += [low <= 0.5 <= high, now.low <= 0.5 <= now.high]
        assert hits[0] / 300 < 0.88
        assert hits[1] / 300 > 0.93

    def test_equals_a_t_interval_over_seeds_where_the_seeds_make_the_difference(self):
        """Every question alike: what is left is the mean of three numbers, 0.1, 0.2 and 0.6."""
        means = np.array([0.1, 0.2, 0.6])
        interval = s.pool_seeds(np.tile(means[:, None], (1, 50)))
        low, high = stats.t.interval(0.95, 2, means.mean(), stats.sem(means))
        assert (interval.low, interval.high) == pytest.approx((low, high))

    def test_cut_to_what_is_possible(self):
        table = np.tile([[0.2], [0.9]], (1, 10))
        assert s.pool_seeds(table).high > 1
        assert s.pool_seeds(table, within=(0, 1)).to_row() == {
            "value": pytest.approx(0.55),
            "low": 0,
            "high": 1,
            "n": 10,
        }


class TestBootstrapStatistic:
    def test_of_a_mean_it_is_the_bootstrap_of_the_mean(self):
        values = np.random.default_rng(0).normal(size=150)
        interval = s.bootstrap_statistic(lambda rows: float(values[rows].mean()), 150, resamples=4000)
        expected = s.bootstrap_mean(values, resamples=4000)
        assert interval.value == pytest.approx(expected.value)
        assert interval.low == pytest.approx(expected.low, abs=0.02)
