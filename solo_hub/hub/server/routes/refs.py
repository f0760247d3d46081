"""Branches, tags, and the LFS files behind them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from starlette.responses import JSONResponse, Response

from solo_hub.hub.server import names
from solo_hub.hub.server.errors import bad_request, not_offered
from solo_hub.hub.server.http import ok
from solo_hub.hub.server.purge import delete_lfs_files, list_lfs_files
from solo_hub.hub.server.repos import parse_type, split_id

if TYPE_CHECKING:
    from solo_hub.hub.server.history import Ref
    from solo_hub.hub.server.http import Call, Router
    from solo_hub.hub.server.repos import RepoType

MAX_FILES = 1000  # in one request to copy between repos


def add_routes(router: Router) -> None:
    """Register the routes of this module."""
    router.add("GET", "/api/{kind}/{ns}/{name}/refs")(refs)
    router.add("POST", "/api/{kind}/{ns}/{name}/branch/{branch}")(create_branch)
    router.add("DELETE", "/api/{kind}/{ns}/{name}/branch/{branch}")(delete_branch)
    router.add("POST", "/api/{kind}/{ns}/{name}/tag/{rev}")(create_tag)
    router.add("DELETE", "/api/{kind}/{ns}/{name}/tag/{tag}")(delete_tag)
    router.add("GET", "/api/{kind}/{ns}/{name}/lfs-files")(lfs_files)
    router.add("POST", "/api/{kind}/{ns}/{name}/lfs-files/batch")(purge_lfs_files)
    router.add("POST", "/api/{kind}/{ns}/{name}/lfs-files/duplicate")(duplicate_lfs_files)


def refs(call: Call, kind: RepoType, ns: str, name: str) -> Response:
    """All branches and tags, and pull requests when asked for."""
    repo = call.hub.repos.readable(kind, ns, name, call.user)
    found: dict[str, list[dict[str, Any]]] = {
        "tags": [_show(ref) for ref in call.hub.history.refs(repo, "tag")],
        "branches": [_show(ref) for ref in call.hub.history.refs(repo, "head")],
        "converts": [],
    }
    if call.flag("include_prs") or call.flag("include_pull_requests"):
        found["pullRequests"] = [_show(ref) for ref in call.hub.history.refs(repo, "pr")]
    return JSONResponse(found)


def create_branch(call: Call, kind: RepoType, ns: str, name: str, branch: str) -> Response:
    """Make a branch at a revision."""
    repo = call.hub.repos.writable(kind, ns, name, call.user)
    body = call.json()
    start = body.get("startingPoint")
    if start is not None and not isinstance(start, str):
        raise bad_request('"startingPoint" must be a string')
    if body.get("emptyBranch"):
        raise not_offered("branches without a commit; start from a revision and delete its files")
    ref = call.hub.history.create_branch(repo, branch, start, overwrite=bool(body.get("overwrite")))
    return ok(ref=ref.full, targetCommit=ref.oid)


def delete_branch(call: Call, kind: RepoType, ns: str, name: str, branch: str) -> Response:
    """Remove a branch."""
    repo = call.hub.repos.writable(kind, ns, name, call.user)
    call.hub.history.delete_branch(repo, names.split_ref(branch)[1])
    return ok()


def create_tag(call: Call, kind: RepoType, ns: str, name: str, rev: str) -> Response:
    """Tag a revision."""
    repo = call.hub.repos.writable(kind, ns, name, call.user)
    body = call.json()
    ref = call.hub.history.create_tag(repo, body.get("tag"), rev, body.get("message"))
    return ok(ref=ref.full, targetCommit=ref.oid)


def delete_tag(call: Call, kind: RepoType, ns: str, name: str, tag: str) -> Response:
    """Remove a tag."""
    repo = call.hub.repos.writable(kind, ns, name, call.user)
    call.hub.history.delete_tag(repo, names.split_ref(tag)[1])
    return ok()


def lfs_files(call: Call, kind: RepoType, ns: str, name: str) -> Response:
    """Every LFS object of the history, whatever became of its file."""
    repo = call.hub.repos.writable(kind, ns, name, call.user)
    return JSONResponse(list_lfs_files(call.hub, repo))


def purge_lfs_files(call: Call, kind: RepoType, ns: str, name: str) -> Response:
    """Remove LFS objects for good."""
    repo = call.hub.repos.writable(kind, ns, name, call.user)
    deletions = call.json().get("deletions")
    if not isinstance(deletions, dict) or not isinstance(deletions.get("sha"), list):
        raise bad_request('"deletions.sha" must be an array')
    hashes = {names.check_sha256(value) for value in deletions["sha"]}
    delete_lfs_files(call.hub, repo, hashes, rewrite=bool(deletions.get("rewriteHistory", True)))
    return ok()


def duplicate_lfs_files(call: Call, kind: RepoType, ns: str, name: str) -> Response:
    """Let another repo refer to LFS objects of this one, which copies nothing."""
    source = call.hub.repos.readable(kind, ns, name, call.user)
    call.hub.repos.check_content_access(source, call.user)
    body = call.json()
    target, files = body.get("target"), body.get("files")
    if not isinstance(target, dict) or not isinstance(files, list) or len(files) > MAX_FILES:
        raise bad_request(f'"target" must be an object and "files" an array of at most {MAX_FILES} objects')
    repo = call.hub.repos.writable(parse_type(target.get("type")), *split_id(target.get("name")), call.user)
    done, failed = [], []
    with call.hub.db.write() as connection:
        for file in files:
            sha256 = names.check_sha256(file.get("sha256") if isinstance(file, dict) else None)
            if call.hub.content.in_repo(source.id, sha256) and call.hub.content.find(sha256):
                call.hub.content.link(connection, repo.id, sha256)
                done.append({"sha256": sha256})
            else:
                failed.append({"sha256": sha256, "error": "The repo has no such file"})
    return JSONResponse({"success": done, "failed": failed})


def _show(ref: Ref) -> dict[str, Any]:
    return {"name": ref.name, "ref": ref.full, "targetCommit": ref.oid}
