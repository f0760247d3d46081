"""The one reader of "which option is this", held to a table."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from option_cases import CASES, LABELLED, LISTED

from solo_hub.models.options import equals_any, find_option, first_line, normalise


@pytest.mark.parametrize(("answer", "options", "place"), CASES)
def test_a_written_answer(answer, options, place):
    assert find_option(answer, options) == place


@pytest.mark.parametrize(("answer", "options", "place"), LISTED)
def test_a_written_answer_to_a_prompt_that_lists_the_options(answer, options, place):
    assert find_option(answer, options, letters_first=True) == place


@pytest.mark.parametrize(("answer", "options", "labels", "place"), LABELLED)
def test_an_answer_by_the_labels_of_the_dataset(answer, options, labels, place):
    assert find_option(answer, options, labels=labels) == place


@given(st.lists(st.text(min_size=1).filter(lambda t: " ".join(t.split())), min_size=1, max_size=6, unique=True))
def test_each_option_finds_itself(options):
    exact = [" ".join(option.split()) for option in options]
    for place, option in enumerate(options):
        if option.isascii() and exact.count(exact[place]) == 1:
            assert find_option(option, options) == place


@given(st.text(), st.lists(st.text(min_size=1), max_size=5), st.booleans())
def test_any_text_is_an_option_or_none(text, options, listed):
    assert find_option(text, options, letters_first=listed) in {None, *range(len(options))}


@given(st.sampled_from("ABCDE"), st.sampled_from(["{}", "({})", "{}.", "**{}**", "The answer is {}.", "Option {}"]))
def test_every_letter_in_every_dress(letter, dress):
    options = ["sand", "stone", "fog", "rain", "snow"]
    for written in (letter, letter.lower()):
        assert find_option(dress.format(written), options) == "ABCDE".index(letter)


@pytest.mark.parametrize("filling", [" ", "A, ", "<", "**", "is ", "(", "a", "\\boxed", "The answer is ", "\n"])
def test_a_long_answer_takes_no_time(filling):
    started = time.process_time()
    find_option("B is" + filling * 100_000 + "x", ("sand", "stone"), letters_first=True)
    find_option("The answer is" + filling * 100_000 + "x", ("sand", "stone"))
    assert time.process_time() - started < 5


def test_says():
    assert equals_any("The sun.", ["moon", "the sun"])
    assert not equals_any("the sun", ["moon"])
    assert not equals_any("the sun", [])


def test_first_line_empty():
    assert first_line("\n \n") == ""
    assert normalise("") == ""
