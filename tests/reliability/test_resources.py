"""Full disks, few file descriptors, folders that cannot be written, odd terminals, clocks and names, Ctrl-C."""

from __future__ import annotations

import re

import pytest
from outcomes import differences, outcome, write_config
from small_run import settings_of, versions

pytestmark = pytest.mark.timeout(900)  # seconds; the first test also pays for the run all others are compared with

FULL = """
import errno, os
from solo_hub.run import folder as run_folder
real, state = os.fsync, dict(left={left})
def fsync(handle):
    state["left"] -= 1
    if state["left"] < 0:
        raise OSError(errno.ENOSPC, "No space left on device")
    real(handle)
os.fsync = fsync
"""
"""The disk is full at the n-th time something is to be on it for good, and stays full: also where nobody may mount."""


def line_of(folder, name):
    config = write_config(folder / "config.yaml", settings_of(name))
    return "distill", config, "--run", folder / "run", "--push"


def same_as_undisturbed(undisturbed, run):
    expected, found = outcome(undisturbed[0]), outcome(run)
    return [difference for part in expected for difference in differences(expected[part], found[part], part)]


def one_sentence(done):
    return done.code == 1 and done.err.count("Error: ") == 1 and "bug in solo-hub" not in done.err


@pytest.mark.parametrize(
    "places",
    [(2,), pytest.param(range(40), marks=[pytest.mark.soak, pytest.mark.timeout(0)])],
    ids=["short", "long"],
)
def test_disk_full_at_a_write(runner, hub, undisturbed, tmp_path, count, places):
    home = undisturbed[0].parent / "home"
    for place in places:
        folder = tmp_path / str(place)
        folder.mkdir()
        name = f"full-{len(places)}-{place}"
        line = line_of(folder, name)
        first = runner.run(*line, home=home, setup=FULL.format(left=place))
        count("full disks", int(first.code == 1))
        if first.code:
            assert one_sentence(first), first.err
            assert "disk is full" in first.err
            done = runner.run(*line, home=home)
            assert done.code == 0, done.err
        assert same_as_undisturbed(undisturbed, folder / "run") == []
        assert versions(hub.endpoint, f"tests/{name}-labels", "dataset") == (["v1"], 1)


@pytest.mark.parametrize(
    ("limit", "value", "said"),
    [
        ("RLIMIT_FSIZE", 20_000, "too large|file size limit"),  # bytes of a file; root has to obey, too
        pytest.param("RLIMIT_FSIZE", 200_000, "too large|file size limit", marks=pytest.mark.soak),
        ("RLIMIT_NOFILE", 12, "too many open files"),
        pytest.param("RLIMIT_NOFILE", 20, "too many open files|ulimit -n", marks=pytest.mark.soak),
    ],
)
def test_too_little_of_something(runner, hub, undisturbed, tmp_path, limit, value, said):
    """What does not fit is told in a sentence and resumed once it fits; what fits all the same is the same run."""
    home, name = undisturbed[0].parent / "home", f"{limit[7:].lower()}-{value}"
    line = line_of(tmp_path, name)
    done = runner.run(*line, home=home, limits={limit: value})
    if done.code:
        assert one_sentence(done), done.err
        assert re.search(said, done.err.casefold()), done.err
        done = runner.run(*line, home=home)
    assert done.code == 0, done.err
    assert same_as_undisturbed(undisturbed, tmp_path / "run") == []
    assert versions(hub.endpoint, f"tests/{name}-labels", "dataset") == (["v1"], 1)


@pytest.mark.parametrize("place", ["run", "home"])
def test_a_file_where_a_folder_should_be(runner, tmp_path, place):
    (tmp_path / place).write_text("a file")
    done = runner.run(*line_of(tmp_path, "blocked"), home=tmp_path / "home")
    assert done.code in (1, 2)
    assert "bug in solo-hub" not in done.err, done.err
    assert place in done.err


def test_odd_places_and_terminals(runner, undisturbed, tmp_path):
    """Blanks and Unicode in paths, 40 columns, LANG=C, no terminal, a clock that jumps back a year: the same run."""
    folder = tmp_path / "ein Ordner ☃ mit 'Zeichen'"
    folder.mkdir()
    setup = """
import itertools, time
real, turn = time.time, itertools.count()
time.time = lambda: real() - 31536000 * (next(turn) % 2)
"""
    env = {"COLUMNS": "40", "LANG": "C", "LC_ALL": "C", "PYTHONUTF8": "0", "TERM": "dumb"}
    done = runner.run(*line_of(folder, "odd"), home=undisturbed[0].parent / "home", env=env, setup=setup)
    assert done.code == 0, done.err
    assert same_as_undisturbed(undisturbed, folder / "run") == []


@pytest.mark.parametrize("times", [1, 2])
def test_ctrl_c_while_labelling(runner, undisturbed, tmp_path, times):
    """Once: the batch is finished and the message says how to go on. Twice: it stops. Either way nothing is lost."""
    setup = f"""
import signal
from solo_hub.teacher.labelling import Teacher
real, state = Teacher._label_batch, []
def label(self, *arguments):
    state.append(1)
    if len(state) == 6:
        for _ in range({times}):
            signal.raise_signal(signal.SIGINT)
    return real(self, *arguments)
Teacher._label_batch = label
"""
    line = line_of(tmp_path, f"ctrl-{times}")
    setup = setup.replace("== 6", "== 2")
    home = undisturbed[0].parent / "home"
    first = runner.run(*line, home=home, setup=setup)
    assert first.code == 130, first.err
    assert "Run the same command again to resume." in first.err
    assert "Stopping after this batch" in first.err
    labels = (tmp_path / "run" / "3-labels.jsonl").read_text().splitlines()
    assert len(labels) == (12 if times == 1 else 6)
    assert runner.run(*line, home=home).code == 0
    assert same_as_undisturbed(undisturbed, tmp_path / "run") == []
