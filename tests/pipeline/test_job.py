"""`solo-hub distill --job local`: the same run, done by a process of its own and brought home."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import time

import pytest
from small_hub import WRITE, rows

from solo_hub.cli import job
from solo_hub.core.config import build
from solo_hub.core.errors import RunError
from solo_hub.hub import HubClient
from solo_hub.hub.connection import Connection
from solo_hub.run.jobs import worker
from solo_hub.run.jobs.worker import UNFINISHED, Limits, child, fetch, send, work


@pytest.fixture
def settings(settings):
    """Few questions: a job is a process of its own that starts another."""
    settings["task"] |= {"train_limit": 8, "evaluation_limit": 4}
    settings["knowledge"]["retriever"] = "bm25"  # no embedder to import and to load
    return settings


@pytest.fixture
def door(hub, tmp_path):
    return HubClient(hub.endpoint, WRITE, tmp_path / "job-cache")


def test_a_run_done_as_a_job_comes_home_and_is_published(command, settings, tmp_path):
    """Documents are enough for it: their questions are written there."""
    settings |= {"task": {"name": "multiple_choice", "evaluation_limit": 4}, "curation": {"limit": 8, "held_out": 0.2}}
    settings["publish"] |= {"namespace": "tests", "dataset": "job-labels", "adapter": "job-adapter", "space": False}
    done = command(
        "distill", "--run", tmp_path / "mine", "--job", "local", "--job-time", "5m", "--push", "--format", "json",
        **settings,
    )  # fmt: skip
    assert done.code == 0, done.err
    document = json.loads(done.out)
    assert document["published"]["adapter"]["repo_id"] == "tests/job-adapter"
    assert document["run"] == str(tmp_path / "mine")
    assert document["curation"]["coverage"]["asked"] > 0
    assert rows(tmp_path / "mine" / "1-curated.jsonl")
    assert (tmp_path / "mine" / "report.html").exists()
    assert (tmp_path / "mine" / "5-adapter" / "adapter_model.safetensors").exists()
    held = b"".join(path.read_bytes() for path in (tmp_path / "home").rglob("*.json") if path.is_file())
    assert WRITE.encode() not in held
    # the run folder is an ordinary one: it goes on here, and there is nothing left to do
    again = command("distill", "--run", tmp_path / "mine")
    assert again.code == 0, again.err


@pytest.fixture
def _forked(fork_server, tmp_path, monkeypatch):
    """The process of a job's run is forked."""
    monkeypatch.setattr(worker.subprocess, "Popen", fork_server.popen)
    monkeypatch.setenv("HF_TOKEN", WRITE)
    monkeypatch.setenv("SOLO_HUB_HOME", str(tmp_path / "home"))


@pytest.mark.usefixtures("_forked")
def test_a_job_whose_time_is_over_saves_first_and_the_next_one_goes_on(door, settings, tmp_path, monkeypatch, hub):
    """The first gets no further than its clock allows; the labels it paid for are the beginning of the second."""
    settings["task"]["train_limit"] = 24  # three batches
    config, bridge = build(settings), "tests/short-run"
    send(door, bridge, config, tmp_path / "mine", code=False)

    done = tmp_path / "worker"

    def enough(folder):
        """The clock of the job: over when four labels are there, so that the test does not depend on the machine."""
        labels = folder / "3-labels.jsonl"
        return labels.exists() and len(labels.read_bytes().splitlines()) >= 4

    real = time.monotonic
    with monkeypatch.context() as patch:
        patch.setattr(worker.time, "monotonic", lambda: real() + (1000 if enough(done) else 0))
        assert work(door, bridge, done, Limits(900, 10_000, 5), child(done, hub.endpoint, [])) == UNFINISHED

    fetch(door, bridge, tmp_path / "mine")
    first = rows(tmp_path / "mine" / "3-labels.jsonl")
    assert len(first) >= 4
    assert not (tmp_path / "mine" / "7-published.json").exists()

    send(door, bridge, config, tmp_path / "mine", code=False)
    second = tmp_path / "second"
    # saved all the time, too: what is pushed on the way is whole
    assert work(door, bridge, second, Limits(900, 0.1, 5), child(second, hub.endpoint, [])) == 0
    fetch(door, bridge, tmp_path / "mine")
    assert (tmp_path / "mine" / "6-report.json").exists()
    assert rows(tmp_path / "mine" / "3-labels.jsonl")[: len(first)] == first
    commits = [commit.title for commit in door._api.list_repo_commits(bridge, repo_type="dataset")]
    assert commits[0] in ("The run, finished", "The run, on the way")  # the last save may find nothing new
    assert "The run, unfinished" in commits
    assert "The run, on the way" in commits
    assert door._api.repo_info(bridge, repo_type="dataset").private


