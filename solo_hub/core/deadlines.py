"""How long a connection to a server may take: a deadline for a whole answer, and a least speed for large files.

An HTTP client's own time limits hold for one read at a time, so a server that sends a byte every minute is waited for
for ever. Here the clock runs below the client, where bytes come and go: in the headers as in the body, with TLS and
without. What takes too long is a read that timed out, as if the connection were dead, and is tried again as such.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

_PACKED = frozenset({"", "identity", "gzip", "deflate"})  # unpacked piece by piece, a thousand times as long at most
PIECE = 16 * 1024  # bytes written at once; between two pieces the clock is looked at

_now = threading.local()


@contextlib.contextmanager
def within(seconds: float) -> Iterator[None]:
    """Give the requests this thread makes inside, over watched connections, a time by which they must be over."""
    before = getattr(_now, "deadline", None)
    _now.deadline = time.monotonic() + seconds, seconds
    try:
        yield
    finally:
        _now.deadline = before


@dataclass(frozen=True, slots=True)
class MinimumSpeed:
    """A transfer that is slower is given up.

    Attributes:
        bytes: That must come ...
        seconds: ... in so many seconds of waiting, again and again until the answer is over. The wait for its first
            byte does not count: a server may think.
    """

    bytes: int
    seconds: float


def watch(client: Any, *, least: MinimumSpeed | None = None) -> None:
    """Put the connections a client will open under the clock.

    Args:
        client: An `httpx` or `httpx2` client that has not been used yet.
        least: Slower answers are given up; no matter when None.
    """
    core = _core(client)
    for transport in (client._transport, *client._mounts.values()):  # noqa: SLF001 - there is no public place for it
        if (pool := getattr(transport, "_pool", None)) is not None:
            pool._network_backend = _Backend(pool._network_backend, core, least)  # noqa: SLF001


def read_within(response: Any, most: int) -> bytes:
    """Read the rest of an answer, unpacked, when it is no longer than so many bytes.

    Args:
        response: Of an `httpx` or `httpx2` client, its body not read yet; it is closed in any case.
        most: Bytes, as they are after unpacking: a few kB can be gigabytes.

    Raises:
        TooLongError: It is longer, or packed in a way whose parts alone may be gigabytes.
    """
    parts, size = [], 0
    try:
        packed = response.headers.get("content-encoding", "").strip().lower()
        if packed not in _PACKED:
            raise TooLongError(f"packed as '{packed[:20]}', which was not asked for")
        for part in response.iter_bytes():
            size += len(part)
            if size > most:
                raise TooLongError(f"longer than {most >> 20} MB")
            parts.append(part)
    finally:
        response.close()
    return b"".join(parts)


class TooLongError(Exception):
    """An answer that is not read to its end."""


def _core(client: Any) -> Any:
    """The library below the client, whose errors the client knows."""
    if any(kind.__module__.partition(".")[0] == "httpx2" for kind in type(client).__mro__):
        import httpcore2

        return httpcore2
    import httpcore

    return httpcore


def _left(timeout: float | None, error: type[Exception]) -> float | None:
    """Seconds that may pass now: those of the client, and no more than are left until the deadline."""
    deadline: tuple[float, float] | None = getattr(_now, "deadline", None)
    if deadline is None:
        return timeout
    left = deadline[0] - time.monotonic()
    if left <= 0:
        raise error(f"the answer was not over after {deadline[1]:g} s")
    return left if timeout is None else min(timeout, left)


class _Backend:
    """Opens connections as another one does, and watches them."""

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
    """A connection whose reads and writes end in time."""

    def __init__(self, stream: Any, core: Any, least: MinimumSpeed | None) -> None:
        self._stream, self._core, self._least = stream, core, least
        self._answering = False
        self._bytes, self._waited = 0, 0.0

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        allowed = _left(self._fast_enough(timeout), self._core.ReadTimeout)
        begun = time.monotonic()
        try:
            data: bytes = self._stream.read(max_bytes, timeout=allowed)
        except self._core.ReadTimeout:
            _left(None, self._core.ReadTimeout)  # says which time is over
            self._waited += time.monotonic() - begun
            self._fast_enough(None)
            raise
        if self._answering:
            self._waited += time.monotonic() - begun
            self._bytes += len(data)
        self._answering = True
        return data

    def _fast_enough(self, timeout: float | None) -> float | None:
        """Seconds a read may take before the answer is too slow.

        Raises:
            ReadTimeout: It is.
        """
        if self._least is None or not self._answering:
            return timeout
        if self._bytes >= self._least.bytes:  # a new stretch; what was waited for longer was made up for
            self._bytes, self._waited = 0, 0.0
        left = self._least.seconds - self._waited
        if left <= 0:
            raise self._core.ReadTimeout(f"only {self._bytes} bytes came in {self._waited:.1f} s")
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
