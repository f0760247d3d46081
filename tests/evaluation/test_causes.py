from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from solo_hub.core.records import Gold, Passage, Question, Retrieval
from solo_hub.evaluation.error_causes import DESCRIPTIONS, ErrorCause, explain, overlap, summarise, supports

from .by_hand import OPTIONS, prediction


def test_each_wrong_answer_has_its_cause(questions, golds, predictions, retrievals):
    """Student wrong on 3 (teacher right) and 5 (both wrong, a gold fact in the prompt); ahead of the teacher on 4."""
    findings = explain(questions, golds, predictions, retrievals)
    assert [(f.question_id, f.cause, f.supported) for f in findings] == [
        ("q3", "teacher_right", False),
        ("q4", "student_ahead", False),
        ("q5", "support_unused", True),
    ]


def test_without_passages_nothing_is_said_about_them(questions, golds, predictions):
    assert [finding.cause for finding in explain(questions, golds, predictions)] == [
        "teacher_right",
        "student_ahead",
        "both_wrong",
    ]


def test_a_run_that_looks_nothing_up_misses_no_passage(questions, golds, predictions):
    """Without a knowledge base every retrieval is empty: that is no reason for a wrong answer."""
    nothing = [Retrieval(question.id, ()) for question in questions]
    assert explain(questions, golds, predictions, nothing) == explain(questions, golds, predictions)


def test_a_student_without_a_teacher_is_not_judged_by_passages(questions, golds, predictions, retrievals):
    """Labels were brought along: nobody read the passages that were found."""
    alone = {"student": predictions["student"]}
    findings = explain(questions, golds, alone, retrievals)
    assert [(f.question_id, f.cause, f.supported) for f in findings] == [
        ("q3", "no_teacher", None),
        ("q5", "no_teacher", None),
    ]


def test_no_support(questions, golds, predictions, retrievals):
    retrievals[5] = Retrieval("q5", (Passage("p1", "Else.", 0.9),))
    assert explain(questions, golds, predictions, retrievals)[-1].cause == "no_support"


def test_only_passages_that_stood_in_the_prompt_count(questions, golds, predictions, retrievals):
    """The fact was found for question 5 but dropped from the prompt (p9 is not among the teacher's passages)."""
    retrievals[5] = Retrieval("q5", (Passage("p9", "Fact 5 is known.", 0.9), Passage("p1", "Else.", 0.5)))
    assert explain(questions, golds, predictions, retrievals)[-1].cause == "no_support"


def test_not_parsed_and_overlap():
    questions = [Question(f"q{i}", "?", ("changes in temperature", "temperature changes", "light")) for i in range(2)]
    golds = [Gold(f"q{i}", 0, "changes in temperature") for i in range(2)]
    arms = {
        "teacher": [prediction("teacher", 0, 2), prediction("teacher", 1, 2)],
        "student": [prediction("student", 0, None), prediction("student", 1, 1)],
    }
    assert [finding.cause for finding in explain(questions, golds, arms)] == ["not_parsed", "options_overlap"]


def test_without_student_the_last_arm_is_judged(questions, golds, predictions):
    findings = explain(questions, golds, {"base": predictions["base"]})
    assert [finding.question_id for finding in findings] == ["q1", "q2", "q3", "q5"]


def test_shares(questions, golds, predictions, retrievals):
    """Two wrong answers, one of each cause; one of the teacher's two wrong answers is right for the student."""
    shares = summarise(explain(questions, golds, predictions, retrievals))
    assert {name: (row["count"], row["n"]) for name, row in shares.items()} == {
        "teacher_right": (1, 2),
        "support_unused": (1, 2),
        "student_ahead": (1, 2),
    }
    assert shares["student_ahead"]["of"] == "teacher's wrong answers"


def test_all_right_empty(questions, golds):
    right = {arm: [prediction(arm, i, gold.option) for i, gold in enumerate(golds)] for arm in ("teacher", "student")}
    assert explain(questions, golds, right) == []
    assert summarise([]) == {}


@given(st.lists(st.sampled_from(sorted(set(DESCRIPTIONS) - {"student_ahead"})), min_size=1))
def test_causes_of_wrong_answers_sum_to_one(causes):
    shares = summarise([ErrorCause(str(i), cause, None) for i, cause in enumerate(causes)])
    assert sum(row["value"] for row in shares.values()) == pytest.approx(1)


class TestSupports:
    def test_gold_facts_decide_where_there_are_any(self):
        gold = Gold("q", 0, "rain", ("Clouds bring water.",))
        assert supports(["clouds bring water"], gold)
        assert not supports(["rain is rain"], gold)

    def test_else_the_answer_must_be_mentioned_as_words(self):
        gold = Gold("q", 0, "sun")
        assert supports(["The sun shines."], gold)
        assert not supports(["On Sunday."], gold)

    def test_empty(self):
        assert not supports([], Gold("q", 0, "sun"))
        assert not supports(["anything"], Gold("q", 0, ""))


def test_overlap():
    """{a, b} and {b, c}: 2 * 1 / 4."""
    assert overlap("a b", "b c") == 0.5
    assert overlap("", "") == 0.0
    assert overlap(OPTIONS[0], OPTIONS[0]) == 1.0


def test_a_passage_that_holds_one_of_several_references_supports_the_answer():
    gold = Gold("q", None, "William Blake", aliases=("W. Blake",))
    assert supports(["It is by W. Blake, they say."], gold)
    assert not supports(["It is by Blake."], gold)
