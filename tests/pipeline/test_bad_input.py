"""Bad input: one sentence that says what, where and what to do; exit code 1 or 2; no traceback; nothing published."""

from __future__ import annotations

import dataclasses
import json
import re

import pytest
import yaml
from noise import LIBRARIES_WARN
from small_hub import READ, WRITE, write_rows

from solo_hub.cli.main import run
from solo_hub.core.errors import InputError

pytestmark = LIBRARIES_WARN


@pytest.fixture
def attempt(hub, tmp_path, monkeypatch, capsys):
    """Runs `solo-hub distill --push` in this process; returns exit code and what stood on stderr."""

    def go(settings, *arguments, token=WRITE):
        monkeypatch.setenv("HF_TOKEN", token)
        monkeypatch.setenv("SOLO_HUB_HOME", str(tmp_path / "home"))
        config = tmp_path / "bad.yaml"
        config.write_text(yaml.safe_dump(settings))
        folder = tmp_path / "run"
        code = run(["distill", str(config), "--run", str(folder), "--push", "--hub", hub.endpoint, *arguments])
        said = " ".join(capsys.readouterr().err.split())
        assert "Traceback" not in said
        assert not (folder / "7-published.json").exists()
        return code, said

    return go


def questions_file(tmp_path, rows):
    return write_rows(tmp_path / "questions.jsonl", rows)


def asking(settings, tmp_path, rows):
    """The settings with training questions from rows; a good first row stands before them."""
    good = {"id": "good", "question": "Which is it?", "options": ["this", "that"], "answer": 0}
    held_out = tmp_path / "held-out.jsonl"
    held_out.write_text(json.dumps({**good, "id": "h", "question": "Which one is it?"}) + "\n")
    task = {
        "name": "multiple_choice",
        "questions": questions_file(tmp_path, [good, *rows]),
        "evaluation_questions": str(held_out),
    }
    return {**settings, "task": task}


ROWS = {
    "one option": ({"id": "b", "question": "What?", "options": ["only"]}, ["row 2", "one option"]),
    "no options": ({"id": "b", "question": "What?", "options": "x"}, ["row 2"]),
    "options alike": ({"id": "b", "question": "What?", "options": ["fog", "fog "]}, ["row 2", "duplicate"]),
    "an id twice": ({"id": "good", "question": "What?", "options": ["a", "b"]}, ["row 2", "'good'", "row 1"]),
    "an empty question": ({"id": "b", "question": " ", "options": ["a", "b"]}, ["row 2", "empty"]),
    "a number for a question": ({"id": "b", "question": 7, "options": ["a", "b"]}, ["row 2", "not text"]),
    "a missing column": ({"id": "b", "question": "What?"}, ["options"]),
}


@pytest.mark.parametrize("case", ROWS)
def test_a_bad_question_is_named_by_file_and_row(attempt, settings, tmp_path, case):
    row, expected = ROWS[case]
    code, said = attempt(asking(settings, tmp_path, [row]))
    assert code == 1
    for part in ("questions.jsonl", *expected):
        assert part in said


def test_an_unknown_key_names_the_nearest(attempt, settings):
    code, said = attempt({**settings, "student": {"epoch": 3}})
    assert code == 2
    assert "student.epoch" in said
    assert "Did you mean 'epochs'?" in said


def test_a_missing_repo(attempt, settings):
    code, said = attempt({**settings, "base": "tests/no-such-model"})
    assert code == 1
    assert "tests/no-such-model" in said


def test_a_gated_repo(attempt, settings, hub, tmp_path):
    from huggingface_hub import HfApi

    api = HfApi(endpoint=hub.endpoint, token=WRITE)
    api.create_repo("tests/gated", exist_ok=True)
    api.upload_file(path_or_fileobj=b"{}", path_in_repo="config.json", repo_id="tests/gated")
    api.update_repo_settings("tests/gated", gated="manual")
    code, said = attempt({**settings, "base": "tests/gated"}, token=READ)
    assert code == 1
    assert "gated" in said or "write" in said  # whichever is found first, nothing else has happened