def test_for_another_machine_solo_hub_travels_too_and_local_files_do_not(door, settings, tmp_path):
    send(door, "tests/far-run", build(settings), tmp_path / "mine", code=True)
    folder = door.pull(door.pin("tests/far-run", "dataset"), allow=["*"])
    assert (folder / "code" / "solo_hub" / "run" / "jobs" / "worker.py").is_file()
    needed = (folder / "code" / "requirements.txt").read_text().splitlines()
    assert {line.split("==")[0] for line in needed} >= {"torch", "transformers", "peft", "huggingface-hub", "datasets"}
    assert all("==" in line for line in needed)
    assert "bitsandbytes" not in {line.split("==")[0] for line in needed}
    more = settings | {"engine": {"dtype": "nf4"}, "student": settings["student"] | {"log_to": ["trackio"]}}
    needed = worker._requirements(build(more))
    assert {re.split("[=<>]", line)[0] for line in needed} >= {"bitsandbytes", "trackio", "torch"}
    facts = tmp_path / "facts.jsonl"
    facts.write_text("{}")
    documents = tmp_path / "docs"
    documents.mkdir()
    for section, name, value in (
        ("knowledge", "source", facts),
        ("knowledge", "source", documents),
        ("task", "questions", facts),
        ("teacher", "labels", facts),
        ("teacher", "examples", facts),
        ("evaluation", "arms", [f"theirs={documents}"]),
    ):
        changed = settings | {section: settings[section] | {name: value if isinstance(value, list) else str(value)}}
        with pytest.raises(RunError, match="it is a local file"):
            send(door, "tests/far-run", build(changed), tmp_path / "mine", code=True)


def test_a_checkpoint_that_goes_while_it_is_copied_waits_for_the_next_save(door, settings, tmp_path, monkeypatch):
    run = tmp_path / "run"
    run.mkdir()

    def gone(source, target):
        raise shutil.Error([(str(source), str(target), "No such file or directory")])

    monkeypatch.setattr(worker, "_copy_run", gone)
    worker._save(door, "tests/gone-run", tmp_path / "bridge", run, "on the way")
    with pytest.raises(shutil.Error):
        worker._save(door, "tests/gone-run", tmp_path / "bridge", run, "finished", last=True)


@pytest.mark.timeout(900)
@pytest.mark.parametrize("whole", [False, pytest.param(True, marks=pytest.mark.soak)])  # fresh processes import it all
def test_what_another_machine_is_told_does_the_run(door, hub, settings, tmp_path, monkeypatch, whole):
    """The job's own command, as the Hub would run it, but for pip, which finds everything installed.

    Not `whole`, the last step of it says which solo-hub it would start, and how.
    """
    programs = tmp_path / "bin"
    programs.mkdir()
    start = "-c 'import solo_hub, sys; print(solo_hub.__file__, *sys.argv)'" if not whole else ""
    for name, line in (
        ("pip", 'echo "$@" >> "$PIP_LOG"'),
        ("hf", f"exec {sys.executable} -c 'from huggingface_hub.cli.hf import main; main()' \"$@\""),
        ("python", f'exec {sys.executable} {start} "$@"'),
    ):
        (programs / name).write_text(f"#!/bin/sh\n{line}\n")
        (programs / name).chmod(0o755)
    monkeypatch.setattr(job, "PLACE", str(tmp_path / "job"))
    send(door, "tests/there-run", build(settings), tmp_path / "mine", code=True)
    connection = Connection(hub.endpoint, WRITE, None)
    order = job.make_order("tests/there-run", connection, 900, [], "there", local=False)
    assert WRITE not in str(order.command) + str(order.env)
    clean = {"PATH": f"{programs}:/usr/bin:/bin", "HOME": str(tmp_path), "OMP_NUM_THREADS": "1"}
    log = {"PIP_LOG": str(tmp_path / "pip.log"), "HF_HOME": str(tmp_path / "hf")}
    done = subprocess.run(
        order.command, env=clean | log | dict(order.env) | dict(order.secrets), cwd=tmp_path, capture_output=True,
        text=True, check=False)  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    installs = (tmp_path / "pip.log").read_text()
    assert "huggingface_hub==" in installs
    assert f"-r {tmp_path}/job/code/requirements.txt" in installs
    if whole:
        fetch(door, "tests/there-run", tmp_path / "home-again")
        assert (tmp_path / "home-again" / "6-report.json").is_file()
    else:
        asked = f"-m solo_hub.cli.main job work tests/there-run --time 900 --hub {hub.endpoint} --spent "
        assert f"{tmp_path}/job/code/solo_hub/__init__.py -c {asked}" in done.stdout


def test_a_job_that_was_never_submitted_and_one_that_left_nothing_empty(door, settings, tmp_path):
    with pytest.raises(RunError, match="There is no job in the dataset"):
        work(door, "tests/no-run", tmp_path / "x", Limits(10, 10, 1), child(tmp_path / "x", None, []))
    send(door, "tests/empty-run", build(settings), tmp_path / "mine", code=False)
    with pytest.raises(RunError, match="left no run"):
        fetch(door, "tests/empty-run", tmp_path / "mine")


def test_a_job_of_the_hub_cannot_reach_this_machine(command, settings, tmp_path):
    done = command("distill", "--run", tmp_path / "mine", "--job", "t4-small", **settings)
    assert done.code == 2
    assert "cannot reach the Hub on this machine" in done.err
