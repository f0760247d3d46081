import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from solo_hub.core.errors import RunError
from solo_hub.selection.thresholds import MovingThreshold, class_means, class_thresholds, start_value


def test_two_batches_by_hand():
    """Momentum 0.5, start 0, two classes; y' = [0, 0, 1] then [1].

    batch 1, c = [0.8, 0.4, 0.6]:  tau = 0.5 * 0 + 0.5 * 0.6 = 0.3;  rho = [0.5 * 0.6, 0.5 * 0.6] = [0.3, 0.3]
    batch 2, c = [0.9]:            tau = 0.5 * 0.3 + 0.5 * 0.9 = 0.6;  rho(1) = 0.15 + 0.45 = 0.6; rho(0) stays 0.3
    thresholds: tau(0) = 0.6 * 0.3 / 0.6 = 0.3;  tau(1) = 0.6 * 0.6 / 0.6 = 0.6
    """
    moving = MovingThreshold(0.5, 0.0)
    moving.update(np.array([0.8, 0.4, 0.6]), np.array([0, 0, 1]), 2)
    assert moving.overall == pytest.approx(0.3)
    assert moving.averages == pytest.approx([0.3, 0.3])
    moving.update(np.array([0.9]), np.array([1]), 2)
    assert moving.overall == pytest.approx(0.6)
    assert moving.averages == pytest.approx([0.3, 0.6])
    assert moving.thresholds_of(np.array([0, 1]), by_class=True) == pytest.approx([0.3, 0.6])
    assert moving.thresholds_of(np.array([0, 1]), by_class=False) == pytest.approx([0.6, 0.6])


def test_first_batch_starts_at_its_own_means():
    moving = MovingThreshold(0.9, "first_batch")
    moving.update(np.array([0.8, 0.4]), np.array([0, 1]), 3)
    assert moving.overall == pytest.approx(0.6)
    assert moving.report() == (pytest.approx(0.6), [pytest.approx(0.6), pytest.approx(0.3), None])


def test_a_class_seen_later_starts_at_its_own_first_mean():
    moving = MovingThreshold(0.9, "first_batch")
    moving.update(np.array([0.8]), np.array([0]), 2)
    moving.update(np.array([0.2]), np.array([1]), 2)
    assert moving.averages == pytest.approx([0.8, 0.2])


def test_a_class_that_never_comes_does_not_hold_down_the_others():
    """Start 1: were the unseen class counted, the maximum would be 1, and class 0 would get 0.91 * 0.91 / 1 = 0.83."""
    moving = MovingThreshold(0.9, 1.0)
    moving.update(np.array([0.1]), np.array([0]), 2)
    assert moving.thresholds_of(np.array([0]), by_class=True) == pytest.approx([0.91])


def test_an_empty_batch_moves_nothing():
    moving = MovingThreshold(0.5, "first_batch")
    moving.update(np.empty(0), np.empty(0, int), 2)
    assert moving.overall is None
    assert moving.thresholds_of(np.empty(0, int), by_class=True).shape == (0,)
    assert moving.report() == (None, None)


def test_values_that_are_all_zero_give_the_global_threshold():
    assert class_thresholds(0.0, np.array([0.0, np.nan])) == pytest.approx([0.0, np.nan], nan_ok=True)


def test_class_means_by_hand():
    means = class_means(np.array([0.2, 0.4, 0.9]), np.array([0, 0, 2]), 3)
    assert means == pytest.approx([0.3, np.nan, 0.9], nan_ok=True)


@pytest.mark.parametrize(
    ("start", "classes", "value"), [("uniform", 4, 0.25), ("uniform", 0, 0.0), ("first_batch", 4, None), (0.7, 4, 0.7)]
)
def test_start_value(start, classes, value):
    assert start_value(start, classes) == value


def test_the_number_of_classes_must_not_change():
    moving = MovingThreshold(0.5, "first_batch")
    moving.update(np.array([0.5]), np.array([0]), 2)
    with pytest.raises(RunError, match="have 2 classes, but this batch has 3"):
        moving.update(np.array([0.5]), np.array([0]), 3)


BATCHES = st.lists(st.lists(st.tuples(st.floats(0, 1), st.integers(0, 2)), max_size=6), min_size=1, max_size=8)


@given(BATCHES, st.floats(0, 0.99), st.sampled_from([0.0, 0.5, 1.0, "uniform", "first_batch"]))
def test_thresholds_lie_within_0_and_1_and_no_class_is_above_the_global_one(batches, momentum, start):
    moving = MovingThreshold(momentum, start)
    for rows in batches:
        classes = np.array([y for _, y in rows], dtype=np.int64)
        moving.update(np.array([v for v, _ in rows], dtype=np.float64), classes, 3)
        cut = moving.thresholds_of(classes, by_class=True)
        assert ((cut >= 0) & (cut <= 1 + 1e-9)).all()
        assert (cut <= moving.thresholds_of(classes, by_class=False) + 1e-9).all()


@given(BATCHES, st.floats(0, 0.99))
def test_a_state_through_json_goes_on_exactly(batches, momentum):
    whole = MovingThreshold(momentum, "first_batch")
    other = whole
    for rows in batches:
        values, classes = (
            np.array([v for v, _ in rows], dtype=np.float64),
            np.array([y for _, y in rows], dtype=np.int64),
        )
        fresh = MovingThreshold(momentum, "first_batch")
        fresh.load_state(json.loads(json.dumps(other.state(), allow_nan=False)))
        fresh.update(values, classes, 3)
        whole.update(values, classes, 3)
        other = fresh
        assert fresh.overall == whole.overall
        assert np.array_equal(fresh.averages, whole.averages, equal_nan=True)