def test_a_token_that_may_not_write(attempt, settings):
    code, said = attempt(settings, token=READ)
    assert code == 1
    assert "write" in said


def test_an_empty_corpus(attempt, settings, tmp_path):
    corpus = tmp_path / "corpus.jsonl"
    corpus.write_text("")
    code, said = attempt({**settings, "knowledge": {"source": str(corpus)}})
    assert code == 1
    assert "corpus.jsonl" in said


def test_no_questions(attempt, settings, tmp_path):
    asked = asking(settings, tmp_path, [])
    questions_file(tmp_path, [])
    code, said = attempt(asked)
    assert code == 1
    assert "questions.jsonl" in said
    assert "no questions" in said


def test_a_corpus_row_that_is_not_text(attempt, settings, tmp_path):
    corpus = tmp_path / "corpus.jsonl"
    corpus.write_text('{"text": "A fact."}\n{"text": {"deep": 1}}\n')
    code, said = attempt({**settings, "knowledge": {"source": str(corpus)}})
    assert code == 1
    for part in ("corpus.jsonl", "row 2", "text"):
        assert part in said


def test_options_longer_than_the_context(attempt, settings, tmp_path):
    long = {"id": "long", "question": "What?", "options": ["a" * 600, "b" * 600]}
    code, said = attempt(asking(settings, tmp_path, [long]))
    assert code == 1
    assert "'long'" in said
    assert "context" in said


def test_a_base_without_a_tokenizer(attempt, settings, hub, tiny_model):
    from huggingface_hub import HfApi

    api = HfApi(endpoint=hub.endpoint, token=WRITE)
    api.create_repo("tests/no-tokenizer", exist_ok=True)
    api.upload_folder(repo_id="tests/no-tokenizer", folder_path=tiny_model, ignore_patterns=["tokenizer*", "chat*"])
    code, said = attempt({**settings, "base": "tests/no-tokenizer"})
    assert code == 1
    assert "tokenizer" in said


def test_a_folder_of_another_config(attempt, settings, tmp_path, context):
    from solo_hub import pipeline

    pipeline.load_questions(context(settings, tmp_path / "run"))
    code, said = attempt({**settings, "seed": 5})
    assert code == 1
    assert "seed is 0 there and 5 here" in said


def test_a_full_disk(attempt, settings, monkeypatch):
    """Every write after the first fails for want of space."""
    import errno

    from solo_hub.run import folder as run_folder

    write = run_folder.write_lines

    def full(path, lines):
        if path.name == "2-passages.jsonl":
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        write(path, lines)

    monkeypatch.setattr(run_folder, "write_lines", full)
    code, said = attempt(settings)
    assert code == 1
    assert "disk is full" in said
    assert "2-passages.jsonl" in said


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"confidence": None}, "probabilities but no confidence"),
        ({"confidence": 3.5}, "confidence 3.5 of question 'q' is not between 0 and 1"),
        ({"agreement": -0.1}, "agreement -0.1 of question 'q' is not between 0 and 1"),
        ({"probabilities": (1.7, -0.7)}, "the probabilities of question 'q' are not all between 0 and 1"),
    ],
)
def test_a_label_that_cannot_be_is_told_with_its_row(tmp_path, changed, said):
    from types import SimpleNamespace

    from solo_hub.core.records import PseudoLabel, Question
    from solo_hub.run.folder import RunFolder
    from solo_hub.teacher import step as teacher_step

    run = RunFolder(tmp_path)
    label = dataclasses.replace(PseudoLabel("q", 0, (0.7, 0.3), "yes", 0.7, (), 0, "text", "k"), **changed)
    run.write_rows("labels", [label])
    with pytest.raises(InputError, match=rf"3-labels\.jsonl, row 1: .*{re.escape(said)}"):
        teacher_step.validate(SimpleNamespace(run=run), [Question("q", "Rain?", ("yes", "no"))], [label])
