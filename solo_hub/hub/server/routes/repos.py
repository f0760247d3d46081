"""Making, moving, describing and removing repos."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from starlette.responses import JSONResponse, PlainTextResponse, Response

from solo_hub.hub.server import cards, limits, names
from solo_hub.hub.server.commits import content_of
from solo_hub.hub.server.errors import ApiError, bad_request, not_offered, repo_not_found, too_large
from solo_hub.hub.server.http import ok
from solo_hub.hub.server.info import check_expand, head_commit, object_id, repo_info, space_runtime, time_text
from solo_hub.hub.server.repos import (
    SDKS,
    may_see,
    parse_type,
    require_user,
    require_write,
    split_id,
    visibility_is_private,
)

if TYPE_CHECKING:
    from solo_hub.hub.server.http import Call, Router
    from solo_hub.hub.server.repos import Repo, RepoType

MAX_FIRST_FILES = 50
_EXTRAS = {
    "hardware": "hardware for Spaces: it stores them and does not run them",
    "sleepTimeSeconds": "sleep times of Spaces: it stores them and does not run them",
    "secrets": "secrets of Spaces: it stores them and does not run them",
    "variables": "variables of Spaces: it stores them and does not run them",
    "volumes": "volumes of Spaces: it stores them and does not run them",
    "template": "templates of Spaces",
    "resourceGroupId": "resource groups",
}
_WRITES = ("branch", "tag", "discussions", "like")
_OF_A_REPO = {
    "GET": ("revision", "tree", "refs", "commits", "discussions", "xet-read-token", "xet-write-token", "auth-check",
            "lfs-files", "user-access-request", "runtime"),
    "POST": (*_WRITES, "preupload", "commit", "paths-info", "super-squash", "lfs-files", "user-access-request"),
    "PUT": ("settings",),
    "DELETE": _WRITES,
}  # fmt: skip


def add_routes(router: Router) -> None:
    """Register the routes of this module."""
    router.add("POST", "/api/repos/create")(create)
    router.add("DELETE", "/api/repos/delete")(delete)
    router.add("POST", "/api/repos/move")(move)
    router.add("POST", "/api/validate-yaml")(validate_yaml)
    router.add("POST", "/api/{kind}/{ns}/{name}/duplicate")(duplicate)
    router.add("GET", "/api/{kind}/{ns}/{name}")(info)
    router.add("GET", "/api/{kind}/{ns}/{name}/revision/{rev}")(info)
    router.add("PUT", "/api/{kind}/{ns}/{name}/settings")(settings)
    router.add("GET", "/api/{kind}/{ns}/{name}/auth-check")(auth_check)
    router.add("GET", "/api/{kind}/{ns}/{name}/runtime")(runtime)
    router.add("POST", "/api/{kind}/{ns}/{name}/ask-access")(ask_access)
    router.add("POST", "/api/{kind}/{ns}/{name}/user-access-request/{action}")(handle_access)
    router.add("GET", "/api/{kind}/{ns}/{name}/user-access-request/{status}")(list_access)
    router.add("DELETE", "/api/{kind}/{ns}/{name}/like")(unlike)
    # Ids without a namespace belong to the earliest repos of the real Hub; here there are none.
    router.add("GET", "/api/{kind}/{name}")(no_namespace)
    for method, words in _OF_A_REPO.items():
        for word in words:
            router.add(method, f"/api/{{kind}}/{{name}}/{word}")(no_namespace)
            router.add(method, f"/api/{{kind}}/{{name}}/{word}/{{rest:rest}}")(no_namespace)


def create(call: Call) -> Response:
    """Make a repo; 409 tells where the existing one is."""
    body = call.json()
    user = require_user(call.user)
    name = names.check_repo_part(body.get("name"))
    repo_type = parse_type(body.get("type"))
    namespace = call.hub.repos.namespace_for(user, body.get("organization"))
    require_write(namespace, user)
    private = _private(body, default=user.private_by_default)
    _refuse_extras(body)
    sdk = body.get("sdk")
    if repo_type == "space" and sdk not in SDKS:
        raise bad_request(f'"sdk" must be one of: {", ".join(SDKS)}')
    try:
        repo = call.hub.create_repo(
            repo_type, namespace, name, private=private, sdk=sdk if repo_type == "space" else None, author=user.name,
            files=_first_files(body, repo_type, sdk),
        )  # fmt: skip
    except ApiError as error:
        existing = call.hub.repos.find(repo_type, namespace, name)
        raise _exists(call, existing) if error.status == 409 and existing else error from None  # noqa: PLR2004
    return JSONResponse({"url": f"{call.base}/{repo.url_path}", "name": repo.full_name, "id": repo.full_name})


def duplicate(call: Call, kind: RepoType, ns: str, name: str) -> Response:
    """Make a repo of one's own with the files of another; 409 tells where the existing one is."""
    user = require_user(call.user)
    source = call.hub.repos.readable(kind, ns, name, user)
    call.hub.repos.check_content_access(source, user)
    body = call.json()
    _refuse_extras(body)
    wanted, new_name = split_id(body.get("repository"))
    namespace = call.hub.repos.namespace_for(user, wanted)
    # Whatever its owner keeps from others by a gate stays with those who were let in.
    private = _private(body, default=source.private or source.gated is not None)
    try:
        repo = call.hub.duplicate_repo(source, namespace, new_name, private=private, author=user.name)
    except ApiError as error:
        existing = call.hub.repos.find(kind, namespace, new_name)
        raise _exists(call, existing) if error.status == 409 and existing else error from None  # noqa: PLR2004
    return JSONResponse({"url": f"{call.base}/{repo.url_path}", "filesCopyPending": False})


