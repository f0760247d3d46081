import numpy as np
import pytest
from selection_cases import batch, labels

from solo_hub.core.errors import ConfigError, InputError, UsageError
from solo_hub.selection.llkd import Llkd, LlkdW, weights
from solo_hub.selection.steps import Reason

# Two classes, one batch. u of [1, 0] is 0, of [0.5, 0.5] is 1, of [0.89, 0.11] is 0.49992 (about one half).
FOUR = {
    "classes": [0, 0, 1, 1],
    "confidence": [0.9, 0.5, 0.9, 0.5],
    "student": [[0.5, 0.5], [0.5, 0.5], [1.0, 0.0], [1.0, 0.0]],
}


def test_a_batch_by_hand():
    """Momentum 0, global thresholds: tau of c is 0.7, tau of u is 0.5; only the first is above both."""
    decision = Llkd({"momentum": 0, "per_class": False}, seed=0).step(batch(**FOUR))
    assert decision.keep.tolist() == [True, False, False, False]
    assert decision.reasons == (Reason.USEFUL, Reason.TEACHER_UNSURE, Reason.STUDENT_SURE, Reason.NEITHER)
    assert decision.weight.tolist() == [1.0, 0.0, 0.0, 0.0]
    assert decision.divisor == 1.0
    assert decision.log == {
        "batch": 4,
        "kept": 1,
        "kept_share": 0.25,
        "mean_confidence": pytest.approx(0.7),
        "mean_uncertainty": pytest.approx(0.5),
        "confidence_threshold": pytest.approx(0.7),
        "confidence_thresholds": None,
        "uncertainty_threshold": pytest.approx(0.5),
        "uncertainty_thresholds": None,
    }


def test_the_same_batch_with_thresholds_per_class():
    """rho of c is [0.7, 0.7], so tau(y) = 0.7 for both; rho of u is [1, 0], so the thresholds of u are 0.5 and 0.

    The third sample (class 1, u = 0) now meets its class's threshold of 0 and is kept.
    """
    decision = Llkd({"momentum": 0, "per_class": True}, seed=0).step(batch(**FOUR))
    assert decision.keep.tolist() == [True, False, True, False]
    assert decision.log["confidence_thresholds"] == pytest.approx([0.7, 0.7])
    assert decision.log["uncertainty_thresholds"] == pytest.approx([0.5, 0.0])


def test_the_second_batch_is_judged_by_moved_thresholds():
    """Momentum 0.5 from c = 0.9: a batch of c = 0.7 moves the threshold to 0.8, so it is not confident enough."""
    selector = Llkd({"momentum": 0.5, "per_class": False}, seed=0)
    assert selector.step(batch([0], [0.9], [[0.5, 0.5]])).keep.tolist() == [True]
    assert selector.step(batch([0], [0.7], [[0.5, 0.5]])).keep.tolist() == [False]
    assert selector.teacher.overall == pytest.approx(0.8)


def test_option_positions_get_global_thresholds_only():
    by_class = Llkd({"momentum": 0, "per_class": True}, seed=0).step(batch(**FOUR))
    positions = Llkd({"momentum": 0, "per_class": True}, seed=0).step(batch(**FOUR, classes_are_positions=True))
    assert positions.keep.tolist() == [True, False, False, False]
    assert positions.keep.tolist() != by_class.keep.tolist()


def test_free_text_is_judged_by_the_uncertainty_handed_in():
    texts = batch([0, 0, 0], [0.9, 0.9, 0.3], None, student_uncertainty=np.array([0.9, 0.1, 0.9]))
    assert Llkd({"momentum": 0}, seed=0).step(texts).keep.tolist() == [True, False, False]


def test_equal_scores_are_all_kept():
    """The mean of equal numbers may be one bit above them; that must not drop them all."""
    same = batch([0] * 10, [0.1 + 0.2] * 10, [[0.7, 0.3]] * 10)
    assert Llkd({}, seed=0).step(same).keep.all()


def test_weights_by_hand():
    c, u = np.array([0.5]), np.array([0.9])
    assert weights(c, u, "product") == pytest.approx([0.45])
    assert weights(c, u, "sum") == pytest.approx([1.4])
    assert weights(c, u, "mean") == pytest.approx([0.7])


def test_llkd_w_keeps_the_same_and_weighs_it():
    """The first sample: c u = 0.9 * 1; the third: 0.9 * 0."""
    decision = LlkdW({"momentum": 0, "per_class": True}, seed=0).step(batch(**FOUR))
    assert decision.keep.tolist() == [True, False, True, False]
    assert decision.weight == pytest.approx([0.9, 0.0, 0.0, 0.0])


@pytest.mark.parametrize(("rule", "divisor"), [("kept", 2.0), ("batch", 4.0), ("weight", 0.9)])
def test_what_the_loss_is_divided_by(rule, divisor):
    decision = LlkdW({"momentum": 0, "per_class": True, "normalise": rule}, seed=0).step(batch(**FOUR))
    assert decision.divisor == pytest.approx(divisor)


def test_a_batch_without_confidence_stops_unless_set():
    with pytest.raises(InputError, match="1 of 2 labels have no confidence"):
        Llkd({}, seed=0).step(batch([0, 1], [0.9, np.nan], [[0.5, 0.5]] * 2))


@pytest.mark.parametrize(("rule", "reason"), [("keep", Reason.UNJUDGED_KEPT), ("drop", Reason.UNJUDGED_DROPPED)])
def test_samples_without_confidence_are_kept_or_dropped_and_move_no_threshold(rule, reason):
    selector = Llkd({"without_confidence": rule}, seed=0)
    decision = selector.step(batch([0, 1], [0.9, np.nan], [[0.5, 0.5], [1.0, 0.0]]))
    assert decision.keep.tolist() == [True, rule == "keep"]
    assert decision.reasons[1] == reason
    assert decision.weight.tolist() == [1.0, 1.0 if rule == "keep" else 0.0]
    assert selector.teacher.overall == 0.9
    assert selector.student.overall == 1.0


def test_a_batch_without_any_confidence_keeps_all_when_set():
    decision = Llkd({"without_confidence": "keep"}, seed=0).step(batch([0, 1], [np.nan] * 2, [[0.5, 0.5]] * 2))
    assert decision.keep.all()
    assert decision.log["mean_confidence"] is None


def test_ahead_of_training_all_are_kept_with_a_reason_that_says_when_they_are_judged():
    selection = Llkd({}, seed=0).select(labels(0.9, 0.1))
    assert [v.reason for v in selection.verdicts] == ["kept for training, where it is judged anew at every step"] * 2


def test_ahead_of_training_what_can_never_be_judged_is_dropped_as_set():
    selection = Llkd({"without_confidence": "drop"}, seed=0).select(labels(0.9, None))
    assert [v.kept for v in selection.verdicts] == [True, False]


def test_the_student_must_be_handed_in():
    with pytest.raises(UsageError, match="student_probabilities or student_uncertainty"):
        Llkd({}, seed=0).step(batch([0], [0.9]))


def test_weight_is_an_option_of_llkd_w_alone():
    with pytest.raises(ConfigError, match="unknown option 'weight'"):
        Llkd({"weight": "sum"}, seed=0)
    assert LlkdW({"weight": "sum"}, seed=0).options.weight == "sum"
