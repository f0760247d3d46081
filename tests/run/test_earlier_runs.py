"""A run folder written before the package was laid out anew (2026-11, tiny random model) still opens as it is.

`run-of-0.1.0.tar.gz` is such a folder, without the page and the cache of answers.
"""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest

from solo_hub import pipeline
from solo_hub.core.config import build
from solo_hub.core.console import Console
from solo_hub.evaluation import finished_run
from solo_hub.run.context import RunContext
from solo_hub.run.folder import RunFolder
from solo_hub.run.resolved import Resolved

ARCHIVE = Path(__file__).with_name("run-of-0.1.0.tar.gz")


@pytest.fixture
def run(tmp_path):
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(tmp_path, filter="data")
    return RunFolder(tmp_path / "run")


def test_a_finished_run_of_an_earlier_version_is_finished(run):
    """Nothing is asked of a Hub or a model, and no result is written again."""

    def refuse(*_):
        raise AssertionError("a finished run has nothing to do here")

    before = {path.name: path.read_bytes() for path in run.path.glob("[0-9]-*.json*")}
    context = RunContext(build(run.read_config()["settings"]), run, refuse, Console("quiet"))
    report = pipeline.distill(context)
    assert set(report["arms"]) >= {"base", "teacher", "student"}
    assert {path.name: path.read_bytes() for path in run.path.glob("[0-9]-*.json*")} == before
    # settings that came later have their defaults, and nothing is curated
    assert context.config.writers == ()
    assert context.config.task.unusable_rows == "stop"
    assert (run.path / "report.html").exists() is False


def test_it_can_be_shown_and_pooled(run):
    evaluated = finished_run.read(run.path)
    assert len(evaluated.questions) == evaluated.report["n_questions"] == 36


def test_what_its_settings_were_resolved_to_is_written_as_it_was_read(run):
    row = run.read_config()["resolved"]
    written = Resolved.read(row).to_row()
    assert written == row
    assert list(written) == list(row)
