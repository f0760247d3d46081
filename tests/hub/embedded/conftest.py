"""A running embedded Hub per module, and ways to talk to it: raw HTTP, the Python client, client processes."""

from __future__ import annotations

import itertools
import json
import os
import re
import subprocess
import sys
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from solo_hub.hub.embedded import EmbeddedHub

_numbers = itertools.count(1)

USERS = [
    {"name": "ana", "token": "token-of-ana", "orgs": ["lab"]},
    {"name": "ben", "token": "token-of-ben"},
    {"name": "eve", "token": "token-of-eve", "role": "read", "orgs": ["lab"]},
]


@dataclass
class Answer:
    status: int
    headers: Any
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def send(
    endpoint: str, method: str, path: str, *, token: str | None = None, body: Any = None, headers: dict | None = None
) -> Answer:
    """One request; the path goes out exactly as given."""
    data = json.dumps(body).encode() if isinstance(body, (dict, list)) else body
    request = urllib.request.Request(endpoint + path, data=data, method=method, headers=headers or {})
    if token:
        request.add_header("Authorization", f"Bearer {token}")
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            return Answer(response.status, response.headers, response.read())
    except urllib.error.HTTPError as error:
        with error:
            return Answer(error.code, error.headers, error.read())


class Server:
    """A hub under test."""

    def __init__(self, hub: EmbeddedHub) -> None:
        self.hub = hub
        self.endpoint = hub.endpoint

    def __call__(self, method: str, path: str, *, token: str | None = "token-of-ana", **kwargs: Any) -> Answer:
        return send(self.endpoint, method, path, token=token, **kwargs)

    def commit(self, repo: str, lines: list[dict], *, rev: str = "main", token: str = "token-of-ana") -> Answer:
        body = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
        return self("POST", f"/api/models/{repo}/commit/{rev}", token=token, body=body)

    def add(self, repo: str, files: dict[str, str], **kwargs: Any) -> Answer:
        lines = [{"key": "header", "value": {"summary": "add"}}]
        for path, text in files.items():
            lines.append({"key": "file", "value": {"path": path, "content": text, "encoding": "utf-8"}})
        return self.commit(repo, lines, **kwargs)


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
