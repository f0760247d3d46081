"""How far confidences can be trusted, by hand and by properties."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from solo_hub.evaluation.statistics import calibration as s


class TestCalibration:
    def test_worked_example(self):
        """Two bins. Below 0.5: confidences 0.2 and 0.4 (mean 0.3), one right (0.5): off by 0.2. Above: 0.9 and 0.9,
        both right: off by 0.1. ECE = 2/4 * 0.2 + 2/4 * 0.1 = 0.15."""
        confidences, correct = [0.2, 0.4, 0.9, 0.9], [1, 0, 1, 1]
        assert s.expected_calibration_error(confidences, correct, bins=2) == pytest.approx(0.15)
        low, high = s.reliability(confidences, correct, bins=2)
        assert (low.n, low.confidence, low.accuracy) == (2, pytest.approx(0.3), 0.5)
        assert (high.n, high.confidence, high.accuracy) == (2, pytest.approx(0.9), 1.0)

    def test_edges_belong_to_the_bin_below(self):
        """0 and 0.5 fall into the first of two bins, 1 into the last."""
        assert [bar.n for bar in s.reliability([0, 0.5, 1], [0, 0, 0], bins=2)] == [2, 1]

    def test_calibrated_model_is_near_zero(self):
        rng = np.random.default_rng(0)
        confidences = rng.random(50_000)
        assert s.expected_calibration_error(confidences, rng.random(50_000) < confidences) < 0.01

    @given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=60), st.integers(1, 20))
    def test_bins_hold_every_item(self, items, bins):
        confidences, correct = zip(*items, strict=True)
        bars = s.reliability(confidences, correct, bins)
        assert sum(bar.n for bar in bars) == len(items)
        assert 0 <= s.expected_calibration_error(confidences, correct, bins) <= 1
