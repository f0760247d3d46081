"""The teacher's answer put together, by hand."""

from __future__ import annotations

import dataclasses
import math
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny import FakeEngine

from solo_hub.core.records import Passage, Question
from solo_hub.models.answering import Answer, fit
from solo_hub.models.experts import Recipe, answer, combine, rotated, shift
from solo_hub.models.prompts import PromptBuilder

BUILDER = PromptBuilder()
SKY = Question("sky", "Which colour?", ("red", "green", "blue", "grey"))
HALVES = Answer(0, (0.5, 0.25, 0.25), tuple(math.log(p) for p in (0.5, 0.25, 0.25)))


def ask(engine, recipe, supports=(None,), question=SKY, passages=(), builder=BUILDER):
    fitted = [fit(engine, builder, question, passages, recipe.style)]
    return answer(engine, builder, [question], fitted, supports, recipe)[0]


def test_the_plain_recipe_changes_nothing():
    recipe = Recipe("text")
    assert combine(HALVES, (0.0, -1.0, -2.0), recipe) is HALVES
    assert recipe.identity == ""


def test_two_experts_by_hand():
    """Model 1/2, 1/4, 1/4; retrieval 1/4, 1/2, 1/4. The products 1/8, 1/8, 1/16 sum to 5/16."""
    support = tuple(math.log(p) for p in (0.25, 0.5, 0.25))
    together = combine(HALVES, support, Recipe("text", support_weight=1.0))
    assert together.probabilities == pytest.approx((0.4, 0.4, 0.2))
    assert combine(HALVES, support, Recipe("text", support_weight=2.0)).option == 1


def test_a_temperature_changes_confidence_and_no_choice():
    """At T = 2 probabilities become their square roots: 0.7071, 0.5, 0.5."""
    cooled = combine(HALVES, None, Recipe("text", temperature=2.0))
    total = math.sqrt(0.5) + 1.0
    assert cooled.probabilities == pytest.approx((math.sqrt(0.5) / total, 0.5 / total, 0.5 / total))
    assert cooled.option == HALVES.option


def test_the_model_is_cooled_before_it_is_weighed():
    """The model's 9 to 1 becomes 3 to 1 at T_model = 2, and retrieval's 1 to 4 wins."""
    sure = Answer(0, (0.9, 0.1), (0.0, -1.0))
    support = (math.log(0.2), math.log(0.8))
    assert combine(sure, support, Recipe("text", support_weight=1.0)).option == 0
    cooled = combine(sure, support, Recipe("text", model_temperature=2.0, support_weight=1.0))
    assert (cooled.option, cooled.probabilities[1]) == (1, pytest.approx(4 / 7))


def test_without_support_the_model_is_alone():
    recipe = Recipe("text", model_temperature=1.0, support_weight=3.0)
    assert combine(HALVES, None, recipe).probabilities == pytest.approx(HALVES.probabilities)


def test_a_silent_engine_is_left_as_it_is():
    silent = Answer(-1, None, None)
    assert combine(silent, (0.0, 0.0), Recipe("text", support_weight=1.0)) is silent
    assert ask(FakeEngine(None), Recipe("letter", orders=4)) == silent


def test_support_for_other_options_is_a_mistake():
    with pytest.raises(ValueError, match="2 supports for 3 options"):
        combine(HALVES, (0.0, 0.0), Recipe("text", support_weight=1.0))


def test_an_impossible_option_stays_impossible_and_finite():
    nothing = Answer(0, (1.0, 0.0), (0.0, -math.inf))
    together = combine(nothing, (-1.0, -1.0), Recipe("text", support_weight=1.0))
    assert together.probabilities[1] == pytest.approx(0, abs=1e-12)
    assert np.isfinite(together.scores).all()


@given(st.lists(st.floats(0.01, 1), min_size=2, max_size=6), st.data(), st.floats(0.1, 10), st.floats(0, 5))
def test_probabilities_sum_to_one(weights, data, temperature, weight):
    p = [w / sum(weights) for w in weights]
    support = data.draw(st.lists(st.floats(-30, 0), min_size=len(p), max_size=len(p)))
    mine = Answer(int(np.argmax(p)), tuple(p), tuple(map(math.log, p)))
    together = combine(mine, tuple(support), Recipe("text", temperature=temperature, support_weight=weight))
    assert sum(together.probabilities) == pytest.approx(1)
    assert together.probabilities[together.option] == max(together.probabilities)


# -- orders ------------------------------------------------------------------------------------------------------------


