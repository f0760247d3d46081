"""A proxy on loopback that spoils chosen requests on their way to a server, for any client that can be given a URL.

    with FaultProxy(hub.endpoint) as proxy:
        proxy.fail_at(3, status(503))               # the fourth request only; the client's own retry gets through
        proxy.fail_from(3, reset(delivered=True))   # the fourth and all after it: the network is gone
        proxy.fail_when(lambda seen: seen.path.endswith("/tag/v1"), timeout(), times=2)
        HubClient(proxy.url, token, cache).push(...)
        proxy.requests                              # what came, in order, and what was done to it

Requests are numbered from 0 in the order in which they arrive; `clear()` forgets faults and log and counts anew. The
`Host` header is passed on as it came, so the addresses a server makes of it lead back through the proxy.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import gzip
import socket
import struct
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Literal, Self
from urllib.parse import urlsplit

Kind = Literal["status", "timeout", "reset", "truncated", "corrupted", "slow"]
REASONS = {429: "Too Many Requests", 500: "Internal Server Error", 502: "Bad Gateway", 503: "Service Unavailable"}
NO_BODY = (204, 304)


@dataclass(frozen=True, slots=True)
class Fault:
    """What is done to one request.

    Attributes:
        kind: See the functions below, which make them.
        status: Status of a made-up answer.
        headers: Headers of a made-up answer.
        delivered: Whether the server gets the request all the same, and only its answer is lost.
        seconds: How long a request without an answer is held at most.
        rate: Bytes a second of a slow answer.
    """

    kind: Kind
    status: int = 500
    headers: Mapping[str, str] = field(default_factory=dict)
    delivered: bool = False
    seconds: float = 30.0
    rate: int = 1000

    def __str__(self) -> str:
        name = str(self.status) if self.kind == "status" else self.kind
        return f"{name}, answer lost" if self.delivered and self.kind in {"status", "timeout", "reset"} else name


def status(code: int, *, retry_after: float | None = None, delivered: bool = False) -> Fault:
    """Answer with an error: 429 (with Retry-After), 500, 502, 503."""
    headers = {} if retry_after is None else {"Retry-After": f"{retry_after:g}"}
    return Fault("status", status=code, headers=headers, delivered=delivered)


def timeout(*, delivered: bool = False, seconds: float = 30.0) -> Fault:
    """Never answer; the connection stays open until the client gives up, or `seconds` have passed."""
    return Fault("timeout", delivered=delivered, seconds=seconds)


def reset(*, delivered: bool = False) -> Fault:
    """Break the connection (TCP RST) instead of answering."""
    return Fault("reset", delivered=delivered)


def truncated() -> Fault:
    """Send half of the answer's body and close, though the header promises all of it."""
    return Fault("truncated", delivered=True)


def corrupted() -> Fault:
    """Send an answer of the right length in which a byte in the middle of the body is another one."""
    return Fault("corrupted", delivered=True)


def slow(rate: int = 1000) -> Fault:
    """Send the answer's body drip by drip, `rate` bytes a second."""
    return Fault("slow", delivered=True, rate=rate)


@dataclass(slots=True)
class Seen:
    """A request that came.

    Attributes:
        index: Its number, from 0.
        method: GET, POST, ...
        path: Path and query.
        headers: Its headers, names in lower case.
        sent: Bytes of its body.
        fault: What was done to it, or None.
        status: Status the server answered; None where it was not asked.
        received: Bytes of the server's answer.
        at: Time it came, in seconds of `time.monotonic`.
    """

    index: int
    method: str
    path: str
    headers: Mapping[str, str]
    sent: int = 0
    fault: Fault | None = None
    status: int | None = None
    received: int = 0
    at: float = 0.0

    def __str__(self) -> str:
        outcome = f"[{self.fault}]" if self.fault else str(self.status)
        return f"{self.index} {self.method} {self.path} -> {outcome}"


