"""Time limits for server connections: a deadline for a whole response, and a minimum speed for large files.

An HTTP client's own timeouts apply to a single read, so a server that sends one byte a minute is never given up. Here
the limits are enforced below the client, at the socket: for headers and body, with and without TLS. Exceeding one
raises the client's read timeout, which is retried like any other.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

_BOUNDED_ENCODINGS = frozenset({"", "identity", "gzip", "deflate"})  # decompressed in pieces of bounded size
PIECE = 16 * 1024  # bytes per write; the deadline is checked between writes

_now = threading.local()


@contextlib.contextmanager
def within(seconds: float) -> Iterator[None]:
    """Set a deadline for this thread's requests over watched connections."""
    before = getattr(_now, "deadline", None)
    _now.deadline = time.monotonic() + seconds, seconds
    try:
        yield
    finally:
        _now.deadline = before


@dataclass(frozen=True, slots=True)
class MinimumSpeed:
    """The minimum speed of a transfer; a slower one is aborted.

    Attributes:
        bytes: Minimum bytes per window.
        seconds: Window length in seconds of waiting. The wait for the first byte of the response does not count.
    """

    bytes: int
    seconds: float


def watch(client: Any, *, least: MinimumSpeed | None = None) -> None:
    """Enforce deadlines and a minimum speed on the connections a client will open.

    Args:
        client: An `httpx` or `httpx2` client that has not been used yet.
        least: Minimum speed; not checked when None.
    """
    core = _core(client)
    for transport in (client._transport, *client._mounts.values()):  # noqa: SLF001 - no public API
        if (pool := getattr(transport, "_pool", None)) is not None:
            pool._network_backend = _Backend(pool._network_backend, core, least)  # noqa: SLF001


def read_within(response: Any, most: int) -> bytes:
    """Read the rest of a response, decompressed, up to a maximum size.

    Args:
        response: Response of an `httpx` or `httpx2` client, its body not read yet; always closed on return.
        most: Maximum size in bytes after decompression: a few kB can expand to gigabytes.

    Raises:
        TooLongError: It is larger, or uses an encoding whose single pieces may expand to gigabytes.
    """
    parts, size = [], 0
    try:
        encoding = response.headers.get("content-encoding", "").strip().lower()
        if encoding not in _BOUNDED_ENCODINGS:
            raise TooLongError(f"encoded as '{encoding[:20]}', which was not requested")
        for part in response.iter_bytes():
            size += len(part)
            if size > most:
                raise TooLongError(f"longer than {most >> 20} MB")
            parts.append(part)
    finally:
        response.close()
    return b"".join(parts)


class TooLongError(Exception):
    """A response is too large to read."""


def _core(client: Any) -> Any:
    """The transport library below the client, whose errors the client handles."""
    if any(kind.__module__.partition(".")[0] == "httpx2" for kind in type(client).__mro__):
        import httpcore2

        return httpcore2
    import httpcore

    return httpcore


def _left(timeout: float | None, error: type[Exception]) -> float | None:
    """Seconds the next operation may take: the client's timeout, capped by the time until the deadline."""
    deadline: tuple[float, float] | None = getattr(_now, "deadline", None)
    if deadline is None:
        return timeout
    left = deadline[0] - time.monotonic()
    if left <= 0:
        raise error(f"the response was not complete after {deadline[1]:g} s")
    return left if timeout is None else min(timeout, left)


class _Backend:
    """Wraps a network backend and enforces time limits on its connections."""

    def __init__(self, backend: Any, core: Any, least: MinimumSpeed | None) -> None:
        self._backend, self._core, self._least = backend, core, least

    def connect_tcp(self, host: str, port: int, timeout: float | None = None, **more: Any) -> _Stream:
        timeout = _left(timeout, self._core.ConnectTimeout)
        return _Stream(self._backend.connect_tcp(host, port, timeout=timeout, **more), self._core, self._least)

    def connect_unix_socket(self, path: str, timeout: float | None = None, **more: Any) -> _Stream:
        timeout = _left(timeout, self._core.ConnectTimeout)
        return _Stream(self._backend.connect_unix_socket(path, timeout=timeout, **more), self._core, self._least)

    def sleep(self, seconds: float) -> None:
        self._backend.sleep(seconds)


class _Stream:
    """A connection whose reads and writes have time limits."""

    def __init__(self, stream: Any, core: Any, least: MinimumSpeed | None) -> None:
        self._stream, self._core, self._least = stream, core, least
        self._answering = False
        self._bytes, self._waited = 0, 0.0

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        allowed = _left(self._fast_enough(timeout), self._core.ReadTimeout)
        started = time.monotonic()
        try:
            data: bytes = self._stream.read(max_bytes, timeout=allowed)
        except self._core.ReadTimeout:
            _left(None, self._core.ReadTimeout)  # raises if the deadline passed
            self._waited += time.monotonic() - started
            self._fast_enough(None)
            raise
        if self._answering:
            self._waited += time.monotonic() - started
            self._bytes += len(data)
        self._answering = True
        return data

    def _fast_enough(self, timeout: float | None) -> float | None:
        """Seconds a read may take before the response is too slow.

        Raises:
            ReadTimeout: The response is slower than the minimum speed.
        """
        if self._least is None or not self._answering:
            return timeout
        if self._bytes >= self._least.bytes:  # the window is complete: start the next one
            self._bytes, self._waited = 0, 0.0
        left = self._least.seconds - self._waited
        if left <= 0:
            raise self._core.ReadTimeout(f"only {self._bytes} bytes received in {self._waited:.1f} s")
        return left if timeout is None else min(timeout, left)

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._answering, self._bytes, self._waited = False, 0, 0.0
        view = memoryview(buffer)
        for start in range(0, len(view), PIECE):
            self._stream.write(view[start : start + PIECE], timeout=_left(timeout, self._core.WriteTimeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(self, ssl_context: Any, server_hostname: str | None = None, timeout: float | None = None) -> _Stream:
        timeout = _left(timeout, self._core.ConnectTimeout)
        inner = self._stream.start_tls(ssl_context, server_hostname, timeout)
        return _Stream(inner, self._core, self._least)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)
