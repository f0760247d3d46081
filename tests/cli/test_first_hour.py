"""Small things that a new user meets: each message says what is wrong, and where."""

from __future__ import annotations

import json
import re
import sys

import pytest
import yaml
from rich.console import Console as RichConsole
from sample_data import ROWS
from small_hub import write_rows

from solo_hub.checks.preflight_files import local_data
from solo_hub.cli import main
from solo_hub.core.config import advice, build
from solo_hub.core.console import Console


def test_help_shows_examples_one_a_line(capsys):
    assert main.run(["index", "--help"]) == 0
    out = capsys.readouterr().out
    assert "\\b" not in out
    assert "\n    solo-hub index --to kb --knowledge docs/\n" in out
    assert "text_classification" in out


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"task": [1, 2]}, "'task' is a section and cannot be [1, 2]. Write its settings below it"),
        ({"student": {"lr": 1}}, "unknown key 'student.lr'. Known: adapter"),
        ({"student": {"epoch": 1}}, "Did you mean 'epochs'?"),
        ({"knowledge": {"source": "nofolder"}}, "nofolder: no such file or folder. Check the path"),
    ],
)
def test_what_is_wrong_with_a_configuration(tmp_path, capfd, monkeypatch, settings, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my.yaml").write_text(yaml.safe_dump(settings))
    assert main.run(["distill", "my.yaml", "--hub", "http://127.0.0.1:9"]) in (1, 2)
    assert said in " ".join(capfd.readouterr().err.split())


def test_advice_on_absurd_values():
    assert advice(build({})) == []
    said = advice(build({"student": {"learning_rate": 2, "rank": 100000}}))
    assert [sentence.split(" ")[0] for sentence in said] == ["student.learning_rate=2", "student.rank=100000"]


def test_a_wrong_split_names_the_repo(command):
    arguments = ("--questions", "tests/town", "--predictions", "none.jsonl", "--task", "multiple_choice")
    code, _, err = command("evaluate", *arguments, "--set", "task.evaluation_split=tset")
    assert code == 2
    assert "The dataset 'tests/town' has no split 'tset'." in err


def test_the_state_of_the_embedded_hub_in_words(hub, capfd):
    assert main.run(["hub", "status", "--root", str(hub.root)]) == 0
    out = capfd.readouterr().out
    assert "models" in out
    assert re.search(r"stored +[\d.]+ [kMG]B", out)
    assert "{" not in out


def test_local_files_are_checked_without_a_hub(tmp_path):
    questions = write_rows(tmp_path / "q.jsonl", ROWS[:4])
    held_out = write_rows(tmp_path / "h.jsonl", [{**row, "answer": None} for row in ROWS[4:]])
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.md").write_text("The frog eats flies.\n")
    settings = {
        "task": {"name": "multiple_choice", "questions": str(questions), "evaluation_questions": str(held_out)},
        "knowledge": {"source": str(tmp_path / "docs")},
    }
    found = {check.name: (check.state, check.detail) for check in local_data(build(settings))}
    assert found["content of questions"] == ("pass", f"{questions}: 4 questions")
    assert found["content of knowledge"] == ("pass", f"{tmp_path / 'docs'}: about 1 passage")
    assert found["content of evaluation_questions"][0] == "fail"
    assert "answer is missing" in found["content of evaluation_questions"][1]


def test_predictions_can_be_scored_by_meaning(tmp_path, capfd, monkeypatch, command):
    write_rows(tmp_path / "p.jsonl", [{"id": row["id"], "text": "noon"} for row in ROWS[4:]])
    where = ("--task", "multiple_choice", "--questions", "tests/town")
    model = ("--set", "evaluation.bert_score_model=tests/tiny")
    arguments = ("--predictions", str(tmp_path / "p.jsonl"), "--bert-score", "--format", "json")
    code, out, err = command("evaluate", *where, *model, *arguments)
    assert code == 0, err
    assert json.loads(out)["bert_score_f1"]["value"] == pytest.approx(1, abs=1e-4)  # all answers are "noon"


def test_lines_are_broken_between_words_on_a_terminal(capsys, monkeypatch):
    console = Console("human")
    monkeypatch.setattr(console, "_out", RichConsole(file=sys.stdout, force_terminal=True, width=30))
    console.line("pass     token  may push to ann/town", indent=16)
    assert capsys.readouterr().out == "pass     token  may push to\n                ann/town\n"
