"""Metrics and report sections by plugin; the numbers worked by hand."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest

from solo_hub.core.errors import ConfigError
from solo_hub.core.plugins import Metric, ReportSection
from solo_hub.core.records import Gold, Prediction, Question
from solo_hub.evaluation.report import plugins as further
from solo_hub.evaluation.report.plugins import Brier, QuestionLength, add_metrics, sections
from solo_hub.evaluation.scoring import Arm

QUESTIONS = [Question(str(n), "word " * (n + 1), ("yes", "no")) for n in range(6)]
GOLDS = [Gold(str(n), 0, "yes") for n in range(6)]


def answers(*chosen, p=0.9):
    return [
        Prediction(str(n), "student", option, (p, 1 - p) if option == 0 else (1 - p, p), "yes")
        for n, option in enumerate(chosen)
    ]


def arm(rows):
    return {"student": Arm("student", rows, {"accuracy": np.ones(len(rows))})}


def test_the_brier_score_of_one_answer():
    """0.9 on the right one of two: (0.9 - 1)^2 + 0.1^2 = 0.02; 0.9 on the wrong one: 0.9^2 + 0.9^2 = 1.62."""
    right, wrong = answers(0, 1)
    assert Brier().score(QUESTIONS[0], GOLDS[0], right) == pytest.approx(0.02)
    assert Brier().score(QUESTIONS[0], GOLDS[0], wrong) == pytest.approx(1.62)
    assert Brier().score(QUESTIONS[0], GOLDS[0], answers(0, p=1.0)[0]) == 0
    assert Brier().score(QUESTIONS[0], GOLDS[0], Prediction("0", "student", None, None, "yes")) is None


def test_a_metric_is_scored_for_every_question():
    arms = arm(answers(0, 0, 1, 0, 0, 0))
    assert add_metrics(arms, QUESTIONS, GOLDS, ["brier"]) == {"brier": "Brier score (0 best, 2 worst)"}
    assert arms["student"].scores["brier"] == pytest.approx([0.02, 0.02, 1.62, 0.02, 0.02, 0.02])


def test_a_metric_that_does_not_apply_everywhere_is_left_out_of_that_arm():
    rows = answers(0, 0, 0, 0, 0)
    rows.append(Prediction("5", "student", None, None, "?"))
    arms = arm(rows)
    add_metrics(arms, QUESTIONS, GOLDS, ["brier"])
    assert "brier" not in arms["student"].scores


@pytest.mark.parametrize("bad", [math.nan, math.inf, "0.5"])
def test_a_metric_that_gives_no_number_is_named(monkeypatch, bad):
    made = SimpleNamespace(label="x", score=lambda *_: bad)
    monkeypatch.setattr(further, "find", lambda group, name: lambda: made)
    with pytest.raises(ConfigError, match="'odd' returned an invalid value"):
        add_metrics(arm(answers(0, 0, 0, 0, 0, 0)), QUESTIONS, GOLDS, ["odd"])


def test_names_that_are_taken_or_unknown():
    arms = arm(answers(0, 0, 0, 0, 0, 0))
    with pytest.raises(ConfigError, match="'accuracy' is always measured"):
        add_metrics(arms, QUESTIONS, GOLDS, ["accuracy"])
    with pytest.raises(ConfigError, match="no metric 'brir'"):
        add_metrics(arms, QUESTIONS, GOLDS, ["brir"])
    with pytest.raises(ConfigError, match="no report 'lengths'"):
        sections(["lengths"], {}, QUESTIONS, GOLDS, {})


def test_accuracy_by_length_of_the_question():
    """Six questions of 1 to 6 words in three pairs; right are the 1st, 2nd, 3rd and none of the longest."""
    (section,) = sections(["question_length"], {}, QUESTIONS, GOLDS, {"student": answers(0, 0, 0, 1, 1, 1)})
    assert section == {
        "title": "By length of the question",
        "columns": ["Question", "n", "student"],
        "rows": [["1 to 2 words", "2", "100.0 %"], ["3 to 4 words", "2", "50.0 %"], ["5 to 6 words", "2", "0.0 %"]],
    }


def test_ours_fit_the_protocols_and_nothing_is_nothing_empty():
    assert isinstance(Brier(), Metric)
    assert isinstance(QuestionLength(), ReportSection)
    assert add_metrics({}, [], [], []) == {}
    assert sections([], {}, [], [], {}) == []
    assert sections(["question_length"], {}, [], [], {})[0]["rows"] == []
