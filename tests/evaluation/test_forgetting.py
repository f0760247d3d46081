"""Forgetting: our texts and our second task, perplexity and its ratio by hand."""

from __future__ import annotations

import math

import pytest

from solo_hub.core.errors import InputError
from solo_hub.core.records import Gold, Prediction, Question
from solo_hub.evaluation import forgetting

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


def test_our_texts():
    texts = forgetting.general_texts()
    assert len(texts) == len(set(texts)) >= 20
    assert sum(len(text.split()) for text in texts) > 1500
    assert all(40 <= len(text.split()) <= 160 for text in texts)


def test_our_second_task():
    questions, golds = forgetting.second_task()
    assert len(questions) == len({q.id for q in questions}) == len({q.text for q in questions}) == 180
    assert all(len(set(q.options)) == 4 for q in questions)
    assert all(q.options[g.option] == g.text for q, g in zip(questions, golds, strict=True))
    first = questions[0]
    assert first.text == "What is a sparrow?"
    assert golds[0].text == "a bird"
    assert {"What is an owl?", "What is Japan?", "What is turquoise?"} <= {q.text for q in questions}
    assert forgetting.second_task() == (questions, golds)
    places = [g.option for g in golds]
    assert all(30 <= places.count(i) <= 60 for i in range(4)), "the right option stands anywhere"


def test_pieces():
    """Seven words in pieces of five; the last has two words, too few."""
    assert forgetting.pieces(["a b c d e f g"], 5) == [("a", " b c d e")]
    assert forgetting.pieces(["a b c d e f g h i j"], 5) == [("a", " b c d e"), ("f", " g h i j")]


def test_perplexity_by_hand():
    """Two texts of 2 and 4 tokens. Base loses 2 and 4 nats: exp(6/6) = e. Student 4 and 5: exp(9/6). Ratio exp(1/2)."""
    told = forgetting.summarise_text({"base": [2, 4], "student": [4, 5]}, [2, 4], resamples=200, seed=0)
    assert told["perplexity"]["base"] == pytest.approx(math.e)
    assert told["perplexity"]["student"] == pytest.approx(math.exp(1.5))
    ratio = told["ratio"]
    assert ratio["value"] == pytest.approx(math.exp(0.5))
    # a resample holds text 1 twice (exp(2/2)), text 2 twice (exp(1/4)), or both
    assert (ratio["low"], ratio["high"]) == pytest.approx((math.exp(0.25), math.e))
    assert (told["texts"], told["tokens"]) == (2, 6)


def test_second_task_is_paired():
    """Base right on 0 and 1, student on 1 and 2, of four."""
    questions = [Question(f"q{i}", "?", ("a", "b")) for i in range(4)]
    golds = [Gold(f"q{i}", 0, "a") for i in range(4)]
    chosen = {"base": (0, 0, 1, 1), "student": (1, 0, 0, 1)}
    rows = {arm: [Prediction(f"q{i}", arm, o, None, "") for i, o in enumerate(some)] for arm, some in chosen.items()}
    told = forgetting.summarise_task(questions, golds, rows)
    assert told["arms"]["student"]["value"] == 0.5
    pair = told["student_vs_base"]
    assert (pair["only_first"], pair["only_second"], pair["p_value"], pair["difference"]["value"]) == (1, 1, 1, 0)


def test_empty():
    with pytest.raises(InputError, match="no general text"):
        forgetting.pieces(["too short", ""])
