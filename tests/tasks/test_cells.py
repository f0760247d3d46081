"""Options, answers and numbers in the shapes in which strangers publish them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from solo_hub.core.errors import ConfigError, InputError
from solo_hub.core.records import Gold, Question
from solo_hub.core.settings import TaskSettings
from solo_hub.hub import tables
from solo_hub.models.numbering import Counting, find_counting, read_option
from solo_hub.run.task import make_task
from solo_hub.tasks.loading import load_golds, load_questions
from solo_hub.tasks.multiple_choice import MultipleChoice
from solo_hub.tasks.qasc import Qasc
from solo_hub.tasks.reading import read_options
from solo_hub.tasks.text_classification import TextClassification

ORGANS = ("liver", "heart", "lung")
SKY = Question("q", "?", ("red", "blue", "2"))
NAN = float("nan")


def rows(*answers, options=("rest", "run", "read"), **more):
    return [
        (number, {"id": f"s{number}", "question": "What next?", "options": list(options), "answer": answer, **more})
        for number, answer in enumerate(answers, start=1)
    ]


def places(found, task=None, notes=None):
    task = task or MultipleChoice({})
    note = None if notes is None else notes.append
    return [
        gold.option for gold in load_golds(task, found, load_questions(task, found, "q.jsonl"), "q.jsonl", note=note)
    ]


@pytest.mark.parametrize(
    ("cell", "labels"),
    [
        (["liver", "heart", "lung"], ()),
        ([" liver", "heart ", "lung\n"], ()),
        (["liver", "heart", "lung", None, None], ()),
        (["liver", "heart", "lung", NAN], ()),
        ({"A": "liver", "B": "heart", "C": "lung"}, ()),
        ({"A": "liver", "B": "heart", "C": "lung", "D": None}, ()),
        ({"1": "liver", "2": "heart", "3": "lung"}, ("1", "2", "3")),
        ({"text": ["liver", "heart", "lung"], "label": ["A", "B", "C"]}, ()),
        ({"text": ["liver", "heart", "lung", None], "label": ["a", "b", "c", None]}, ()),
        ({"text": ["liver", "heart", "lung"], "label": ["1", "2", "3"]}, ("1", "2", "3")),
        ({"text": ["liver", "heart", "lung"], "label": [1, 2, 3]}, ("1", "2", "3")),
        ({"text": ["liver", "heart", "lung"], "label": ["C", "A", "B"]}, ("C", "A", "B")),
        ({"text": ["liver", "heart", "lung"]}, ()),
        ([{"label": "A", "text": "liver"}, {"label": "B", "text": "heart"}, {"label": "C", "text": "lung"}], ()),
        ([{"key": "(x)", "content": "liver"}, {"key": "(y)", "content": "heart"}, {"key": "(z)", "content": "lung"}],
         ("x", "y", "z")),
        ([{"A": "liver"}, {"B": "heart"}, {"C": "lung"}], ()),
        ([{"text": "liver"}, {"text": "heart"}, {"text": "lung"}], ()),
        ([{"label": "A", "text": "liver"}, {"label": "B", "text": None}, {"label": "C", "text": "heart"},
          {"label": "D", "text": "lung"}], ("A", "C", "D")),
        ('{"A": "liver", "B": "heart", "C": "lung"}', ()),
        ("liver | heart | lung", ()),
    ],
)  # fmt: skip
def test_options(cell, labels):
    task = MultipleChoice({})
    question = task.question({"id": "d", "question": "Which organ?", "options": cell}, 1)
    assert question == Question("d", "Which organ?", ORGANS, labels)


@pytest.mark.parametrize(
    ("cell", "options"),
    [
        ([3, 4, 5], ("3", "4", "5")),
        ([0.5, 1], ("0.5", "1")),
        ({"text": [3, 4]}, ("3", "4")),
        ([True, False], ("True", "False")),
    ],
)
def test_options_that_are_numbers(cell, options):
    assert MultipleChoice({}).question({"question": "?", "options": cell}, 1).options == options


def test_options_in_columns_of_which_one_is_empty_keep_their_letters():
    task = MultipleChoice({"options": "a,b,c,d"})
    found = [
        (1, {"question": "?", "a": "liver", "b": "heart", "c": "", "d": "lung", "answer": "D"}),
        (2, {"question": "?", "a": "liver", "b": "heart", "c": "bone", "d": None, "answer": 0}),
        (3, {"question": "?", "a": "liver", "b": None, "c": "heart", "d": "lung", "answer": 3}),
    ]
    assert load_questions(task, found, "q")[0] == Question("1", "?", ORGANS, ("A", "B", "D"))
    assert load_questions(task, found, "q")[1].labels == ()
    assert places(found, task) == [2, 0, 2]


def test_options_that_differ_in_case_alone_are_different():
    assert places(rows("Aa", "AA", "aa", options=("AA", "Aa", "aa"))) == [1, 0, 2]


@pytest.mark.parametrize(
    ("labels", "key", "place"),
    [
        (["1", "2", "3"], "2", 1),
        (["1", "2", "3"], 3, 2),
        (["1", "2", "3"], 2.0, 1),
        (["C", "A", "B"], "A", 1),
        (["0", "1", "2"], "0", 0),
        (["a", "b", "c"], "B", 1),
        (["A", "B", "C"], "b", 1),
    ],
)
def test_an_answer_by_the_labels_of_the_options(labels, key, place):
    choices = {"text": list(ORGANS), "label": labels}
    assert places([(1, {"question": "?", "options": choices, "answer": key})]) == [place]


def test_qasc_keeps_the_labels_that_are_not_letters_in_order():
    choices = {"text": ["x", "y"], "label": ["A", "B"]}
    assert Qasc({}).question({"id": 1, "question": "?", "choices": choices}, 1) == Question("1", "?", ("x", "y"))
    choices["label"] = ["B", "A"]
    assert Qasc({}).question({"id": 1, "question": "?", "choices": choices}, 1).labels == ("B", "A")


def test_a_number_is_no_place_where_labels_are_numbers():
    choices = {"text": list(ORGANS), "label": ["1", "2", "3"]}
    for answer in (0, "0", 4):
        with pytest.raises(InputError, match="is not an option"):
            places([(1, {"question": "?", "options": choices, "answer": answer})])


# -- numbers ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answers", "expected", "said"),
    [
        ([0, 1, 2], [0, 1, 2], None),
        (["0", "2"], [0, 2], None),
        ([1, 2, 3], [0, 1, 2], "count from 1, as none is 0 and 3 is that of the last option"),
        (["1", "2", "3", "1"], [0, 1, 2, 0], "count from 1"),
        ([3.0, 1.0], [2, 0], "count from 1"),
        (
            ["1", "2", "1", "2"],
            [0, 1, 0, 1],
            "are taken to count from 1, as none is 0 and they are written as text; set task.first_option=0",
        ),
        ([1, 2, 1, 2], [1, 2, 1, 2], "are taken to count from 0, as none is the number"),
        (["1", "1"], [1, 1], "count from 0"),
        (["run", "A"], [1, 0], None),
        (["run", 3], [1, 2], "count from 1"),
        ([None, "", NAN, 3], [2], "count from 1"),
    ],
)
def test_numbers_are_understood_from_the_whole_column(answers, expected, said):
    notes = []
    assert places(rows(*answers), notes=notes) == expected
    if said is None:
        assert notes == []
    else:
        (note,) = notes
        assert said in note
        assert note.startswith("q.jsonl, column 'answer': numbers")
        assert "task.first_option=" in note


def test_numbers_that_are_options_themselves():
    notes = []
    assert places(rows(4, 3, 5, options=(3, 4, 5)), notes=notes) == [1, 0, 2]
    assert "the options themselves" in notes[0]
    assert places(rows("4", "3", options=(3, 4, 5))) == [1, 0]
    assert places(rows(0, 1, 4, options=(3, 4, 5))) == [0, 1, 1]  # no place, but an option


@pytest.mark.parametrize(("first", "expected"), [(0, [1, 2]), (1, [0, 1])])
def test_the_setting_decides(first, expected):
    notes = []
    task = make_task(TaskSettings(name="multiple_choice", first_option=first))
    assert places(rows("1", "2"), task, notes) == expected
    assert notes == []


def test_a_number_that_no_counting_explains_is_refused():
    with pytest.raises(InputError, match=r"q.jsonl, row 2, .*'3' is not an option") as caught:
        places(rows(0, 3))
    assert "counted from 0 here (task.first_option)" in caught.value.hint
    with pytest.raises(InputError, match="'0' is not an option"):
        places(rows("0"), make_task(TaskSettings(name="multiple_choice", first_option=1)))


def test_the_setting_means_nothing_to_other_tasks():
    for name in ("open_qa", "qasc"):
        with pytest.raises(ConfigError, match=f"The task {name} does not support task.first_option"):
            make_task(TaskSettings(name=name, first_option=1))


def test_classes_are_counted_likewise():
    stars = TextClassification({}, ("bad", "fair", "good"))
    found = [(n, {"text": f"review {n}", "label": label}) for n, label in enumerate((1, 3, -1, 2), start=1)]
    assert places(found, stars) == [0, 2, 1]
    named = TextClassification({}, ("1", "2", "3"))
    assert places([(1, {"text": "a", "label": 1}), (2, {"text": "b", "label": 3})], named) == [0, 2]
    fixed = make_task(TaskSettings(name="text_classification", classes=("bad", "good"), first_option=1))
    assert places([(1, {"text": "a", "label": 1})], fixed) == [0]


@given(st.lists(st.integers(0, 3), min_size=1), st.sampled_from([0, 1]), st.booleans())
def test_a_column_that_names_the_first_and_the_last_option_is_never_misread(chosen, first, written):
    chosen = [*chosen, 0, 3]
    answers = [str(place + first) if written else place + first for place in chosen]
    assert places(rows(*answers, options=("a", "b", "c", "d"))) == chosen


@pytest.mark.parametrize(
    ("answer", "option"),
    [
        ("blue", 1), (" blue ", 1), (0, 0), (1.0, 1), ("1", 1), ("B", 1), ("b", 1), ("C", 2),
        ("2", 2),  # a text comes before a number
        ("Blue.", 1), ("(B)", 1), ("The answer is B.", 1), ("B) blue", 1),
        ("1.0", 1),  # as tables write numbers where some cells are empty
        (2, 2), (3, None), (-1, None), ("3", None), ("D", None), ("green", None), (1.5, None), (True, None),
        ("³", None), ("ß", None), ("", None), (NAN, None), (float("inf"), None), (10**400, None), (["blue"], None),
        ("A, B", None), ("B) red", None),
    ],
)  # fmt: skip
def test_an_answer_by_text_number_or_letter(answer, option):
    assert read_option(answer, SKY, Counting()) == option


@given(st.one_of(st.text(), st.integers(), st.floats(), st.booleans(), st.none(), st.lists(st.integers())))
def test_any_answer_is_an_option_or_none(answer):
    for counting in (Counting(), Counting(1), Counting(values=True)):
        assert read_option(answer, SKY, counting) in {0, 1, 2, None}
    assert find_counting([(answer, SKY)])[0].first in {0, 1}


def test_options_that_are_decimals_are_named_by_their_value():
    """An answer 2.0 is the option 2.0, not the third: a table of decimals has no other way to write it."""
    cells = [{"options": options, "answer": answer} for options, answer in (([3.0, 2.0], 2.0), ([2.0, 3.0], 3.0))]
    found = [(cell["answer"], MultipleChoice({}).question({"id": 1, "question": "?", **cell}, 1)) for cell in cells]
    counting, _ = find_counting(found)
    assert [read_option(*pair, counting) for pair in found] == [1, 1]


def test_labels_that_a_table_made_decimals_are_whole_numbers():
    _, labels = read_options([{"label": 1.0, "text": "a"}, {"label": 2.0, "text": "b"}], "options")
    assert labels == ("1", "2")
    question = Question("q", "?", ("a", "b"), labels)
    assert [read_option(answer, question, Counting()) for answer in (1.0, "2.0", "1", 2)] == [0, 1, 0, 1]


def test_half_a_character_in_a_cell_is_refused():
    with pytest.raises(InputError, match="not a list of options"):
        read_options(r'["\ud83d", "b"]', "options")


def test_no_numbers_empty():
    assert find_counting([]) == (Counting(), None)


# -- labels of files of earlier versions ----------------------------------------------------------------------------


def test_questions_of_a_run_made_before_there_were_labels():
    """Their rows have no labels; the answers are read by those of the dataset all the same."""
    choices = {"text": ["wood", "iron", "glass"], "label": ["C", "A", "B"]}
    found = [(1, {"id": "b1", "question": "Metal?", "options": choices, "answer": "A"})]
    kept = Question.from_row({"id": "b1", "text": "Metal?", "options": ["wood", "iron", "glass"]})
    assert load_golds(MultipleChoice({}), found, [kept], "q") == [Gold("b1", 1, "iron")]


# -- paths ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def nested(tmp_path):
    file = tmp_path / "q.jsonl"
    file.write_text(
        '{"id": "d1", "question": {"stem": "Which organ?", "secret": "B", "choices": [{"label": "A", "text": "liver"},'
        ' {"label": "B", "text": "heart"}]}, "answerKey": "B"}\n'
    )
    return file


def test_columns_inside_columns(nested):
    task = MultipleChoice({"question": "question.stem", "options": "question.choices", "answer": "answerKey"})
    found = list(tables.read_table(nested, columns=[*task.question_columns, *task.gold_columns]))
    questions = load_questions(task, found, "q")
    assert questions == [Question("d1", "Which organ?", ("liver", "heart"))]
    assert load_golds(task, found, questions, "q") == [Gold("d1", 1, "heart")]


def test_only_the_named_fields_are_in_a_row(nested):
    """What is known of the answer may lie in the same column as the question."""
    (row,) = [row for _, row in tables.read_table(nested, columns=["id", "question.stem", "question.choices.text"])]
    assert row == {"id": "d1", "question.stem": "Which organ?", "question.choices.text": ["liver", "heart"]}


def test_a_column_with_a_point_in_its_name_comes_first(tmp_path):
    file = tmp_path / "q.jsonl"
    file.write_text('{"a.b": 1, "a": {"b": 2, "c": 3}}\n')
    assert next(tables.read_table(file, columns=["a.b", "a.c", "a.d"]))[1] == {"a.b": 1, "a.c": 3, "a.d": None}
    assert tables.has_column("a.b", ["a"])
    assert not tables.has_column("b.a", ["a"])
    with pytest.raises(InputError, match="no such column"):
        tables.read_table(file, columns=["x.y"])
