"""A clock that is set while something waits for an answer, and files of another century."""

from __future__ import annotations

import os
import shutil
import time

import pytest
from small_run import TOKEN
from test_resources import line_of, same_as_undisturbed

YEAR = 365 * 86_400  # seconds


@pytest.mark.parametrize("year", [pytest.param(2000, marks=pytest.mark.soak), 2099])
@pytest.mark.timeout(900)  # the run all others are compared with, too
def test_times_of_files_do_not_matter(runner, undisturbed, tmp_path, year):
    """Caches are known by content, steps by the files that are there."""
    home, run = tmp_path / "home", tmp_path / "run"
    shutil.copytree(undisturbed[0].parent / "home", home, symlinks=True)
    line = line_of(tmp_path, f"year-{year}")
    assert runner.run("select", *line[1:-1], home=home).code == 0
    when = (year - 1970) * YEAR
    for path in (*home.rglob("*"), *run.rglob("*")):
        os.utime(path, (when, when), follow_symlinks=False)
    done = runner.run(*line, home=home)
    assert done.code == 0, done.err
    assert same_as_undisturbed(undisturbed, run) == []


@pytest.mark.parametrize("jump", [-YEAR, YEAR])
@pytest.mark.parametrize("turn", [1, 4, 8, 12])
def test_the_hubs_clock_is_set_during_a_push(tmp_path, monkeypatch, jump, turn):
    """A right that has run out meanwhile costs that push at most; the next one completes it."""
    from solo_hub.core.errors import HubError
    from solo_hub.hub import HubClient
    from solo_hub.hub.server import EmbeddedHub

    real, asked = time.time, []

    def set_meanwhile():
        asked.append(1)
        return real() + (jump if len(asked) >= turn else 0)

    folder = tmp_path / "pushed"
    folder.mkdir()
    (folder / "small.txt").write_text("small")
    (folder / "big.bin").write_bytes(os.urandom(400_000))
    with EmbeddedHub(tmp_path / "hub", users=[{"name": "ann", "token": TOKEN}], remember=False) as hub:
        door = HubClient(hub.endpoint, TOKEN, tmp_path / "cache")
        monkeypatch.setattr(time, "time", set_meanwhile)
        try:
            door.push(folder, "ann/pushed", "model", message="first")
        except HubError:
            door.push(folder, "ann/pushed", "model", message="again")
        found = door.pull(door.pin("ann/pushed", "model"), allow=["*"])
        assert len(asked) >= turn
    assert (found / "big.bin").read_bytes() == (folder / "big.bin").read_bytes()
