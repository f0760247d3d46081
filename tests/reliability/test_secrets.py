"""The token of a run is in no file, message, card, report or command line that the run leaves."""

from __future__ import annotations

import contextlib
import gzip
import threading
from pathlib import Path

import pytest
from outcomes import write_config
from small_run import TOKEN, settings_of

pytestmark = pytest.mark.timeout(900)  # seconds; the first test also pays for the run all others are compared with

NEEDLES = (TOKEN.encode(), TOKEN[3:].encode())


def holding(folder):
    """Files that hold the token, also inside gzip and Parquet; a store's files have no suffix that tells."""
    from pyarrow import BufferReader
    from pyarrow import parquet as pq

    found = []
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink():
            data = path.read_bytes()
            if data[:2] == b"\x1f\x8b":
                data = gzip.decompress(data)
            if data[:4] == b"PAR1":
                data += repr(pq.read_table(BufferReader(data)).to_pylist()).encode()
            if any(needle in data for needle in NEEDLES):
                found.append(str(path))
    return found


def looking_like_a_token(folder):
    """Files in which a whole token of any kind is found by what is looked for before publishing."""
    from solo_hub.publishing.leaks import find

    return [leak.file for leak in find(folder) if leak.kind == "Hugging Face token"]


@pytest.mark.parametrize("how", ["plain", "gzip", "parquet", "blob"])
def test_a_planted_token_is_found(tmp_path, how):
    """The test of the tests below: they can fail."""
    import pyarrow as pa
    from pyarrow import parquet as pq

    table = pa.table({"text": [f"it is {TOKEN}"] * 50})
    if how == "plain":
        (tmp_path / "a.json").write_text(TOKEN)
    elif how == "gzip":
        (tmp_path / "a.gz").write_bytes(gzip.compress(TOKEN.encode() * 9))
    else:
        pq.write_table(table, tmp_path / ("a.parquet" if how == "parquet" else "0123abcd"), compression="zstd")
    assert len(holding(tmp_path)) == 1


def test_a_run_leaves_no_token(runner, undisturbed, home, hub, tmp_path, count):
    """Run folder, all of its home (downloads, index), all the Hub stored of it, and all it said."""
    run, done = undisturbed
    config = write_config(tmp_path / "again.yaml", settings_of("again"))
    again = runner.run("distill", config, "--run", tmp_path / "again", "--push", home=home)  # nothing to download
    assert again.code == 0, again.err
    for place in (run / "7-published.json", run.parent / "home" / "cache" / "knowledge", hub.root):
        assert place.exists()
    found = [file for place in (run.parent, tmp_path, hub.root) for file in holding(place)] + looking_like_a_token(run)
    said = [one for one in (done.err + done.out, again.err + again.out) if TOKEN in one]
    count("secrets found", len(found) + len(said))
    assert found == said == []


@pytest.mark.parametrize(
    ("key", "value", "code"),
    [
        ("hub", f"http://user:{TOKEN}@127.0.0.1:9", 2),
        ("hub", f"http://127.0.0.1:9?token={TOKEN[3:]}", 2),
        ("base", f"{TOKEN} x", 2),
        ("base", f"tests/{TOKEN}", 1),
    ],
)
def test_a_token_in_an_address_is_not_repeated(runner, hub, undisturbed, tmp_path, key, value, code):
    """A configuration with a token where none belongs: it is refused, and nothing repeats it."""
    config = write_config(tmp_path / "config.yaml", {**settings_of("secret"), key: value})
    spec = "" if key == "hub" else None
    done = runner.run("distill", config, "--run", tmp_path / "run", "--push", home=tmp_path / "home", hub=spec)
    assert done.code == code, done.err
    assert done.err.count("Error: ") == 1
    assert not any(needle.decode() in done.err + done.out for needle in NEEDLES)
    config.unlink()  # the user's own, with the token in it
    assert holding(tmp_path) == holding(hub.root) == []


