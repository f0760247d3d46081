"""Texts and classes: what is asked, which answer is known, and where the names of the classes come from."""

from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from solo_hub.core.errors import ConfigError, InputError
from solo_hub.core.records import Gold, Question
from solo_hub.core.settings import TaskSettings
from solo_hub.hub import tables
from solo_hub.run.task import make_task
from solo_hub.tasks.loading import load_golds, load_questions
from solo_hub.tasks.text_classification import TextClassification

CLASSES = ("sadness", "joy", "love")
TASK = TextClassification({}, CLASSES)
SETTINGS = TaskSettings(name="text_classification", columns={"answer": "feeling"})


def asked(task, *rows):
    return load_questions(task, enumerate(rows, start=1), "t.jsonl")


def known(task, *rows):
    return load_golds(task, list(enumerate(rows, start=1)), asked(task, *rows), "t.jsonl")


def test_classes_are_the_options_of_every_text():
    """A dataset without ids is numbered by its rows."""
    assert asked(TASK, {"text": "i am glad"}, {"text": "i am low"}) == [
        Question("1", "i am glad", CLASSES),
        Question("2", "i am low", CLASSES),
    ]


def test_the_template_stands_around_the_text():
    task = TextClassification({"question": "tweet"}, CLASSES, "How does this sound? {text}")
    assert asked(task, {"id": "a", "tweet": "{x} glad"})[0].text == "How does this sound? {x} glad"


@pytest.mark.parametrize("text", ["", " \n", None, 7])
def test_a_template_does_not_hide_an_empty_text(text):
    with pytest.raises(InputError, match="empty or not text"):
        asked(TextClassification({}, CLASSES, "What? {text}"), {"text": text})


@pytest.mark.parametrize(("label", "option"), [(1, 1), ("joy", 1), (2.0, 2), ("0", 0)])
def test_a_known_class_by_number_or_name(label, option):
    assert known(TASK, {"text": "x", "label": label}) == [Gold("1", option, CLASSES[option])]


@pytest.mark.parametrize("label", [None, "", -1, float("nan")])
def test_a_class_that_is_not_known(label):
    assert known(TASK, {"text": "x", "label": label}) == []


@pytest.mark.parametrize("label", [4, -2, "anger", "-1", 0.5, True])
def test_a_label_that_is_no_class(label):
    with pytest.raises(InputError, match=r"unknown class '.*'; known: sadness, joy, love"):
        known(TASK, {"text": "x", "label": label})


@given(st.lists(st.text("abcdef", min_size=1), min_size=2, max_size=20, unique=True), st.data())
def test_every_class_is_known_by_its_number(classes, data):
    number = data.draw(st.integers(0, len(classes) - 1))
    task = TextClassification({}, classes)
    row = {"text": "x", "label": number}
    assert task.gold(row, task.question(row, 1)) == Gold("1", number, classes[number])


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"columns": {"txet": "a"}}, "unknown key 'txet'"),
        ({"columns": {}, "classes": ("one",)}, "at least two distinct names"),
        ({"columns": {}, "classes": ("one", "two", "one")}, "at least two distinct names"),
        ({"columns": {}, "template": "What?"}, "no placeholder for the text"),
    ],
)
def test_what_cannot_be(given, said):
    with pytest.raises(ConfigError, match=said):
        TextClassification(**given)


def parquet(path, features):
    table = pa.table({"text": ["x"], "feeling": [1]})
    about = {} if features is None else {"huggingface": json.dumps({"info": {"features": features}})}
    pq.write_table(table.replace_schema_metadata(about), path)
    return path


@pytest.mark.parametrize(
    ("features", "names"),
    [
        ({"feeling": {"names": ["low", "high"], "_type": "ClassLabel"}}, ("low", "high")),
        ({"feeling": {"dtype": "int64", "_type": "Value"}}, ()),
        ({"other": {"names": ["low", "high"]}}, ()),
        (None, ()),
        ([], ()),
    ],
)
def test_names_of_classes_in_a_parquet_file(tmp_path, features, names):
    assert tables.class_names(parquet(tmp_path / "t.parquet", features), column="feeling") == names


def test_a_text_file_names_no_classes(tmp_path):
    (tmp_path / "t.csv").write_text("text,feeling\nx,1\n")
    assert tables.class_names(tmp_path / "t.csv", column="feeling") == ()


def test_classes_are_those_of_the_settings_else_the_datasets():
    columns = []

    def named(column):
        columns.append(column)
        return ["low", "high"]

    assert make_task(SETTINGS, named).question({"text": "x"}, 1).options == ("low", "high")
    assert columns == ["feeling"]
    chosen = SETTINGS.model_copy(update={"classes": ("a", "b")})
    assert make_task(chosen, named).question({"text": "x"}, 1).options == ("a", "b")
    with pytest.raises(ConfigError, match="has no class names for its column 'feeling'"):
        make_task(SETTINGS, lambda _: ())


def test_other_tasks_have_no_classes():
    assert make_task(TaskSettings(name="open_qa")).question_columns == ("id", "question")
    for changed in ({"classes": ("a", "b")}, {"template": "Say: {text}"}):
        with pytest.raises(ConfigError, match="The task open_qa does not support"):
            make_task(TaskSettings(name="open_qa", **changed))
