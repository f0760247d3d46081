"""No command removes results before what replaces them can be had: a Hub that is missing something, down, or slow."""

from __future__ import annotations

import json
import shutil
import signal
import time
from functools import partial

import pytest
import yaml
from hub.fault_proxy import FaultProxy, slow, status
from noise import LIBRARIES_WARN
from small_hub import run_here, small_settings

pytestmark = LIBRARIES_WARN

ASKING = {
    "distill, questions": ("distill", "--update", "--set", "task.questions=tests/typo"),
    "distill, base": ("distill", "--update", "--base", "tests/typo"),
    "distill, held-out": ("distill", "--update", "--set", "task.evaluation_questions=tests/typo"),
    "index, corpus": ("index", "--update", "--knowledge", "tests/typo"),
    "label, embedder": ("label", "--update", "--set", "knowledge.embedding_model=tests/typo"),
    "label, labels": ("label", "--update", "--set", "teacher.labels=tests/typo"),
    "select, another base too": ("select", "--update", "--base", "tests/typo", "--set", "selection.method=confidence"),
    "train, another base too": ("train", "--update", "--base", "tests/typo", "--set", "student.epochs=1"),
    "evaluate, arm": ("evaluate", "--arm", "theirs=tests/typo"),
    "evaluate, arm and revision": ("evaluate", "--arm", "theirs=tests/typo@v9"),
    "evaluate, metric": ("evaluate", "--update", "--set", "evaluation.bert_score_model=tests/typo"),
}
"""Commands that do steps again with something the Hub does not have."""

REFUSED = {
    "select, no such method": ("select", "--update", "--set", "selection.method=typo"),
    "select, no such option": ("select", "--update", "--set", "selection.method=confidence",
                               "--set", "selection.options.typo=1"),
    "train, no such objective": ("train", "--update", "--set", "student.objective=typo"),
    "index, no such retriever": ("index", "--update", "--set", "knowledge.retriever=typo"),
    "index, no such folder": ("index", "--update", "--knowledge", "no-such-folder/"),
    "index, no such file": ("index", "--update", "--knowledge", "no-such-file.jsonl"),
    "label, no such engine": ("label", "--update", "--set", "engine.name=typo"),
    "distill, no such task": ("distill", "--update", "--task", "typo"),
    "distill, one set for both": ("distill", "--update", "--set", "task.evaluation_split=train"),
    "evaluate, arm of pickles": ("evaluate", "--arm", "theirs=PICKLES"),
    "evaluate, arm without weights": ("evaluate", "--arm", "theirs=BARE"),
    "evaluate, no such arm": ("evaluate", "--arm", "typo"),
}  # fmt: skip
"""Commands that no Hub is asked for."""


@pytest.fixture(scope="module")
def finished(hub, home, fork_server, tmp_path_factory):
    """A finished and published run, with everything that a run folder holds."""
    folder = tmp_path_factory.mktemp("finished")
    settings = small_settings()
    settings["student"] |= {"epochs": 1}
    (folder / "settings.yaml").write_text(yaml.safe_dump(settings), "utf-8")
    (folder / "home").symlink_to(home)
    words = ("distill", folder / "settings.yaml", "--push", "--yes", "--run", folder / "run", "--hub", hub.endpoint)
    done = fork_server.run(*words, env={"SOLO_HUB_HOME": str(home)})
    assert done.code == 0, done.err[-3000:]
    return folder


def content(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != ".lock"
    }


@pytest.fixture
def run(finished, tmp_path):
    shutil.copytree(finished / "run", tmp_path / "run")
    return tmp_path / "run"


@pytest.fixture
def go(finished, run, tmp_path, monkeypatch, capsys):
    """Runs a command on the run, which must come to nothing and change nothing; returns what was said."""

    def attempt(hub, command):
        for name in ("PICKLES", "BARE"):
            folder = tmp_path / name
            folder.mkdir(exist_ok=True)
            (folder / "adapter_config.json").write_text('{"base_model_name_or_path": "tests/tiny"}')
        (tmp_path / "PICKLES" / "adapter_model.bin").write_bytes(b"\x80")
        words = [word.replace("=PICKLES", f"={tmp_path}/PICKLES").replace("=BARE", f"={tmp_path}/BARE")
                 for word in command]  # fmt: skip
        before = content(run)
        code, _, said = run_here(hub, monkeypatch, capsys, *words, "--run", run, home=finished / "home")
        assert code in (1, 2), said
        assert content(run) == before
        return said

    return attempt


@pytest.mark.parametrize("case", ASKING)
def test_what_the_hub_does_not_have(hub, go, case):
    assert "tests/typo" in go(hub, ASKING[case])


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused_without_a_hub(hub, go, case):
    assert go(hub, REFUSED[case])


DOWN = ("distill, questions", "index, corpus", "evaluate, arm")


@pytest.mark.parametrize(
    "case", [*DOWN, *(pytest.param(case, marks=pytest.mark.soak) for case in ASKING if case not in DOWN)]
)
def test_a_hub_that_is_down(go, case):
    assert "Cannot reach" in go("http://127.0.0.1:9", ASKING[case])


@pytest.fixture
def _impatient(monkeypatch):
    from huggingface_hub.utils import _http

    from solo_hub.core.deadlines import MinimumSpeed
    from solo_hub.hub import transport

    monkeypatch.setattr(transport, "_LEAST", MinimumSpeed(10_000, 0.2))
    monkeypatch.setattr(_http, "_GLOBAL_CLIENT_FACTORY", _http.default_client_factory)
    _http.close_session()
    yield
    _http.close_session()


