"""`solo-hub hf-extension`: `hf solo ...` runs this installation, by the installed `hf` and without a network."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from solo_hub import __version__
from solo_hub.cli import extension
from solo_hub.core.errors import SoloHubError

HF = Path(sys.executable).parent / "hf"


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def script(tmp_path, monkeypatch):
    """A console script beside a Python, for a machine where ours is not installed by pip."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "hf-solo").write_text("#!/bin/sh\nexit 0\n")
    monkeypatch.setattr(extension.sys, "executable", str(folder / "python"))
    return folder / "hf-solo"


def run(*arguments):
    result = CliRunner().invoke(extension.extension, list(arguments))
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def hf(home, *arguments):
    environment = os.environ | {"HOME": str(home), "HF_HUB_DISABLE_UPDATE_CHECK": "1", "NO_COLOR": "1"}
    return subprocess.run(
        [HF, *arguments], env=environment, cwd=home, capture_output=True, text=True, timeout=120, check=False
    )


@pytest.mark.skipif(
    not (HF.exists() and HF.with_name("hf-solo").exists()), reason="hf and hf-solo are not installed beside this Python"
)
def test_hf_solo_runs_this_installation_until_it_is_removed(home):
    said = run("install")
    assert said.stdout == f"hf solo -> {HF.with_name('hf-solo')}\n"
    assert "a format internal to huggingface_hub" in said.stderr
    done = hf(home, "solo", "--version")
    assert (done.returncode, done.stdout.strip()) == (0, f"solo-hub, version {__version__}"), done.stderr
    failed = hf(home, "solo", "show", "nowhere")
    assert failed.returncode == 1, "the exit code is handed on"
    assert "'nowhere' is not a run folder" in failed.stderr
    assert "solo-hub/hf-solo" in hf(home, "extensions", "list").stdout
    run("uninstall")
    assert not (home / extension.FOLDER).exists()


def test_what_is_written(home, script):
    run("install")
    manifest = json.loads((home / extension.FOLDER / "manifest.json").read_text())
    assert {key: manifest[key] for key in ("repo", "short_name", "type", "executable_path", "commit_sha")} == {
        "repo": "hf-solo",
        "short_name": "solo",
        "type": "binary",
        "executable_path": str(script),
        "commit_sha": None,
    }


def test_installing_again_is_no_fault(home, script):
    run("install")
    assert run("install").exit_code == 0


def test_somebody_elses_extension_is_left_alone(home, script):
    folder = home / extension.FOLDER
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text('{"owner": "somebody"}')
    (folder / "hf-solo").write_text("theirs")
    with pytest.raises(SoloHubError, match="Another extension is installed in"):
        run("install")
    with pytest.raises(SoloHubError, match="was not registered by solo-hub"):
        run("uninstall")
    assert (folder / "hf-solo").read_text() == "theirs"
    run("install", "--force")
    assert not (folder / "hf-solo").exists()


def test_there_is_nothing_to_remove(home):
    with pytest.raises(SoloHubError, match="was not registered by solo-hub"):
        run("uninstall")


def test_without_the_console_script_it_says_so(home, script, monkeypatch):
    script.unlink()
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(SoloHubError, match="'hf-solo' was not found next to"):
        run("install")
    assert not (home / ".local").exists()
