"""`solo-hub distill --job local`: the same run, done by a process of its own and brought home."""

from __future__ import annotations

import json
import time

import pytest
from small_hub import WRITE, rows

from solo_hub import job_worker
from solo_hub.config import build
from solo_hub.errors import RunError
from solo_hub.hub import Door
from solo_hub.job_worker import UNFINISHED, Limits, child, fetch, send, work


@pytest.fixture
def door(hub, tmp_path):
    return Door(hub.endpoint, WRITE, tmp_path / "job-cache")


def test_a_run_done_as_a_job_comes_home_and_is_published(command, settings, tmp_path):
    settings["publish"] |= {"namespace": "tests", "dataset": "job-labels", "adapter": "job-adapter", "space": False}
    done = command(
        "distill", "--run", tmp_path / "mine", "--job", "local", "--job-time", "5m", "--push", "--format", "json",
        **settings,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["published"]["adapter"]["repo_id"] == "tests/job-adapter"
    assert document["run"] == str(tmp_path / "mine")
    assert (tmp_path / "mine" / "report.html").exists()
    assert (tmp_path / "mine" / "5-adapter" / "adapter_model.safetensors").exists()
    held = b"".join(path.read_bytes() for path in (tmp_path / "home").rglob("*.json") if path.is_file())
    assert WRITE.encode() not in held
    # the run folder is an ordinary one: it goes on here, and there is nothing left to do
    again = command("distill", "--run", tmp_path / "mine")
    assert again.returncode == 0, again.stderr


def test_a_job_whose_time_is_over_saves_first_and_the_next_one_goes_on(door, settings, tmp_path, monkeypatch, hub):
    """The first gets no further than its clock allows; the labels it paid for are the beginning of the second."""
    monkeypatch.setenv("HF_TOKEN", WRITE)
    monkeypatch.setenv("SOLO_HUB_HOME", str(tmp_path / "home"))
    config, bridge = build(settings), "tests/short-run"
    send(door, bridge, config, tmp_path / "mine", code=False)

    done = tmp_path / "worker"

    def enough(folder):
        """The clock of the job: over when four labels are there, so that the test does not depend on the machine."""
        labels = folder / "3-labels.jsonl"
        return labels.exists() and len(labels.read_bytes().splitlines()) >= 4

    real = time.monotonic
    monkeypatch.setattr(job_worker.time, "monotonic", lambda: real() + (1000 if enough(done) else 0))
    assert work(door, bridge, done, Limits(900, 10_000, 5), child(done, hub.endpoint, [])) == UNFINISHED
    monkeypatch.undo()

    fetch(door, bridge, tmp_path / "mine")
    first = rows(tmp_path / "mine" / "3-labels.jsonl")
    assert len(first) >= 4
    assert not (tmp_path / "mine" / "7-published.json").exists()

    monkeypatch.setenv("HF_TOKEN", WRITE)
    monkeypatch.setenv("SOLO_HUB_HOME", str(tmp_path / "home"))
    send(door, bridge, config, tmp_path / "mine", code=False)
    second = tmp_path / "second"
    # saved all the time, too: what is pushed on the way is whole
    assert work(door, bridge, second, Limits(900, 1.0, 5), child(second, hub.endpoint, [])) == 0
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
    assert (folder / "code" / "solo_hub" / "job_worker.py").is_file()
    needed = (folder / "code" / "requirements.txt").read_text().splitlines()
    assert {line.split("==")[0] for line in needed} >= {"torch", "transformers", "peft", "huggingface-hub", "datasets"}
    assert all("==" in line for line in needed)
    facts = tmp_path / "facts.jsonl"
    facts.write_text("{}")
    settings["knowledge"]["source"] = str(facts)
    with pytest.raises(RunError, match="it is a file of this machine"):
        send(door, "tests/far-run", build(settings), tmp_path / "mine", code=True)


def test_a_job_that_was_never_submitted_and_one_that_left_nothing_empty(door, settings, tmp_path):
    with pytest.raises(RunError, match="There is no job in the dataset"):
        work(door, "tests/no-run", tmp_path / "x", Limits(10, 10, 1), child(tmp_path / "x", None, []))
    send(door, "tests/empty-run", build(settings), tmp_path / "mine", code=False)
    with pytest.raises(RunError, match="left no run"):
        fetch(door, "tests/empty-run", tmp_path / "mine")


def test_a_job_of_the_hub_cannot_reach_this_machine(command, settings, tmp_path):
    done = command("distill", "--run", tmp_path / "mine", "--job", "t4-small", **settings)
    assert done.returncode == 2
    assert "cannot reach the Hub of this machine" in " ".join(done.stderr.split())