@pytest.mark.usefixtures("_impatient")
def test_a_hub_that_drips(hub, go):
    """Slower than anybody waits for."""
    with FaultProxy(hub.endpoint) as proxy:
        proxy.fail_when(lambda seen: seen.method == "GET", slow(50))
        assert "Cannot reach" in go(proxy.url, ("evaluate", "--arm", "theirs=tests/tiny@main"))


def test_a_push_that_fails_leaves_what_was_pushed(hub, finished, run, monkeypatch, capsys):
    """`7-dataset`, `7-adapter` and `7-published.json` are of one push."""
    pushed = {name: data for name, data in content(run).items() if name.startswith("7-")}
    words = ("publish", "--run", run, "--set", "publish.dataset=another-name", "--yes")
    with FaultProxy(hub.endpoint) as proxy:
        proxy.fail_when(lambda seen: seen.method == "POST" and "/commit/" in seen.path, status(400))
        code, _, said = run_here(proxy.url, monkeypatch, capsys, *words, home=finished / "home")
    assert code == 1, said
    assert {name: data for name, data in content(run).items() if name.startswith("7-")} == pushed
    code, _, said = run_here(hub, monkeypatch, capsys, *words, home=finished / "home")
    assert code == 0, said
    published = json.loads((run / "7-published.json").read_text("utf-8"))
    assert published["dataset"]["repo_id"].endswith("/another-name")
    assert "another-name" in (run / "7-dataset" / "provenance.json").read_text("utf-8")
    assert not list(run.glob(".7-*"))


def test_a_start_that_failed_leaves_no_folder(hub, tmp_path, monkeypatch, capsys):
    settings = small_settings()
    for name, change, said in (
        ("plugin", {"selection": {"method": "typo"}}, "There is no selector 'typo'"),
        ("repo", {"base": "tests/typo"}, "tests/typo"),
        ("split", {"task": {**settings["task"], "evaluation_split": "train"}}, "are the same"),
    ):
        file = tmp_path / "settings.yaml"
        file.write_text(yaml.safe_dump({**settings, **change}), "utf-8")
        run = tmp_path / name / "below" / "run"
        for command in ("distill", "index", "label", "select", "train", "evaluate"):
            code, _, told = run_here(hub, monkeypatch, capsys, command, file, "--run", run, home=tmp_path / "home")
            assert code in (1, 2)
            assert said in told
            assert not (tmp_path / name).exists()


@pytest.fixture
def start(fork_server, home):
    """Starts a command in a process of its own."""
    return partial(fork_server.start, env={"SOLO_HUB_HOME": str(home)})


def test_killed_while_the_hub_is_slow(hub, start, run):
    before = content(run)
    with FaultProxy(hub.endpoint) as proxy:
        proxy.fail_when(lambda seen: "tiny" in seen.path, slow(1))
        process = start("evaluate", "--arm", "theirs=tests/tiny", "--run", run, "--hub", proxy.url)
        end = time.monotonic() + 60
        while not any("tiny" in seen.path for seen in proxy.requests) and time.monotonic() < end:
            time.sleep(0.05)
        process.kill()
        process.wait()
    after = content(run)
    after.pop(".holder", None)
    assert after == before


KILLED = """
import os, signal
from pathlib import Path

def last(self, target):
    os.rename(self, target)
    if ".replaced" in str(target):
        os.kill(os.getpid(), signal.SIGKILL)
    return Path(target)

Path.rename = last
"""


def test_killed_while_results_go_aside(hub, finished, start, run, monkeypatch, capsys):
    """`show` then says so instead of telling old results; the next command goes on; going back brings them back."""
    before = content(run)
    words = ("evaluate", "--arm", "theirs=tests/tiny", "--run", run, "--hub", hub.endpoint)
    process = start(*words, setup=KILLED)
    assert process.wait() == -signal.SIGKILL, process.err
    from solo_hub.cli import main

    assert main.run(["show", str(run)]) == 1
    assert "is in progress, or was interrupted" in " ".join(capsys.readouterr().err.split())
    words = ("evaluate", "--update", "--set", "evaluation.arms=[]", "--run", run, "--format", "json")
    code, out, said = run_here(hub, monkeypatch, capsys, *words, home=finished / "home")
    assert code == 0, said
    assert json.loads(out)["arms"].keys() == {"base", "teacher", "student"}
    after = content(run)
    for name in ("6-report.json", "6-predictions.jsonl", "7-published.json", "5-adapter/adapter_model.safetensors"):
        assert after[name] == before[name]
    assert not any(name.startswith((".replaced", ".change", ".discarded")) for name in after)


def test_another_arm_replaces_the_report_when_it_is_there(hub, finished, run, monkeypatch, capsys):
    words = ("evaluate", "--arm", "theirs=tests/tiny", "--run", run, "--format", "json")
    code, out, said = run_here(hub, monkeypatch, capsys, *words, home=finished / "home")
    assert code == 0, said
    assert set(json.loads(out)["arms"]) == {"base", "teacher", "student", "theirs"}
    assert json.loads(out)["labels"]["filters"] is not None, "what the filters caught is still told"
    assert not (run / ".replaced").exists()
