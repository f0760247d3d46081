"""Commits as clients send them: newline-delimited JSON, applied whole or not at all."""

from __future__ import annotations

import binascii
import hashlib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, BinaryIO

from solo_hub.hub.server import limits, names
from solo_hub.hub.server.errors import ApiError, bad_request, too_large
from solo_hub.hub.server.gitobjects import blob_oid
from solo_hub.hub.server.repos import may_see
from solo_hub.hub.server.trees import File, TreeEdit, lfs_file

if TYPE_CHECKING:
    from collections.abc import Iterator

    from solo_hub.hub.server.accounts import User
    from solo_hub.hub.server.core import Hub
    from solo_hub.hub.server.history import Commit, Ref
    from solo_hub.hub.server.repos import Repo

PENDING_BYTES = 8 * limits.MEBI  # small contents held back for the commit's own transaction


@dataclass(slots=True)
class Put:
    """Add or replace a regular file; its content is stored already, or waits in `Request.pending`."""

    path: str
    file: File


@dataclass(slots=True)
class PutLfs:
    """Add or replace an LFS file that was uploaded before."""

    path: str
    sha256: str
    size: int | None


@dataclass(slots=True)
class DeleteFile:
    """Remove a file."""

    path: str


@dataclass(slots=True)
class DeleteFolder:
    """Remove a folder with all it holds."""

    path: str


Operation = Put | PutLfs | DeleteFile | DeleteFolder


@dataclass(slots=True)
class Request:
    """A commit request, parsed.

    Attributes:
        title: First line of the commit message.
        message: The rest.
        parent: Commit the client believes to be the newest, or None.
        operations: What to change, in order.
        pending: Small contents to store with the commit.
    """

    title: str
    message: str
    parent: str | None
    operations: list[Operation] = field(default_factory=list)
    pending: list[bytes] = field(default_factory=list)


def parse(hub: Hub, body: BinaryIO) -> Request:
    """Read a request line by line; contents that are not small are stored on the way.

    Raises:
        ApiError: 400 or 413, naming the line.
    """
    request: Request | None = None
    held = 0
    for number, item in _lines(body):
        key, value = item.get("key"), item.get("value")
        if not isinstance(key, str) or not isinstance(value, dict):
            raise bad_request(f"Line {number}: an object with 'key' and 'value' expected.")
        if request is None:
            if key != "header":
                raise bad_request("The first line must be the header.")
            request = _header(value)
            continue
        if len(request.operations) >= limits.MAX_COMMIT_OPERATIONS:
            raise too_large(f"At most {limits.MAX_COMMIT_OPERATIONS} operations in a commit.")
        try:
            operation, data = _operation(hub, key, value)
        except ApiError as error:
            raise ApiError(error.status, f"Line {number}: {error.message}", code=error.code) from None
        request.operations.append(operation)
        if data is not None:
            request.pending.append(data)
            held += len(data)
            if held >= PENDING_BYTES:
                _store_pending(hub, request)
                held = 0
    if request is None:
        raise bad_request("The header is missing.")
    return request


def apply(hub: Hub, repo: Repo, request: Request, user: User, *, ref: Ref | None, base: Commit) -> Commit:
    """Make the commit on top of ``base`` and move ``ref`` to it, in one transaction.

    Args:
        hub: The Hub.
        repo: Repo to change.
        request: What to do.
        user: Who does it.
        ref: Branch or pull request to move; None when the caller makes a new ref in the same transaction.
        base: Commit to build on when there is no ref.

    Raises:
        ApiError: 412 when the ref is not where the client believes it to be, 404 for a deletion of nothing, 400 for
            an LFS file that was not uploaded.
    """
    with hub.db.write() as connection:
        if ref is not None:
            base = _head(hub, repo, ref)
        if request.parent is not None and request.parent != base.oid:
            raise ApiError(412, "The branch was updated since you opened this page. Please refresh and try again.")
        for data in request.pending:
            hub.content.add_small(connection, data)
        edit = TreeEdit(hub.trees, base.tree)
        for operation in request.operations:
            _edit(hub, repo, edit, operation, user)
        commit = hub.history.add_commit(
            connection, repo, parent=base.oid, root=edit.store(), title=request.title, message=request.message,
            author=user.name,
        )  # fmt: skip
        if ref is not None:
            hub.history.point(connection, repo, ref.kind, ref.name, commit.oid)
    return commit


def _head(hub: Hub, repo: Repo, ref: Ref) -> Commit:
    """Where a ref points now that nobody else can move it."""
    current = hub.history.ref(repo, ref.kind, ref.name)
    head = hub.history.commit(repo, current.oid) if current else None
    if head is None:
        raise ApiError(409, "The branch was deleted in the meantime.")
    return head


