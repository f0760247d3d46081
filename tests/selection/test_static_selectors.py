"""The selectors that work ahead of training."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from selection_cases import kept, label, labels

from solo_hub.core.errors import ConfigError, InputError
from solo_hub.core.plugins import Selector
from solo_hub.selection.at_random import AtRandom, draw
from solo_hub.selection.cckd_l import CckdL, scale_to_mean_one
from solo_hub.selection.confidence import Confidence
from solo_hub.selection.entropy_score import EntropyScore, teacher_entropies
from solo_hub.selection.everything import Everything

STATIC = [Everything, AtRandom, Confidence, EntropyScore, CckdL]


@pytest.mark.parametrize("kind", STATIC)
def test_every_verdict_keeps_the_order_and_has_a_reason(kind):
    given_labels = labels(0.9, 0.2, 0.7, 0.4)
    selector = kind({}, seed=3)
    assert isinstance(selector, Selector)
    selection = selector.select(given_labels)
    assert selection.method == kind.name
    assert [v.question_id for v in selection.verdicts] == ["a", "b", "c", "d"]
    assert [v.confidence for v in selection.verdicts] == [0.9, 0.2, 0.7, 0.4]
    assert all(len(v.reason) > 8 for v in selection.verdicts)


@pytest.mark.parametrize("kind", STATIC)
def test_every_selector_empty(kind):
    assert kind({}, seed=0).select([]).verdicts == ()


@pytest.mark.parametrize("kind", STATIC)
def test_an_unknown_option_is_refused_by_name(kind):
    with pytest.raises(ConfigError, match="unknown option 'shar'"):
        kind({"shar": 0.5}, seed=0)


def test_an_unknown_option_names_the_nearest():
    with pytest.raises(ConfigError, match="Did you mean 'share'"):
        AtRandom({"shar": 0.5}, seed=0)


@pytest.mark.parametrize("value", [0, -0.1, 1.5, "half", None])
def test_a_share_that_cannot_be_is_refused(value):
    with pytest.raises(ConfigError, match="'share' cannot be"):
        Confidence({"share": value}, seed=0)


def test_share_and_count_together_are_refused():
    with pytest.raises(ConfigError, match="`share` or `count`, not both"):
        AtRandom({"share": 0.5, "count": 2}, seed=0)


def test_threshold_and_share_together_are_refused():
    with pytest.raises(ConfigError, match="set either"):
        Confidence({"share": 0.5, "threshold": 0.5}, seed=0)


# --- random


@given(st.integers(0, 30), st.integers(0, 40), st.integers(0, 9))
def test_draw_draws_exactly_as_many_and_the_same_for_the_same_seed(total, count, seed):
    mask = draw(total, count, seed)
    assert mask.sum() == min(total, count)
    assert (mask == draw(total, count, seed)).all()


def test_draws_of_other_seeds_and_steps_differ():
    masks = {tuple(draw(40, 20, seed, step).tolist()) for seed in range(3) for step in range(3)}
    assert len(masks) == 9


def test_every_label_is_as_likely_to_be_drawn():
    """2,000 draws of 1 in 4: each is drawn 500 times, give or take four standard deviations (4 x 19.4)."""
    times = sum(draw(4, 1, seed=7, step=step).astype(int) for step in range(2000))
    assert times.sum() == 2000
    assert abs(times - 500).max() < 78


def test_random_says_how_many():
    selection = AtRandom({"count": 1}, seed=0).select(labels(0.9, None, 0.1))
    assert len(selection.kept) == 1
    assert selection.kept[0].reason == "drawn at random: 1 of 3 are kept"


# --- confidence


def test_confidence_keeps_the_share_with_the_highest():
    selection = Confidence({"share": 0.5}, seed=0).select(labels(0.9, 0.2, 0.7, 0.4))
    assert kept(selection) == "ac"
    assert selection.verdicts[0].reason == "confidence 0.900 is among the 2 most confident of 4 (from 0.700)"
    assert selection.verdicts[1].reason == "confidence 0.200 is not among the 2 most confident of 4 (from 0.700)"


def test_confidence_at_the_threshold_is_kept():
    selection = Confidence({"threshold": 0.7}, seed=0).select(labels(0.9, 0.2, 0.7, 0.4))
    assert kept(selection) == "ac"
    assert selection.verdicts[3].reason == "confidence 0.400 is below 0.7"


@given(st.lists(st.floats(0, 1), max_size=20), st.floats(0.01, 1))
def test_nothing_dropped_is_more_confident_than_anything_kept(values, share):
    selection = Confidence({"share": share}, seed=0).select(labels(*values))
    worst = min((v.confidence for v in selection.kept), default=math.inf)
    assert all(v.confidence <= worst for v in selection.dropped)


@pytest.mark.parametrize("kind", [Confidence, EntropyScore, CckdL])
def test_labels_without_confidence_stop_the_step_until_someone_decides(kind):
    with pytest.raises(InputError, match=r"1 of 3 labels have no confidence.*without_confidence"):
        kind({}, seed=0).select(labels(0.9, None, 0.1))


@pytest.mark.parametrize("kind", [Confidence, EntropyScore, CckdL])
@pytest.mark.parametrize("rule", ["keep", "drop"])
def test_labels_without_confidence_are_kept_or_dropped_as_set(kind, rule):
    selection = kind({"without_confidence": rule}, seed=0).select(labels(0.9, None, 0.1))
    verdict = selection.verdicts[1]
    assert verdict.kept == (rule == "keep")
    assert verdict.confidence is None
    assert f"without_confidence = {rule}" in verdict.reason


def test_the_share_is_of_the_labels_that_can_be_judged():
    """Half of the four that have a confidence, plus the two that have none."""
    selection = Confidence({"without_confidence": "keep"}, seed=0).select(labels(None, 0.9, 0.2, 0.7, 0.4, None))
    assert kept(selection) == "abdf"


# --- entropy score


def test_entropy_score_keeps_the_lowest_entropy():
    """c has less confidence than b (0.5 < 0.55), but only two options are in question: entropy log 2 against more."""
    rows = [
        label("a", 0.9, (0.9, 0.1, 0.0), 0),
        label("b", 0.55, (0.55, 0.25, 0.2), 0),
        label("c", 0.5, (0.5, 0.5, 0.0), 0),
        label("d", 0.34, (0.34, 0.33, 0.33), 0),
    ]
    assert teacher_entropies(rows) == pytest.approx([0.2959, 0.9078, 0.6309, 0.9999], abs=1e-3)
    assert kept(EntropyScore({"share": 0.5}, seed=0).select(rows)) == "ac"


def test_entropy_score_of_free_text_is_one_minus_the_confidence():
    assert teacher_entropies(labels(0.9, 0.2)) == pytest.approx([0.1, 0.8])


# --- cckd_l


def test_cckd_l_weighs_by_the_probability_of_the_label():
    """The label need not be the likeliest option: its own probability counts."""
    rows = [label("a", 0.9, (0.1, 0.9), 1), label("b", 0.6, (0.6, 0.4), 1), label("c", 0.7)]
    selection = CckdL({}, seed=0).select(rows)
    assert [v.weight for v in selection.verdicts] == [0.9, 0.4, 0.7]
    assert all(v.kept for v in selection.verdicts)


def test_cckd_l_scaled_to_a_mean_of_one_by_hand():
    """0.9 + 0.3 = 1.2, times 2 / 1.2: 1.5 and 0.5."""
    assert [v.weight for v in CckdL({"mean_one": True}, seed=0).select(labels(0.9, 0.3)).verdicts] == pytest.approx(
        [1.5, 0.5]
    )


@pytest.mark.parametrize("weights", [[], [0.0, 0.0]])
def test_weights_that_cannot_be_scaled_stay(weights):
    assert scale_to_mean_one(np.array(weights)).tolist() == weights
