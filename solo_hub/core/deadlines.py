"""Time limits for a server's responses: a deadline for the whole, and a minimum speed for large files.

An HTTP client's own timeouts apply to a single read, so a server that sends one byte a minute is never given up. Here
a clock runs while the body is read. Exceeding a limit raises the client's read timeout, which is retried like others.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

_BOUNDED_ENCODINGS = frozenset({"", "identity", "gzip", "deflate"})  # decompressed in pieces of bounded size

_now = threading.local()


@contextlib.contextmanager
def within(seconds: float) -> Iterator[None]:
    """Set a deadline for the responses that this thread reads over watched clients."""
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


def watch(client: Any, library: Any, *, least: MinimumSpeed | None = None) -> None:
    """Enforce deadlines and a minimum speed on the responses of a client.

    Args:
        client: An `httpx` or `httpx2` client.
        library: Its module.
        least: Minimum speed; not checked when None.
    """

    class Limited(library.SyncByteStream):  # type: ignore[misc] # either library's
        def __init__(self, stream: Any) -> None:
            self._stream = stream

        def __iter__(self) -> Iterator[bytes]:
            return _limited(self._stream, library.ReadTimeout, least)

        def close(self) -> None:
            self._stream.close()

    def limit(response: Any) -> None:
        response.stream = Limited(response.stream)

    hooks = client.event_hooks
    client.event_hooks = {**hooks, "response": [limit, *hooks["response"]]}


def _limited(stream: Iterable[bytes], error: type[Exception], least: MinimumSpeed | None) -> Iterator[bytes]:
    parts, size, waited = iter(stream), 0, 0.0
    while True:
        started = time.monotonic()
        part = next(parts, None)
        if part is None:
            return
        now = time.monotonic()
        deadline: tuple[float, float] | None = getattr(_now, "deadline", None)
        if deadline is not None and now > deadline[0]:
            raise error(f"the response was not complete after {deadline[1]:g} s")
        size, waited = size + len(part), waited + now - started
        if least is not None and size >= least.bytes:  # the window is complete: start the next one
            size, waited = 0, 0.0
        elif least is not None and waited > least.seconds:
            raise error(f"only {size} bytes received in {waited:.1f} s")
        yield part


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
