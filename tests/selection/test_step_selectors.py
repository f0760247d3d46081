"""What holds for every per-step selector, and the worked examples of the baselines."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from selection_cases import batch, labels, random_batch

from solo_hub.core import plugins
from solo_hub.core.errors import ConfigError, InputError, ModelError, RunError, UsageError
from solo_hub.core.plugins import Selector, StepSelector
from solo_hub.selection.cckd_t_reg import CckdTReg, conditioned_targets
from solo_hub.selection.everything import Everything
from solo_hub.selection.freematch import FreeMatch
from solo_hub.selection.llkd import Llkd, LlkdW
from solo_hub.selection.no_ds import NoDs
from solo_hub.selection.random_step import RandomStep
from solo_hub.selection.softmatch import SoftMatch, gaussian_weights
from solo_hub.selection.steps import StepBatch
from solo_hub.selection.unixkd import UnixKd

STEPWISE = [Llkd, LlkdW, FreeMatch, SoftMatch, UnixKd, CckdTReg, RandomStep, NoDs]
METHODS = {kind.name: kind for kind in [*STEPWISE, Everything]}


@pytest.fixture
def registered(monkeypatch):
    """The methods by name, as entry points would give them."""
    monkeypatch.setattr(plugins, "find", lambda group, name: METHODS[name])


def free_text(seed, size=6):
    rng = np.random.default_rng(seed)
    return StepBatch(
        np.zeros(size, int),
        rng.random(size),
        student_uncertainty=rng.random(size),
        student_confidence=rng.random(size),
        student_label_probability=rng.random(size),
    )


@pytest.mark.parametrize("kind", STEPWISE)
@pytest.mark.parametrize(
    "made",
    [
        random_batch,
        lambda seed: random_batch(seed, classes=8, classes_are_positions=True),
        free_text,
        lambda seed: random_batch(seed, size=1),
        lambda seed: random_batch(seed, classes=1),
    ],
    ids=["classes", "eight options", "free text", "one sample", "one class"],
)
def test_every_method_decides_on_every_kind_of_batch(kind, made):
    selector = kind({}, seed=5)
    assert isinstance(selector, StepSelector)
    assert isinstance(selector, Selector)
    for seed in range(20):
        given_batch = made(seed)
        decision = selector.step(given_batch)
        size = len(given_batch)
        assert decision.keep.shape == decision.weight.shape == (size,)
        assert len(decision.reasons) == size
        assert (decision.weight[~decision.keep] == 0).all()
        assert np.isfinite(decision.weight).all()
        assert decision.divisor > 0
        assert decision.log["kept"] == decision.keep.sum()
        json.dumps(decision.log, allow_nan=False)


@pytest.mark.parametrize("kind", STEPWISE)
def test_every_method_decides_on_an_empty_batch(kind):
    decision = kind({}, seed=5).step(random_batch(0, size=0))
    assert decision.keep.shape == (0,)
    assert decision.divisor > 0
    assert decision.log["kept_share"] == 0.0


@pytest.mark.parametrize("kind", STEPWISE)
@given(cut=st.integers(0, 7), seed=st.integers(0, 99))
def test_a_run_resumed_from_json_selects_the_same_samples(kind, cut, seed):
    batches = [random_batch(100 * seed + i) for i in range(8)]
    whole, first, second = kind({}, seed), kind({}, seed), kind({}, seed)
    decisions = [whole.step(b) for b in batches]
    for b in batches[:cut]:
        first.step(b)
    second.load_state(json.loads(json.dumps(first.state(), allow_nan=False)))
    for b, expected in zip(batches[cut:], decisions[cut:], strict=True):
        got = second.step(b)
        assert (got.keep == expected.keep).all()
        assert (got.weight == expected.weight).all()
        assert got.log == expected.log


@pytest.mark.parametrize("kind", STEPWISE)
def test_a_state_of_another_method_is_refused(kind):
    with pytest.raises(RunError, match=f"by 'another', but this run uses '{kind.name}'"):
        kind({}, seed=0).load_state({"method": "another"})


@pytest.mark.parametrize("kind", STEPWISE)
def test_an_unknown_option_is_refused(kind):
    with pytest.raises(ConfigError, match="unknown option 'momentun'"):
        kind({"momentun": 0.5}, seed=0)


@pytest.mark.parametrize("kind", STEPWISE)
def test_ahead_of_training_everything_with_a_confidence_is_kept(kind):
    selection = kind({}, seed=0).select(labels(0.9, 0.1))
    assert selection.method == kind.name
    assert selection.kept_share == 1.0
    assert kind({}, seed=0).select([]).verdicts == ()


@pytest.mark.parametrize("kind", [FreeMatch, SoftMatch, UnixKd, RandomStep, NoDs])
def test_methods_that_do_not_look_at_the_teacher_take_labels_without_confidence(kind):
    assert kind({}, seed=0).select(labels(0.9, None)).kept_share == 1.0
    kind({}, seed=0).step(batch([0, 1], [np.nan, np.nan], [[0.6, 0.4], [0.3, 0.7]]))


@pytest.mark.parametrize("kind", [Llkd, LlkdW, FreeMatch, SoftMatch, UnixKd, CckdTReg])
def test_methods_that_look_at_the_student_say_so(kind):
    assert kind({}, seed=0).needs_student
    with pytest.raises(UsageError, match="pass student_probabilities or student_"):
        kind({}, seed=0).step(batch([0], [0.9]))


def test_methods_that_do_not_look_at_the_student_work_without_it():
    assert not RandomStep({}, seed=0).needs_student
    assert not NoDs({}, seed=0).needs_student
    assert NoDs({}, seed=0).step(batch([0, 1], [0.9, 0.8])).keep.all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"teacher_confidence": np.ones(3)}, r"teacher_confidence must have the shape \(2,\), got \(3,\)"),
        ({"student_probabilities": np.ones(2)}, r"student_probabilities must have the shape \(2, classes\)"),
        ({"labels": np.array([0, 2])}, "between 0 and 1"),
    ],
)
def test_a_batch_of_wrong_shape_is_refused(change, message):
    arrays = {
        "labels": np.array([0, 1]),
        "teacher_confidence": np.ones(2),
        "student_probabilities": np.full((2, 2), 0.5),
    }
    with pytest.raises(UsageError, match=message):
        StepBatch(**{**arrays, **change})


def test_a_student_that_has_diverged_stops_the_training_before_it_spoils_the_thresholds():
    with pytest.raises(ModelError, match="diverged"):
        batch([0], [0.9], [[np.nan, np.nan]])


# --- FreeMatch


def test_freematch_by_hand():
    """C = 2, start 1/2, momentum 0.5; p_S = [0.9, 0.1], [0.6, 0.4], [0.6, 0.4], y' = [0, 0, 1].

    time = 0.5 * 0.5 + 0.5 * (0.9 + 0.6 + 0.6) / 3 = 0.6;  p = 0.5 * [0.5, 0.5] + 0.5 * [0.7, 0.3] = [0.6, 0.4]
    thresholds: class 0: 0.6 * 0.6 / 0.6 = 0.6;  class 1: 0.6 * 0.4 / 0.6 = 0.4.  All three are kept.
    """
    selector = FreeMatch({"momentum": 0.5}, seed=0)
    decision = selector.step(batch([0, 0, 1], [1, 1, 1], [[0.9, 0.1], [0.6, 0.4], [0.6, 0.4]]))
    assert selector.time == pytest.approx(0.6)
    assert selector.expectation == pytest.approx([0.6, 0.4])
    assert decision.keep.tolist() == [True, True, True]
    assert decision.divisor == 3.0


def test_freematch_drops_below_the_threshold_of_the_class():
    """time = 0.25 + 0.25 + ...: of p_S = [0.8, 0.2], [0.55, 0.45] twice, mean of max = 0.6333, time = 0.56667.

    p = 0.5 * [0.5, 0.5] + 0.5 * [0.6333, 0.3667] = [0.56667, 0.43333]; thresholds 0.56667 and 0.43333.
    """
    decision = FreeMatch({"momentum": 0.5}, seed=0).step(
        batch([0, 0, 1], [1, 1, 1], [[0.8, 0.2], [0.55, 0.45], [0.55, 0.45]])
    )
    assert decision.keep.tolist() == [True, False, True]
    assert decision.log["student_threshold"] == pytest.approx(0.566667)
    assert decision.divisor == 3.0


def test_freematch_by_the_students_own_class_as_the_original():
    """The third sample's own choice is class 0, whose threshold it misses."""
    decision = FreeMatch({"momentum": 0.5, "threshold_class": "student", "normalise": "kept"}, seed=0).step(
        batch([0, 0, 1], [1, 1, 1], [[0.8, 0.2], [0.55, 0.45], [0.55, 0.45]])
    )
    assert decision.keep.tolist() == [True, False, False]
    assert decision.divisor == 1.0


