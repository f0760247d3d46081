"""Retrieve, tune, or both: read off paired comparisons, each case by hand."""

from __future__ import annotations

import pytest

from solo_hub.evaluation.report.format import arm_title
from solo_hub.evaluation.report.verdict import verdict
from solo_hub.publishing.facts import verdict as on_card

BETTER, WORSE, EQUAL = (0.2, 0.001), (-0.2, 0.001), (0.02, 0.5)


def report(accuracies, **pairs):
    """A report with these accuracies of base, teacher, student and student with passages, and these comparisons."""
    names = ("base", "teacher", "student", "student_with_passages")
    arms = {
        name: {
            "accuracy": {"value": value, "low": value - 0.1, "high": value + 0.1},
            "passages": name in ("teacher", "student_with_passages"),
            "seconds_per_question": {"p50": 0.2},
            "prompt_tokens": 200.0 if name in ("teacher", "student_with_passages") else 50.0,
        }
        for name, value in zip(names, accuracies, strict=False)
    }
    paired = {
        name: {"difference": {"value": gain}, "p_value": p, "p_value_holm": p} for name, (gain, p) in pairs.items()
    }
    return {"arms": arms, "paired": paired}


@pytest.mark.parametrize(
    ("pairs", "choice", "said"),
    [
        (
            {"student_vs_base": BETTER, "teacher_vs_base": BETTER, "student_vs_teacher": EQUAL},
            "tune",
            (
                "Tune: without passages the student answers 50.0 % of the questions correctly, its base 30.0 %; that "
                "is not clearly different from the base with passages (60.0 %), reading 25 % of its tokens."
            ),
        ),
        (
            {"student_vs_base": BETTER, "teacher_vs_base": BETTER, "student_vs_teacher": WORSE},
            "retrieve",
            (
                "Retrieve: with passages the base answers 60.0 % of the questions correctly, alone 30.0 %; tuning "
                "alone helps less (50.0 %)."
            ),
        ),
        (
            {"student_vs_base": EQUAL, "teacher_vs_base": BETTER, "student_vs_teacher": EQUAL},
            "retrieve",
            "tuning alone did not clearly help (50.0 %).",
        ),
        ({"student_vs_base": EQUAL, "teacher_vs_base": EQUAL}, "neither", "no gain is clear."),
        ({"student_vs_base": WORSE}, "neither", "the student 50.0 %; tuning made it worse."),
        (
            {
                "student_vs_base": BETTER,
                "teacher_vs_base": BETTER,
                "student_vs_teacher": EQUAL,
                "student_with_passages_vs_teacher": BETTER,
                "student_with_passages_vs_student": BETTER,
            },
            "both",
            "Tune and retrieve: the student with passages answers 70.0 % of the questions correctly",
        ),
    ],
)
def test_each_verdict(pairs, choice, said):
    found = verdict(report((0.3, 0.6, 0.5, 0.7), **pairs))
    assert found.choice == choice
    assert said in found.sentence
    assert [way.title for way in found.ways] == [
        "base",
        "teacher (base with passages)",
        "student",
        "student with passages",
    ]


def test_a_correction_for_many_comparisons_decides_all_but_the_primary_one():
    made = report((0.3, 0.6, 0.5), student_vs_base=BETTER, teacher_vs_base=BETTER, student_vs_teacher=(-0.1, 0.03))
    made["paired"]["student_vs_teacher"]["p_value_holm"] = 0.06
    assert verdict(made).choice == "tune"


def test_without_passages_or_a_comparison():
    made = report((0.3, 0.3, 0.5), student_vs_base=BETTER, teacher_vs_base=EQUAL)
    made["arms"]["teacher"]["passages"] = False
    assert verdict(made).choice == "tune"
    assert verdict({"arms": {}, "paired": {}}) is None
    assert on_card({"arms": {}, "paired": {}}) is None


def test_the_card_has_what_was_measured_and_no_column_of_dashes():
    sentence, table = on_card(report((0.3, 0.6, 0.5), student_vs_base=BETTER, teacher_vs_base=BETTER))
    assert sentence.startswith("Retrieve: with passages the base answers 60.0 %")
    assert "| Teacher (base with passages) | 60.0 % (50.0 to 70.0) | 200 ms | 200 |" in table
    assert "Peak memory" not in table


def test_one_spelling_of_each_arm():
    assert arm_title("oracle", {"arms": {}}) == "oracle (base with gold facts)"
    assert arm_title("gold_student", {"arms": {}}) == "student trained on gold answers"
    assert arm_title("mine", {"arms": {"mine": {"passages": True}}}) == "mine (with passages)"
