"""The exported task asks what our own arms are asked, word for word."""

from __future__ import annotations

import ast

import jinja2
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from solo_hub.core.errors import UsageError
from solo_hub.core.records import Question
from solo_hub.evaluation.harness import Columns, write_task
from solo_hub.models.prompts import PromptBuilder

STYLES = ("letter", "text", "text_minus_prior")


class Loader(yaml.SafeLoader):
    """Reads the harness's `!function module.name` as text."""


Loader.add_constructor("!function", lambda loader, node: loader.construct_scalar(node))


def read(path):
    return yaml.load(path.read_text("utf-8"), Loader)


def row(question, options, right=0):
    labels = [chr(65 + i) for i in range(len(options))]
    return {"question": question, "choices": {"text": options, "label": labels}, "answerKey": labels[right]}


def fill(template, values):
    return (
        jinja2.Environment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True)
        .from_string(template)
        .render(values)
    )


@pytest.mark.parametrize("style", STYLES)
def test_prompt_choices_and_answer(tmp_path, style):
    task = read(write_task(tmp_path, style=style))
    options = ["rain & sun", "it's <snow>", "wind"]
    values = row("What  falls\nfrom clouds?", options, right=1)
    builder, question = PromptBuilder(), Question("q", values["question"], tuple(options))
    assert fill(task["doc_to_text"], values) == builder.ask(question, style).text
    choices = ast.literal_eval(fill(task["doc_to_choice"], values))
    assert [task["target_delimiter"] + choice for choice in choices] == builder.continuations(question, style)
    assert fill(task["doc_to_target"], values) == "1"


@given(
    st.text(st.characters(exclude_categories=("Cs", "Cc"))),
    st.lists(st.text(st.characters(exclude_categories=("Cs", "Cc"))), min_size=2, max_size=8),
    st.sampled_from(STYLES),
)
def test_any_question(tmp_path_factory, text, options, style):
    task = read(write_task(tmp_path_factory.mktemp("task"), style=style))
    question = Question("q", text, tuple(options))
    assert fill(task["doc_to_text"], row(text, options)) == PromptBuilder().ask(question, style).text


def test_minus_prior_brings_its_prior(tmp_path):
    """The harness subtracts log p(option | nothing); ours follows the bare "Answer:", so a few lines of Python come
    along."""
    task = read(write_task(tmp_path, style="text_minus_prior", name="mine"))
    assert task["class"] == "mine_minus_prior.MinusPrior"
    assert task["metric_list"][0]["metric"] == "acc_mutual_info"
    source = (tmp_path / "mine_minus_prior.py").read_text("utf-8")
    tree = ast.parse(source)
    assert f'PRIOR = "{PromptBuilder().prior().text}"' in source
    assert [node.name for node in tree.body if isinstance(node, ast.ClassDef)] == ["MinusPrior"]


@pytest.mark.parametrize("style", ["letter", "text"])
def test_other_styles_are_the_harness_s_own(tmp_path, style):
    task = read(write_task(tmp_path, style=style))
    assert "class" not in task
    assert task["metric_list"][0]["metric"] == "acc"
    assert [item.name for item in tmp_path.iterdir()] == ["qasc.yaml"]


def test_dataset_at_a_commit_or_from_a_file(tmp_path):
    task = read(write_task(tmp_path, style="text", revision="c0ffee"))
    assert (task["dataset_path"], task["dataset_kwargs"]) == ("allenai/qasc", {"revision": "c0ffee"})
    task = read(write_task(tmp_path, style="text", dataset="json", data_files={"test": "a.jsonl"}, split="test"))
    assert (task["dataset_kwargs"], task["test_split"]) == ({"data_files": {"test": "a.jsonl"}}, "test")


def test_other_columns(tmp_path):
    task = read(write_task(tmp_path, style="text", columns=Columns("stem", "answers", "right")))
    values = {"stem": "Why?", "answers": ["a", "b"], "right": 1}
    assert fill(task["doc_to_text"], values) == "Question: Why?\nAnswer:"
    assert fill(task["doc_to_target"], values) == "1"


def test_what_the_harness_cannot_do(tmp_path):
    with pytest.raises(UsageError, match="cannot score 'generate'"):
        write_task(tmp_path, style="generate")
    with pytest.raises(UsageError, match="is not a valid task name"):
        write_task(tmp_path, style="text", name="my task")
    assert list(tmp_path.iterdir()) == []
