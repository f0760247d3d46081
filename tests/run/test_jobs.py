"""Jobs on this machine, and what is asked of the Hub's client for those on others."""

from __future__ import annotations

import inspect
import os
import signal
import sys
import time
from types import SimpleNamespace

import pytest
from huggingface_hub import HfApi

from solo_hub.core.errors import InputError
from solo_hub.run.jobs.backends import HubBackend, LocalBackend, Order, backend


def order(script, *, timeout=60.0, **more):
    return Order([sys.executable, "-u", "-c", script], {"SHOWN": "yes"}, {"HIDDEN": "hf_secretsecret"}, timeout, "x")


def wait(jobs, job, *, until=lambda status: status.finished, seconds=20):
    deadline = time.monotonic() + seconds
    while not until(jobs.inspect(job)):
        assert time.monotonic() < deadline, jobs.inspect(job)
        time.sleep(0.05)
    return jobs.inspect(job)


@pytest.fixture
def jobs(tmp_path):
    return LocalBackend(tmp_path / "jobs")


def test_a_job_runs_with_its_environment_and_its_secrets_are_nowhere_on_disk(jobs, tmp_path):
    job = jobs.submit(order("import os; print(os.environ['SHOWN'], len(os.environ['HIDDEN']))"))
    assert list(jobs.logs(job)) == ["yes 15"]
    assert wait(jobs, job).stage == "COMPLETED"
    held = b"".join(path.read_bytes() for path in (tmp_path / "jobs").rglob("*") if path.is_file())
    assert b"hf_secret" not in held
    assert b"HIDDEN" in held


def test_what_it_says_comes_while_it_runs(jobs):
    job = jobs.submit(order("import time\nprint('one'); time.sleep(0.6); print('two', end='')"))
    lines = jobs.logs(job)
    assert next(lines) == "one"
    assert jobs.inspect(job).stage == "RUNNING"
    assert list(lines) == ["two"]
    assert list(jobs.logs(job, follow=False)) == ["one", "two"]


def test_a_failure_tells_its_exit_code(jobs):
    job = jobs.submit(order("raise SystemExit(3)"))
    status = wait(jobs, job)
    assert (status.stage, status.message) == ("ERROR", "exit code 3")


def test_when_its_time_is_over_it_is_ended_at_once(jobs):
    """As the Hub does; SIGTERM is not waited for."""
    stubborn = "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\ntime.sleep(60)"
    job = jobs.submit(order(stubborn, timeout=0.5))
    status = wait(jobs, job)
    assert (status.stage, status.message) == ("ERROR", "time limit exceeded")


def test_a_cancelled_job_has_a_moment_to_save_what_it_did(jobs, tmp_path):
    saved = tmp_path / "saved"
    job = jobs.submit(order(
        "import pathlib, signal, sys, time\n"
        f"signal.signal(signal.SIGTERM, lambda *_: (pathlib.Path({str(saved)!r}).touch(), sys.exit(0)))\n"
        "print('ready')\ntime.sleep(60)"
    ))  # fmt: skip
    assert next(jobs.logs(job)) == "ready"
    jobs.cancel(job)
    assert jobs.inspect(job).stage == "CANCELED"
    assert saved.exists()
    jobs.cancel(job)  # again is nothing
    assert jobs.inspect(job).finished


def test_a_job_whose_keeper_was_killed_is_over(jobs, tmp_path):
    job = jobs.submit(order("import time\nprint('on', flush=True)\ntime.sleep(2)"))
    assert next(jobs.logs(job)) == "on"
    os.kill(int((tmp_path / "jobs" / job / "pid").read_text()), signal.SIGKILL)
    status = wait(jobs, job)
    assert (status.stage, status.message) == ("ERROR", "killed")


@pytest.mark.parametrize("name", ["nothing", "../x", ""])
def test_a_job_that_is_not_there_empty(jobs, name):
    for ask in (jobs.inspect, jobs.cancel, lambda job: list(jobs.logs(job))):
        with pytest.raises(InputError, match="unknown local job"):
            ask(name)


