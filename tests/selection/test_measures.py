import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from solo_hub.selection.measures import count_of_share, highest, normalised_entropy


def test_normalised_entropy_by_hand():
    """Two of four options at 1/2 each: entropy log 2, the largest is log 4 = 2 log 2, so u = 1/2."""
    rows = np.array([[0.5, 0.5, 0, 0], [0.25, 0.25, 0.25, 0.25], [1, 0, 0, 0]])
    assert normalised_entropy(rows) == pytest.approx([0.5, 1.0, 0.0])


def test_normalised_entropy_of_three_unequal_classes():
    """-(0.7 ln 0.7 + 0.2 ln 0.2 + 0.1 ln 0.1) = 0.24967 + 0.32189 + 0.23026 = 0.80182; / ln 3 = 0.72985."""
    assert normalised_entropy(np.array([[0.7, 0.2, 0.1]])) == pytest.approx([0.72985], abs=1e-5)


def test_a_question_with_fewer_options_is_measured_by_its_own_number():
    """Padded to four, but it has two options at 1/2 each: it knows nothing, u = 1."""
    assert normalised_entropy(np.array([[0.5, 0.5, 0, 0]]), np.array([2])) == pytest.approx([1.0])


def test_one_class_leaves_no_doubt():
    assert normalised_entropy(np.ones((3, 1))).tolist() == [0.0, 0.0, 0.0]


def test_normalised_entropy_empty():
    assert normalised_entropy(np.empty((0, 4))).shape == (0,)


@given(st.lists(st.floats(0.001, 1), min_size=2, max_size=9))
def test_normalised_entropy_lies_within_0_and_1_and_ignores_order(values):
    p = np.array([values]) / sum(values)
    u = normalised_entropy(p)[0]
    assert 0 <= u <= 1
    assert normalised_entropy(p[:, ::-1])[0] == pytest.approx(u)


@pytest.mark.parametrize(("share", "total", "count"), [(0.5, 4, 2), (0.5, 5, 3), (0.1, 4, 1), (1.0, 7, 7), (0.9, 0, 0)])
def test_count_of_share(share, total, count):
    assert count_of_share(share, total) == count


def test_of_equal_scores_the_earlier_is_taken():
    assert highest(np.array([0.5, 0.9, 0.5, 0.1]), 2).tolist() == [True, True, False, False]


def test_highest_empty():
    assert highest(np.empty(0), 3).tolist() == []


@given(st.lists(st.floats(0, 1), max_size=20), st.integers(0, 25))
def test_highest_takes_as_many_as_it_can_and_none_better_is_left(scores, count):
    values = np.array(scores)
    mask = highest(values, count)
    assert mask.sum() == min(count, len(scores))
    assert values[mask].min(initial=math.inf) >= values[~mask].max(initial=-math.inf)
