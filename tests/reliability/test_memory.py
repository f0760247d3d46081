"""Too little memory: one sentence, no half file, and the same command goes on where there is more."""

from __future__ import annotations

import json

import pytest
from outcomes import write_config
from small_run import settings_of
from test_resources import one_sentence, same_as_undisturbed

LIMIT = """
import resource
from pathlib import Path
from {module} import {owner}
real = {owner}.{method}
state = []
def limited(*arguments, **named):
    if not state:
        state.append(1)
        lines = Path("/proc/self/status").read_text().splitlines()
        held = next(int(line.split()[1]) for line in lines if "VmData" in line)
        resource.setrlimit(resource.RLIMIT_DATA, (held * 1024 + {room}, resource.getrlimit(resource.RLIMIT_DATA)[1]))
        hoard = [bytearray(1 << 20) for _ in range({room} >> 21)]  # half of the room
        try:
            bytearray({room})  # what a batch that is too large asks for
        except MemoryError:
            del hoard
            raise
    return real(*arguments, **named)
{owner}.{method} = limited
"""
"""From the first call of a method on the process gets no more memory than it has and `room` bytes."""
PLACES = {
    "retrieving": ("solo_hub.knowledge.index", "KnowledgeIndex", "search"),
    "labelling": ("solo_hub.teacher.labelling", "Teacher", "_label_batch"),
}


@pytest.mark.parametrize("place", [pytest.param("retrieving", marks=pytest.mark.soak), "labelling"])
def test_a_batch_that_needs_more_than_there_is(runner, undisturbed, tmp_path, place):
    module, owner, method = PLACES[place]
    config = write_config(tmp_path / "config.yaml", settings_of(f"memory-{place}"))
    line = ("distill", config, "--run", tmp_path / "run", "--push")
    home = undisturbed[0].parent / "home"
    setup = LIMIT.format(module=module, owner=owner, method=method, room=64 << 20)
    first = runner.run(*line, home=home, setup=setup)
    assert one_sentence(first), (first.code, first.err)
    assert "Out of memory" in first.err
    for path in (tmp_path / "run").glob("*.jsonl"):
        assert all(json.loads(text) for text in path.read_text().splitlines())
    done = runner.run(*line, home=home)
    assert done.code == 0, done.err
    assert same_as_undisturbed(undisturbed, tmp_path / "run") == []


ROOMS = [48 << 20, *(pytest.param(mib << 20, marks=pytest.mark.soak) for mib in (1, 4, 8, 16, 24, 96, 192, 384))]


@pytest.mark.parametrize("room", ROOMS)
def test_little_memory_from_the_start(runner, undisturbed, tmp_path, room):
    """Wherever the memory ends, libraries in C included, the run says so, or dies; what is there is whole."""
    config = write_config(tmp_path / "config.yaml", settings_of(f"memory-{room}"))
    line = ("distill", config, "--run", tmp_path / "run", "--push")
    home = undisturbed[0].parent / "home"
    setup = f"""
import resource
from pathlib import Path
lines = Path("/proc/self/status").read_text().splitlines()
held = next(int(line.split()[1]) for line in lines if "VmData" in line)
resource.setrlimit(resource.RLIMIT_DATA, (held * 1024 + {room}, resource.getrlimit(resource.RLIMIT_DATA)[1]))
"""
    first = runner.run(*line, home=home, setup=setup)
    assert first.code <= 1, first.err
    assert first.code < 1 or (one_sentence(first) and "Out of memory" in first.err), first.err
    done = runner.run(*line, home=home)
    assert done.code == 0, done.err
    assert same_as_undisturbed(undisturbed, tmp_path / "run") == []
