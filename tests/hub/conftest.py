"""An embedded Hub for the tests of its clients: one server, one folder of its own for every test that wants one."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from hub_helpers import CARD, OTHER, READ, WRITE, fill
from huggingface_hub.utils import _http

from solo_hub.hub import HubClient


@pytest.fixture(autouse=True)
def _own_home(tmp_path, monkeypatch):
    """No test sees the user's Hub, token or cache."""
    monkeypatch.setenv("SOLO_HUB_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)


@pytest.fixture
def no_waiting(monkeypatch):
    """The client tries again at once; by itself it waits 1, 2, 4, 8 seconds between attempts."""
    monkeypatch.setattr(_http, "time", SimpleNamespace(sleep=lambda seconds: None, time=_http.time.time))


@pytest.fixture(scope="session")
def hub(tmp_path_factory):
    pytest.importorskip("starlette", reason="the embedded Hub's packages are not installed")
    from solo_hub.hub.server import EmbeddedHub

    users = [
        {"name": "ann", "token": WRITE, "orgs": ["team"]},
        {"name": "rob", "token": READ, "role": "read"},
        {"name": "oda", "token": OTHER},
    ]
    with EmbeddedHub(tmp_path_factory.mktemp("hub"), users=users, remember=False) as server:
        yield server


@pytest.fixture
def door(hub, tmp_path):
    return HubClient(hub.endpoint, WRITE, tmp_path / "cache")


@pytest.fixture
def name(request):
    """A repo no other test uses."""
    return f"ann/{abs(hash(request.node.nodeid)):x}"


@pytest.fixture
def folder(tmp_path):
    """A small dataset repo."""
    return fill(tmp_path / "repo", {"README.md": CARD, "data/train.jsonl": '{"a": 1}\n'})
