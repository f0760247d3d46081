"""Answers end in time, however the bytes drip: in the body, in the headers, and while a request is written."""

from __future__ import annotations

import contextlib
import socket
import ssl
import subprocess
import threading
import time

import httpx2
import pytest
from loopback import LoopbackServer, answer, drip

from solo_hub.core.deadlines import MinimumSpeed, watch, within

httpx = pytest.importorskip("httpx", reason="the extra 'tei' is not installed")
LIBRARIES = pytest.mark.parametrize("library", [httpx2, httpx], ids=["httpx2", "httpx"])
BODY = b"x" * 400  # 20 s, dripping


class Dripping(LoopbackServer):
    """Thinks for a while, then answers as its path says."""

    def get(self, request):
        if request.path == "/thinks":
            time.sleep(0.5)
        if request.path == "/headers":
            drip(request, b"HTTP/1.1 200 OK\r\nx-long: " + BODY + b"\r\n\r\n")
            return
        request.spoilt = "drip" if request.path == "/body" else None
        answer(request, 200, BODY)


@pytest.fixture
def server():
    with Dripping() as made:
        yield made


def watched(library, least=None, **more):
    client = library.Client(timeout=5.0, trust_env=False, **more)
    watch(client, least=least)
    return contextlib.closing(client)


@contextlib.contextmanager
def soon(seconds=3.0):
    begun = time.monotonic()
    yield
    assert time.monotonic() - begun < seconds


@LIBRARIES
@pytest.mark.parametrize("path", ["/body", "/headers"])
def test_an_answer_that_drips_is_over_at_the_deadline(server, library, path):
    with watched(library) as client:
        with soon(), pytest.raises(library.ReadTimeout, match=r"not complete after 0\.5 s"), within(0.5):
            client.get(server.url + path)
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
        with pytest.raises(library.TimeoutException, match="not complete"), within(-1):
            client.get(server.url)


def test_deadlines_are_those_of_their_own_thread(server):
    with watched(httpx2) as client, within(0.0):
        found = []
        thread = threading.Thread(target=lambda: found.append(client.get(server.url).status_code))
        thread.start()
        thread.join()
        assert found == [200]


def test_a_request_nobody_reads_is_over_at_the_deadline():
    with socket.create_server(("127.0.0.1", 0)) as deaf, watched(httpx2) as client:
        url = f"http://127.0.0.1:{deaf.getsockname()[1]}"
        with soon(), pytest.raises(httpx2.WriteTimeout), within(0.5):
            client.post(url, content=b"x" * 30_000_000)


def test_what_is_slower_than_the_least_speed_is_given_up(server):
    """Twenty bytes a second come; a thousand in 0.3 s are wanted. The time a server thinks does not count."""
    with watched(httpx2, MinimumSpeed(1_000, 0.3)) as client:
        with soon(), pytest.raises(httpx2.ReadTimeout, match=r"only \d+ bytes received in 0\.[3-9] s|timed out"):
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


def test_encrypted_connections_are_watched(server, tmp_path):
    """The clock runs above TLS: what drips inside it is over at the deadline, too."""
    key, cert = tmp_path / "key", tmp_path / "cert"
    made = subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", cert, "-days", "2",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"],
        capture_output=True, check=False,
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    server._httpd.socket = context.wrap_socket(server._httpd.socket, server_side=True)
    url = server.url.replace("http:", "https:")
    with watched(httpx2, verify=ssl.create_default_context(cafile=cert)) as client:
        assert client.get(url).content == BODY
        with soon(), pytest.raises(httpx2.ReadTimeout, match="not complete"), within(0.5):
            client.get(url + "/body")
