"""What a stranger gets from the cards' printed code alone: the labels, the student, and the report's accuracy."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from fresh_python import fresh_python
from small_hub import READ, rows
from subprocess_user import try_cards

from solo_hub import pipeline

pytestmark = pytest.mark.filterwarnings("ignore::Warning")


def check(run, python, endpoint, token, place):
    """Pull both cards as published, run their code, and hold its answers to all questions against the report's."""
    report = json.loads((run / "6-report.json").read_text())
    cards = [run / "7-dataset" / "README.md", run / "7-adapter" / "README.md"]
    questions = rows(run / "6-questions.jsonl")
    found = try_cards(python, cards, questions, endpoint, token, place)
    assert found["foreign"] == ["solo_hub"], "the entry that forbids the import, and nothing of ours"
    answers = rows(run / "6-predictions.jsonl")
    student = {row["question_id"]: row["option"] for row in answers if row["arm"] == "student"}
    assert found["chosen"] == [question["options"][student[question["id"]]] for question in questions]
    golds = {row["question_id"]: row["option"] for row in rows(run / "6-golds.jsonl")}
    right = [question["options"][golds[question["id"]]] for question in questions]
    assert sum(map(str.__eq__, found["chosen"], right)) / len(right) == report["arms"]["student"]["accuracy"]["value"]
    assert found["all"] == report["labels"]["n"]
    assert found["kept"] == report["selection"]["kept"]


@pytest.mark.timeout(600)
@pytest.mark.parametrize("style", ["text_minus_prior", pytest.param("letter", marks=pytest.mark.soak)])
def test_the_cards_code_gets_the_reports_accuracy(context, settings, tmp_path, hub, style):
    settings["teacher"]["style"] = style
    settings["task"]["train_limit"] = 16
    settings["publish"] |= {
        "namespace": "tests", "dataset": f"{style}-said", "adapter": f"{style}-learned"}  # fmt: skip
    made = context(settings)
    pipeline.distill(made, push=True)
    check(made.run.path, sys.executable, hub.endpoint, READ, tmp_path / "stranger")


@pytest.fixture(scope="module")
def fresh(tmp_path_factory):
    """An interpreter with the three libraries and nothing else; SOLO_HUB_STRANGER_PYTHON names one built before."""
    if built := os.environ.get("SOLO_HUB_STRANGER_PYTHON"):
        return Path(built)
    python = fresh_python(tmp_path_factory.mktemp("stranger"), "datasets", "transformers", "peft")
    alone = [python, "-I", "-c", "import solo_hub"]
    assert subprocess.run(alone, capture_output=True, check=False).returncode != 0
    return python


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_the_demo_in_a_fresh_environment(fresh, tmp_path):
    """All held-out questions of `make demo`, or of a run that SOLO_HUB_STRANGER_RUN and SOLO_HUB_STRANGER_HOME name."""
    from solo_hub.hub.server import EmbeddedHub

    if given := os.environ.get("SOLO_HUB_STRANGER_RUN"):
        run, home = Path(given), Path(os.environ["SOLO_HUB_STRANGER_HOME"])
    else:
        run, home = tmp_path / "demo", tmp_path / "home"
        environment = os.environ | {"SOLO_HUB_HOME": str(home)}
        for line in (["distill", "demo", "--push", "--run", str(run)], ["hub", "stop"]):
            subprocess.run([sys.executable, "-m", "solo_hub.cli.main", *line], env=environment, check=True)
    with EmbeddedHub(home / "hub", remember=False) as server:
        check(run, fresh, server.endpoint, "", tmp_path / "stranger")
