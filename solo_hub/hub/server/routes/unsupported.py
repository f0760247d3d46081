"""What the real Hub has and this one does not: a refusal that says so, never a 404 or a success without effect."""

from __future__ import annotations

from typing import TYPE_CHECKING

from solo_hub.hub.server.errors import not_offered

if TYPE_CHECKING:
    from starlette.responses import Response

    from solo_hub.hub.server.http import Call, Handler, Router
    from solo_hub.hub.server.repos import RepoType

_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")

# First segments of a path, and what lies behind them.
_AREAS = {
    "/api/jobs": "Jobs; run the command on this machine, or as a job of solo-hub with --job local",
    "/api/scheduled-jobs": "scheduled Jobs",
    "/api/buckets": "buckets; use a dataset repo",
    "/buckets": "buckets; use a dataset repo",
    "/api/settings/webhooks": "webhooks",
    "/api/kernels": "kernel repos",
    "/api/papers": "papers",
    "/api/daily_papers": "papers",
    "/papers": "papers",
    "/api/spaces/hardware": "hardware for Spaces: it stores them and does not run them",
    "/api/spaces/zero-gpu": "hardware for Spaces: it stores them and does not run them",
    "/api/spaces/templates": "templates of Spaces",
    "/api/spaces/semantic-search": "search by meaning; list_spaces(search=...) searches names",
    "/oauth": "sign-in by browser; make a token with `solo-hub hub user add`",
    "/.well-known/openid-configuration": "sign-in by browser; make a token with `solo-hub hub user add`",
}

# Last segments of a Space's own routes.
_RUNNING = "{what}: it stores Spaces and does not run them"
_OF_A_SPACE = {
    "secrets": _RUNNING.format(what="secrets of Spaces"),
    "variables": _RUNNING.format(what="variables of Spaces"),
    "hardware": _RUNNING.format(what="hardware for Spaces"),
    "sleeptime": _RUNNING.format(what="sleep times of Spaces"),
    "volumes": _RUNNING.format(what="volumes of Spaces"),
    "storage": _RUNNING.format(what="storage for Spaces"),
    "pause": _RUNNING.format(what="pausing"),
    "restart": _RUNNING.format(what="restarting"),
    "dev-mode": _RUNNING.format(what="dev mode"),
    "logs": _RUNNING.format(what="logs of Spaces"),
}

_OF_A_REPO = {
    "likers": "likes",
    "leaderboard": "leaderboards",
    "resource-group": "resource groups",
}

_GIT = "git over HTTP; use `hf download`, `hf upload` or their functions in Python"


def add_routes(router: Router) -> None:
    """Register the routes of this module; before all others, whose patterns would take some of these paths."""
    for method in _METHODS:
        for start, what in _AREAS.items():
            router.add(method, start)(_refuse(what))
            router.add(method, f"{start}/{{rest:rest}}")(_refuse(what))
        for word, what in _OF_A_SPACE.items():
            _for_repo(router, method, "/api/spaces", word, what)
        for word, what in _OF_A_REPO.items():
            _for_repo(router, method, "/api/{kind}", word, what)
    for word in ("followers", "following"):
        for owner in ("users", "organizations"):
            router.add("GET", f"/api/{owner}/{{name}}/{word}")(_refuse("followers"))
    headers = "the headers of all shards at once; get_safetensors_metadata reads them one by one"
    _for_repo(router, "GET", "/api/{kind}", "safetensors-metadata", headers)
    router.add("POST", "/api/{kind}/{ns}/{name}/like")(_refuse("likes"))
    for prefix in ("/{kind}/{ns}/{name}", "/{ns}/{name}"):
        router.add("GET", f"{prefix}/info/refs")(_refuse(_GIT))
        for service in ("git-upload-pack", "git-receive-pack"):
            router.add("POST", f"{prefix}/{service}")(_refuse(_GIT))


def _refuse(what: str) -> Handler:
    def handler(call: Call, **_: str) -> Response:
        del call
        raise not_offered(what)

    return handler


def _for_repo(router: Router, method: str, prefix: str, word: str, what: str) -> None:
    """Refuse for a repo the caller can see; for any other, say that there is none."""

    def handler(call: Call, ns: str, name: str, kind: RepoType = "space", rest: str = "") -> Response:
        del rest
        call.hub.repos.readable(kind, ns, name, call.user)
        raise not_offered(what)

    router.add(method, f"{prefix}/{{ns}}/{{name}}/{word}")(handler)
    router.add(method, f"{prefix}/{{ns}}/{{name}}/{word}/{{rest:rest}}")(handler)
