"""Explanations are kept only where they cite what they say."""

from __future__ import annotations

import pytest
from tiny import FakeEngine

from solo_hub.core.records import Passage, PseudoLabel, Question
from solo_hub.models.prompts import PromptBuilder
from solo_hub.teacher.explanation import explain, explains_well, is_supported

BUILDER = PromptBuilder()
PASSAGES = (Passage("a", "Rivers rise from melting snow.", 0.9), Passage("b", "Bears sleep in caves.", 0.5))


@pytest.mark.parametrize(
    ("text", "supported"),
    [
        ("Rivers rise when snow is melting [1].", True),
        ("Bears sleep [2], and rivers rise [1].", True),
        ("The moon is round [1], but bears in caves sleep [2].", True),
        ("Rivers rise when snow is melting.", False),  # cites nothing
        ("Rivers rise when snow is melting [3].", False),  # cites what is not there
        ("Rivers rise when snow is melting [1] [0].", False),
        ("The moon is round [1].", False),  # has nothing to do with it
        ("Rivers rise when snow is melting [2].", False),  # cites the wrong one
        ("", False),
        ("[1]", False),
    ],
)
def test_an_explanation_cites_what_it_says(text, supported):
    assert is_supported(text, PASSAGES) is supported


@pytest.mark.parametrize(
    ("text", "supported"), [("因為霜莓的果皮有刺[1]。", True), ("因為天氣寒冷[1]。", False), ("果皮有刺[2]。", False)]
)
def test_words_of_a_script_without_blanks_are_shared_by_pairs(text, supported):
    passages = (Passage("a", "採收的人戴手套,因為果皮有刺。", 0.9), Passage("b", "貓在白天睡覺。", 0.5))
    assert is_supported(text, passages) is supported


def test_nothing_can_be_cited_of_no_passages():
    assert not is_supported("Rivers rise when snow is melting [1].", ())


def label(i):
    return PseudoLabel(f"q{i}", None, None, "melting snow", None, (), 0, "generate", "k")


def ask(says, count=5, tokens=20):
    questions = [Question(f"q{i}", f"Why {i}?") for i in range(count)]
    engine = FakeEngine(says=says)
    return (engine, BUILDER, questions, [label(i) for i in range(count)], [PASSAGES] * count), {
        "max_new_tokens": tokens
    }


def good_but_for(*bad):
    return lambda prompt: (
        "No idea." if any(f"Why {i}?" in prompt for i in bad) else "Melting snow makes rivers rise [1]."
    )


def test_a_bad_explanation_is_left_out_and_the_label_stays():
    arguments, more = ask(good_but_for(1))
    explained = explain(*arguments, **more)
    assert [row.explanation is not None for row in explained] == [True, False, True, True, True]
    assert [row.text for row in explained] == ["melting snow"] * 5


def test_an_explanation_that_does_not_end_is_left_out():
    arguments, more = ask(lambda prompt: "Melting snow makes rivers rise [1] " * 9)
    assert {row.explanation for row in explain(*arguments, **more)} == {None}


def test_nothing_to_explain():
    arguments, more = ask(good_but_for(), count=0)
    assert explain(*arguments, **more) == []
    assert explains_well(*arguments, **more) == (False, 0.0)


@pytest.mark.parametrize(("bad", "good", "share"), [((), True, 1.0), ((1,), True, 0.8), ((1, 2), False, 0.6)])
def test_a_model_explains_well_when_four_in_five_are_good(bad, good, share):
    arguments, more = ask(good_but_for(*bad))
    assert explains_well(*arguments, **more) == (good, share)
