"""Killed servers, many writers, two servers on one folder, and collection."""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from itertools import pairwise

import pytest
from hub_under_test import USERS, Server, send

from solo_hub.hub.server import EmbeddedHub, find_or_start
from solo_hub.hub.server.core import Hub
from solo_hub.hub.server.gc import collect
from solo_hub.hub.server.processes import running, stop
from solo_hub.hub.server.server import ensure_users

PUSH = """
import hashlib, random, sys
from huggingface_hub import CommitOperationAdd, HfApi
api = HfApi()
n = int(sys.argv[1])
while True:
    n += 1
    big = random.Random(n).randbytes(400_000)
    made = api.create_commit("ana/pushed", commit_message=f"push {n}", operations=[
        CommitOperationAdd("number.txt", str(n).encode()),
        CommitOperationAdd("big.bin", big),
        CommitOperationAdd(f"many/{n}.txt", b"x" * 100_000),
    ])
    print(n, made.oid, flush=True)
"""


def start_process(root, env) -> tuple[subprocess.Popen, str]:
    process = subprocess.Popen([sys.executable, "-m", "solo_hub.hub.server", str(root)], env=env)
    for _ in range(400):
        state = running(root)
        if state is not None and state["pid"] == process.pid:
            return process, state["endpoint"]
        time.sleep(0.05)
    raise AssertionError("the server did not start")


def check_whole(endpoint: str, told: dict[int, str]) -> int:
    """Every commit a client was told of is in the history, and the newest one is there with every byte."""
    log = []
    page = "/api/models/ana/pushed/commits/main?limit=1000"
    log = send(endpoint, "GET", page, token="token-of-ana").json
    assert set(told.values()) <= {each["id"] for each in log}
    assert len(log) == len({each["id"] for each in log})
    for newer, older in pairwise(log):
        assert newer["parents"] == [older["id"]]
    head = log[0]
    if head["title"] == "initial commit":
        return 0
    number = int(head["title"].removeprefix("push "))
    for item in send(endpoint, "GET", "/api/models/ana/pushed/tree/main?recursive=1", token="token-of-ana").json:
        if item["type"] == "file":
            data = send(endpoint, "GET", f"/ana/pushed/resolve/{head['id']}/{item['path']}", token="token-of-ana").body
            assert len(data) == item["size"]
            if "lfs" in item:
                assert hashlib.sha256(data).hexdigest() == item["lfs"]["oid"]
            else:
                assert hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest() == item["oid"]
            if item["path"] == "number.txt":
                assert int(data) == number
            if item["path"] == "big.bin":
                assert data == random.Random(number).randbytes(400_000)
    return number


