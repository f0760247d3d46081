"""Which web pages may talk to the server from a browser: those that this machine serves itself.

The official JavaScript client also runs in browsers, where a page of another origin may read an answer only if the
server says so. Pages on loopback addresses may (a local app, a Space under test): whoever serves them can reach this
server anyway. All others may not, or any site that is open in a browser here could read the public repos of a server
that listens to this machine only. There are no cookies, so an allowed page still needs a token for whatever is private
and for every change; an uploaded page is opened in a sandbox, whose origin is "null", and is not allowed.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from starlette.responses import Response

if TYPE_CHECKING:
    from starlette.requests import Request

_LOOPBACK = re.compile(r"https?://(?:localhost|127(?:\.\d{1,3}){3}|\[::1\])(?::\d{1,5})?\Z")
_METHODS = "GET, HEAD, POST, PUT, PATCH, DELETE"
_REQUEST_HEADERS = (
    "Authorization, Content-Type, Range, If-Match, If-None-Match, If-Range, X-Xet-Session-Id, X-HF-Bill-To"
)
_ANSWER_HEADERS = (
    "X-Repo-Commit, X-Request-Id, X-Error-Code, X-Error-Message, X-Total-Count, ETag, Link, Accept-Ranges,"
    " Content-Length, Content-Range, Content-Disposition, X-Linked-Size, X-Linked-ETag, X-Xet-Hash, X-Xet-Cas-Url,"
    " X-Xet-Access-Token, X-Xet-Token-Expiration"
)
_PREFLIGHT_SECONDS = 7200


def allowed_origin(request: Request) -> str | None:
    """The origin of the page that sends a request, if such pages may read the answer."""
    origin = request.headers.get("origin", "")
    return origin if _LOOPBACK.match(origin) else None


def preflight(request: Request) -> Response | None:
    """The answer to a browser that asks before it sends a request; None for anything else."""
    if request.method != "OPTIONS" or "access-control-request-method" not in request.headers:
        return None
    response = Response(status_code=204)
    if allowed_origin(request):
        response.headers["Access-Control-Allow-Methods"] = _METHODS
        response.headers["Access-Control-Allow-Headers"] = _REQUEST_HEADERS
        response.headers["Access-Control-Max-Age"] = str(_PREFLIGHT_SECONDS)
    return response


def allow(request: Request, response: Response) -> None:
    """Let an allowed page read an answer."""
    response.headers.add_vary_header("Origin")
    origin = allowed_origin(request)
    if origin is not None:
        response.headers["Access-Control-Allow-Origin"] = origin
        response.headers["Access-Control-Expose-Headers"] = _ANSWER_HEADERS
