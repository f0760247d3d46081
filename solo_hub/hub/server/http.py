"""The HTTP side without the routes: requests as handlers see them, routing on the raw path, bounded bodies.

Routing is our own because clients send a ref such as ``refs/pr/1`` percent-encoded as *one* path segment, while a
framework's router sees the decoded path and takes it for three.
"""

from __future__ import annotations

import inspect
import json
import re
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote_to_bytes

import anyio
import anyio.to_thread
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, Response

from solo_hub.hub.server import limits
from solo_hub.hub.server.errors import ApiError, bad_request, too_large

if TYPE_CHECKING:
    from starlette.requests import Request

    from solo_hub.hub.server.accounts import User
    from solo_hub.hub.server.core import Hub
    from solo_hub.hub.server.spool import Spool

_HOST = re.compile(r"(?:[A-Za-z0-9.-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::\d{1,5})?\Z")
_TOP_KINDS = {"models": "model", "datasets": "dataset", "spaces": "space"}
_MAX_DIGITS = 18  # of a length: more than any disk holds
SPOOL_BATCH = limits.MEBI  # bytes gathered before a thread is asked to hash and write them


@dataclass
class Call:
    """One request, as a handler sees it.

    Attributes:
        hub: The Hub.
        request: The raw request; only streaming handlers read from it.
        user: Who sends it, None without a valid token.
        query: Query parameters in order.
        body: The whole body, except in streaming handlers.
        request_id: Sent back as ``X-Request-Id``.
        loopback: Whether the server listens on loopback only.
    """

    hub: Hub
    request: Request
    user: User | None
    query: list[tuple[str, str]]
    request_id: str
    loopback: bool
    body: bytes = b""
    _base: str = field(default="", repr=False)

    @property
    def base(self) -> str:
        """The URL under which this client reached the server."""
        if not self._base:
            host = self.request.headers.get("host", "")
            self._base = f"{self.request.url.scheme}://{host if _HOST.match(host) else 'localhost'}"
        return self._base

    def param(self, name: str) -> str | None:
        """The last value of a query parameter."""
        return next((value for key, value in reversed(self.query) if key == name), None)

    def params(self, name: str) -> list[str]:
        """All values of a query parameter, in each of the spellings of a list."""
        return [value for key, value in self.query if key in (name, f"{name}[]")]

    def flag(self, name: str) -> bool:
        """Whether a query parameter says yes."""
        value = self.param(name)
        return value is not None and value.lower() not in ("", "0", "false", "none")

    def json(self) -> dict[str, Any]:
        """The body as a JSON object.

        Raises:
            ApiError: 400 for anything else.
        """
        try:
            value = json.loads(self.body or b"{}")
        except (ValueError, RecursionError):
            raise bad_request("The body is not valid JSON.") from None
        if not isinstance(value, dict):
            raise bad_request("The body must be a JSON object.")
        return value


Handler = Callable[..., Response | Awaitable[Response]]


@dataclass(frozen=True)
class Route:
    """A method, a pattern of segments, and who answers."""

    method: str
    parts: tuple[str, ...]
    handler: Handler
    body_limit: int


class Router:
    """Routes, tried in the order of their definition.

    A pattern such as ``/api/{kind}/{ns}/{name}/tree/{rev}/{path:rest}`` matches percent-encoded segments one by one;
    ``:rest`` takes what is left, slashes and all, and ``{kind}`` is one of models, datasets, spaces.
    """

    def __init__(self) -> None:
        self._routes: dict[str, list[Route]] = {}

    def add(self, method: str, pattern: str, *, body: int = limits.MAX_JSON_BODY) -> Callable[[Handler], Handler]:
        """Register a handler; ``async`` ones read the body themselves."""

        def register(handler: Handler) -> Handler:
            route = Route(method, tuple(pattern.strip("/").split("/")), handler, body)
            self._routes.setdefault(method, []).append(route)
            return handler

        return register

    def match(self, method: str, segments: list[str]) -> tuple[Route, dict[str, str]]:
        """The first route for a path.

        Raises:
            ApiError: 404 when there is none, 405 when there is one for another method.
        """
        for route in self._routes.get(method, ()):
            found = _bind(route.parts, segments)
            if found is not None:
                return route, found
        for other, routes in self._routes.items():
            if other != method and any(_bind(route.parts, segments) is not None for route in routes):
                raise ApiError(405, "Method not allowed")
        raise ApiError(404, "Sorry, we can't find the page you are looking for.")


