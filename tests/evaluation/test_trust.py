"""Calibration, surest answers, confident mistakes and recitation, worked by hand."""

from __future__ import annotations

import numpy as np
import pytest

from solo_hub.core.records import Gold, Passage, Prediction, Question, Retrieval
from solo_hub.evaluation import trust
from solo_hub.evaluation.report.format import trust_lines
from solo_hub.evaluation.scoring import Arm

QUESTIONS = [Question(f"q{i}", f"Why {i}?", ("a", "b")) for i in range(5)]
GOLDS = [Gold(f"q{i}", 0, "a") for i in range(5)]


def arm(name: str, *certain: float) -> Arm:
    """An arm that gives the right option, `a`, these probabilities."""
    rows = [Prediction(f"q{i}", name, int(p < 0.5), (p, 1 - p), "") for i, p in enumerate(certain)]
    return Arm(name, rows, {"accuracy": np.array([float(p >= 0.5) for p in certain])})


def summarised(*arms: Arm, unanswerable=()):
    return trust.summarise(QUESTIONS, GOLDS, {a.name: a for a in arms}, unanswerable, resamples=200, seed=0)


def test_by_hand():
    """Confidence .95, .95, .95, .95 and .55; right, right, right, wrong, right.

    ECE: 4/5 |3/4 - .95| + 1/5 |1 - .55| = .25. Brier: (3 * 2 * .05^2 + 2 * .95^2 + 2 * .45^2) / 5 = .445.
    The surest four of five: 3 of 4.
    """
    row = summarised(arm("student", 0.95, 0.95, 0.95, 0.05, 0.55))["arms"]["student"]
    assert row["ece"] == pytest.approx(0.25)
    assert row["brier"]["value"] == pytest.approx(0.445)
    assert (row["accuracy_at_coverage"]["value"], row["accuracy_at_coverage"]["n"]) == (0.75, 4)


def test_confidently_wrong():
    """Of three questions apart the student is wrong and sure on two, the base on one of these; p = 1."""
    student, base = arm("student", 0.1, 0.9, 0.1, 0.1, 0.9), arm("base", 0.3, 0.9, 0.4, 0.1, 0.1)
    apart = summarised(student, base, unanswerable={"q0", "q2", "q3"})["unanswerable"]
    assert apart["n"] == 3
    assert apart["arms"]["student"]["value"] == pytest.approx(1)
    assert apart["arms"]["base"]["value"] == pytest.approx(1 / 3)
    pair = apart["student_vs_base"]
    assert (pair["only_first"], pair["only_second"], pair["p_value"]) == (2, 0, 0.5)


def test_nothing_to_say():
    """No probabilities, no section; no question apart, no share of them."""
    silent = Arm("base", [Prediction(f"q{i}", "base", 0, None, "a") for i in range(5)], {"accuracy": np.ones(5)})
    assert summarised(silent) is None
    assert summarised(arm("student", *[0.9] * 5))["unanswerable"] is None
    assert summarised(silent, arm("student", *[0.9] * 5))["arms"].keys() == {"student"}
    assert trust_lines({}) == []


def test_questions_without_their_documents():
    """q0: its fact is in no label's prompt. q1: one of its two is. q2: nothing found supports its answer."""
    golds = [Gold(f"q{i}", 0, "a", (f"Fact {i}.",)) for i in range(3)]
    given = [("p0", "Fact 0."), ("x", "Else.")], [("p1", "Fact 1."), ("p2", "Fact 1.")], [("x", "Else.")]
    rows = [Retrieval(f"q{i}", tuple(Passage(*pair, 1.0) for pair in pairs)) for i, pairs in enumerate(given)]
    assert trust.without_their_documents(QUESTIONS[:3], golds, rows, {"x", "p2"}) == ["q0"]


def test_recitation():
    """Ten words: five begin, five follow. A text of six words is too short."""
    begin, rest = trust.cut("one two three four five six seven eight nine ten")
    assert (begin, rest) == ("one two three four five", ("six", "seven", "eight", "nine", "ten"))
    assert trust.cut("one two three four five six") is None
    assert len(trust.cut("word " * 100)[0].split()) == trust.PROMPT_WORDS
    assert trust.recites(" six seven eight nine ten eleven", rest)
    assert not trust.recites("six seven eight nine eleven", rest)
    told = trust.summarise_recitation({"base": ["", " x"], "student": [" six seven eight nine ten", "x"]}, [rest, rest])
    assert (told["n"], told["arms"]["student"]["value"], told["arms"]["base"]["value"]) == (2, 0.5, 0)
    assert trust_lines({"recitation": told}) == [
        "passages continued word for word (n = 2): student 50.0 %, base 0.0 % (p = 1.000)"
    ]