def test_freematch_on_positions_has_one_threshold():
    decision = FreeMatch({"momentum": 0.5}, seed=0).step(
        batch([0, 0, 1], [1, 1, 1], [[0.8, 0.2], [0.55, 0.45], [0.55, 0.45]], classes_are_positions=True)
    )
    assert decision.keep.tolist() == [True, False, False]
    assert decision.log["expectation"] is None


# --- SoftMatch


def test_softmatch_by_hand():
    """C = 2, momentum 0.5, max p_S = [0.9, 0.5]: mu = 0.25 + 0.35 = 0.6; var = 0.5 + 0.5 * 0.08 = 0.54.

    (unbiased variance of 0.9 and 0.5: 2 * 0.2^2 / 1 = 0.08)
    weights: 0.9 >= mu: 1;  0.5: exp(-0.1^2 / (2 * 0.54 / 4)) = exp(-0.037037) = 0.963640
    """
    selector = SoftMatch({"momentum": 0.5}, seed=0)
    decision = selector.step(batch([0, 1], [1, 1], [[0.9, 0.1], [0.5, 0.5]]))
    assert selector.mean == pytest.approx(0.6)
    assert selector.variance == pytest.approx(0.54)
    assert decision.weight == pytest.approx([1.0, 0.963640], abs=1e-6)
    assert decision.keep.all()


