"""A finished run's student, with its passages, teaches the next one."""

from __future__ import annotations

import json

import pytest
from noise import LIBRARIES_WARN

from solo_hub import pipeline
from solo_hub.cli.options import next_round, read_config
from solo_hub.core.errors import ConfigError, RunError
from solo_hub.core.records import Prediction, PseudoLabel
from solo_hub.teacher import decision

pytestmark = LIBRARIES_WARN


def small(settings, **teacher):
    """Few questions, scored plainly: what the teacher says is what the arm with passages says."""
    return {
        **settings,
        "task": {**settings["task"], "train_limit": 12, "evaluation_limit": 8},
        "teacher": {**settings["teacher"], "style": "text", "calibrate": False, **teacher},
        "student": {**settings["student"], "epochs": 1},
        "evaluation": {**settings["evaluation"], "arms": ["student_with_passages"]},
    }


def answers(made, arm):
    return [row.probabilities for row in made.run.read_rows("predictions", Prediction) if row.arm == arm]


@pytest.mark.parametrize(
    ("name", "after"),
    [("mill-round2", "mill-round3"), ("all-rounder", "all-rounder-round2"), ("a-round-b", "a-round-b-round2")],
)
def test_only_the_end_of_a_name_counts_rounds(context, settings, tmp_path, name, after):
    made = context(small(settings) | {"name": name}, tmp_path / "run")
    made.run.file("adapter").mkdir()
    assert f"name={after}" in next_round(tmp_path / "run", None, ())[1]


def test_the_student_of_a_run_teaches_the_next(context, settings, tmp_path):
    first = context(small(settings), tmp_path / "small")
    pipeline.distill(first)
    source, assignments = next_round(tmp_path / "small", None, ())
    config, _ = read_config(source, tmp_path / "second", {}, assignments)
    assert (config.name, config.teacher.adapter) == ("small-round2", str(tmp_path / "small" / "5-adapter"))

    second = context(config.model_dump(mode="json"), tmp_path / "second")
    pipeline.distill(second, push=True)
    for one, other in zip(answers(second, "teacher"), answers(first, "student_with_passages"), strict=True):
        assert one == pytest.approx(other, abs=1e-5)
    assert answers(second, "base") == answers(first, "base")
    assert answers(second, "teacher") != answers(first, "teacher")
    reports = [json.loads(made.run.file("report").read_text("utf-8")) for made in (first, second)]
    assert [report["teachers"] for report in reports] == [[], ["the student of an earlier run"]]
    before, after = (
        [row.probabilities for row in made.run.read_rows("labels", PseudoLabel)] for made in (first, second)
    )
    assert before != after
    hash_of_student = second.resolved.repos["earlier_student"].sha256
    assert hash_of_student in decision.identity(second.teacher, decision.require_setup(second))
    for kind in ("dataset_repo", "adapter_repo"):
        assert "further round of self-distillation" in (second.run.file(kind) / "README.md").read_text()


def test_what_cannot_teach_is_refused(context, settings, tmp_path):
    with pytest.raises(RunError, match=r"has no config.yaml"):
        next_round(tmp_path / "nothing", None, ())
    context(settings, tmp_path / "begun").run.lock()
    with pytest.raises(RunError, match="has no student yet"):
        next_round(tmp_path / "begun", None, ())
    for changed, said in (
        ({"teacher": {"adapter": "a/b", "base": "c/d"}}, "no other model is"),
        ({"teacher": {"adapter": "a/b"}, "student": {"objective": "online"}}, r"teacher.base or teacher.adapter"),
        ({"teacher": {"adapter": "a/b"}, "engine": {"name": "openai"}}, "in this process"),
    ):
        with pytest.raises(ConfigError, match=said):
            context({**settings, **changed}, tmp_path / "refused")
