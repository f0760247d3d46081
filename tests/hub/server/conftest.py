"""A running embedded Hub per module, and ways to talk to it: raw HTTP, the Python client, client processes."""

from __future__ import annotations

import itertools
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hub_under_test import USERS, Server

from solo_hub.hub.server import EmbeddedHub

_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory):
    root = tmp_path_factory.mktemp("hub")
    with EmbeddedHub(root, users=USERS, remember=False) as hub:
        yield Server(hub)


@pytest.fixture
def repo(server: Server, request: pytest.FixtureRequest) -> str:
    """A fresh model repo of ana's."""
    words = re.sub(r"[^a-z0-9]+", "-", request.node.name.removeprefix("test_").lower())[:60].strip("-")
    name = f"{words}-{next(_numbers)}"
    answer = server("POST", "/api/repos/create", body={"name": name})
    assert answer.status == 200, answer.body
    return f"ana/{name}"


@pytest.fixture
def client(server: Server, tmp_path: Path):
    """Run a script in a process of its own, with the default client and nothing set but endpoint and token."""

    def run(script: str, *, xet: bool = True, arguments: tuple[str, ...] = ()) -> str:
        kept = {
            key: value for key, value in os.environ.items() if not key.startswith(("HF_", "HUGGING", "TRANSFORMERS"))
        }
        env = {**kept, **server.hub.env(), "HF_HOME": str(tmp_path / "hf")}
        if not xet:
            env["HF_HUB_DISABLE_XET"] = "1"
        done = subprocess.run(
            [sys.executable, "-c", script, *arguments],
            env=env,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stdout

    return run


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]):
    """Report a measured number past pytest's capture."""

    def write(text: str) -> None:
        with capsys.disabled():
            sys.stdout.write(f"\n{text}\n")

    return write
