"""Answers end in time, however the bytes of their body drip."""

from __future__ import annotations

import contextlib
import threading
import time

import httpx2
import pytest
from loopback import LoopbackServer, answer

from solo_hub.core.deadlines import MinimumSpeed, watch, within

httpx = pytest.importorskip("httpx", reason="the extra 'tei' is not installed")
LIBRARIES = pytest.mark.parametrize("library", [httpx2, httpx], ids=["httpx2", "httpx"])
BODY = b"x" * 400  # 20 s, dripping


class Dripping(LoopbackServer):
    """Thinks for a while, then answers as its path says."""

    def get(self, request):
        if request.path == "/thinks":
            time.sleep(0.5)
        request.spoilt = "drip" if request.path == "/body" else None
        answer(request, 200, BODY)


@pytest.fixture
def server():
    with Dripping() as made:
        yield made


def watched(library, least=None):
    client = library.Client(timeout=5.0, trust_env=False)
    watch(client, library, least=least)
    return contextlib.closing(client)


@contextlib.contextmanager
def soon(seconds=3.0):
    begun = time.monotonic()
    yield
    assert time.monotonic() - begun < seconds


@LIBRARIES
def test_an_answer_that_drips_is_over_at_the_deadline(server, library):
    with watched(library) as client:
        with soon(), pytest.raises(library.ReadTimeout, match=r"not complete after 0\.5 s"), within(0.5):
            client.get(server.url + "/body")
        with within(5):  # the connection is gone, the client is not
            assert client.get(server.url).content == BODY


@LIBRARIES
def test_the_deadline_is_for_the_whole_answer_and_ends_with_it(server, library):
    with watched(library) as client:
        with within(3):
            assert client.get(server.url).content == client.get(server.url + "/thinks").content == BODY
        with within(0.01):
            time.sleep(0.02)
        assert client.get(server.url).status_code == 200


def test_deadlines_are_those_of_their_own_thread(server):
    with watched(httpx2) as client, within(0.0):
        found = []
        thread = threading.Thread(target=lambda: found.append(client.get(server.url).status_code))
        thread.start()
        thread.join()
        assert found == [200]


def test_what_is_slower_than_the_least_speed_is_given_up(server):
    """Twenty bytes a second come; a thousand in 0.3 s are wanted. The time a server thinks does not count."""
    with watched(httpx2, MinimumSpeed(1_000, 0.3)) as client:
        with soon(), pytest.raises(httpx2.ReadTimeout, match=r"only \d+ bytes received in 0\.[3-9] s"):
            client.get(server.url + "/body")
        assert client.get(server.url + "/thinks").content == BODY
    with (
        watched(httpx2, MinimumSpeed(3, 1.0)) as client,
        pytest.raises(httpx2.ReadTimeout, match="not complete"),
        within(2),
    ):
        client.get(server.url + "/body")  # fast enough: only the deadline ends it


def test_a_slow_reader_is_no_slow_server(server):
    """Only the waiting for bytes is counted, not what is done with them."""
    least = MinimumSpeed(10**9, 0.3)
    with watched(httpx2, least) as client, client.stream("GET", server.url) as response:
        time.sleep(0.5)
        assert response.read() == BODY
