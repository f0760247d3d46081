"""Prompts, word for word: one template for all arms, the question always last."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from solo_hub.core.errors import InputError
from solo_hub.core.plugins import Prompt
from solo_hub.core.records import Question
from solo_hub.models.prompts import PromptBuilder, identity

SKY = Question("q", "What colour is the sky?", ("red", "blue"))
PLAIN = PromptBuilder()
CHAT = PromptBuilder(lambda text: Prompt(f"<user>{text}<bot>", special_tokens=False))


def test_the_students_prompt():
    assert PLAIN.ask(SKY, "text") == Prompt("Question: What colour is the sky?\nAnswer:")


def test_the_teachers_prompt_is_the_students_behind_the_passages():
    prompt = PLAIN.ask(SKY, "text", ["One fact.", "Two facts."])
    assert prompt.text == "One fact.\nTwo facts.\nQuestion: What colour is the sky?\nAnswer:"


def test_options_are_listed_for_letters_alone():
    assert PLAIN.ask(SKY, "letter").text == "Question: What colour is the sky?\nA. red\nB. blue\nAnswer:"
    assert "blue" not in PLAIN.ask(SKY, "text_minus_prior").text


def test_letters_name_twenty_six_options_and_texts_any_number():
    many = Question("q", "Which?", tuple(f"kind {n}" for n in range(27)))
    assert PLAIN.answers(many, "text") == PLAIN.answers(many, "class") == list(many.options)
    for ask in (PLAIN.answers, PLAIN.ask):
        with pytest.raises(InputError, match="question 'q' has 27 options, but there are 26 letters"):
            ask(many, "letter")
    assert PLAIN.answers(Question("q", "?", many.options[:26]), "letter")[-1] == "Z"


def test_answers_follow_a_blank_in_running_text_and_nothing_in_a_chat():
    assert PLAIN.continuations(SKY, "text") == [" red", " blue"]
    assert PLAIN.continuations(SKY, "letter") == [" A", " B"]
    assert CHAT.continuations(SKY, "text") == ["red", "blue"]
    assert PLAIN.continuations(Question("q", "?"), "text") == []


def test_a_chat_holds_the_same_words():
    assert CHAT.ask(SKY, "text").text == f"<user>{PLAIN.ask(SKY, 'text').text}<bot>"
    assert CHAT.prior().text == "<user>Answer:<bot>"
    assert PLAIN.prior() == Prompt("Answer:")


def test_an_explanation_is_asked_with_numbered_passages():
    assert PLAIN.explain(SKY, "blue", ["One fact.", "Two facts."]).text == (
        "[1] One fact.\n[2] Two facts.\nQuestion: What colour is the sky?\nAnswer: blue\n"
        "Why, in one sentence that cites the passages as [1]:"
    )


@given(st.text(), st.lists(st.text(), max_size=3))
def test_no_text_can_break_out_of_its_line(text, passages):
    """Jinja marks, line breaks and quotes are words like any other."""
    prompt = PLAIN.ask(Question("q", text), "text", passages).text
    assert len(re.split("\n", prompt)) == len(passages) + 2
    assert prompt.endswith(f"Question: {' '.join(text.split())}\nAnswer:")


@pytest.mark.parametrize("text", ["{{ 1 + 1 }}", "{% raw %}", "<b>&amp;</b>"])
def test_templates_and_markup_in_the_data_are_text(text):
    assert text in PLAIN.ask(Question("q", text), "text", [text]).text.split("\n")[0]


def test_the_identity_tells_formats_apart():
    assert identity("plain") == identity("plain")
    assert identity("plain") != identity("chat")
    assert re.fullmatch("[0-9a-f]{16}", identity("plain"))
