"""Reading: trees, paths, and the files themselves."""

from __future__ import annotations

import re
from email.utils import formatdate
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, quote

from starlette.responses import JSONResponse, Response, StreamingResponse

from solo_hub.hub.server import limits
from solo_hub.hub.server.errors import ApiError, bad_request, entry_not_found, repo_not_found
from solo_hub.hub.server.info import expand_items, tree_item
from solo_hub.hub.server.routes.xet import store_url
from solo_hub.hub.server.trees import File, Folder

if TYPE_CHECKING:
    from collections.abc import Iterator

    from solo_hub.hub.server.history import Commit
    from solo_hub.hub.server.http import Call, Router
    from solo_hub.hub.server.repos import Repo, RepoType

TREE_PAGE = 1000
_XET_INFO = "application/vnd.xet-fileinfo+json"
EXPANDED_PAGE = 100  # looking up last commits costs more
_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})\Z")
_TEXT = (".txt", ".md", ".json", ".jsonl", ".csv", ".yaml", ".yml", ".py", ".toml", ".cfg", ".html", ".xml", ".svg",
         ".js", ".css", ".gitattributes", ".gitignore")  # fmt: skip
_IMAGES = {".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".gif": "image/gif", ".webp": "image/webp"}


def add_routes(router: Router) -> None:
    """Register the routes of this module."""
    router.add("GET", "/api/{kind}/{ns}/{name}/tree/{rev}")(tree)
    router.add("GET", "/api/{kind}/{ns}/{name}/tree/{rev}/{path:rest}")(tree)
    router.add("POST", "/api/{kind}/{ns}/{name}/paths-info/{rev}")(paths_info)
    for method in ("GET", "HEAD"):
        for form in ("resolve", "raw"):
            router.add(method, f"/{{kind}}/{{ns}}/{{name}}/{form}/{{rev}}/{{path:rest}}")(resolve)
            router.add(method, f"/{{ns}}/{{name}}/{form}/{{rev}}/{{path:rest}}")(resolve_model)
            router.add(method, f"/{{kind}}/{{name}}/{form}/{{rev}}/{{path:rest}}")(no_namespace)
            router.add(method, f"/{{name}}/{form}/{{rev}}/{{path:rest}}")(no_namespace)


def tree(call: Call, *, kind: RepoType, ns: str, name: str, rev: str, path: str = "") -> Response:
    """Entries of a folder, or with ``recursive`` of all below it."""
    repo = call.hub.repos.readable(kind, ns, name, call.user)
    commit = call.hub.history.resolve(repo, rev)
    path = path.strip("/")
    key = commit.tree
    if path:
        node = call.hub.trees.find(commit.tree, path)
        if not isinstance(node, Folder):
            raise entry_not_found(f'{path} does not exist on "{rev}"', commit=commit.oid)
        key = node.key
    expand = call.flag("expand")
    prefix = f"{path}/" if path else ""
    if call.flag("recursive"):
        nodes = list(call.hub.trees.walk(key, prefix))
    else:
        listing = sorted(call.hub.trees.listing(key).items(), key=lambda item: (isinstance(item[1], File), item[0]))
        nodes = [(prefix + entry, node) for entry, node in listing]
    start = _number(call.param("cursor"), 0)
    size = min(_number(call.param("limit"), TREE_PAGE), TREE_PAGE) or TREE_PAGE
    size = min(size, EXPANDED_PAGE) if expand else size
    items = [tree_item(entry, node) for entry, node in nodes[start : start + size]]
    if expand:
        expand_items(call.hub, repo, commit, items)
    headers = {"X-Repo-Commit": commit.oid}
    if start + size < len(nodes):
        # By commit id, so that the pages fit together although the branch may move on between them.
        rest = [(key, value) for key, value in call.query if key != "cursor"] + [("cursor", str(start + size))]
        where = f"{call.base}/api/{kind}s/{repo.full_name}/tree/{commit.oid}" + (f"/{quote(path)}" if path else "")
        headers["Link"] = f'<{where}?{"&".join(f"{quote(k)}={quote(v)}" for k, v in rest)}>; rel="next"'
    return JSONResponse(items, headers=headers)


def paths_info(call: Call, kind: RepoType, ns: str, name: str, rev: str) -> Response:
    """Entries of the given paths; those that do not exist are left out."""
    repo = call.hub.repos.readable(kind, ns, name, call.user)
    commit = call.hub.history.resolve(repo, rev)
    paths, expand = _wanted_paths(call)
    items = []
    for path in paths:
        node = call.hub.trees.find(commit.tree, path.strip("/")) if path.strip("/") else None
        if node is not None:
            items.append(tree_item(path.strip("/"), node))
    if expand:
        expand_items(call.hub, repo, commit, items)
    return JSONResponse(items)


def _wanted_paths(call: Call) -> tuple[list[str], bool]:
    if call.request.headers.get("content-type", "").startswith("application/json"):
        body = call.json()
        paths = body.get("paths", [])
        paths = [paths] if isinstance(paths, str) else paths
        if not isinstance(paths, list) or not all(isinstance(path, str) for path in paths):
            raise bad_request('"paths" must be an array of strings')
        expand = bool(body.get("expand"))
    else:
        try:
            form = parse_qsl(
                call.body.decode(), keep_blank_values=True, errors="strict", max_num_fields=limits.MAX_PATHS_INFO
            )
        except ValueError:
            raise bad_request("The body is not a valid form.") from None
        paths = [value for key, value in form if key in ("paths", "paths[]")]
        expand = any(key == "expand" and value.lower() in ("true", "1") for key, value in form)
    if len(paths) > limits.MAX_PATHS_INFO:
        raise bad_request(f"At most {limits.MAX_PATHS_INFO} paths in a request.")
    return paths, expand


def resolve_model(call: Call, ns: str, name: str, rev: str, path: str) -> Response:
    """A file of a model, whose URLs have no type in front."""
    return resolve(call, kind="model", ns=ns, name=name, rev=rev, path=path)


def resolve(call: Call, *, kind: RepoType, ns: str, name: str, rev: str, path: str) -> Response:
    """A file, whole or in part, with all the headers clients cache it by."""
    repo = call.hub.repos.readable(kind, ns, name, call.user)
    call.hub.repos.check_content_access(repo, call.user)
    commit = call.hub.history.resolve(repo, rev)
    node = call.hub.trees.find(commit.tree, path)
    if not isinstance(node, File):
        raise entry_not_found("Entry not found", commit=commit.oid)
    headers = _file_headers(call, repo, commit, path, node)
    if node.xet and _XET_INFO in call.request.headers.get("accept", ""):
        return _xet_info(call, node, headers)
    etag = headers["ETag"]
    if _matches(call.request.headers.get("if-none-match"), etag):
        return Response(status_code=304, headers=headers)
    expected = call.request.headers.get("if-match")
    if expected is not None and not _matches(expected, etag):
        raise ApiError(412, "The file is another one by now.")
    if_range = call.request.headers.get("if-range")
    wanted = call.request.headers.get("range") if if_range is None or if_range == etag else None
    start, stop, partial = _range(wanted, node.size)
    if start >= stop and partial:
        raise ApiError(416, "Requested range not satisfiable", headers={"Content-Range": f"bytes */{node.size}"})
    if partial:
        headers["Content-Range"] = f"bytes {start}-{stop - 1}/{node.size}"
    headers["Content-Length"] = str(stop - start)
    status = 206 if partial else 200
    if call.request.method == "HEAD":
        return Response(status_code=status, headers=headers)
    try:
        content = call.hub.content.read(node.sha256, start, stop)
    except KeyError:  # removed for good, without rewriting the history
        raise entry_not_found("The content of this file was deleted", commit=commit.oid) from None
    return _stream(content, status, headers)


def _xet_info(call: Call, file: File, headers: dict[str, str]) -> Response:
    """Where to get a file's chunks, for a client that asks for this in place of the file."""
    where = f"{store_url(call)}/v1/reconstructions/{file.xet}"
    refresh = headers["Link"].partition(">")[0].removeprefix("<")
    body = {
        "hash": file.xet,
        "refreshUrl": refresh,
        "reconstructionUrl": where,
        "etag": headers["ETag"],
        "size": file.size,
    }
    kept = {name: headers[name] for name in ("X-Repo-Commit", "ETag", "X-Linked-ETag", "X-Linked-Size", "X-Xet-Hash")}
    link = f'{headers["Link"]}, <{where}>; rel="xet-reconstruction-info"'
    return JSONResponse(body, headers={**kept, "Link": link, "Content-Type": _XET_INFO, "Vary": "Accept"})


def _stream(content: Iterator[bytes], status: int, headers: dict[str, str]) -> Response:
    return StreamingResponse(content, status_code=status, headers=headers)


def no_namespace(call: Call, **_: str) -> Response:
    """Refuse ids without a namespace."""
    raise repo_not_found(authenticated=call.user is not None)


def _file_headers(call: Call, repo: Repo, commit: Commit, path: str, file: File) -> dict[str, str]:
    name = path.rsplit("/", 1)[-1]
    headers = {
        "X-Repo-Commit": commit.oid,
        "ETag": f'"{file.etag}"',
        "Accept-Ranges": "bytes",
        "Content-Type": _content_type(name, image=call.request.headers.get("sec-fetch-dest") == "image"),
        "Content-Disposition": f"inline; filename*=UTF-8''{quote(name)}",
        "Content-Security-Policy": "default-src 'none'; sandbox",  # an uploaded page stays a document
        "Last-Modified": formatdate(commit.created_at, usegmt=True),
    }
    if name.lower().endswith(".svg"):
        headers["Vary"] = "Sec-Fetch-Dest"
    if file.lfs:
        headers |= {"X-Linked-ETag": f'"{file.etag}"', "X-Linked-Size": str(file.size)}
    if file.xet:
        where = f"{call.base}/api/{repo.type}s/{repo.full_name}/xet-read-token/{commit.oid}"
        headers |= {"X-Xet-Hash": file.xet, "Link": f'<{where}>; rel="xet-auth"'}
    return headers


def _content_type(name: str, *, image: bool = False) -> str:
    lower = name.lower()
    if image and lower.endswith(".svg"):
        return "image/svg+xml"  # scripts in it do not run in an image; opened by itself it is text
    if lower.endswith(_TEXT):
        return "text/plain; charset=utf-8"
    return next((kind for ending, kind in _IMAGES.items() if lower.endswith(ending)), "application/octet-stream")


def _matches(header: str | None, etag: str) -> bool:
    if header is None:
        return False
    return header.strip() == "*" or etag in (part.strip().removeprefix("W/") for part in header.split(","))


def _range(header: str | None, size: int) -> tuple[int, int, bool]:
    """``[start, stop)`` and whether it is a part; several ranges at once get the whole file, as RFC 9110 allows."""
    found = _RANGE.match(header.replace(" ", "")) if header else None
    if found is None or found.group(0) == "bytes=-":
        return 0, size, False
    first, last = found.groups()
    if not first:
        return max(0, size - int(last)), size, True
    start = int(first)
    stop = min(int(last) + 1, size) if last else size
    if last and int(last) < start:  # not a range at all
        return 0, size, False
    return start, stop, True


def _number(text: str | None, default: int) -> int:
    if text is None:
        return default
    if not text.isdecimal() or len(text) > 9:  # noqa: PLR2004  more digits than any tree has entries
        raise bad_request("Paging parameters must be non-negative integers")
    return int(text)