@pytest.mark.parametrize("kills", [3, pytest.param(50, marks=[pytest.mark.soak, pytest.mark.timeout(1200)])])
def test_a_killed_server_forgets_nothing_it_confirmed(tmp_path, kills, say):
    root = tmp_path / "root"
    hub = Hub(root)
    ensure_users(hub, [dict(user) for user in USERS], remember=False)
    hub.create_repo("model", "ana", "pushed", private=False, sdk=None, author="ana")
    hub.close()
    kept = {key: value for key, value in os.environ.items() if not key.startswith("HF_")}
    env = {**kept, "SOLO_HUB_HOME": str(tmp_path / "home"), "HF_HOME": str(tmp_path / "hf"), "HF_TOKEN": "token-of-ana"}
    chance = random.Random(kills)
    told: dict[int, str] = {}
    number, pushed = 0, 0
    server, endpoint = start_process(root, env)
    for kill in range(kills):
        client_env = {**env, "HF_ENDPOINT": endpoint, "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
        if kill % 2:
            client_env["HF_HUB_DISABLE_XET"] = "1"
        with subprocess.Popen(
            [sys.executable, "-c", PUSH, str(number)],
            env=client_env,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        ) as client:
            first = client.stdout.readline()  # it is in full swing from here on
            time.sleep(chance.uniform(0, 0.6))
            server.send_signal(signal.SIGKILL)
            server.wait()
            client.kill()
            for line in [first, *client.stdout.read().splitlines()]:
                n, oid = line.split()
                told[int(n)] = oid
        server, endpoint = start_process(root, env)
        number = check_whole(endpoint, told)
        assert number in (max(told), max(told) + 1)  # told about, or about to be told about
        pushed = len(told)
    server.terminate()
    server.wait()
    hub = Hub(root)
    collect(hub, older_than=0)  # takes away what the kills left behind, and nothing else
    assert list(hub.content.tmp_dir.iterdir()) == []
    hub.close()
    server, endpoint = start_process(root, env)
    check_whole(endpoint, told)
    server.terminate()
    server.wait()
    say(f"{kills} kills, {pushed} commits confirmed, none lost, every file readable")


PUSH_MANY = """
import json, sys
from huggingface_hub import CommitOperationAdd, HfApi
from huggingface_hub.errors import HfHubHTTPError
api = HfApi()
who, count = sys.argv[1], int(sys.argv[2])
for n in range(count):
    parent = api.model_info("ana/crowd").sha if n % 2 else None  # every other push insists on what it has seen
    try:
        made = api.create_commit("ana/crowd", commit_message=f"{who} {n}", parent_commit=parent, operations=[
            CommitOperationAdd(f"{who}/{n}.txt", f"{who} {n}".encode()),
            CommitOperationAdd(f"{who}/{n}.bin", bytes([n]) * 50_000),
        ])
        print(json.dumps([who, n, made.oid]))
    except HfHubHTTPError as error:
        print(json.dumps([who, n, error.response.status_code]))
"""


@pytest.mark.parametrize(("writers", "each"), [(4, 3), pytest.param(8, 10, marks=pytest.mark.soak)])
def test_many_writers_through_two_servers_on_one_folder(tmp_path, writers, each, say):
    root = tmp_path / "root"
    with (
        EmbeddedHub(root, users=USERS, remember=False) as one,
        EmbeddedHub(root, users=USERS, remember=False) as two,
    ):
        server = Server(one)
        server("POST", "/api/repos/create", body={"name": "crowd"})
        kept = {key: value for key, value in os.environ.items() if not key.startswith("HF_")}
        clients = []
        for number in range(writers):
            env = {**kept, **(one if number % 2 else two).env(), "HF_HOME": str(tmp_path / "hf")}
            words = [sys.executable, "-c", PUSH_MANY, f"w{number}", str(each)]
            clients.append(subprocess.Popen(words, env=env, stdout=subprocess.PIPE, text=True))
        outcomes = [json.loads(line) for client in clients for line in client.communicate(timeout=200)[0].splitlines()]
        assert all(client.returncode == 0 for client in clients)
        assert len(outcomes) == writers * each
        landed = {oid: f"{who} {n}" for who, n, oid in outcomes if isinstance(oid, str)}
        refused = [status for _, _, status in outcomes if not isinstance(status, str)]
        assert set(refused) <= {409, 412}
        log = server("GET", "/api/models/ana/crowd/commits/main?limit=1000").json
        assert {each["id"]: each["title"] for each in log[:-1]} == landed
        assert all(newer["parents"] == [older["id"]] for newer, older in pairwise(log))
        listed = server("GET", "/api/models/ana/crowd/tree/main?recursive=1").json
        files = {item["path"] for item in listed if item["type"] == "file"}
        wanted = {f"{title.replace(' ', '/')}.{ending}" for title in landed.values() for ending in ("txt", "bin")}
        assert files == wanted | {".gitattributes"}
    say(f"{writers} writers: {len(landed)} commits landed, {len(refused)} refused, history linear")


def test_a_server_is_found_again_and_stopped(tmp_path, monkeypatch):
    monkeypatch.setenv("SOLO_HUB_HOME", str(tmp_path))
    first = find_or_start()
    try:
        again = find_or_start()
        assert (first.started, again.started) == (True, False)
        assert (first.endpoint, first.token) == (again.endpoint, again.token)
        assert first.token not in repr(first)
        assert send(first.endpoint, "GET", "/api/whoami-v2", token=first.token).json["name"] == "local"
    finally:
        assert stop(tmp_path / "hub")
    assert running(tmp_path / "hub") is None
    assert not stop(tmp_path / "hub")


def test_programs_that_start_together_share_one_server(tmp_path):
    env = {**os.environ, "SOLO_HUB_HOME": str(tmp_path)}
    script = "from solo_hub.hub.server import find_or_start; h = find_or_start(); print(h.endpoint, h.token)"
    programs = [
        subprocess.Popen([sys.executable, "-c", script], env=env, stdout=subprocess.PIPE, text=True) for _ in range(4)
    ]
    try:
        said = {program.communicate(timeout=60)[0] for program in programs}
        assert len(said) == 1
        assert all(program.returncode == 0 for program in programs)
    finally:
        stop(tmp_path / "hub")


def test_a_state_file_of_a_dead_server_is_not_believed(tmp_path, monkeypatch):
    monkeypatch.setenv("SOLO_HUB_HOME", str(tmp_path))
    root = tmp_path / "hub"
    root.mkdir()
    (root / "server.json").write_text('{"endpoint": "http://127.0.0.1:9", "pid": 1, "root_id": "x"}')
    assert running(root) is None
    handle = find_or_start(in_process=True)
    assert handle.started
    handle.stop()


def test_collection_spares_what_is_needed_and_what_is_young(tmp_path):
    with EmbeddedHub(tmp_path / "root", users=USERS, remember=False) as hub:
        server = Server(hub)
        for name in ("kept", "gone"):
            server("POST", "/api/repos/create", body={"name": name})
            server.add(f"ana/{name}", {"small.txt": name, "large.txt": name * 50_000, "shared.txt": "s" * 100_000})
        server("DELETE", "/api/repos/delete", body={"name": "gone"})
        young = collect(hub.core)
        assert (young.blobs, young.trees) == (0, 1)  # blobs may wait for a commit, a listing never does
        report = collect(hub.core, older_than=0)
        assert report.blobs == 2
        assert report.freed_bytes > 200_000
        assert server("GET", "/ana/kept/resolve/main/large.txt").body == b"kept" * 50_000
        assert server("GET", "/ana/kept/resolve/main/shared.txt").body == b"s" * 100_000
        again = collect(hub.core, older_than=0)
        assert (again.blobs, again.freed_bytes) == (0, 0)


def test_collection_of_xorbs_makes_clients_forget_them(tmp_path):
    """A client keeps what it knows of a server's xorbs; after a collection it must upload them again."""
    with EmbeddedHub(tmp_path / "root", users=USERS, remember=False) as hub:
        kept = {key: value for key, value in os.environ.items() if not key.startswith("HF_")}
        env = {**kept, **hub.env(), "HF_HOME": str(tmp_path / "hf")}
        script = """
import random
from huggingface_hub import HfApi
api = HfApi()
repo = api.create_repo("ana/chunks").repo_id
api.upload_file(path_or_fileobj=random.Random(1).randbytes(3_000_000), path_in_repo="a.bin", repo_id=repo)
"""
        for _ in range(2):
            done = subprocess.run(
                [sys.executable, "-c", script], env=env, capture_output=True, text=True, timeout=60, check=False
            )
            assert done.returncode == 0, done.stderr
            data = send(hub.endpoint, "GET", "/ana/chunks/resolve/main/a.bin", token=hub.token).body
            assert data == random.Random(1).randbytes(3_000_000)
            send(hub.endpoint, "DELETE", "/api/repos/delete", token=hub.token, body={"name": "chunks"})
            assert collect(hub.core, older_than=0).xorbs > 0
        assert not any(path.is_file() for path in hub.core.xet.xorbs_dir.rglob("*"))
