"""What a run folder may not hold once it was edited: told in a sentence, with file and row, wherever it is read."""

from __future__ import annotations

import json

import pytest
import yaml

from solo_hub.core.errors import InputError, ModelError, RunError
from solo_hub.core.files import read_jsonl
from solo_hub.run.folder import RunFolder
from solo_hub.run.resolution import _read
from solo_hub.run.resolved import Resolved
from solo_hub.student.training import Training, read_training, summary


def test_half_a_character_in_a_row(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text('{"text": "a whole one: \\ud83d\\ude00"}\n{"text": "half: \\ud83d"}\n', "utf-8")
    rows = read_jsonl(path)
    assert next(rows) == (1, {"text": "a whole one: 😀"})
    with pytest.raises(InputError, match=r"rows\.jsonl, row 2: not valid JSON \(a lone surrogate"):
        next(rows)


def test_half_a_character_in_the_configuration(tmp_path):
    (tmp_path / "config.yaml").write_text('settings: {}\nresolved: {"a": "\\ud800"}\nconfig_version: 1\n', "utf-8")
    assert yaml.safe_load((tmp_path / "config.yaml").read_text("utf-8"))["resolved"]["a"] == "\ud800"
    with pytest.raises(RunError, match=r"config\.yaml is not valid YAML"):
        _read(RunFolder(tmp_path))


@pytest.mark.parametrize(
    ("teacher", "fits"),
    [
        ({"style": "text"}, True),
        ({"style": "text", "recipe": {"style": "text", "orders": 4, "temperature": 1.5}}, True),
        ({"style": "text", "recipe": {"orders": 4}}, False),
        ({"style": "text", "recipe": {"style": "text", "order": 4}}, False),
        ({"style": "text", "recipe": {"style": "text", "temperature": "hot"}}, False),
        ({"style": "text", "recipe": None}, False),
        ({"style": "text", "examples": [[{"id": "q", "text": "Rain?"}, "yes"]]}, True),
        ({"style": "text", "examples": [["Rain?", "yes"]]}, False),
        ({"style": "text", "examples": {}}, False),
    ],
)
def test_how_a_teacher_answered(teacher, fits):
    row = {"repos": {}, "teacher": teacher}
    if fits:
        read = Resolved.read(row)
        assert Resolved.read(read.to_row()) == read
    else:
        with pytest.raises(ValueError, match=r"^setups\.teacher\.(recipe|examples)"):
            Resolved.read(row)


@pytest.mark.parametrize(
    ("row", "fits"),
    [
        ({"step": 1, "loss": 0.5, "learning_rate": 1e-4}, True),
        ({"step": 1, "loss": 0.5, "learning_rate": 1e-4, "kept": 3, "batch": 4}, True),
        ({"loss": 0.5, "learning_rate": 1e-4}, False),
        ({"step": 1, "loss": "x", "learning_rate": 1e-4}, False),
        ({"step": 1, "loss": 0.5, "learning_rate": [1]}, False),
        ({"step": 1, "loss": 0.5, "learning_rate": 1e-4, "kept": None, "batch": 4}, False),
        ("step", False),
    ],
)
def test_a_step_of_a_training(tmp_path, row, fits):
    done = Training(1, 10, 0.5, 1.0, 10, 10, 0.1, ())
    (tmp_path / "training.json").write_text(json.dumps({**summary(done), "log": [row]}), "utf-8")
    if fits:
        assert read_training(tmp_path).log == (row,)
    else:
        with pytest.raises(ModelError, match=r"training\.json': 'log' cannot be"):
            read_training(tmp_path)


def test_half_a_character_in_a_document(tmp_path):
    run = RunFolder(tmp_path)
    run.file("report").write_text('{"run": "\\ud800"}', "utf-8")
    with pytest.raises(RunError, match=r"6-report\.json' cannot be read"):
        run.read_json("report")


def test_half_a_character_in_a_training(tmp_path):
    done = Training(1, 10, 0.5, 1.0, 10, 10, 0.1, ())
    row = {"step": 1, "loss": 0.5, "learning_rate": 1e-4, "note": "\ud800"}
    (tmp_path / "training.json").write_text(json.dumps({**summary(done), "log": [row]}), "utf-8")
    with pytest.raises(ModelError, match=r"training\.json' cannot be read"):
        read_training(tmp_path)
