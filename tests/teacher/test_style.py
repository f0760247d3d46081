"""The choice of how to ask, with engines whose faults are known: each is seen through without knowing any answer."""

from __future__ import annotations

import re

import pytest
from tiny import FakeEngine

from solo_hub.core.records import Question
from solo_hub.models.prompts import PromptBuilder
from solo_hub.teacher.style import STYLES, StyleTest, choose_style

BUILDER = PromptBuilder()
WORDS = ["amber", "birch", "coral", "dune", "ember", "fjord", "grove", "heath"]
# every question names one of its four options, each time at another place
QUESTIONS = [
    Question(f"q{i}", f"Who lives in {WORDS[i]}?", tuple(WORDS[(i + shift - i % 4) % 8] for shift in range(4)))
    for i in range(8)
]
NO_PASSAGES = [()] * len(QUESTIONS)


def reads(prompt, answer):
    """Whether the answer's words, or those of the option its letter stands for, are in the question."""
    listed = dict(re.findall(r"^([A-Z])\. (.*)$", prompt, re.MULTILINE))
    asked = re.search(r"Question: (.*)", prompt)
    words = listed.get(answer.strip(), answer.strip())
    return 0.0 if asked and words in asked[1] else -3.0


def commonness(answer):
    """How common an option is whatever is asked: its place in the alphabet."""
    return -10.0 * (ord(answer.strip()[0]) - ord("a"))


def is_letter(answer):
    return len(answer.strip()) == 1


def always_a(prompt, answer):
    """Good at texts; asked for a letter it says A."""
    return (0.0 if answer == " A" else -5.0) if is_letter(answer) else reads(prompt, answer)


def by_commonness(prompt, answer):
    """Always A, and of texts the commonest; behind that it has read the question."""
    return always_a(prompt, answer) if is_letter(answer) else commonness(answer) + reads(prompt, answer)


def only_letters(prompt, answer):
    """Good at letters; of texts it says the same whatever is asked, also beside what it says to nothing."""
    return reads(prompt, answer) if is_letter(answer) else commonness(answer) * (2 if "Question" in prompt else 1)


@pytest.mark.parametrize(
    ("judge", "style"), [(by_commonness, "text_minus_prior"), (only_letters, "letter"), (reads, "text_minus_prior")]
)
def test_the_style_that_reads_the_question_wins(judge, style):
    chosen, tests = choose_style(FakeEngine(judge), BUILDER, QUESTIONS, NO_PASSAGES, seed=1)
    assert chosen == style == tests[0].style
    assert {test.style for test in tests} == set(STYLES)
    assert [test.score for test in tests] == sorted((test.score for test in tests), reverse=True)


def test_faults_by_hand():
    """Always A: indifferent to the question, and by content as robust as the shuffles leave A at its place."""
    _, tests = choose_style(FakeEngine(by_commonness), BUILDER, QUESTIONS, NO_PASSAGES, seed=1)
    by_name = {test.style: test for test in tests}
    assert by_name["letter"].indifferent == 1.0
    assert by_name["letter"].robust < 0.7
    assert by_name["text"] == StyleTest("text", robust=1.0, indifferent=1.0)
    assert by_name["text_minus_prior"].score > 0.5


def test_the_passages_go_with_their_question():
    from solo_hub.core.records import Passage

    passages = [(Passage(f"p{i}", f"It is {q.options[0]}.", 1.0),) for i, q in enumerate(QUESTIONS)]
    engine = FakeEngine(reads)
    choose_style(engine, BUILDER, QUESTIONS, passages, seed=0)
    for prompt in (text for call in engine.calls for text in call if text != "Answer:"):
        place = int(re.search(r"Who lives in (\w+)", prompt)[1] in WORDS) and next(
            i for i, word in enumerate(WORDS) if f"Who lives in {word}?" in prompt
        )
        assert passages[place][0].text in prompt


def test_the_same_seed_gives_the_same_tests():
    results = [choose_style(FakeEngine(always_a), BUILDER, QUESTIONS, NO_PASSAGES, seed=s, batch_size=b)
               for s, b in ((1, 3), (1, 16))]  # fmt: skip
    assert results[0] == results[1]


@pytest.mark.parametrize("count", [0, 1])
def test_too_few_questions_to_test_on(count):
    assert choose_style(FakeEngine(reads), BUILDER, QUESTIONS[:count], NO_PASSAGES[:count], seed=0) == (STYLES[0], [])


def test_equal_styles_are_taken_in_the_order_of_preference():
    chosen, tests = choose_style(FakeEngine(lambda prompt, answer: 0.0), BUILDER, QUESTIONS, NO_PASSAGES, seed=0)
    assert {test.score for test in tests if test.style != "letter"} == {0.0}
    assert chosen == "text_minus_prior"


def test_an_engine_that_writes_is_shown_the_options_only_if_it_uses_them():
    """A small model writes A to any list, and names the option where it is asked the question alone."""

    def reads_alone(prompt):
        return "A." if "\nA. " in prompt else f"It is {re.search(r'in ([a-z]+)[?]', prompt)[1]} where she lives."

    def reads_lists(prompt):
        listed = re.findall(r"^([A-Z])[.] (.*)$", prompt, re.MULTILINE)
        return next((letter for letter, option in listed if option in prompt.split("\n")[0]), "I do not know.")

    found = [
        choose_style(FakeEngine(None, says), BUILDER, QUESTIONS, NO_PASSAGES, seed=1, longest=12)[0]
        for says in (reads_alone, reads_lists)
    ]
    assert found == ["text", "letter"]