@dataclass(slots=True)
class _Rule:
    applies: Callable[[Seen], bool]
    fault: Fault
    left: float


class FaultProxy:
    """The proxy; use it as a context manager.

    Args:
        target_url: The server behind it, `http://127.0.0.1:PORT`.
        packs: Whether JSON answers are compressed for clients that take it, as reverse proxies do.

    Attributes:
        url: Address of the proxy, once entered.
        requests: What came since the start or the last `clear`.
    """

    def __init__(self, target_url: str, *, packs: bool = False) -> None:
        parts = urlsplit(target_url)
        self.packs = packs
        self._target = (parts.hostname or "127.0.0.1", parts.port or 80)
        self.url = ""
        self.requests: list[Seen] = []
        self._rules: list[_Rule] = []
        self._lock = threading.Lock()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="fault-proxy", daemon=True)

    # -- what goes wrong -----------------------------------------------------------------------------------

    def fail_at(self, index: int, fault: Fault, *, times: int = 1) -> None:
        """Spoil the request of that number, and with `times` those that follow it."""
        self.fail_when(lambda seen: index <= seen.index < index + times, fault, times=times)

    def fail_from(self, index: int, fault: Fault) -> None:
        """Spoil that request and every one after it."""
        self.fail_when(lambda seen: seen.index >= index, fault)

    def fail_when(self, applies: Callable[[Seen], bool], fault: Fault, *, times: float = float("inf")) -> None:
        """Spoil the first `times` requests that fit; of several rules the first that fits counts."""
        with self._lock:
            self._rules.append(_Rule(applies, fault, times))

    def clear(self) -> None:
        """Forget faults and log; the next request is number 0."""
        with self._lock:
            self._rules.clear()
            self.requests.clear()

    def _number(self, method: str, path: str, headers: Mapping[str, str]) -> Seen:
        with self._lock:
            seen = Seen(len(self.requests), method, path, headers, at=time.monotonic())
            self.requests.append(seen)
            rule = next((rule for rule in self._rules if rule.left > 0 and rule.applies(seen)), None)
            if rule is not None:
                rule.left -= 1
                seen.fault = rule.fault
            return seen

    # -- the server ----------------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        self._thread.start()
        started = asyncio.run_coroutine_threadsafe(asyncio.start_server(self._serve, "127.0.0.1", 0), self._loop)
        self._server = started.result(10)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _stop(self) -> None:
        self._server.close()
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection is one request: what a client sends after a broken one then comes by a new connection."""
        try:
            head, body = await _read_request(reader, writer)
            if head:
                await self._answer(head, body, reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # the client went away, which is its right
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    async def _answer(
        self, head: bytes, body: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        method, path, _ = head.split(b"\r\n", 1)[0].decode("latin-1").split(" ", 2)
        seen = self._number(method, path, _headers(head))
        seen.sent, fault = len(body), seen.fault
        reply = b""
        if fault is None or fault.delivered:
            reply = await self._ask(head, body)
            if self.packs and "gzip" in seen.headers.get("accept-encoding", ""):
                reply = _packed(reply)
            seen.status, seen.received = int(reply[9:12]), len(reply)
        if fault is None:
            writer.write(reply)
        elif fault.kind == "status":
            writer.write(_made_up(fault))
        elif fault.kind == "timeout":
            # reading tells when the client has had enough
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(reader.read(), fault.seconds)
        elif fault.kind == "reset":
            _break(writer)
            return
        else:
            await _spoil(reply, fault, writer)
        await writer.drain()

    async def _ask(self, head: bytes, body: bytes) -> bytes:
        """Pass the request on; returns the whole answer, its body with a length and in one piece."""
        reader, writer = await asyncio.open_connection(*self._target)
        try:
            writer.write(_with_header(head, "Connection", "close", drop=("transfer-encoding", "expect")) + body)
            await writer.drain()
            reply = await reader.read()
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()
        first, _, content = reply.partition(b"\r\n\r\n")
        first += b"\r\n\r\n"
        if _headers(first).get("transfer-encoding") == "chunked":
            content = _joined(content)
            first = _with_header(first, "Content-Length", str(len(content)), drop=("transfer-encoding",))
        return _with_header(first, "Connection", "close") + content


async def _read_request(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> tuple[bytes, bytes]:
    """Head (to the empty line) and body of one request; empty where the client opened a connection for nothing."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return b"", b""
    headers = _headers(head)
    if headers.get("expect", "").lower() == "100-continue":
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    if headers.get("transfer-encoding", "").lower() == "chunked":
        body = b""
        while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
            body += await reader.readexactly(size)
            await reader.readuntil(b"\r\n")
        await reader.readuntil(b"\r\n")
        return _with_header(head, "Content-Length", str(len(body))), body
    return head, await reader.readexactly(int(headers.get("content-length", 0)))


