"""The ASGI application: one entry that finds the route, the user and, whatever happens, an answer."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import anyio.to_thread
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from solo_hub.hub.server import cors, routes
from solo_hub.hub.server.db import is_full
from solo_hub.hub.server.errors import ApiError, no_room
from solo_hub.hub.server.http import Call, call_handler, error_response, new_request_id, parse_query, split_path
from solo_hub.hub.server.routes.pages import error_page

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from solo_hub.hub.server.core import Hub

logger = logging.getLogger(__name__)

_LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]", "testserver"})


class App:
    """The embedded Hub as an ASGI application.

    Args:
        hub: What to serve.
        loopback: Whether the server listens on loopback only; then it answers to loopback names only, so that a web
            page cannot reach it by pointing its own name at this machine.
    """

    def __init__(self, hub: Hub, *, loopback: bool = True) -> None:
        self._hub = hub
        self._loopback = loopback
        self._router = routes.build()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
            return
        if scope["type"] != "http":
            return
        request = Request(scope, receive)
        request_id = new_request_id()
        try:
            response = cors.preflight(request) or await self._answer(request, scope, request_id)
        except ApiError as error:
            wants_page = "text/html" in request.headers.get("accept", "") and not scope["path"].startswith("/api/")
            response = error_page(error) if wants_page else error_response(error)
        except ClientDisconnect:
            return
        except Exception as error:  # the last line of defence: the client gets an answer, the log gets the reason
            logger.exception("%s %s failed", scope["method"], scope["path"])
            if is_full(error):
                response = error_response(no_room())
            else:
                response = JSONResponse({"error": "Internal error", "requestId": request_id}, status_code=500)
        response.headers["X-Request-Id"] = request_id
        # Uploaded files must not run as pages of this server, and nothing here belongs into a frame.
        response.headers.setdefault("X-Content-Type-Options", "nosniff")
        response.headers.setdefault("Referrer-Policy", "strict-origin-when-cross-origin")
        cors.allow(request, response)
        await response(scope, receive, send)

    async def _answer(self, request: Request, scope: Scope, request_id: str) -> Response:
        host = request.headers.get("host", "")
        if self._loopback and host and host.rsplit(":", 1)[0].lower() not in _LOOPBACK_NAMES and host != "[::1]":
            raise ApiError(421, "This server answers to loopback names only.")
        segments = split_path(scope.get("raw_path") or scope["path"].encode())
        route, arguments = self._router.match(request.method, segments)
        query = parse_query(scope.get("query_string", b""))
        call = Call(self._hub, request, None, query, request_id, self._loopback)
        header = request.headers.get("authorization", "")
        scheme, _, token = header.partition(" ")
        # Xet tickets also travel as bearer tokens; their own routes check them.
        if scheme.lower() == "bearer" and token.strip() and segments[0] != "xet":
            call.user = await anyio.to_thread.run_sync(self._hub.accounts.authenticate, token.strip())
            if call.user is None:
                raise ApiError(401, "Invalid credentials in Authorization header")
        return await call_handler(route, call, arguments)


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            await send({"type": "lifespan.startup.complete"})
        elif message["type"] == "lifespan.shutdown":
            await send({"type": "lifespan.shutdown.complete"})
            return
