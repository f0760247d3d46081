"""A Hub that drips is a Hub whose connection broke: tried again, and given up in a sentence."""

from __future__ import annotations

import time

import pytest
from fault_proxy import FaultProxy, slow
from hub_helpers import CARD, WRITE, fill
from huggingface_hub import constants
from huggingface_hub.utils import _http

from solo_hub.core.deadlines import MinimumSpeed
from solo_hub.core.errors import HubError
from solo_hub.hub import HubClient, transport

LARGE = "data/train.parquet"
FILES = {"README.md": CARD, LARGE: bytes(range(256)) * 4000}


@pytest.fixture
def pinned(door, name, tmp_path):
    door.push(fill(tmp_path / "repo", FILES), name, "dataset", message="m")
    return door.pin(name, "dataset")


@pytest.fixture
def _impatient(pinned, no_waiting, monkeypatch):
    monkeypatch.setattr(transport, "_LEAST", MinimumSpeed(10_000, 0.3))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(_http, "_GLOBAL_CLIENT_FACTORY", _http.default_client_factory)
    _http.close_session()
    yield
    _http.close_session()


@pytest.mark.usefixtures("_impatient")
def test_a_file_that_drips_is_begun_again(hub, pinned, tmp_path):
    """A megabyte at a thousand bytes a second: 17 minutes."""
    begun = time.monotonic()
    with FaultProxy(hub.endpoint) as proxy:
        proxy.fail_when(lambda seen: seen.method == "GET" and seen.path.endswith(LARGE), slow(1000), times=1)
        folder = HubClient(proxy.url, WRITE, tmp_path / "fresh").pull(pinned)
        assert sum(seen.fault is not None for seen in proxy.requests) == 1
    assert (folder / LARGE).read_bytes() == FILES[LARGE]
    assert time.monotonic() - begun < 60


@pytest.mark.usefixtures("_impatient")
def test_a_hub_that_only_drips_is_given_up(hub, name, tmp_path):
    with FaultProxy(hub.endpoint) as proxy:
        proxy.fail_when(lambda seen: seen.method == "GET", slow(50))
        with pytest.raises(HubError, match="Cannot reach"):
            HubClient(proxy.url, WRITE, tmp_path / "fresh").pin(name, "dataset")
