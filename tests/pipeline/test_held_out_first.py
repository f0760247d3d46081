"""Held-out questions whose answers cannot be used are told in the first seconds, before a label is paid for."""

from __future__ import annotations

import pytest
import yaml
from noise import LIBRARIES_WARN
from small_hub import run_here, write_rows

pytestmark = LIBRARIES_WARN

GOOD = {"id": "h1", "question": "Which one sleeps?", "options": ["the bear", "the river"], "answer": "the bear"}
BAD = {
    "an answer that is none of the options": ({**GOOD, "id": "h2", "answer": "the wind"}, ["row 2"]),
    "no options": ({**GOOD, "id": "h2", "options": None}, ["row 2"]),
}


@pytest.fixture
def write(settings, tmp_path):
    """Writes settings whose held-out questions are these rows; returns the file."""

    def made(rows):
        asked = [{**GOOD, "id": f"q{n}", "question": f"Which of {n} sleeps?"} for n in range(6)]
        for row in asked:
            row.pop("answer")
        task = {
            "name": "multiple_choice",
            "questions": write_rows(tmp_path / "questions.jsonl", asked),
            "evaluation_questions": write_rows(tmp_path / "held-out.jsonl", rows),
        }
        file = tmp_path / "mine.yaml"
        file.write_text(yaml.safe_dump({**settings, "task": task}), "utf-8")
        return file

    return made


@pytest.mark.parametrize("case", BAD)
@pytest.mark.parametrize("command", ["distill", "doctor"])
def test_told_before_anything_else(hub, home, write, tmp_path, monkeypatch, capsys, command, case):
    row, expected = BAD[case]
    file = write([GOOD, row])
    more = ("--run", tmp_path / "run") if command == "distill" else ()
    code, out, said = run_here(hub, monkeypatch, capsys, command, file, *more, home=home)
    assert code == 1
    for part in ("held-out.jsonl", *expected):
        assert part in out + said
    assert not (tmp_path / "run" / "1-questions.jsonl").exists()


def test_a_set_without_a_single_answer(hub, home, write, tmp_path, monkeypatch, capsys):
    file = write([{**GOOD, "answer": None}, {**GOOD, "id": "h2", "answer": None}])
    code, _, said = run_here(hub, monkeypatch, capsys, "distill", file, "--run", tmp_path / "run", home=home)
    assert code == 1
    assert "no held-out question has a gold answer" in said
    assert not (tmp_path / "run" / "1-questions.jsonl").exists()


def test_a_split_without_answers(hub, home, write, tmp_path, monkeypatch, capsys):
    unanswered = {name: value for name, value in GOOD.items() if name != "answer"}
    file = write([unanswered])
    words = ("distill", file, "--run", tmp_path / "run")
    code, _, said = run_here(hub, monkeypatch, capsys, *words, home=home)
    assert code == 1
    assert "no column 'answer' with gold answers" in said


def test_corrected_the_same_command_goes_on(hub, home, write, tmp_path, monkeypatch, capsys):
    """Nothing was made with the file as it was: neither --update nor another folder is asked for."""
    words = ("label", write([GOOD, BAD["no options"][0]]), "--run", tmp_path / "run")
    distill = ("distill", *words[1:])
    assert run_here(hub, monkeypatch, capsys, *distill, home=home)[0] == 1
    write([GOOD, {**GOOD, "id": "h2", "question": "Which other one sleeps?"}])
    code, _, said = run_here(hub, monkeypatch, capsys, *words, home=home)
    assert code == 0, said
