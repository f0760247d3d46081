"""Uploading by commit: what goes where, then the commit itself; and the log."""

from __future__ import annotations

import base64
import html
from typing import TYPE_CHECKING, Any

import anyio.to_thread
from starlette.responses import JSONResponse, Response

from solo_hub.hub.server import attributes, commits, limits, names
from solo_hub.hub.server.discussions import Discussions
from solo_hub.hub.server.errors import ApiError, bad_request, forbidden, revision_not_found
from solo_hub.hub.server.http import ok, read_to_spool
from solo_hub.hub.server.info import author_id, time_text
from solo_hub.hub.server.repos import require_user, require_write
from solo_hub.hub.server.trees import File

if TYPE_CHECKING:
    from solo_hub.hub.server.http import Call, Router
    from solo_hub.hub.server.repos import Repo, RepoType

MAX_PREUPLOAD = 1000
COMMITS_PAGE = 50


def add_routes(router: Router) -> None:
    """Register the routes of this module."""
    router.add("POST", "/api/{kind}/{ns}/{name}/preupload/{rev}")(preupload)
    router.add("POST", "/api/{kind}/{ns}/{name}/commit/{rev}")(commit)
    router.add("GET", "/api/{kind}/{ns}/{name}/commits/{rev}")(log)
    router.add("POST", "/api/{kind}/{ns}/{name}/super-squash/{rev}")(squash)


def preupload(call: Call, kind: RepoType, ns: str, name: str, rev: str) -> Response:
    """Tell for each file whether it is sent in the commit or before it, and what is there already."""
    repo = _repo_to_change(call, kind, ns, name)
    body = call.json()
    files = body.get("files")
    if not isinstance(files, list) or len(files) > MAX_PREUPLOAD:
        raise bad_request(f'"files" must be an array of at most {MAX_PREUPLOAD} objects')
    head = call.hub.history.resolve(repo, rev)
    text = call.hub.read_text(head.tree, ".gitattributes", limit=limits.MEBI) or ""
    patterns = attributes.lfs_patterns(text)
    ignore_text = body.get("gitIgnore")
    if ignore_text is None:
        ignore_text = call.hub.read_text(head.tree, ".gitignore", limit=limits.MEBI)
    ignored = _ignore_patterns(ignore_text)
    answers = []
    for file in files:
        if not isinstance(file, dict):
            raise bad_request('"files" must be an array of objects')
        path, size = names.check_path(file.get("path")), names.check_size(file.get("size"))
        sample = _sample(file.get("sample"))
        node = call.hub.trees.find(head.tree, path)
        mode = "lfs" if attributes.goes_to_lfs(path, size, sample, patterns) else "regular"
        ignore = attributes.is_ignored(path, ignored)
        answer: dict[str, Any] = {"path": path, "uploadMode": mode, "shouldIgnore": ignore}
        if isinstance(node, File):
            answer["oid"] = node.etag
        answers.append(answer)
    return JSONResponse({"files": answers})


async def commit(call: Call, kind: RepoType, ns: str, name: str, rev: str) -> Response:
    """Take a commit; its body is spooled to disk and parsed line by line, so it may be long."""
    repo = await anyio.to_thread.run_sync(_repo_to_change, call, kind, ns, name)
    spool = call.hub.content.spool(limit=limits.MAX_COMMIT_BODY, hashed=False)
    try:
        await read_to_spool(call.request, spool, limits.MAX_COMMIT_BODY)
        spool.close()

        def work() -> Response:
            with spool.path.open("rb") as body:
                request = commits.parse(call.hub, body)
            return _apply(call, repo, rev, request)

        return await anyio.to_thread.run_sync(work)
    finally:
        spool.discard()


def _apply(call: Call, repo: Repo, rev: str, request: commits.Request) -> Response:
    user = require_user(call.user)
    if call.flag("create_pr"):
        branch = call.hub.history.branch(repo, rev)
        if branch is None or branch.kind != "head":  # a pull request needs a branch to be merged into
            raise revision_not_found(rev)
        base = call.hub.history.resolve(repo, branch.full)
        discussion, made = Discussions(call.hub).open_with_commit(repo, user, base, branch.name, request)
        return JSONResponse(
            {
                "success": True,
                "commitUrl": f"{call.base}/{repo.url_path}/commit/{made.oid}",
                "commitOid": made.oid,
                "pullRequestUrl": f"{call.base}/{repo.url_path}/discussions/{discussion}",
                "hookOutput": "",
            }
        )
    ref = call.hub.history.branch(repo, rev)
    if ref is None:
        _refuse_revision(call, repo, rev)
        raise revision_not_found(rev)
    if ref.kind == "pr":
        Discussions(call.hub).check_may_push(repo, int(ref.name), user)
    else:
        require_write(repo.namespace, user)
    base = call.hub.history.resolve(repo, ref.full)
    made = commits.apply(call.hub, repo, request, user, ref=ref, base=base)
    if ref.kind == "pr":
        Discussions(call.hub).note_commit(repo, int(ref.name), user, made)
    return JSONResponse(
        {
            "success": True,
            "commitUrl": f"{call.base}/{repo.url_path}/commit/{made.oid}",
            "commitOid": made.oid,
            "hookOutput": "",
        }
    )


