"""Folders that may not be written to, by their mode or by their mount: a sentence, or a run that does not need to."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from outcomes import write_config
from small_disk import read_only
from small_run import TOKEN, settings_of
from test_resources import line_of, one_sentence, same_as_undisturbed

pytestmark = pytest.mark.timeout(900)  # seconds; the first test also pays for the run all others are compared with

COMMAND = "import fork_server; fork_server.obey_modes(); from solo_hub.cli.main import main; main()"
"""The command line in a process of its own, which obeys the modes of folders."""


@pytest.fixture
def locked(tmp_path):
    """Makes a folder that may only be read, a copy of another where one is given."""
    made = []

    def lock(name, like=None):
        folder = tmp_path / name
        shutil.copytree(like, folder, symlinks=True) if like else folder.mkdir()
        made.append(folder)
        for path in (folder, *folder.rglob("*")):
            if not path.is_symlink():
                path.chmod(0o555 if path.is_dir() else 0o444)
        return folder

    yield lock
    for folder in made:
        for path in (folder, *(path for path in folder.rglob("*") if path.is_dir() and not path.is_symlink())):
            path.chmod(0o755)


@pytest.mark.parametrize("place", [pytest.param("", marks=pytest.mark.soak), "run"])
def test_a_run_folder_that_may_not_be_made_or_written(runner, home, locked, tmp_path, place):
    folder = locked("folder")
    line = ("distill", write_config(tmp_path / "config.yaml", settings_of("locked")), "--run", folder / place)
    done = runner.run(*line, home=home, bound=True)
    assert one_sentence(done), done.err
    assert f"the run folder '{folder}" in done.err
    assert "Choose another with --run DIR" in done.err
    folder.chmod(0o755)
    assert runner.run(*line, "--set", "task.train_limit=1", home=home, bound=True).code == 0


@pytest.mark.parametrize("name", ["3-labels.jsonl", pytest.param(".lock", marks=pytest.mark.soak)])
def test_a_file_of_a_run_that_may_not_be_written(runner, home, undisturbed, tmp_path, name):
    run = tmp_path / "run"
    shutil.copytree(undisturbed[0], run)
    for made in run.glob("[4-7]*"):
        shutil.rmtree(made) if made.is_dir() else made.unlink()
    labels = (run / "3-labels.jsonl").read_text().splitlines(keepends=True)
    (run / "3-labels.jsonl").write_text("".join(labels[:6]))
    (run / name).touch()
    (run / name).chmod(0o444)
    done = runner.run("distill", "--run", run, home=home, bound=True)
    assert one_sentence(done), done.err
    assert str(run) in done.err
    assert "--run DIR" in done.err
    (run / name).chmod(0o644)
    done = runner.run("distill", "--run", run, home=home, bound=True)
    assert done.code == 0, done.err
    assert same_as_undisturbed(undisturbed, run) == []


@pytest.mark.parametrize("how", ["mode", pytest.param("mount", marks=pytest.mark.soak)])
def test_a_home_that_holds_everything_need_not_be_written(runner, home, undisturbed, locked, tmp_path, how):
    """A cache that was filled by somebody else, as on a cluster or in a container whose root may only be read."""
    if how == "mode":
        done = runner.run(*line_of(tmp_path, "locked-mode"), home=locked("home", home), bound=True)
    else:
        shutil.copytree(home, tmp_path / "home", symlinks=True)
        with read_only(tmp_path / "home"):
            done = runner.run(*line_of(tmp_path, "locked-mount"), home=tmp_path / "home")
    assert done.code == 0, done.err
    assert same_as_undisturbed(undisturbed, tmp_path / "run") == []


@pytest.mark.parametrize(
    "lacks",
    [
        *(pytest.param(name, marks=pytest.mark.soak) for name in ("cache", "cache/hub/models--tests--tiny")),
        "cache/knowledge",
    ],
)
def test_a_home_that_lacks_something_and_may_not_be_written(runner, home, undisturbed, locked, tmp_path, lacks):
    shutil.copytree(home, tmp_path / "poorer", symlinks=True)
    shutil.rmtree(tmp_path / "poorer" / lacks)
    folder = locked("home", tmp_path / "poorer")
    line = line_of(tmp_path, f"lacks-{len(lacks)}")
    stopped = runner.run(*line, home=folder, bound=True)
    assert one_sentence(stopped), stopped.err
    assert str(folder) in stopped.err
    assert "point SOLO_HUB_HOME" in stopped.err.replace("Point", "point")
    done = runner.run(*line, home=tmp_path / "poorer", bound=True)
    assert done.code == 0, done.err
    assert same_as_undisturbed(undisturbed, tmp_path / "run") == []


def test_the_pre_flight_names_folders_that_may_not_be_written(runner, home, locked, tmp_path):
    config = write_config(tmp_path / "config.yaml", settings_of("locked"))
    done = runner.run("doctor", config, "--run", locked("runs") / "run", home=locked("cold"), bound=True)
    assert done.code == 1
    assert f"{tmp_path / 'cold' / 'cache' / 'hub'}, where downloads go" in done.out
    assert f"{tmp_path / 'runs' / 'run'}" in done.out
    done = runner.run("doctor", config, "--run", tmp_path / "run", home=locked("warm", home), bound=True)
    assert done.code == 0, done.out
    assert "warn     permissions" in done.out


def test_an_embedded_hub_that_may_not_be_made(runner, locked, tmp_path):
    folder = locked("home")
    line = ("distill", "demo", "--run", tmp_path / "run", "--hub", "local")
    done = runner.run(*line, home=folder, hub="", bound=True)
    assert one_sentence(done), done.err
    assert str(folder) in done.err
    assert "SOLO_HUB_HOME" in done.err


@pytest.mark.soak
def test_a_user_whose_own_folder_may_only_be_read(hub, undisturbed, locked, tmp_path):
    """Libraries that write to `~` all the same are silent, and stdout holds one document; a process of its own."""
    user = locked("user")
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("HF_", "SOLO_", "XDG_", "MPL"))}
    env = {
        **kept,
        "HOME": str(user),
        "HF_TOKEN": TOKEN,
        "SOLO_HUB_HOME": str(tmp_path / "home"),
        "PYTHONPATH": f"{Path(__file__).parents[1]}{os.pathsep}{kept['PYTHONPATH']}",
    }
    line = (*map(str, line_of(tmp_path, "user")), "--hub", hub.endpoint, "--format", "json")
    done = subprocess.run(
        [sys.executable, "-c", COMMAND, *line], env=env, capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["published"]["dataset"]["tag"] == "v1"
    assert str(user) not in done.stderr
    assert list(user.iterdir()) == []
    assert same_as_undisturbed(undisturbed, tmp_path / "run") == []
