"""Each test by a worked example, against an independent implementation, and by simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests

from solo_hub.evaluation.statistics import significance as s


class TestMcNemar:
    def test_worked_example(self):
        """8 disagreements, 7 to 1: p = 2 * (C(8,0) + C(8,1)) / 2^8 = 2 * 9 / 256."""
        assert s.mcnemar_exact(7, 1) == pytest.approx(18 / 256)
        assert s.mcnemar_exact(1, 7) == pytest.approx(18 / 256)

    @given(st.integers(0, 400), st.integers(0, 400))
    def test_equals_statsmodels(self, only_first, only_second):
        expected = mcnemar([[0, only_first], [only_second, 0]], exact=True).pvalue
        expected = 1.0 if math.isnan(expected) else min(1.0, expected)
        assert s.mcnemar_exact(only_first, only_second) == pytest.approx(expected, rel=1e-9)

    def test_tens_of_thousands_of_disagreements(self):
        expected = stats.binomtest(24_700, 50_000).pvalue
        assert s.mcnemar_exact(24_700, 25_300) == pytest.approx(expected, rel=1e-6)

    def test_never_disagree_empty(self):
        assert s.mcnemar_exact(0, 0) == 1.0

    def test_false_alarms_stay_below_the_level(self):
        """Where arms are equally good, at most 5 % of experiments give p < 0.05 (the exact test errs on the safe
        side)."""
        rng = np.random.default_rng(0)
        first = rng.binomial(60, 0.5, size=3000)
        alarms = np.mean([s.mcnemar_exact(int(k), int(60 - k)) < 0.05 for k in first])
        assert alarms <= 0.05


class TestHolm:
    def test_worked_example(self):
        """0.005*4 = 0.02, 0.01*3 = 0.03, 0.03*2 = 0.06, and 0.04*1 rises to 0.06."""
        assert s.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])

    @given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
    @settings(max_examples=30)  # statsmodels takes milliseconds a call
    def test_equals_statsmodels(self, p_values):
        assert s.holm(p_values) == pytest.approx(list(multipletests(p_values, method="holm")[1]), abs=1e-12)

    def test_empty(self):
        assert s.holm([]) == []
