"""The fault proxy itself: each fault as a client sees it, and whether the server saw the request."""

from __future__ import annotations

import gzip
import http.client
import socket
import time
from urllib.parse import urlsplit

import pytest
from fault_proxy import FaultProxy, corrupted, every, reset, slow, status, timeout, truncated
from loopback import LoopbackServer, answer, read

BODY = bytes(range(200))


class Recorder(LoopbackServer):
    """Keeps what it was sent."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def get(self, request):
        self.seen.append((request.command, request.headers["Host"], read(request)))
        if request.path != "/chunks":
            answer(request, 200, BODY)
            return
        request.send_response(200)
        request.send_header("Transfer-Encoding", "chunked")
        request.end_headers()
        request.wfile.write(b"5\r\nhello\r\n6;x=1\r\n world\r\n0\r\n\r\n")

    post = get


@pytest.fixture
def server():
    with Recorder() as made:
        yield made


@pytest.fixture
def proxy(server):
    with FaultProxy(server.url) as made:
        yield made


def ask(proxy, method="GET", path="/", body=None, wait=5.0):
    connection = http.client.HTTPConnection(urlsplit(proxy.url).netloc, timeout=wait)
    try:
        connection.request(method, path, body=body)
        reply = connection.getresponse()
        return reply.status, reply.read(), reply.headers
    finally:
        connection.close()


def test_requests_pass_with_body_and_host_and_are_counted(proxy, server):
    assert ask(proxy, "POST", "/a?b=1", b"posted")[:2] == (200, BODY)
    assert ask(proxy, "HEAD")[:2] == (200, b"")
    assert ask(proxy, "PUT", "/c", iter([b"in ", b"chunks"]))[:2] == (200, BODY)
    host = urlsplit(proxy.url).netloc
    assert server.seen == [("POST", host, b"posted"), ("HEAD", host, b""), ("PUT", host, b"in chunks")]
    assert [(s.index, s.method, s.path, s.sent, s.status) for s in proxy.requests] == [
        (0, "POST", "/a?b=1", 6, 200), (1, "HEAD", "/", 0, 200), (2, "PUT", "/c", 9, 200)]  # fmt: skip


def test_an_answer_in_chunks_arrives_whole(proxy):
    code, body, headers = ask(proxy, path="/chunks")
    assert (code, body, headers["Content-Length"]) == (200, b"hello world", "11")


@pytest.mark.parametrize("delivered", [False, True])
@pytest.mark.parametrize("code", [429, 500, 502, 503])
def test_an_error_status(proxy, server, code, delivered):
    proxy.fail_at(0, status(code, retry_after=2, delivered=delivered))
    answered, body, headers = ask(proxy)
    assert (answered, headers["Retry-After"], b"fault proxy" in body) == (code, "2", True)
    assert len(server.seen) == delivered
    assert ask(proxy)[0] == 200


@pytest.mark.parametrize("delivered", [False, True])
def test_a_broken_connection(proxy, server, delivered):
    proxy.fail_at(0, reset(delivered=delivered))
    with pytest.raises(ConnectionResetError):
        ask(proxy)
    assert len(server.seen) == delivered


@pytest.mark.parametrize("delivered", [False, True])
def test_no_answer_at_all(proxy, server, delivered):
    proxy.fail_at(0, timeout(delivered=delivered))
    with pytest.raises(TimeoutError):
        ask(proxy, wait=0.2)
    assert len(server.seen) == delivered
    assert ask(proxy)[0] == 200


def test_json_is_compressed_for_those_who_take_it():
    class Json(LoopbackServer):
        def get(self, request):
            answer(request, 200, {"a": 1})

    with Json() as server, FaultProxy(server.url, packs=True) as proxy:
        connection = http.client.HTTPConnection(urlsplit(proxy.url).netloc, timeout=5.0)
        connection.request("GET", "/", headers={"accept-encoding": "gzip"})
        reply = connection.getresponse()
        assert (reply.headers["content-encoding"], gzip.decompress(reply.read())) == ("gzip", b'{"a": 1}')
        connection.close()
        assert ask(proxy)[1] == b'{"a": 1}'


def test_half_a_body(proxy):
    proxy.fail_at(0, truncated())
    with pytest.raises(http.client.IncompleteRead) as caught:
        ask(proxy)
    assert caught.value.partial == BODY[:100]


def test_one_byte_of_the_body_is_another(proxy):
    proxy.fail_at(0, corrupted())
    _, body, _ = ask(proxy)
    assert len(body) == len(BODY)
    assert [at for at, (got, sent) in enumerate(zip(body, BODY, strict=True)) if got != sent] == [100]


def test_a_slow_body(proxy):
    proxy.fail_at(0, slow(rate=1000))
    began = time.monotonic()
    assert ask(proxy)[1] == BODY
    assert time.monotonic() - began > 0.15  # 200 bytes at 1,000 a second, the last drip not waited for


def test_which_requests_are_spoilt(proxy):
    proxy.fail_at(1, status(500), times=2)
    assert [ask(proxy)[0] for _ in range(4)] == [200, 500, 500, 200]
    proxy.clear()
    proxy.fail_from(2, status(503))
    assert [ask(proxy)[0] for _ in range(4)] == [200, 200, 503, 503]
    proxy.clear()
    proxy.fail_when(lambda seen: seen.path == "/tag", status(502), times=1)
    assert [ask(proxy, path=path)[0] for path in ("/x", "/tag", "/tag")] == [200, 502, 200]
    assert [str(seen) for seen in proxy.requests] == ["0 GET /x -> 200", "1 GET /tag -> [502]", "2 GET /tag -> 200"]


def test_leaving_does_not_wait_for_those_who_hang(server):
    with FaultProxy(server.url) as proxy:
        proxy.fail_at(0, timeout())
        hanging = socket.create_connection(urlsplit(proxy.url).netloc.split(":"))
        hanging.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        while not proxy.requests:
            time.sleep(0.01)
        began = time.monotonic()
    assert time.monotonic() - began < 5
    hanging.close()


def test_every_fault_before_and_after_delivery():
    assert [str(fault) for fault in every(status(500), reset(), truncated())] == [
        "500", "reset", "truncated", "500, answer lost", "reset, answer lost"]  # fmt: skip
