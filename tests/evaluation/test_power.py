from __future__ import annotations

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from solo_hub.evaluation.statistics.power import detectable_gain, plan, sample_size_for_gain, seen
from solo_hub.evaluation.statistics.significance import mcnemar_exact


def test_worked_example():
    """Base 0.30, 200 of 1000 answers differ (s = 0.2), gain d = 0.05:
    n = (1.95996 sqrt(0.2) + 0.84162 sqrt(0.2 - 0.0025))^2 / 0.0025 = (0.87652 + 0.37402)^2 / 0.0025 = 625.5."""
    told = plan(0.3, [0.05], disagreement=0.2)
    assert told["gains"] == [{"gain": 0.05, "80 %": 626, "90 %": sample_size_for_gain(
        0.3, 0.05, disagreement=0.2, power=0.9)}]  # fmt: skip
    assert told["detectable"] is None


@given(st.floats(0.05, 0.9), st.integers(50, 100_000))
def test_detectable_gain_is_the_inverse(base, questions):
    gain = detectable_gain(base, questions)
    if gain is None:
        assert sample_size_for_gain(base, 1 - base) > questions
        return
    assert sample_size_for_gain(base, gain) <= questions
    if gain > 1e-3:
        assert sample_size_for_gain(base, gain * 0.99) >= questions


def test_more_questions_show_smaller_gains():
    gains = [detectable_gain(0.3, n, disagreement=0.35) for n in (100, 1000, 10_000)]
    assert gains == sorted(gains, reverse=True)


def test_what_is_not_possible():
    assert detectable_gain(1.0, 1000) is None
    assert detectable_gain(0.5, 2) is None
    told = plan(0.9, [0.2], disagreement=0.1, questions=100)
    assert told["gains"][0]["80 %"] is None


def test_what_a_run_saw():
    report = {"arms": {"base": {"accuracy": {"value": 0.25}}}, "n_questions": 40}
    assert seen(report) == (0.25, None, 40)
    pair = {"only_first": 6, "only_second": 4, "n": 40}
    assert seen({**report, "paired": {"student_vs_base": pair}}) == (0.25, 0.25, 40)


def test_empty():
    assert plan(0.5, [])["gains"] == []


class TestSampleSize:
    def test_worked_example(self):
        """Gain 0.05, disagreement 0.2: (1.95996 * sqrt(0.2) + 0.84162 * sqrt(0.1975))² / 0.0025 = 625.5 -> 626."""
        reach = 1.959964 * math.sqrt(0.2) + 0.841621 * math.sqrt(0.1975)
        assert sample_size_for_gain(0.3, 0.05, disagreement=0.2) == math.ceil(reach**2 / 0.0025) == 626

    def test_power_by_simulation(self):
        """With the questions it asks for, the test sees the gain about as often as promised (the exact test a little
        less)."""
        n = sample_size_for_gain(0.4, 0.08, disagreement=0.2, power=0.8)
        rng = np.random.default_rng(0)
        counts = rng.multinomial(n, [0.14, 0.06, 0.8], size=2000)
        seen = np.mean([mcnemar_exact(int(a), int(b)) < 0.05 for a, b, _ in counts])
        assert 0.74 <= seen <= 0.84

    def test_smaller_gain_needs_more(self):
        sizes = [sample_size_for_gain(0.4, gain) for gain in (0.2, 0.1, 0.05, 0.02)]
        assert sizes == sorted(sizes)
        assert sample_size_for_gain(0.4, 0.05, disagreement=0.1) < sample_size_for_gain(0.4, 0.05)

    def test_loss_needs_as_much_as_gain(self):
        assert sample_size_for_gain(0.5, -0.1) == sample_size_for_gain(0.5, 0.1)