def _edit(hub: Hub, repo: Repo, edit: TreeEdit, operation: Operation, user: User) -> None:
    if isinstance(operation, DeleteFile):
        edit.delete_file(operation.path)
        return
    if isinstance(operation, DeleteFolder):
        edit.delete_folder(operation.path)
        return
    if isinstance(operation, Put):
        file = operation.file
        if hub.content.find(file.sha256) is None:
            raise ApiError(409, "A content was removed while it was being committed; send it again.")
    else:
        file = _uploaded(hub, repo, operation, user)
    edit.put(operation.path, file)
    with hub.db.write() as connection:
        hub.content.link(connection, repo.id, file.sha256)


def _uploaded(hub: Hub, repo: Repo, operation: PutLfs, user: User) -> File:
    """The entry of an LFS object, if it is here and the user may have it."""
    blob = hub.content.find(operation.sha256)
    if blob is None or not (hub.content.in_repo(repo.id, blob.sha256) or _sees_elsewhere(hub, blob.sha256, user)):
        raise bad_request(
            f"Your push was rejected because an LFS pointer pointed to a file that does not exist: {operation.sha256}"
        )
    if operation.size is not None and operation.size != blob.size:
        raise bad_request(f"The LFS file at '{operation.path}' does not have the size it was sent with.")
    return lfs_file(blob.sha256, blob.size, blob.xet_hash)


def _sees_elsewhere(hub: Hub, sha256: str, user: User) -> bool:
    """Whether the user could download the blob from another repo, which a copy across repos relies on."""
    for row in hub.db.all("SELECT repo_id FROM repo_blobs WHERE sha256 = ? LIMIT 200", (sha256,)):
        other = hub.repos.by_id(row["repo_id"])
        if other is None or not may_see(other, user):
            continue
        try:
            hub.repos.check_content_access(other, user)
        except ApiError:
            continue
        return True
    return False


def _lines(body: BinaryIO) -> Iterator[tuple[int, dict[str, Any]]]:
    number = 0
    while line := body.readline(limits.MAX_COMMIT_LINE + 1):
        number += 1
        if len(line) > limits.MAX_COMMIT_LINE:
            raise too_large(f"Line {number} is longer than {limits.MAX_COMMIT_LINE} bytes.")
        if not line.strip():
            continue
        try:
            item = json.loads(line)
        except (ValueError, RecursionError):
            raise bad_request(f"Line {number} is not valid JSON.") from None
        if not isinstance(item, dict):
            raise bad_request(f"Line {number}: an object expected.")
        yield number, item


def _header(value: dict[str, Any]) -> Request:
    title, message, parent = value.get("summary"), value.get("description") or "", value.get("parentCommit")
    if not isinstance(title, str) or not title.strip():
        raise bad_request('"header.summary" must be a non-empty string')
    if not isinstance(message, str):
        raise bad_request('"header.description" must be a string')
    if len(title) > limits.MAX_TITLE or len(message) > limits.MAX_MESSAGE:
        raise too_large("The commit message is too long.")
    if parent is not None and not (isinstance(parent, str) and names.is_oid(parent)):
        raise bad_request('"header.parentCommit" must be a full commit id')
    return Request(clean(title), clean(message), parent)


def _operation(hub: Hub, key: str, value: dict[str, Any]) -> tuple[Operation, bytes | None]:
    path = value.get("path")
    if key == "deletedFolder" and isinstance(path, str):
        path = path.rstrip("/")
    path = names.check_path(path)
    if key == "file":
        data = content_of(value)
        oid = blob_oid(data)
        if len(data) <= limits.SMALL_BLOB:
            return Put(path, File(oid, hashlib.sha256(data).hexdigest(), len(data), lfs=False, xet=None)), data
        return Put(path, File(oid, hub.content.add_large(data), len(data), lfs=False, xet=None)), None
    if key == "lfsFile":
        if value.get("algo", "sha256") != "sha256":
            raise bad_request('"algo" must be "sha256"')
        size = value.get("size")
        oid = names.check_sha256(value.get("oid"))
        return PutLfs(path, oid, None if size is None else names.check_size(size)), None
    if key == "deletedFile":
        return DeleteFile(path), None
    if key == "deletedFolder":
        return DeleteFolder(path), None
    raise bad_request(f"Unknown operation '{key[:40]}'.")


def content_of(value: dict[str, Any]) -> bytes:
    """The bytes of a file that is sent inside a JSON object.

    Raises:
        ApiError: 400 when they cannot be decoded.
    """
    content, encoding = value.get("content"), value.get("encoding", "utf-8")
    if not isinstance(content, str):
        raise bad_request('"content" must be a string')
    try:
        if encoding == "base64":
            return binascii.a2b_base64(content, strict_mode=True)
        if encoding in ("utf-8", "utf8"):
            return content.encode()
    except ValueError:  # also a lone surrogate
        raise bad_request('"content" is not valid for its encoding') from None
    raise bad_request('"encoding" must be "base64" or "utf-8"')


def _store_pending(hub: Hub, request: Request) -> None:
    with hub.db.write() as connection:
        for data in request.pending:
            hub.content.add_small(connection, data)
    request.pending.clear()


def clean(text: str) -> str:
    """A text without what SQLite and JSON cannot carry: lone surrogates and NUL."""
    return text.replace("\0", "").encode("utf-8", "replace").decode()
