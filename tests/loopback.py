"""HTTP servers on loopback in a thread of this process, with queued troubles: what the servers of tests are made of."""

from __future__ import annotations

import contextlib
import gzip
import json
import socket
import struct
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class LoopbackServer:
    """`with SomeServer() as server: server.url`; a subclass has `get(request)` and `post(request)`.

    Attributes:
        url: Where it listens.
        troubles: What befalls the next requests that ask `next_trouble`, in order; answered as usual when none is left.
        faults: What befalls single requests of any kind, by their number; see `befall`.
        asked: How many requests came.
    """

    def __init__(self):
        self.troubles = []
        self.faults = {}
        self.asked = 0
        self.lock = threading.Lock()

    def trouble(self, kind, times=1):
        self.troubles += [kind] * times

    def next_trouble(self):
        """The trouble of this request, or None."""
        with self.lock:
            return self.troubles.pop(0) if self.troubles else None

    def get(self, request):
        raise NotImplementedError

    def post(self, request):
        raise NotImplementedError

    def _meet(self, request, handle):
        request.spoilt = request.body = None
        with self.lock:
            fault = self.faults.pop(self.asked, None)
            self.asked += 1
        if fault is None or not befall(request, fault):
            handle(request)

    def __enter__(self):
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *args):
                pass

            def do_GET(self):
                server._meet(self, server.get)

            def do_HEAD(self):
                server._meet(self, server.get)

            def do_POST(self):
                server._meet(self, server.post)

            def do_PUT(self):
                server._meet(self, server.post)

        self._httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._httpd.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._httpd.server_address[1]}"
        self._thread = threading.Thread(target=self._httpd.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._httpd.shutdown()
        self._httpd.server_close()
        self._thread.join()


def read(request):
    """The body of a request."""
    if request.body is None:
        request.body = request.rfile.read(int(request.headers.get("content-length", 0)))
    return request.body


def may_enter(request, token):
    """Whether the request brings the token; None asks for none."""
    return token is None or request.headers.get("authorization") == f"Bearer {token}"


def brought(request):
    """The token a request brings, for a server that echoes it."""
    return (request.headers.get("authorization") or "").removeprefix("Bearer ")


def answer(request, status, body, headers=()):
    """Answer with bytes as they are, or with anything else as JSON."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    spoilt = getattr(request, "spoilt", None)
    if spoilt == "packed":
        content, headers = gzip.compress(content), {**dict(headers), "content-encoding": "gzip"}
    if spoilt in ("corrupted", "packed"):
        content = content[: len(content) // 2] + b"\xff" + content[len(content) // 2 + 1 :]
    request.send_response(status)
    for name, value in {
        "content-type": "application/json",
        "content-length": str(len(content)),
        **dict(headers),
    }.items():
        request.send_header(name, value)
    request.end_headers()
    if request.command == "HEAD":
        return
    if spoilt == "truncated":
        content = content[: len(content) // 2]
        request.close_connection = True
    if spoilt == "drip":
        drip(request, content)
    else:
        request.wfile.write(content)


FAULTS = (
    (429, "slow down", ("retry-after", "0.01")),
    (500, "an error"),
    (503, "starting"),
    "dropped",
    "reset",
    "truncated",
    "corrupted",
    "packed",
    "slow",
)
"""What may befall any request and passes: refused, cut off, no JSON, changed while compressed, or no answer in time."""


def befall(request, kind):
    """Let a fault befall a request; whether it was answered so, or is to be answered as usual, which is then spoilt."""
    if kind in ("truncated", "corrupted", "packed", "drip"):
        request.spoilt = kind
        return False
    if kind == "dropped":
        drop(request)
    elif kind == "reset":
        request.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        drop(request)
    elif kind == "slow":
        stall()
        request.close_connection = True
    else:
        read(request)
        status, message, *headers = kind
        request.close_connection = True
        answer(request, status, {"error": message}, {"connection": "close", **dict(headers)})
    return True


def drip(request, content, pause=0.05):
    """Send a byte, and after a while the next: none of them is late. For as long as the other side listens."""
    request.close_connection = True
    with contextlib.suppress(OSError):
        for byte in content:
            request.wfile.write(bytes([byte]))
            request.wfile.flush()
            time.sleep(pause)


def drop(request):
    """End the connection without a word."""
    request.close_connection = True
    request.connection.close()


def stall(seconds=1.0):
    """Longer than the client of a test waits."""
    time.sleep(seconds)