class RecordingApi:
    """Takes what `HfApi` takes, by its own signatures; says what a test wants."""

    def __init__(self):
        self.calls = []

    def __getattr__(self, name):
        signature = inspect.signature(getattr(HfApi, name))

        def call(**given):
            signature.bind(None, **given)
            self.calls.append((name, given))
            return {
                "run_job": SimpleNamespace(id="abc"),
                "inspect_job": SimpleNamespace(
                    status=SimpleNamespace(stage="RUNNING", message=None), url="https://hf.test/jobs/me/abc"
                ),
                "fetch_job_logs": iter(["one\n", "two"]),
                "cancel_job": None,
            }[name]

        return call


def test_the_hub_is_asked_in_the_words_of_its_client():
    api = RecordingApi()
    jobs = HubBackend(api, "t4-small")
    assert jobs.submit(order("x", timeout=3600)) == "abc"
    assert list(jobs.logs("abc", follow=False)) == ["one", "two"]
    assert jobs.inspect("abc").stage == "RUNNING"
    assert jobs.inspect("abc").url == "https://hf.test/jobs/me/abc"
    jobs.cancel("abc")
    (submit, given), *rest = api.calls
    assert submit == "run_job"
    assert (given["flavor"], given["timeout"], given["secrets"]) == ("t4-small", 3600, {"HIDDEN": "hf_secretsecret"})
    assert "hf_secret" not in str(given["env"]) + str(given["command"])
    assert rest == [
        ("fetch_job_logs", {"job_id": "abc", "follow": False}), ("inspect_job", {"job_id": "abc"}),
        ("inspect_job", {"job_id": "abc"}), ("cancel_job", {"job_id": "abc"})]  # fmt: skip


def test_which_backend_a_flavor_means(tmp_path, monkeypatch):
    monkeypatch.setenv("SOLO_HUB_HOME", str(tmp_path))
    connection = SimpleNamespace(endpoint="http://127.0.0.1:9", token="hf_x")
    assert isinstance(backend("local", connection), LocalBackend)
    assert isinstance(backend("a100-large", connection), HubBackend)


# -- the way home ----------------------------------------------------------------------------------


@pytest.fixture
def runs(tmp_path, monkeypatch):
    """A run here, and the same run as a job has left it; `fetch` brings the second home."""
    from solo_hub.run.jobs import worker

    here, arrived = tmp_path / "here", tmp_path / "bridge" / worker.RUN
    for folder, text in ((here, "before"), (arrived, "after")):
        (folder / "5-adapter").mkdir(parents=True)
        (folder / "5-adapter" / "x").write_text(text)
        (folder / "3-labels.jsonl").write_text(text)
    (here / "1-old.jsonl").write_text("before")
    (arrived / "6-new.json").write_text("after")
    monkeypatch.setattr(worker, "_pull", lambda door, repo_id: arrived.parent)

    def fetch():
        worker.fetch(None, "me/run", here)

    return here, fetch


def content(folder):
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != ".lock")
    return {path.relative_to(folder).as_posix(): path.read_text() for path in files}


BEFORE = {"5-adapter/x": "before", "3-labels.jsonl": "before", "1-old.jsonl": "before"}
AFTER = {"5-adapter/x": "after", "3-labels.jsonl": "after", "6-new.json": "after"}


def test_a_run_that_comes_home_replaces_the_one_here(runs):
    here, fetch = runs
    fetch()
    assert content(here) == AFTER


def test_a_disk_that_is_full_when_it_comes_home_costs_nothing(runs, monkeypatch):
    import shutil

    here, fetch = runs
    copy = shutil.copy2

    def full(source, target, **named):
        if str(source).endswith("6-new.json"):
            raise OSError(28, "No space left on device", str(target))
        return copy(source, target, **named)

    with monkeypatch.context() as patched:
        patched.setattr(shutil, "copytree", lambda source, target, **named: full(source / "6-new.json", target))
        with pytest.raises(OSError, match="No space left"):
            fetch()
    assert content(here) == BEFORE
    fetch()
    assert content(here) == AFTER


def test_killed_while_it_comes_home(runs, monkeypatch):
    from pathlib import Path

    from solo_hub.run.folder import RunFolder

    class Killed(BaseException):
        pass

    here, fetch = runs
    rename, calls = Path.rename, []

    def third(self, target):
        calls.append(target)
        if len(calls) == 3:
            raise Killed
        return rename(self, target)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "rename", third)
        with pytest.raises(Killed):
            fetch()
    with RunFolder(here).lock():
        pass
    assert content(here) == AFTER