def _private(body: dict[str, Any], *, default: bool) -> bool:
    """Whether a new repo is to be private."""
    if body.get("visibility") is not None:
        return visibility_is_private(body["visibility"])
    return default if body.get("private") is None else bool(body["private"])


def _refuse_extras(body: dict[str, Any]) -> None:
    """Refuse what a new repo could be given on the real Hub and not here, rather than to leave it out unsaid."""
    for key, what in _EXTRAS.items():
        if body.get(key) not in (None, [], {}):
            raise not_offered(what)


def _first_files(body: dict[str, Any], repo_type: RepoType, sdk: object) -> dict[str, bytes]:
    """The files a repo is to begin with, and a card where only a license is given."""
    items = body.get("files") or []
    if not isinstance(items, list) or len(items) > MAX_FIRST_FILES:
        raise bad_request(f'"files" must be an array of at most {MAX_FIRST_FILES} objects')
    files: dict[str, bytes] = {}
    for item in items:
        if not isinstance(item, dict):
            raise bad_request('"files" must be an array of objects')
        path, data = names.check_path(item.get("path")), content_of(item)
        if len(data) > limits.SMALL_BLOB:
            raise too_large(f"'{path}' is too large to begin with: at most {limits.SMALL_BLOB} bytes; commit it.")
        files[path] = data
    license_ = body.get("license")
    if license_ is not None and not (isinstance(license_, str) and license_ in cards.LICENSES):
        raise bad_request(f'"license" must be one of [{", ".join(sorted(cards.LICENSES))}]')
    if license_ is not None and "README.md" not in files:
        of_space = f"sdk: {sdk}\n" if repo_type == "space" else ""
        files["README.md"] = f"---\nlicense: {license_}\n{of_space}---\n".encode()
    return files


def _exists(call: Call, repo: Repo) -> ApiError:
    return ApiError(
        409, f"You already created this {repo.type} repo: {repo.full_name}",
        extra={"url": f"{call.base}/{repo.url_path}"},
    )  # fmt: skip


def delete(call: Call) -> Response:
    """Remove a repo."""
    body = call.json()
    user = require_user(call.user)
    name = names.check_repo_part(body.get("name"))
    organization = body.get("organization")
    if organization is not None and not isinstance(organization, str):
        raise bad_request('"organization" must be a string')
    namespace = organization or user.name
    repo = call.hub.repos.find(parse_type(body.get("type")), namespace, name)
    if repo is None or not may_see(repo, user):
        raise repo_not_found(authenticated=True)
    require_write(repo.namespace, user)
    call.hub.repos.delete(repo)
    return ok()


def move(call: Call) -> Response:
    """Give a repo another name or owner."""
    body = call.json()
    user = require_user(call.user)
    repo_type = parse_type(body.get("type"))
    namespace, name = split_id(body.get("fromRepo"))
    new_namespace, new_name = split_id(body.get("toRepo"))
    repo = call.hub.repos.writable(repo_type, namespace, name, user)
    require_write(new_namespace, user)
    call.hub.repos.move(repo, call.hub.repos.namespace_for(user, new_namespace), new_name)
    return ok()


def settings(call: Call, kind: RepoType, ns: str, name: str) -> Response:
    """Change visibility and gating."""
    repo = call.hub.repos.writable(kind, ns, name, call.user)
    call.hub.repos.update_settings(repo, call.json())
    after = call.hub.repos.by_id(repo.id) or repo
    return JSONResponse({"private": after.private, "gated": after.gated or False})