FAILS_LATE = f"""
from solo_hub.teacher.labelling import Teacher
real, state = Teacher._label_batch, []
def label(self, *arguments):
    state.append(1)
    if len(state) == 3:
        raise RuntimeError("401 for the key {TOKEN}, sent as Bearer {TOKEN}")
    return real(self, *arguments)
Teacher._label_batch = label
"""


def test_a_run_that_fails_late_leaves_no_token(runner, undisturbed, tmp_path):
    """Half of the labels are there when a library's error names the token."""
    config = write_config(tmp_path / "config.yaml", settings_of("late"))
    line = ("distill", config, "--run", tmp_path / "run", "--push")
    env = {"SOLO_HUB_TRACEBACK": "1"}
    done = runner.run(*line, home=undisturbed[0].parent / "home", setup=FAILS_LATE, env=env)
    assert done.code == 1
    assert "RuntimeError: 401 for the key ***" in done.err
    assert "Traceback" in done.err
    assert not any(needle.decode() in done.err + done.out for needle in NEEDLES)
    assert len((tmp_path / "run" / "3-labels.jsonl").read_text().splitlines()) == 12
    assert holding(tmp_path) == holding(undisturbed[0].parent / "home") == []


def seen_in_processes(what):
    """Command lines and environments of all processes that hold a secret: (process, which of the two, command)."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        for kind in ("cmdline", "environ"):
            with contextlib.suppress(OSError):  # gone meanwhile, or somebody else's
                if what in (place / kind).read_bytes():
                    found.append((int(place.name), kind, (place / "cmdline").read_bytes().decode(errors="replace")))
    return found


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="there is no /proc here")
@pytest.mark.parametrize("cost_questions", [0, pytest.param(2, marks=pytest.mark.soak)])
def test_no_process_shows_the_token_in_its_command_line(runner, undisturbed, tmp_path, count, cost_questions):
    """Looked for all the time while a run is published; in the long version its cost is measured by more processes."""
    settings = settings_of(f"seen-{cost_questions}")
    settings["evaluation"]["cost_questions"] = cost_questions
    config = write_config(tmp_path / "config.yaml", settings)
    seen, looks, over = set(), [0], threading.Event()

    def look():
        while not over.wait(0.05):
            seen.update(place for place in seen_in_processes(TOKEN.encode()) if place[1] == "cmdline")
            looks[0] += 1

    looker = threading.Thread(target=look)
    looker.start()
    try:
        done = runner.run("distill", config, "--run", tmp_path / "run", "--push", home=undisturbed[0].parent / "home")
    finally:
        over.set()
        looker.join()
    assert done.code == 0, done.err
    assert looks[0] > 10
    count("secrets found", len(seen))
    assert seen == set()


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="there is no /proc here")
def test_a_server_that_stays_knows_nothing_of_whoever_started_it(tmp_path, monkeypatch):
    from solo_hub.hub.server.processes import find_or_start, running, stop

    planted = "hf_" + "plantedInTheEnvironment0123456789"
    for name in ("HF_TOKEN", "OPENAI_API_KEY", "TEI_TOKEN", "MY_PASSWORD"):
        monkeypatch.setenv(name, planted)
    monkeypatch.setenv("SOLO_HUB_HOME", str(tmp_path))
    hub = find_or_start(tmp_path / "hub")
    try:
        pid = running(tmp_path / "hub")["pid"]
        shown = b"".join((Path("/proc") / str(pid) / kind).read_bytes() for kind in ("cmdline", "environ"))
        assert b"SOLO_HUB_HOME" in shown
        assert planted.encode() not in shown
        assert hub.token.encode() not in shown
    finally:
        stop(tmp_path / "hub")


def test_a_failure_with_traceback_hides_the_token(runner, tmp_path):
    config = write_config(tmp_path / "config.yaml", {**settings_of("trace"), "base": f"tests/no-{TOKEN}"})
    env = {"SOLO_HUB_TRACEBACK": "1"}
    done = runner.run("distill", config, "--run", tmp_path / "run", "--push", home=tmp_path / "home", env=env)
    assert done.code == 1
    assert "Traceback" in done.err
    assert TOKEN not in done.err