def test_the_variance_of_one_sample_is_unknown_and_moves_nothing():
    selector = SoftMatch({"momentum": 0.5}, seed=0)
    selector.step(batch([0], [1], [[0.9, 0.1]]))
    assert selector.variance == 1.0


def test_without_variance_what_is_below_the_mean_is_dropped():
    assert gaussian_weights(np.array([0.4, 0.5, 0.6]), 0.5, 0.0, 2).tolist() == [0.0, 1.0, 1.0]


# --- UNIXKD


def test_unixkd_keeps_the_most_uncertain_share():
    """u of [0.5, 0.5] is 1, of [0.7, 0.3] 0.88, of [0.9, 0.1] 0.47, of [1, 0] 0: half of four are the first two."""
    decision = UnixKd({"share": 0.5}, seed=0).step(
        batch([0] * 4, [1] * 4, [[0.9, 0.1], [0.5, 0.5], [1.0, 0.0], [0.7, 0.3]])
    )
    assert decision.keep.tolist() == [False, True, False, True]
    assert decision.log["uncertainty_threshold"] == pytest.approx(0.8813, abs=1e-4)


# --- CCKD_T+Reg


def test_cckd_t_reg_by_hand():
    """Three classes; c = 0.8, 0.5: targets 0.8 / 0.1 / 0.1 and 0.25 / 0.5 / 0.25. The second is known: 0.6 >= 0.5."""
    decision = CckdTReg({}, seed=0).step(batch([0, 1], [0.8, 0.5], [[0.7, 0.2, 0.1], [0.2, 0.6, 0.2]]))
    assert decision.keep.tolist() == [True, False]
    assert decision.targets.ravel() == pytest.approx([0.8, 0.1, 0.1, 0.25, 0.5, 0.25])