def _headers(head: bytes) -> dict[str, str]:
    lines = head.decode("latin-1").split("\r\n")[1:]
    return {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines) if name}


def _with_header(head: bytes, name: str, value: str, *, drop: tuple[str, ...] = ()) -> bytes:
    """The same head with one header set and others left out."""
    first, *rest = head.decode("latin-1").rstrip("\r\n").split("\r\n")
    kept = [line for line in rest if line.partition(":")[0].strip().lower() not in {name.lower(), *drop}]
    return "\r\n".join([first, *kept, f"{name}: {value}", "", ""]).encode("latin-1")


def _joined(chunks: bytes) -> bytes:
    body = b""
    while chunks:
        line, _, chunks = chunks.partition(b"\r\n")
        size = int(line.split(b";")[0], 16)
        if size == 0:
            break
        body, chunks = body + chunks[:size], chunks[size + 2 :]
    return body


def _packed(reply: bytes) -> bytes:
    """The answer with its body compressed, where that is JSON."""
    head, _, content = reply.partition(b"\r\n\r\n")
    if not content or "json" not in _headers(head).get("content-type", ""):
        return reply
    content = gzip.compress(content, mtime=0)
    head = _with_header(head, "Content-Encoding", "gzip")
    return _with_header(head, "Content-Length", str(len(content))) + content


def _made_up(fault: Fault) -> bytes:
    body = b'{"error": "made up by the fault proxy"}'
    fields = {"Content-Type": "application/json", "Content-Length": str(len(body)), "Connection": "close"}
    lines = [f"HTTP/1.1 {fault.status} {REASONS.get(fault.status, 'Fault')}"]
    lines += [f"{name}: {value}" for name, value in {**fields, **fault.headers}.items()]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def _break(writer: asyncio.StreamWriter) -> None:
    """Close so that the other side sees "connection reset by peer": nothing waits to be sent, and no farewell."""
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def _spoil(reply: bytes, fault: Fault, writer: asyncio.StreamWriter) -> None:
    """Send the answer cut, changed or slowly; one without a body is as it was."""
    start = reply.index(b"\r\n\r\n") + 4
    head, body = reply[:start], reply[start:]
    middle = len(body) // 2
    if fault.kind == "truncated":
        writer.write(head + body[:middle])
    elif fault.kind == "corrupted" and body:
        writer.write(head + body[:middle] + bytes([body[middle] ^ 0xFF]) + body[middle + 1 :])
    elif fault.kind == "slow":
        writer.write(head)
        step = max(1, fault.rate // 20)
        for at in range(0, len(body), step):
            writer.write(body[at : at + step])
            await writer.drain()
            await asyncio.sleep(step / fault.rate)
    else:
        writer.write(reply)


def every(*faults: Fault) -> list[Fault]:
    """Each fault that a request may be lost by, before the server saw it and after; for `parametrize`."""
    lost = [
        dataclasses.replace(fault, delivered=True) for fault in faults if fault.kind in {"status", "timeout", "reset"}
    ]
    return [*faults, *lost]