def _bind(parts: tuple[str, ...], segments: list[str]) -> dict[str, str] | None:
    """The values of a pattern's fields in a path, None when it does not match."""
    found: dict[str, str] = {}
    for index, part in enumerate(parts):
        if part.endswith(":rest}"):
            found[part[1:-6]] = "/".join(segments[index:])
            return found
        if index >= len(segments) or not _bind_one(part, segments[index], found):
            return None
    return found if len(parts) == len(segments) else None


def _bind_one(part: str, segment: str, found: dict[str, str]) -> bool:
    if not part.startswith("{"):
        return part == segment
    name, _, form = part[1:-1].partition(":")
    if name == "kind":
        found[name] = _TOP_KINDS.get(segment, "")
    elif form == "git":
        found[name] = segment.removesuffix(".git") if segment.endswith(".git") else ""
    else:
        found[name] = segment
    return bool(found[name])


def split_path(raw: bytes) -> list[str]:
    """The decoded segments of a raw path.

    Raises:
        ApiError: 400 when a segment is not UTF-8 once decoded, or holds a NUL.
    """
    if len(raw) > 8 * 1024:
        raise ApiError(414, "The URL is too long.")
    segments = []
    for segment in raw.split(b"?")[0].lstrip(b"/").split(b"/"):
        try:
            text = unquote_to_bytes(segment).decode()
        except UnicodeDecodeError:
            raise bad_request("The URL is not valid UTF-8.") from None
        if "\0" in text:
            raise bad_request("The URL holds a NUL.")
        segments.append(text)
    if segments and segments[-1] == "" and len(segments) > 1:
        segments.pop()  # one trailing slash is nobody's intention
    return segments


def parse_query(raw: bytes) -> list[tuple[str, str]]:
    """The query parameters.

    Raises:
        ApiError: 400 when they cannot be decoded or are too many.
    """
    try:
        return parse_qsl(
            raw.decode("latin-1"), keep_blank_values=True, errors="strict", max_num_fields=limits.MAX_QUERY_ITEMS
        )
    except ValueError:
        raise bad_request("The query is not valid.") from None


async def read_body(request: Request, limit: int) -> bytes:
    """The whole body, if it is not larger than the limit.

    Raises:
        ApiError: 413 beyond it.
    """
    _check_length(request, limit)
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > limit:
            raise too_large(f"The body is larger than {limit} bytes.")
        parts.append(part)
    return b"".join(parts)


async def read_to_spool(request: Request, spool: Spool, limit: int) -> None:
    """Stream a body to disk; a thread hashes and writes one batch while the next one arrives.

    Raises:
        ApiError: 413 beyond the limit, 400 when the client went away.
    """
    _check_length(request, limit)
    batch: list[bytes] = []
    held = 0
    try:
        async for part in request.stream():
            batch.append(part)
            held += len(part)
            if held >= SPOOL_BATCH:
                await anyio.to_thread.run_sync(spool.write, b"".join(batch))
                batch, held = [], 0
    except ClientDisconnect:
        raise bad_request("The upload was cut off.") from None
    if batch:
        await anyio.to_thread.run_sync(spool.write, b"".join(batch))


def _check_length(request: Request, limit: int) -> None:
    length = request.headers.get("content-length")
    if length is not None and (not length.isdigit() or len(length) > _MAX_DIGITS or int(length) > limit):
        raise too_large(f"The body is larger than {limit} bytes.")


async def call_handler(route: Route, call: Call, arguments: dict[str, str]) -> Response:
    """Run a handler: in a thread when it is a plain function, since it will touch disk and database."""
    if inspect.iscoroutinefunction(route.handler):
        result: Response = await route.handler(call, **arguments)
        return result
    if call.request.method not in ("GET", "HEAD"):
        call.body = await read_body(call.request, route.body_limit)
    response: Response = await anyio.to_thread.run_sync(lambda: route.handler(call, **arguments))  # type: ignore[arg-type,return-value]
    return response


def error_response(error: ApiError) -> Response:
    """What a client gets to see of an error."""
    headers = {"X-Error-Message": header_text(error.message), **error.headers}
    if error.code:
        headers["X-Error-Code"] = error.code
    return JSONResponse({"error": error.message, **error.extra}, status_code=error.status, headers=headers)


def ok(**extra: Any) -> Response:
    """An empty success, as JSON."""
    return JSONResponse({"success": True, **extra})


def new_request_id() -> str:
    """A fresh ``X-Request-Id``."""
    return f"Root=1-{secrets.token_hex(4)}-{secrets.token_hex(12)}"


def header_text(text: str) -> str:
    """A text as a header can carry it: printable ASCII, bounded."""
    return re.sub(r"[^\x20-\x7e]+", " ", text)[:1000].strip()
