"""HTTP servers on loopback in a thread of this process, with queued troubles: what the servers of tests are made of."""

from __future__ import annotations

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class LoopbackServer:
    """`with SomeServer() as server: server.url`; a subclass has `get(request)` and `post(request)`.

    Attributes:
        url: Where it listens.
        troubles: What befalls the next requests that ask `next_trouble`, in order; answered as usual when none is left.
    """

    def __init__(self):
        self.troubles = []
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

    def __enter__(self):
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *args):
                pass

            def do_GET(self):
                server.get(self)

            def do_HEAD(self):
                server.get(self)

            def do_POST(self):
                server.post(self)

            def do_PUT(self):
                server.post(self)

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
    return request.rfile.read(int(request.headers.get("content-length", 0)))


def may_enter(request, token):
    """Whether the request brings the token; None asks for none."""
    return token is None or request.headers.get("authorization") == f"Bearer {token}"


def brought(request):
    """The token a request brings, for a server that echoes it."""
    return (request.headers.get("authorization") or "").removeprefix("Bearer ")


def answer(request, status, body, headers=()):
    """Answer with bytes as they are, or with anything else as JSON."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    request.send_response(status)
    for name, value in {
        "content-type": "application/json",
        "content-length": str(len(content)),
        **dict(headers),
    }.items():
        request.send_header(name, value)
    request.end_headers()
    if request.command != "HEAD":
        request.wfile.write(content)


def drop(request):
    """End the connection without a word."""
    request.close_connection = True
    request.connection.close()


def stall(seconds=1.0):
    """Longer than the client of a test waits."""
    time.sleep(seconds)
