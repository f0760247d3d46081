"""Rows to questions: whatever is wrong with a row is said once, with file, row and what to do."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from solo_hub.core.errors import ConfigError, InputError
from solo_hub.core.records import Gold, Question
from solo_hub.tasks.loading import load_golds, load_questions, sample, without_overlap
from solo_hub.tasks.multiple_choice import MultipleChoice
from solo_hub.tasks.open_qa import OpenQA
from solo_hub.tasks.qasc import Qasc

NAN = float("nan")
CHOICE, OPEN, QASC = MultipleChoice({}), OpenQA({}), Qasc({})


def choices(*texts, labels="ABCDEFGH"):
    return {"text": list(texts), "label": list(labels[: len(texts)])}


def load(task, *rows, place="q.jsonl"):
    return load_questions(task, enumerate(rows, start=1), place)


def golds(task, *rows):
    return load_golds(task, list(enumerate(rows, start=1)), load(task, *rows), "q.jsonl")


GOOD = {"id": "a", "question": "Why?", "options": ["yes", "no"]}


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({**GOOD, "question": ""}, "the question is empty or not text"),
        ({**GOOD, "question": " \n"}, "the question is empty or not text"),
        ({**GOOD, "question": None}, "the question is empty or not text"),
        ({**GOOD, "question": 7}, "the question is empty or not text"),
        ({**GOOD, "question": "x" * 20_001}, "the question has 20001 characters"),
        ({**GOOD, "options": ["yes"]}, "only one option"),
        ({**GOOD, "options": ["yes", "no", " yes "]}, "duplicate option 'yes'"),
        ({**GOOD, "options": ["yes", ""]}, "an option is empty or not text"),
        ({**GOOD, "options": ["yes", "\u200b\ufeff"]}, "an option is empty or not text"),
        ({**GOOD, "options": ["yes", "\0"]}, "an option is empty or not text"),
        ({**GOOD, "options": ["yes", ["no"]]}, "an option is empty or not text"),
        ({**GOOD, "options": ["yes", None, "no"]}, "an option is empty or not text"),
        ({**GOOD, "options": ["yes", None]}, "only one option"),
        ({**GOOD, "options": [None, None]}, "has no options"),
        ({**GOOD, "options": {"text": ["a", "b"], "label": ["A", "A"]}}, "duplicate option label 'A'"),
        ({**GOOD, "options": {"text": ["a", "b"], "label": ["A"]}}, "not a list of options"),
        ({**GOOD, "options": [{"name": "a", "other": "b"}]}, "not a list of options"),
        ({**GOOD, "question": {"stem": "Why?"}}, "not a string but a struct with the fields: stem"),
        ({**GOOD, "options": 5}, "not a list of options"),
        ({**GOOD, "options": None}, "not a list of options"),
        ({**GOOD, "options": "[broken"}, "not a list of options"),
        ({**GOOD, "options": {"label": ["A"]}}, "not a list of options"),
        ({**GOOD, "options": []}, "has no options"),
        ({"id": "a", "question": "Why?"}, "no column 'options'"),
        ({"id": "a", "options": ["yes", "no"]}, "no column 'question'"),
    ],
)
def test_a_bad_row_is_told_with_file_and_row(row, said):
    with pytest.raises(InputError, match=said) as caught:
        load(CHOICE, {**GOOD, "id": "first"}, row)
    assert caught.value.message.startswith("q.jsonl, row 2")
    assert caught.value.message.count("row 2") == 1
    assert caught.value.hint


@pytest.mark.parametrize(
    "value", [None, "text", ["a", "b"], {}, {"text": "a"}], ids=["none", "text", "list", "empty", "not a list"]
)
def test_qasc_choices_of_another_shape(value):
    with pytest.raises(
        InputError, match=r"q.jsonl, row 1, field 'choices': not a \{text: \[...\], label: \[...\]\} value"
    ):
        load(QASC, {"id": "a", "question": "Why?", "choices": value})


def test_two_rows_with_one_id():
    with pytest.raises(InputError, match=r"q.jsonl, row 3: duplicate id 'a' \(also in row 1\)"):
        load(CHOICE, GOOD, {**GOOD, "id": "b"}, GOOD)


@pytest.mark.parametrize("task", [CHOICE, OPEN, QASC], ids=["multiple_choice", "open_qa", "qasc"])
def test_no_rows(task):
    with pytest.raises(InputError, match=r"q.jsonl: there are no questions"):
        load(task)


def test_a_strangers_task_keeps_its_words():
    class Picky:
        question_columns = gold_columns = ()

        def question(self, row, number):
            raise InputError("colour: must be blue.", hint="Paint it.")

    with pytest.raises(InputError, match=r"q.jsonl, row 1: colour: must be blue. Paint it."):
        load(Picky(), {})


@pytest.mark.parametrize(
    ("options", "columns"),
    [
        (["yes", "no"], {}),
        ({"text": ["yes", "no"]}, {}),
        ('["yes", "no"]', {}),
        ("yes | no", {}),
        ("yes|no", {}),
    ],
)
def test_options_as_datasets_write_them(options, columns):
    assert load(MultipleChoice(columns), {**GOOD, "options": options}) == [Question("a", "Why?", ("yes", "no"))]


def test_one_column_an_option():
    task = MultipleChoice({"options": "A, B,C", "question": "q", "id": "n"})
    assert task.question_columns == ("n", "q", "A", "B", "C")
    row = {"n": 7, "q": "Why?", "A": "yes", "B": "no", "C": None}
    assert load(task, row) == [Question("7", "Why?", ("yes", "no"))]


@pytest.mark.parametrize("task", [CHOICE, OPEN], ids=["multiple_choice", "open_qa"])
def test_without_ids_the_row_number_serves(task):
    row = {"question": "Why?", "options": ["yes", "no"]}
    assert [q.id for q in load(task, row, {**row, "id": None})] == ["1", "2"]


@pytest.mark.parametrize("kind", [MultipleChoice, OpenQA])
def test_a_column_that_cannot_be_mapped_names_the_nearest(kind):
    with pytest.raises(ConfigError, match="unknown key 'anwser'") as caught:
        kind({"anwser": "x"})
    assert "'answer'" in caught.value.hint


def test_qasc_has_its_own_columns():
    with pytest.raises(ConfigError, match="fixed columns"):
        Qasc({"question": "q"})


def test_answers_are_read_for_the_questions_wanted():
    rows = [{**GOOD, "id": i, "answer": a} for i, a in (("a", "no"), ("b", None), ("c", ""), ("d", NAN), ("e", "A"))]
    assert golds(CHOICE, *rows) == [Gold("a", 1, "no"), Gold("e", 0, "yes")]
    assert load_golds(CHOICE, list(enumerate(rows, start=1)), [Question("e", "Why?", ("yes", "no"))], "") == [
        Gold("e", 0, "yes")
    ]


@pytest.mark.parametrize("answer", ["maybe", "C", 3, -1, "²", "yes or no"])
def test_an_answer_that_is_no_option_is_told_with_its_row(answer):
    with pytest.raises(InputError, match=r"q.jsonl, row 2, field 'answer': '.*' is not an option of question 'b'"):
        golds(CHOICE, {**GOOD, "answer": "yes"}, {**GOOD, "id": "b", "answer": answer})


def qasc(key, **more):
    return {"id": "a", "question": "Why?", "choices": choices("x", "y", "z"), "answerKey": key, **more}


def test_qasc_answers():
    assert golds(QASC, qasc("C", fact1="one", fact2="two")) == [Gold("a", 2, "z", ("one", "two"))]
    assert golds(QASC, qasc("B", fact1=None, fact2="")) == [Gold("a", 1, "y")]


@pytest.mark.parametrize("key", [None, ""])
def test_qasc_answers_empty(key):
    assert golds(QASC, qasc(key)) == []


def test_qasc_goes_by_the_labels_where_they_are_not_in_order():
    assert golds(QASC, qasc("A", choices=choices("x", "y", "z", labels="CBA"))) == [Gold("a", 2, "z")]


@pytest.mark.parametrize("key", ["D", "AB", "1", "a", 2, "€"])
def test_a_qasc_letter_that_is_none(key):
    with pytest.raises(InputError, match=r"q.jsonl, row 1, field 'answerKey': '.*' is not the letter of an option"):
        golds(QASC, qasc(key))


@pytest.mark.parametrize(
    ("answer", "references"),
    [
        ("Paris", ["Paris"]),
        (["Paris", "paris, France"], ["Paris", "paris, France"]),
        ({"text": ["Paris", "x"], "answer_start": [3, 4]}, ["Paris", "x"]),  # SQuAD
        (
            {"value": "Paris", "aliases": ["City of Light", "Paris"], "normalized_value": "paris"},
            ["Paris", "City of Light"],
        ),
        ({"spans": ["Paris", "Rome"], "types": ["span"]}, ["Paris", "Rome"]),  # DROP
        ([{"text": ["Paris"]}, {"text": []}], ["Paris"]),
        ('["Paris", "Lutetia"]', ["Paris", "Lutetia"]),  # a CSV file
        ("[sic]", ["[sic]"]),
        ("[1, 2]", ["[1, 2]"]),
        ([" Paris ", None, "", "Paris"], ["Paris"]),
        (1789, ["1789"]),
    ],
)
def test_free_text_answers(answer, references):
    """TriviaQA, SQuAD and others give several right answers; the first is the main one."""
    (gold,) = golds(OPEN, {"question": "Where?", "answer": answer})
    assert gold == Gold("1", None, references[0], aliases=tuple(references[1:]))
    assert list(gold.references) == references


@pytest.mark.parametrize("answer", [None, "", [], {"text": []}, [None], NAN])
def test_free_text_answers_empty(answer):
    assert golds(OPEN, {"question": "Where?", "answer": answer}) == []


def test_a_free_text_answer_that_is_none():
    with pytest.raises(InputError, match=r"q.jsonl, row 1, field 'answer': not a string"):
        golds(OPEN, {"question": "Where?", "answer": {"start": 3}})


QUESTIONS = [Question(str(i), f"Question {i}?") for i in range(20)]


@given(st.integers(1, 25), st.integers(0, 9))
def test_a_sample_is_a_part_in_order_and_the_same_for_the_same_seed(limit, seed):
    some = sample(QUESTIONS, limit, seed)
    assert some == sample(QUESTIONS, limit, seed)
    assert some == [q for q in QUESTIONS if q in some]
    assert len(some) == min(limit, 20)


def test_a_sample_of_everything_and_of_nothing():
    assert sample(QUESTIONS, None, 0) == QUESTIONS
    assert sample([], 5, 0) == []
    assert sample(QUESTIONS, 10, 0) != sample(QUESTIONS, 10, 1)


def test_questions_that_are_asked_again_are_left_out():
    held_out = [Question("x", " question  3? "), Question("y", "Something else")]
    rest, left_out = without_overlap(QUESTIONS, held_out)
    assert left_out == 1
    assert rest == [q for q in QUESTIONS if q.id != "3"]
    assert without_overlap(QUESTIONS, []) == (QUESTIONS, 0)
    assert without_overlap([], held_out) == ([], 0)


def test_questions_that_are_asked_again_in_another_form_of_unicode_are_left_out():
    """Decomposed accents, full-width digits and letters."""
    held_out = [Question("x", "Où est le château ?"), Question("y", "水在100度會怎樣?")]
    again = [Question("a", "Ou\u0300 est le cha\u0302teau ?"), Question("b", "水在\uff11\uff10\uff10度會怎樣\uff1f")]
    assert without_overlap(again, held_out) == ([], 2)


def test_a_row_with_an_empty_id_has_its_number():
    """A table has an empty cell, or NaN, where it has no id."""
    rows = [{**GOOD, "id": blank, "question": f"Why {blank}?"} for blank in ("", NAN, None)]
    assert [question.id for question in load(CHOICE, *rows)] == ["1", "2", "3"]
    assert [q.id for q in load(OPEN, {"id": NAN, "question": "Why?"})] == ["1"]


def test_one_letter_written_in_two_ways_is_one_option():
    with pytest.raises(InputError, match="duplicate option"):
        load(CHOICE, {**GOOD, "options": ["caf\u00e9", "cafe\u0301"]})