def validate_yaml(call: Call) -> Response:
    """Check a card as a commit would."""
    body = call.json()
    content = body.get("content")
    if not isinstance(content, str):
        raise bad_request('"content" must be a string')
    errors, warnings = cards.validate(content, parse_type(body.get("repoType")))
    if "text/plain" in call.request.headers.get("accept", ""):  # how a card's own `validate` asks
        lines = [f"- Error: {text}" for text in errors] + [f"- Warning: {text}" for text in warnings]
        return PlainTextResponse("\n".join(lines), status_code=400 if errors else 200)
    return JSONResponse(
        {"errors": [{"message": text} for text in errors], "warnings": [{"message": text} for text in warnings]},
        status_code=400 if errors else 200,
    )


def info(call: Call, kind: RepoType, ns: str, name: str, rev: str | None = None) -> Response:
    """Describe a repo at its newest commit, or at a revision."""
    repo = call.hub.repos.readable(kind, ns, name, call.user)
    expand = check_expand(kind, call.params("expand"))
    commit = call.hub.history.resolve(repo, rev) if rev is not None else head_commit(call.hub, repo)
    return JSONResponse(
        repo_info(
            call.hub,
            repo,
            commit,
            expand=expand,
            blobs=call.flag("blobs"),
            security=call.flag("securityStatus"),
            user=call.user,
        )
    )


def auth_check(call: Call, kind: RepoType, ns: str, name: str) -> Response:
    """Whether the caller may download from a repo."""
    repo = call.hub.repos.readable(kind, ns, name, call.user)
    if call.flag("write"):
        require_write(repo.namespace, call.user)
    call.hub.repos.check_content_access(repo, call.user)
    return ok()


def runtime(call: Call, kind: RepoType, ns: str, name: str) -> Response:
    """The state of a Space: it is stored here, not run."""
    repo = call.hub.repos.readable(kind, ns, name, call.user)
    if kind != "space":
        raise ApiError(404, "Only Spaces have a runtime")
    return JSONResponse(space_runtime(call.hub, repo, head_commit(call.hub, repo)))


def ask_access(call: Call, kind: RepoType, ns: str, name: str) -> Response:
    """Ask to be let into a gated repo; with automatic approval the door opens at once."""
    user = require_user(call.user)
    repo = call.hub.repos.readable(kind, ns, name, user)
    return ok(status=call.hub.repos.ask_access(repo, user))


def handle_access(call: Call, kind: RepoType, ns: str, name: str, action: str) -> Response:
    """Accept, reject or grant access to a gated repo."""
    repo = call.hub.repos.writable(kind, ns, name, call.user)
    body = call.json()
    status = {"grant": "accepted"}.get(action) or body.get("status")
    if action not in ("grant", "handle") or status not in ("accepted", "rejected", "pending"):
        raise bad_request('"status" must be one of: "accepted", "rejected", "pending"')
    if repo.gated is None:
        raise bad_request("This repository is not gated.")
    user_id = _asking_user(call, repo, body)
    known = call.hub.db.one("SELECT status FROM access WHERE repo_id = ? AND user_id = ?", (repo.id, user_id))
    if action == "handle" and known is None:
        raise ApiError(404, "This user has not asked for access")
    if known is not None and known["status"] == status:
        raise bad_request(f"The request of this user is {status} already")
    call.hub.repos.set_access(repo, user_id, status)
    return ok()


def list_access(call: Call, kind: RepoType, ns: str, name: str, status: str) -> Response:
    """The requests for access in a state."""
    repo = call.hub.repos.writable(kind, ns, name, call.user)
    rows = call.hub.db.all(
        "SELECT a.id, a.name, x.created_at FROM access x JOIN accounts a ON a.id = x.user_id"
        " WHERE x.repo_id = ? AND x.status = ? ORDER BY x.created_at",
        (repo.id, status),
    )
    return JSONResponse([
        {"requestId": object_id("access", repo.id, row["id"]), "status": status,
         "user": {"user": row["name"], "fullname": row["name"], "email": None},
         "timestamp": time_text(row["created_at"]), "fields": {}}
        for row in rows
    ])  # fmt: skip


def _asking_user(call: Call, repo: Repo, body: dict[str, Any]) -> int:
    if "requestId" in body:
        for row in call.hub.db.all("SELECT user_id FROM access WHERE repo_id = ?", (repo.id,)):
            if object_id("access", repo.id, row["user_id"]) == body["requestId"]:
                return int(row["user_id"])
        raise ApiError(404, "There is no such request")
    found = call.hub.db.one("SELECT id FROM accounts WHERE name = ? AND kind = 'user'", (str(body.get("user")),))
    if found is None:
        raise ApiError(404, "This user does not exist")
    return int(found["id"])


def unlike(call: Call, kind: RepoType, ns: str, name: str) -> Response:
    """Take back a like, which is never counted here."""
    require_user(call.user)
    call.hub.repos.readable(kind, ns, name, call.user)
    return ok()


def no_namespace(call: Call, **_: str) -> Response:
    """Refuse ids without a namespace."""
    raise repo_not_found(authenticated=call.user is not None)