def first_letter(prompt, letter):
    """Likes A three nats more than it likes what is right, and reads which option is blue."""
    listed = dict(re.findall(r"^([A-Z])\. (.*)$", prompt, re.MULTILINE))
    return (3.0 if letter == " A" else 0.0) + (2.0 if listed[letter.strip()] == "blue" else 0.0)


def test_orders_average_a_liking_for_a_letter_away():
    """By hand, 4 orders: blue is at C, B, A, D. A gets e^3 (e^5 when it is blue), blue e^2, the others 1."""
    assert ask(FakeEngine(first_letter), Recipe("letter")).option == 0
    found = ask(FakeEngine(first_letter), Recipe("letter", orders=4))
    plain, own = math.exp(3) + math.exp(2) + 2, math.exp(5) + 3
    blue = (3 * math.exp(2) / plain + math.exp(5) / own) / 4
    other = (math.exp(3) / plain + 2 * 1 / plain + 1 / own) / 4
    assert found.option == 2
    assert found.probabilities == pytest.approx((other, other, blue, other))
    assert found.agreement == 0.25  # in one order alone was blue its choice


def test_a_choice_that_survives_every_order_has_agreement_one():
    reads = FakeEngine(lambda prompt, letter: first_letter(prompt, letter) if letter != " A" else -9.0
                       + 20 * (re.search(r"^A\. blue$", prompt, re.MULTILINE) is not None))  # fmt: skip
    assert ask(reads, Recipe("letter", orders=4)).agreement == 1.0


def test_more_orders_than_options_are_as_many_as_options():
    engine = FakeEngine(first_letter)
    two = Question("q", "Which?", ("red", "blue"))
    assert ask(engine, Recipe("letter", orders=9), question=two).option == 1
    assert len(engine.calls) == 2


def test_the_passages_stay_in_every_order():
    engine = FakeEngine(first_letter)
    ask(engine, Recipe("letter", orders=2), passages=[Passage("p", "The sky is blue.", 1.0)])
    assert all("The sky is blue." in text for call in engine.calls for text in call)


def test_no_order_shows_a_question_its_own_example():
    """The examples hold this question with its answer, once with its options in another order and once without any."""
    own = [
        (SKY, "C"),
        (Question("again", " which COLOUR?", SKY.options[::-1]), "B"),
        (Question("example-1", "Which colour?"), "blue"),
    ]
    other = (Question("fog", "Which colour?", ("white", "black")), "A")
    engine = FakeEngine(first_letter)
    ask(engine, Recipe("letter", orders=4), builder=PromptBuilder(examples=(*own, other)))
    assert len(engine.calls) == 4
    for (prompt,) in engine.calls:
        assert prompt.casefold().count("which colour?") == 2  # the other example, then the question
        assert "A. white\nB. black\nAnswer: A\n\n" in prompt


def test_examples_that_do_not_fit_are_left_out_in_every_order():
    """Room for one of three examples: the other orders, as long as the first, have it alone as well."""
    examples = tuple((Question(f"e{i}", f"What is fog number {i} made of?", ("water", "stone")), "A") for i in range(3))
    engine = FakeEngine(lambda prompt, letter: 0.0, context_length=48)
    ask(engine, Recipe("letter", orders=4), builder=PromptBuilder(examples=examples))
    prompts = [prompt for (prompt,) in engine.calls]
    assert len(prompts) == 4
    assert all("What is fog number 2" in prompt and "What is fog number 1" not in prompt for prompt in prompts)
    assert max(engine.count_tokens(prompts)) <= engine.context_length


def test_text_is_asked_once():
    engine = FakeEngine(lambda prompt, text: 0.0)
    assert ask(engine, Recipe("text", orders=4)).agreement is None
    assert len(engine.calls) == 1


@given(st.integers(2, 12), st.integers(1, 12))
def test_turns_are_all_different_and_come_back(options, orders):
    turns = [shift(options, number, orders) for number in range(min(orders, options))]
    assert len(set(turns)) == len(turns)
    question = Question("q", "?", tuple(str(i) for i in range(options)))
    for turn in turns:
        turned = rotated(question, turn)
        assert tuple(np.roll(turned.options, turn)) == question.options


def test_every_part_of_a_recipe_is_in_its_identity():
    plain = Recipe("letter")
    others = [Recipe("letter", orders=2), Recipe("letter", model_temperature=2.0), Recipe("letter", support_weight=1.0),
              Recipe("letter", temperature=2.0)]  # fmt: skip
    assert len({r.identity for r in (plain, *others)}) == 5
    assert Recipe(**dataclasses.asdict(others[0])) == others[0]