def _refuse_revision(call: Call, repo: Repo, rev: str) -> None:
    """Say why a revision that exists cannot take a commit."""
    try:
        call.hub.history.resolve(repo, rev)
    except ApiError:
        return
    raise bad_request(f"Cannot commit to '{rev[:80]}': it is not a branch.")


def log(call: Call, kind: RepoType, ns: str, name: str, rev: str) -> Response:
    """Commits of a revision, newest first, a page at a time."""
    repo = call.hub.repos.readable(kind, ns, name, call.user)
    head = call.hub.history.resolve(repo, rev)
    formatted = "formatted" in call.params("expand")
    limit = _page_number(call.param("limit"), COMMITS_PAGE)
    limit = max(1, min(limit, 1000))
    skip = _page_number(call.param("p"), 0) * limit
    items: list[dict[str, Any]] = []
    more = False
    for index, each in enumerate(call.hub.history.log(repo, head.oid)):
        if index < skip:
            continue
        if len(items) >= limit:
            more = True
            break
        item: dict[str, Any] = {
            "id": each.oid,
            "title": each.title,
            "message": each.message,
            "authors": [{"_id": author_id(each.author), "user": each.author, "avatar": ""}],
            "date": time_text(each.created_at),
            "parents": [each.parent] if each.parent else [],
        }
        if formatted:
            item["formatted"] = {
                "title": html.escape(each.title),
                "message": "".join(f"<p>{html.escape(part)}</p>\n" for part in each.message.split("\n\n") if part),
            }
        items.append(item)
    headers = {"X-Total-Count": str(sum(1 for _ in call.hub.history.log(repo, head.oid)))} if skip == 0 else {}
    if more:
        # By id, so that the pages fit together although the branch may move on between them.
        query = f"p={skip // limit + 1}&limit={limit}" + ("&expand[]=formatted" if formatted else "")
        headers["Link"] = f'<{call.base}/api/{kind}s/{repo.full_name}/commits/{head.oid}?{query}>; rel="next"'
    return JSONResponse(items, headers=headers)


def squash(call: Call, kind: RepoType, ns: str, name: str, rev: str) -> Response:
    """Make a branch one commit."""
    repo = call.hub.repos.writable(kind, ns, name, call.user)
    user = require_user(call.user)
    message = call.json().get("message", "Super-squash branch")
    if not isinstance(message, str) or not message.strip() or len(message) > limits.MAX_TITLE:
        raise bad_request('"message" must be a non-empty string')
    head = call.hub.history.resolve(repo, rev)
    ref = call.hub.history.branch(repo, rev)
    if ref is None:
        raise bad_request("Invalid reference for a branch")
    root = call.hub.trees.folder(head.tree)
    made = call.hub.history.squash(repo, ref, commits.clean(message), user.name, root)
    return ok(commitOid=made.oid)


def _repo_to_change(call: Call, kind: RepoType, ns: str, name: str) -> Repo:
    """The repo, for those who may change it, or only read it but open a pull request."""
    repo = call.hub.repos.readable(kind, ns, name, call.user)
    user = require_user(call.user)
    if user.role != "write":
        raise forbidden("You must use a token with the write role")
    if not user.belongs_to(repo.namespace):
        revision = call.request.url.path
        if not call.flag("create_pr") and "/refs/pr/" not in revision:
            raise forbidden(
                f"Forbidden: pass `create_pr=1` as a query parameter to create a Pull Request, or ask the owner of"
                f" {repo.full_name} for the right to write"
            )
        call.hub.repos.check_content_access(repo, user)
    return repo


def _sample(value: object) -> bytes:
    if value is None:
        return b""
    if not isinstance(value, str) or len(value) > 64 * 1024:
        raise bad_request('"sample" must be a short base64 string')
    try:
        return base64.b64decode(value, validate=True)
    except ValueError:
        raise bad_request('"sample" is not valid base64') from None


def _ignore_patterns(text: object) -> tuple[tuple[str, bool], ...]:
    if text is None:
        return ()
    if not isinstance(text, str) or len(text) > limits.MEBI:
        raise bad_request('"gitIgnore" must be a string')
    return attributes.ignore_patterns(text)


def _page_number(text: str | None, default: int) -> int:
    if text is None:
        return default
    if not text.isdecimal() or len(text) > 6:  # noqa: PLR2004  more digits than any log has pages
        raise bad_request("Paging parameters must be non-negative integers")
    return int(text)
