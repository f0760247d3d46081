"""Answering: passages that fit, options scored, letters read; with engines whose answers are known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny import FakeEngine, load_engine, shares_words

from solo_hub.core.errors import InputError, ModelError
from solo_hub.core.plugins import Prompt
from solo_hub.core.records import Passage, Question
from solo_hub.models.answering import choose, fit, named_option, softmax, write
from solo_hub.models.prompts import PromptBuilder

BUILDER = PromptBuilder()
SKY = Question("q", "What colour is the sky?", ("red", "deep blue", "green"))
PASSAGES = [Passage(f"p{i}", f"Passage number {i} has six words.", 1 - i / 10) for i in range(10)]


def test_all_passages_where_there_is_room_the_best_next_to_the_question():
    fitted = fit(FakeEngine(), BUILDER, SKY, PASSAGES, "text")
    assert (fitted.passages, fitted.dropped) == (tuple(PASSAGES[::-1]), 0)
    assert fitted.prompt == BUILDER.ask(SKY, "text", [p.text for p in PASSAGES[::-1]])


def test_no_passages():
    fitted = fit(FakeEngine(), BUILDER, SKY, [], "text")
    assert (fitted.passages, fitted.dropped) == ((), 0)


def test_the_worst_passages_are_left_out_and_counted():
    """Six words a passage; the bare prompt has seven, the longest answer two, the margin eight: 40 leave 23."""
    fitted = fit(FakeEngine(context_length=40), BUILDER, SKY, PASSAGES, "text")
    assert (fitted.passages, fitted.dropped) == (tuple(PASSAGES[2::-1]), 7)
    reserved = fit(FakeEngine(context_length=40), BUILDER, SKY, PASSAGES, "text", reserve=6)
    assert (reserved.passages, reserved.dropped) == (tuple(PASSAGES[1::-1]), 8)


@given(st.integers(17, 90), st.integers(0, 20), st.sampled_from(["text", "letter"]))
def test_the_question_is_never_cut(context, reserve, style):
    engine = FakeEngine(context_length=context)
    try:
        fitted = fit(engine, BUILDER, SKY, PASSAGES, style, reserve=reserve)
    except InputError:
        bare = BUILDER.ask(SKY, style).text
        assert len(bare.split()) + 8 + reserve + (2 if style == "text" else 1) > context
        return
    assert "What colour is the sky?" in fitted.prompt.text
    assert len(fitted.prompt.text.split()) + reserve < context
    assert len(fitted.passages) + fitted.dropped == len(PASSAGES)
    assert fitted.passages == tuple(PASSAGES[: len(fitted.passages)][::-1])


def test_a_question_too_long_by_itself_is_named():
    with pytest.raises(InputError, match=r"question 'q' and its options are longer than the model's context of 12"):
        fit(FakeEngine(context_length=12), BUILDER, SKY, PASSAGES, "text")


def test_what_fits_is_what_the_model_can_read(tiny_model):
    engine = load_engine(tiny_model)
    fitted = fit(engine, BUILDER, SKY, PASSAGES * 3, "text", reserve=24)
    assert fitted.dropped > 0
    assert engine.count_tokens([fitted.prompt.text])[0] + 24 < engine.context_length
    with pytest.raises(InputError, match="longer than the model's context of 256"):
        fit(engine, BUILDER, Question("q", "why " * 300, SKY.options), [], "text")


def test_options_are_scored_by_hand():
    """Three options at log 1, log 2, log 5: the softmax gives them back as shares of eight."""
    odds = {" red": 1, " deep blue": 2, " green": 5}
    engine = FakeEngine(lambda prompt, answer: math.log(odds[answer]))
    (answer,) = choose(engine, BUILDER, [SKY], [BUILDER.ask(SKY, "text")], "text")
    assert answer.option == 2
    assert answer.probabilities == pytest.approx((1 / 8, 2 / 8, 5 / 8))
    assert answer.scores == pytest.approx((0, math.log(2), math.log(5)))


def test_letters_are_scored_after_the_listed_options():
    engine = FakeEngine(lambda prompt, answer: 0.0 if answer == " B" and "\nB. deep blue\n" in prompt else -5.0)
    (answer,) = choose(engine, BUILDER, [SKY], [BUILDER.ask(SKY, "letter")], "letter")
    assert answer.option == 1


def test_the_prior_takes_away_what_is_likely_anyway():
    """ "red" is said to anything; "green" is twice as likely after this question as after none."""

    def judge(prompt, answer):
        if prompt == "Answer:":
            return math.log({" red": 0.8, " deep blue": 0.1, " green": 0.1}[answer])
        return math.log({" red": 0.7, " deep blue": 0.1, " green": 0.2}[answer])

    prompt = BUILDER.ask(SKY, "text")
    assert choose(FakeEngine(judge), BUILDER, [SKY], [prompt], "text")[0].option == 0
    (answer,) = choose(FakeEngine(judge), BUILDER, [SKY], [prompt], "text_minus_prior")
    assert answer.option == 2
    assert answer.scores == pytest.approx((math.log(7 / 8), 0, math.log(2)))


def test_an_engine_that_tells_no_probabilities():
    (answer,) = choose(FakeEngine(), BUILDER, [SKY], [BUILDER.ask(SKY, "text")], "text")
    assert (answer.probabilities, answer.scores) == (None, None)


def test_choosing_for_nobody():
    assert choose(FakeEngine(shares_words), BUILDER, [], [], "text_minus_prior") == []


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_scores_that_are_no_numbers_are_refused(value):
    engine = FakeEngine(lambda prompt, answer: value)
    with pytest.raises(ModelError, match="scores of question 'q' are not finite") as caught:
        choose(engine, BUILDER, [SKY], [BUILDER.ask(SKY, "text")], "text")
    assert "engine.dtype=float32" in caught.value.hint


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=9))
def test_softmax_is_a_distribution_in_the_order_of_the_scores(scores):
    shares = softmax(np.array(scores))
    assert shares.sum() == pytest.approx(1)
    assert np.all(shares >= 0)
    assert shares[int(np.argmax(scores))] == shares.max()


def test_softmax_does_not_mind_where_zero_is():
    assert softmax(np.array([1e5, 1e5])) == pytest.approx([0.5, 0.5])
    assert softmax(np.array([0.0, math.log(3)])) == pytest.approx([0.25, 0.75])


def test_writing_keeps_the_order():
    engine = FakeEngine(says=lambda prompt: prompt[-1] * 3)
    texts = ["a long prompt A", "B", "middle C", "D"]
    written = write(engine, [Prompt(text) for text in texts], 5, batch_size=2)
    assert [g.text for g in written] == ["AAA", "BBB", "CCC", "DDD"]
    assert write(engine, [], 5) == []


@pytest.mark.parametrize(
    ("said", "style", "option"),
    [
        ("B", "letter", 1),
        ("B", "text", 1),
        ("C. fog", "letter", 2),
        ("C. fog", "text", None),
        ("The sky is deep blue.", "text", 1),
        ("The sky is deep blue.", "letter", 1),
        ("B. The sky is red.", "text", None),
        ("The sky is red and green.", "text", None),
        ("The sky is not red.", "text", None),
        ("The sky is reddish.", "text", None),
    ],
)
def test_a_models_own_words(said, style, option):
    """Where the prompt lists the options by letter, a letter is enough; elsewhere it must not be contradicted."""
    assert named_option(said, SKY, style) == option
