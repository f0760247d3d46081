"""Several at once: two runs in one folder, two pushes to one repo, eight labelling processes on one store."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

from outcomes import write_config
from small_run import TOKEN, settings_of

from solo_hub.run.folder import RunFolder

WRITER = """
import sys
from pathlib import Path
from solo_hub.core.files import Appender
store, writer = Path(sys.argv[1]), sys.argv[2]
print("ready", flush=True)
sys.stdin.readline()
for batch in range(25):
    with Appender(store) as file:
        file.append({"key": f"{writer}-{batch}-{i}", "text": "x" * 900} for i in range(8))
"""


def test_a_second_run_in_the_folder_is_told_who_holds_it(runner, tmp_path):
    config = write_config(tmp_path / "config.yaml", settings_of("twice"))
    with RunFolder(tmp_path / "run").lock():
        done = runner.run("distill", config, "--run", tmp_path / "run", "--push", home=tmp_path / "home")
        assert done.code == 1
        assert f"is in use by process {os.getpid()} on " in done.err
        assert not (tmp_path / "run" / "config.yaml").exists()
    assert not (tmp_path / "run" / ".holder").exists()


def test_two_pushes_to_one_repo(hub, tmp_path, count):
    """Both made on top of nothing, at the same time: one is published, the other is told of it; nothing is mixed."""
    from solo_hub.core.errors import ConflictError
    from solo_hub.hub import HubClient

    def push(name):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "data.jsonl").write_text(json.dumps({"who": name}) + "\n")
        (folder / "README.md").write_text(f"---\nlicense: mit\n---\n{name}\n")
        try:
            return HubClient(hub.endpoint, TOKEN, tmp_path / "cache").push(
                folder, "tests/contested", "dataset", message=name, parent=""
            )
        except ConflictError as error:
            return error

    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(push, ["a", "b", "c", "d"]))
    published = [i for i, result in enumerate(results) if not isinstance(result, ConflictError)]
    assert len(published) == 1
    door = HubClient(hub.endpoint, TOKEN, tmp_path / "look")
    newest = door.latest("tests/contested", "dataset")
    assert (newest.commit, newest.tag) == (results[published[0]].commit, "v1")
    name = "abcd"[published[0]]
    assert json.loads((newest.folder / "data.jsonl").read_text()) == {"who": name}
    assert name in (newest.folder / "README.md").read_text()


def test_eight_processes_append_to_one_store(tmp_path, count):
    store = tmp_path / "3-labels.jsonl"
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, str(store), str(i)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for i in range(8)
    ]
    for writer in writers:
        assert writer.stdout.readline() == "ready\n"
    for writer in writers:
        writer.stdin.write("go\n")
        writer.stdin.flush()
    for writer in writers:
        writer.communicate()
        assert writer.returncode == 0
    keys = [json.loads(line)["key"] for line in store.read_text().splitlines()]
    expected = {f"{w}-{b}-{i}" for w in range(8) for b in range(25) for i in range(8)}
    count("rows lost", len(expected - set(keys)))
    assert set(keys) == expected
    assert len(keys) == len(expected)
