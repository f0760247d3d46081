"""Discussions and pull requests over HTTP."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.responses import JSONResponse, Response

from solo_hub.hub.server.discussions import PAGE, Discussions
from solo_hub.hub.server.errors import ApiError, bad_request, forbidden
from solo_hub.hub.server.http import ok
from solo_hub.hub.server.repos import require_user

if TYPE_CHECKING:
    from solo_hub.hub.server.accounts import User
    from solo_hub.hub.server.http import Call, Router
    from solo_hub.hub.server.repos import Repo, RepoType

_ONE = "/api/{kind}/{ns}/{name}/discussions/{num}"


def add_routes(router: Router) -> None:
    """Register the routes of this module."""
    router.add("GET", "/api/{kind}/{ns}/{name}/discussions")(list_all)
    router.add("POST", "/api/{kind}/{ns}/{name}/discussions")(create)
    router.add("GET", _ONE)(details)
    router.add("POST", f"{_ONE}/comment")(comment)
    router.add("POST", f"{_ONE}/status")(status)
    router.add("POST", f"{_ONE}/title")(title)
    router.add("POST", f"{_ONE}/merge")(merge)
    router.add("POST", f"{_ONE}/comment/{{event}}/edit")(edit)
    router.add("POST", f"{_ONE}/comment/{{event}}/hide")(hide)


def list_all(call: Call, kind: RepoType, ns: str, name: str) -> Response:
    """A page of the discussions of a repo."""
    repo = call.hub.repos.readable(kind, ns, name, call.user)
    discussions = Discussions(call.hub)
    found = discussions.list(repo, kind=call.param("type"), status=call.param("status"), author=call.param("author"))
    page = call.param("p") or "0"
    if not page.isdecimal() or len(page) > 6:  # noqa: PLR2004  more digits than any list has pages
        raise bad_request('"p" must be a non-negative integer')
    start = int(page) * PAGE
    shown = [discussions.show(repo, each) for each in found[start : start + PAGE]]
    return JSONResponse({"discussions": shown, "count": len(found), "start": start, "numClosedDiscussions": 0})


def create(call: Call, kind: RepoType, ns: str, name: str) -> Response:
    """Open a discussion or a pull request."""
    repo, user = _repo(call, kind, ns, name)
    body = call.json()
    num = Discussions(call.hub).open(
        repo, user, body.get("title"), body.get("description"), pull_request=bool(body.get("pullRequest"))
    )
    return JSONResponse({
        "num": num, "url": f"{call.base}/{repo.url_path}/discussions/{num}",
        "pullRequest": bool(body.get("pullRequest")),
    })  # fmt: skip


def details(call: Call, kind: RepoType, ns: str, name: str, num: str) -> Response:
    """One discussion with its events."""
    repo = call.hub.repos.readable(kind, ns, name, call.user)
    discussions = Discussions(call.hub)
    return JSONResponse(discussions.details(repo, discussions.find(repo, _number(num))))


def comment(call: Call, kind: RepoType, ns: str, name: str, num: str) -> Response:
    """Add a comment."""
    repo, user = _repo(call, kind, ns, name)
    event = Discussions(call.hub).comment(repo, _number(num), user, call.json().get("comment"))
    return JSONResponse({"newMessage": event})


def status(call: Call, kind: RepoType, ns: str, name: str, num: str) -> Response:
    """Open or close."""
    repo, user = _repo(call, kind, ns, name)
    body = call.json()
    event = Discussions(call.hub).set_status(repo, _number(num), user, body.get("status"), body.get("comment"))
    return JSONResponse({"newStatus": event})


def title(call: Call, kind: RepoType, ns: str, name: str, num: str) -> Response:
    """Rename."""
    repo, user = _repo(call, kind, ns, name)
    event = Discussions(call.hub).rename(repo, _number(num), user, call.json().get("title"))
    return JSONResponse({"newTitle": event})


def merge(call: Call, kind: RepoType, ns: str, name: str, num: str) -> Response:
    """Merge a pull request."""
    repo, user = _repo(call, kind, ns, name)
    oid = Discussions(call.hub).merge(repo, _number(num), user, call.json().get("comment"))
    return ok(mergeCommitId=oid)


def edit(call: Call, *, kind: RepoType, ns: str, name: str, num: str, event: str) -> Response:
    """Change a comment."""
    repo, user = _repo(call, kind, ns, name)
    changed = Discussions(call.hub).edit_comment(repo, _number(num), event, user, call.json().get("content"))
    return JSONResponse({"updatedComment": changed})


def hide(call: Call, *, kind: RepoType, ns: str, name: str, num: str, event: str) -> Response:
    """Hide a comment."""
    repo, user = _repo(call, kind, ns, name)
    changed = Discussions(call.hub).hide_comment(repo, _number(num), event, user)
    return JSONResponse({"updatedComment": changed})


def _repo(call: Call, kind: RepoType, ns: str, name: str) -> tuple[Repo, User]:
    repo = call.hub.repos.readable(kind, ns, name, call.user)
    user = require_user(call.user)
    if user.role != "write":
        raise forbidden("You must use a token with the write role")
    return repo, user


def _number(text: str) -> int:
    if not text.isdecimal() or len(text) > 9:  # noqa: PLR2004  more digits than any repo has discussions
        raise ApiError(404, "Discussion not found")
    return int(text)