def test_cckd_t_reg_drops_at_equal_probability():
    assert not CckdTReg({}, seed=0).step(batch([0], [0.75], [[0.75, 0.25]])).keep.any()


def test_there_is_no_distribution_to_learn_where_texts_are_learnt():
    assert CckdTReg({}, seed=0).step(random_batch(0, classes_are_positions=True)).targets is None
    assert CckdTReg({}, seed=0).step(free_text(0)).targets is None
    assert CckdTReg({"target": "label"}, seed=0).step(random_batch(0)).targets is None


@given(st.integers(0, 50), st.integers(1, 6))
def test_conditioned_targets_are_distributions(seed, classes):
    made = random_batch(seed, classes=classes)
    targets = conditioned_targets(made.teacher_confidence, made.labels, classes)
    assert targets.sum(axis=1) == pytest.approx(np.ones(6))


def test_conditioned_targets_without_confidence_are_the_label():
    assert conditioned_targets(np.array([np.nan]), np.array([1]), 3).tolist() == [[0, 1, 0]]


def test_cckd_t_reg_stops_without_confidence_unless_set():
    missing = batch([0], [np.nan], [[0.75, 0.25]])
    with pytest.raises(InputError, match="without_confidence"):
        CckdTReg({}, seed=0).step(missing)
    assert CckdTReg({"without_confidence": "keep"}, seed=0).step(missing).keep.all()
    assert not CckdTReg({"without_confidence": "drop"}, seed=0).step(missing).keep.any()


# --- random at equal count


def test_random_keeps_the_counts_of_another_run():
    selector = RandomStep({"counts": [3, 0, 6]}, seed=0)
    assert [int(selector.step(random_batch(i)).keep.sum()) for i in range(3)] == [3, 0, 6]
    with pytest.raises(RunError, match="counts for 3 steps"):
        selector.step(random_batch(3))


@given(seed=st.integers(0, 50))
def test_random_like_llkd_keeps_as_many_as_llkd(seed):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plugins, "find", lambda group, name: METHODS[name])
        chance = RandomStep({"like": "llkd", "like_options": {"momentum": 0.5}}, seed=seed)
    llkd = Llkd({"momentum": 0.5}, seed=seed)
    for i in range(5):
        made = random_batch(1000 * seed + i, size=16)
        expected, got = llkd.step(made), chance.step(made)
        assert got.keep.sum() == expected.keep.sum()
        assert got.log["followed"] == expected.log


def test_random_like_llkd_needs_the_student_and_resumes(registered):
    first, whole = (RandomStep({"like": "llkd"}, seed=1) for _ in range(2))
    assert first.needs_student
    expected = [whole.step(random_batch(i, size=16)).keep.tolist() for i in range(4)]
    first.step(random_batch(0, size=16))
    second = RandomStep({"like": "llkd"}, seed=1)
    second.load_state(json.loads(json.dumps(first.state())))
    assert [second.step(random_batch(i, size=16)).keep.tolist() for i in range(1, 4)] == expected[1:]
    with pytest.raises(RunError, match="another `like`"):
        RandomStep({}, seed=1).load_state(first.state())


def test_random_cannot_follow_a_method_that_does_not_select_per_step(registered):
    with pytest.raises(ConfigError, match="'all' does not select per step"):
        RandomStep({"like": "all"}, seed=0)


@pytest.mark.parametrize("options", [{"share": 0.5, "counts": [1]}, {"like": "llkd", "counts": [1]}, {"counts": [-1]}])
def test_options_of_random_that_contradict_are_refused(options):
    with pytest.raises(ConfigError, match="random_step"):
        RandomStep(options, seed=0)
