"""Temperatures from agreement: by hand, and with engines whose faults are known."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny import FakeEngine

from solo_hub.core.records import Passage, Question, Retrieval
from solo_hub.models.experts import Recipe
from solo_hub.models.prompts import PromptBuilder
from solo_hub.teacher.calibration import COLDEST, HOTTEST, Calibration, calibrate, fit_temperature, mean_confidence

BUILDER = PromptBuilder()
OPTIONS = ("amber", "birch", "coral", "dune")


def test_temperature_by_hand():
    """Scores (2, 0): the confidence at T is 1 / (1 + e^(-2/T)); it is 3/4 where e^(-2/T) = 1/3, at T = 2 / ln 3."""
    assert fit_temperature([(2.0, 0.0)] * 3, 0.75) == pytest.approx(2 / math.log(3), abs=1e-3)


def test_what_cannot_be_reached_ends_at_a_limit():
    assert fit_temperature([(2.0, 0.0)], 0.1) == pytest.approx(HOTTEST, rel=1e-3)
    assert fit_temperature([(2.0, 0.0)], 1.1) == pytest.approx(COLDEST, rel=1e-3)


@given(st.lists(st.lists(st.floats(-20, 0), min_size=2, max_size=8), min_size=1, max_size=10), st.floats(0.3, 0.95))
def test_the_mean_confidence_is_the_target_where_it_can_be(scores, target):
    temperature = fit_temperature(scores, target)
    reached = mean_confidence(scores, temperature)
    if COLDEST * 1.01 < temperature < HOTTEST * 0.99:
        assert reached == pytest.approx(target, abs=0.02)


def sample(count):
    """Question i is about word i; its passages name the right option."""
    pairs = []
    for i in range(count):
        right = OPTIONS[i % 4]
        passages = tuple(Passage(f"p{i}-{k}", f"Word {i} is {right} {k}.", 1.0 - k / 10) for k in range(4))
        pairs.append((Question(f"q{i}", f"What is word {i}?", OPTIONS), Retrieval(f"q{i}", passages)))
    return pairs


def overconfident(right):
    """Sure of itself by twenty nats, and right in that share of questions."""

    def judge(prompt, answer):
        number = int(prompt.split("What is word ")[1].split("?")[0]) if "What is" in prompt else 0
        chosen = OPTIONS[(number if random.Random(number).random() < right else number + 1) % 4]
        return 0.0 if answer.strip() == chosen else -20.0

    return judge


def supports(pairs, right):
    rows = []
    for i in range(len(pairs)):
        chosen = (i if random.Random(1000 + i).random() < right else i + 2) % 4
        rows.append(tuple(math.log(0.7 if k == chosen else 0.1) for k in range(4)))
    return rows


def test_model_and_retrieval_agree_as_often_as_the_confidence_says():
    pairs = sample(200)
    given = supports(pairs, 0.8)
    recipe = Recipe("text", support_weight=1.0)
    found = calibrate(FakeEngine(overconfident(0.7)), BUILDER, pairs, given, recipe)
    assert (found.views, found.n) == ("model and retrieval", 200)
    assert found.agreement == pytest.approx(0.7 * 0.8, abs=0.08)  # they never err alike here
    assert found.before > 0.99
    assert found.model_temperature > 5
    again = calibrate(FakeEngine(overconfident(0.7)), BUILDER, pairs, given, recipe, batch_size=7)
    assert again == found


def test_a_model_that_always_agrees_is_left_confident():
    pairs = sample(40)
    given = [tuple(math.log(0.97 if k == i % 4 else 0.01) for k in range(4)) for i in range(40)]
    found = calibrate(FakeEngine(overconfident(1.0)), BUILDER, pairs, given, Recipe("text", support_weight=1.0))
    assert found.agreement == 1.0
    assert found.temperature == pytest.approx(COLDEST, rel=1e-2)


def test_without_the_best_passage_and_without_the_last():
    """A model that goes by the one passage with a 0 in it, the best, and says the first option without it."""

    def judge(prompt, answer):
        told = [line for line in prompt.split("\n") if line.startswith("Word") and line.endswith("0.")]
        return 0.0 if (told and answer.strip() in told[0]) or (not told and answer.strip() == "amber") else -9.0

    found = calibrate(FakeEngine(judge), BUILDER, sample(40), [None] * 40, Recipe("text", support_weight=1.0))
    assert (found.views, found.agreement, found.n) == ("without the best and without the last passage", 0.25, 40)
    assert found.temperature == 1.0
    assert found.model_temperature > 1


def test_two_orders_of_the_letters():
    """Always A: two orders never agree, and nothing is left of its confidence."""
    judge = lambda prompt, answer: 0.0 if answer == " A" else -9.0  # noqa: E731
    found = calibrate(FakeEngine(judge), BUILDER, sample(24), [None] * 24, Recipe("letter", orders=4))
    assert (found.views, found.agreement) == ("two orders of the options", 0.0)


@pytest.mark.parametrize("count", [0, 7])
def test_too_few_to_tell(count):
    pairs = sample(count)
    assert calibrate(FakeEngine(overconfident(1)), BUILDER, pairs, [None] * count, Recipe("text")) == Calibration()


def test_one_passage_is_one_view():
    pairs = [(q, Retrieval(q.id, r.passages[:1])) for q, r in sample(20)]
    assert calibrate(FakeEngine(overconfident(1)), BUILDER, pairs, [None] * 20, Recipe("text")) == Calibration()


def test_an_engine_that_tells_nothing():
    assert calibrate(FakeEngine(None), BUILDER, sample(20), [None] * 20, Recipe("text")) == Calibration()


def test_calibrated_on_agreement_the_error_falls():
    """With gold for analysis: the expected calibration error of an overconfident teacher, before and after."""
    from solo_hub.evaluation.statistics.calibration import expected_calibration_error
    from solo_hub.models.answering import Answer
    from solo_hub.models.experts import combine

    rng = np.random.default_rng(0)
    n = 600
    gold = rng.integers(0, 4, n)
    model = np.where(rng.random(n) < 0.65, gold, (gold + 1) % 4)
    found = np.where(rng.random(n) < 0.7, gold, (gold + 2) % 4)
    answers = []
    for choice in model:
        p = np.full(4, 1e-6)
        p[choice] = 1 - 3e-6
        answers.append(Answer(int(choice), tuple(p), tuple(np.log(p))))
    given = [tuple(math.log(0.7 if k == c else 0.1) for k in range(4)) for c in found]
    agreement = float(np.mean(model == found))
    cold = Recipe("text", support_weight=1.0)
    t_model = fit_temperature([a.scores for a in answers], agreement)
    cooled = Recipe("text", model_temperature=t_model, support_weight=1.0)
    t = fit_temperature([combine(a, s, cooled).scores for a, s in zip(answers, given, strict=True)], agreement)
    recipe = Recipe("text", model_temperature=t_model, support_weight=1.0, temperature=t)

    def error(recipe):
        told = [combine(a, s, recipe) for a, s in zip(answers, given, strict=True)]
        return expected_calibration_error([max(a.probabilities) for a in told],
                                          [a.option == g for a, g in zip(told, gold, strict=True)])  # fmt: skip

    assert error(recipe) < error(cold)
