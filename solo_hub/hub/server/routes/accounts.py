"""Who am I, and who are they."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from starlette.responses import JSONResponse, Response

from solo_hub.hub.server.errors import ApiError
from solo_hub.hub.server.info import author_id
from solo_hub.hub.server.repos import require_user

if TYPE_CHECKING:
    from solo_hub.hub.server.http import Call, Router


def add_routes(router: Router) -> None:
    """Register the routes of this module."""
    router.add("GET", "/api/whoami-v2")(whoami)
    router.add("GET", "/api/users/{name}/overview")(user_overview)
    router.add("GET", "/api/users/{name}/likes")(likes)
    router.add("GET", "/api/organizations/{name}/overview")(organization_overview)
    router.add("GET", "/api/organizations/{name}/members")(members)
    router.add("GET", "/api/solo-hub/health")(health)


def whoami(call: Call) -> Response:
    """The account behind the token."""
    user = require_user(call.user)
    called = call.hub.accounts.fullname
    return JSONResponse({
        "type": "user",
        "id": author_id(user.name),
        "name": user.name,
        "fullname": user.fullname,
        "email": f"{user.name}@localhost",
        "emailVerified": True,
        "canPay": False,
        "isPro": False,
        "avatarUrl": "",
        "orgs": [
            {"type": "org", "id": author_id(org), "name": org, "fullname": called(org), "isEnterprise": False,
             "canPay": False, "avatarUrl": "", "roleInOrg": user.role}
            for org in user.orgs
        ],
        "auth": {"type": "access_token", "accessToken": {"displayName": user.token_label, "role": user.role}},
    })  # fmt: skip


def user_overview(call: Call, name: str) -> Response:
    """The public face of a user."""
    row = call.hub.db.one("SELECT id, name FROM accounts WHERE name = ? AND kind = 'user'", (name,))
    if row is None:
        raise ApiError(404, "This user does not exist")
    orgs = call.hub.accounts.orgs_of(row["id"])
    called = call.hub.accounts.fullname
    return JSONResponse({
        "_id": author_id(row["name"]), "user": row["name"], "fullname": called(row["name"]), "type": "user",
        "isPro": False, "avatarUrl": "",
        "orgs": [{"id": author_id(org), "name": org, "fullname": called(org), "avatarUrl": ""} for org in orgs],
        **_counts(call, row["name"]),
    })  # fmt: skip


def likes(call: Call, name: str) -> Response:
    """What a user likes: nobody has taken note."""
    if call.hub.accounts.kind(name) != "user":
        raise ApiError(404, "This user does not exist")
    return JSONResponse([])


def organization_overview(call: Call, name: str) -> Response:
    """The public face of an organisation."""
    row = call.hub.db.one("SELECT id, name FROM accounts WHERE name = ? AND kind = 'org'", (name,))
    if row is None:
        raise ApiError(404, "This organization does not exist")
    users = call.hub.db.one("SELECT COUNT(*) AS n FROM memberships WHERE org_id = ?", (row["id"],))
    return JSONResponse({
        "_id": author_id(row["name"]), "name": row["name"], "fullname": call.hub.accounts.fullname(row["name"]),
        "avatarUrl": "", "numUsers": users["n"] if users else 0, **_counts(call, row["name"]),
    })  # fmt: skip


def members(call: Call, name: str) -> Response:
    """The users of an organisation."""
    rows = call.hub.db.all(
        "SELECT u.name FROM memberships m JOIN accounts u ON u.id = m.user_id JOIN accounts o ON o.id = m.org_id"
        " WHERE o.name = ? ORDER BY u.name",
        (name,),
    )
    return JSONResponse([
        {"_id": author_id(row["name"]), "user": row["name"], "fullname": call.hub.accounts.fullname(row["name"]),
         "avatarUrl": "", "type": "user", "isPro": False}
        for row in rows
    ])  # fmt: skip


def health(call: Call) -> Response:
    """Tells a process that looks for a running server which root this one serves."""
    return JSONResponse({"status": "ok", "root": call.hub.root_id, "pid": os.getpid()})


def _counts(call: Call, name: str) -> dict[str, Any]:
    rows = call.hub.db.all(
        "SELECT type, COUNT(*) AS n FROM repos WHERE namespace = ? AND private = 0 GROUP BY type", (name,)
    )
    by_type = {row["type"]: row["n"] for row in rows}
    return {
        "numModels": by_type.get("model", 0), "numDatasets": by_type.get("dataset", 0),
        "numSpaces": by_type.get("space", 0), "numFollowers": 0, "numFollowing": 0, "numLikes": 0, "numUpvotes": 0,
        "numDiscussions": 0, "numPapers": 0,
    }  # fmt: skip
