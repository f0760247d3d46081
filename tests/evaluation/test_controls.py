"""Labels of control students, by hand and by property."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from solo_hub.core.records import Example, PseudoLabel, Question
from solo_hub.student.control_labels import CONTROLS, GOLD, RANDOM, SHUFFLED, relabelled


def example(number, options=("rain", "snow", "sun"), option=0, text=None):
    said = text if text is not None else options[option]
    label = PseudoLabel(f"q{number}", option, (0.8, 0.1, 0.1), said, 0.8, ("p1",), 0, "text", "key", "Because of [1].")
    return Example(Question(f"q{number}", f"What falls on day {number}?", options), label, 0.5)


def own(number):
    return example(number, tuple(f"{kind} {number}" for kind in ("rain", "snow", "sun")), number % 3)


def test_the_known_answer():
    made = relabelled(GOLD, [example(0), example(1)], {"q1": (2, "sun")}, seed=0)
    assert [(e.question.id, e.label.option, e.label.text, e.weight) for e in made] == [("q1", 2, "sun", 1.0)]


@pytest.mark.parametrize("control", CONTROLS)
def test_nothing_of_what_the_teacher_knew_is_left(control):
    made = relabelled(control, [example(n) for n in range(4)], {f"q{n}": (1, "snow") for n in range(4)}, seed=0)
    assert len(made) == 4
    for each in made:
        assert (each.label.probabilities, each.label.confidence, each.label.explanation) == (None, None, None)
        assert each.weight == 1.0


def test_options_by_chance_are_evenly_spread():
    made = relabelled(RANDOM, [own(n) for n in range(3000)], {}, seed=0)
    assert all(e.label.text == e.question.options[e.label.option] for e in made)
    counts = [sum(e.label.option == option for e in made) for option in range(3)]
    assert all(abs(count - 1000) < 4 * (3000 * 2 / 9) ** 0.5 for count in counts), counts  # four standard deviations


def test_only_the_gold_student_reads_answers():
    asked = [own(n) for n in range(20)]
    for control in (RANDOM, SHUFFLED):
        assert relabelled(control, asked, {}, 1) == relabelled(
            control, asked, {e.question.id: (0, "x") for e in asked}, 1
        )


@given(st.integers(2, 40), st.integers(0, 2**31 - 1))
def test_shuffled_answers_are_the_same_answers_and_nobody_keeps_its_own(count, seed):
    asked = [example(n, (), None, f"answer {n}") for n in range(count)]
    made = relabelled(SHUFFLED, asked, {}, seed)
    assert sorted(e.label.text for e in made) == sorted(e.label.text for e in asked)
    assert all(a.label.text != b.label.text and a.question == b.question for a, b in zip(asked, made, strict=True))
    assert all(e.label.option is None for e in made)


def test_a_shuffled_answer_is_an_option_where_the_question_has_it():
    """Classes: every question has the same options."""
    made = relabelled(SHUFFLED, [example(n, option=n % 3) for n in range(30)], {}, seed=0)
    assert all(e.question.options[e.label.option] == e.label.text for e in made)
    assert sorted(e.label.option for e in made) == sorted(n % 3 for n in range(30))


def test_shuffled_letters_stay_letters_of_the_question():
    asked = [example(n, tuple(string.ascii_lowercase[: 2 + n % 3]), n % 2) for n in range(12)]
    made = relabelled(SHUFFLED, asked, {}, seed=0, by_position=True)
    assert all(e.question.options[e.label.option] == e.label.text for e in made)


@pytest.mark.parametrize("control", CONTROLS)
def test_the_same_seed_the_same_labels(control):
    asked, right = [own(n) for n in range(20)], {f"q{n}": (n % 2, "x") for n in range(20)}
    assert relabelled(control, asked, right, 3) == relabelled(control, asked, right, 3)
    assert control == GOLD or relabelled(control, asked, right, 3) != relabelled(control, asked, right, 4)


@pytest.mark.parametrize("control", CONTROLS)
def test_nothing_to_learn_from_empty(control):
    assert relabelled(control, [], {}, 0) == []


def test_no_labels_for_it():
    free_text = example(0, (), None, "rain")
    assert relabelled(RANDOM, [free_text], {}, 0) == []
    assert relabelled(SHUFFLED, [free_text], {}, 0) == []
    assert relabelled(GOLD, [free_text], {}, 0) == []
