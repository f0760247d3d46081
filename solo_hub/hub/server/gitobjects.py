"""Git object ids, computed as git does, so that an oid here is the oid the same content has anywhere.

Source: the object format of git, https://git-scm.com/book/en/v2/Git-Internals-Git-Objects, and the pointer format
of Git LFS, https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable


class _Hasher(Protocol):
    def update(self, data: bytes, /) -> None: ...
    def hexdigest(self) -> str: ...


def blob_hasher(size: int) -> _Hasher:
    """A hasher that gives the blob id of ``size`` bytes fed to it."""
    return hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)


def blob_oid(data: bytes) -> str:
    """The id of a file with this content."""
    hasher = blob_hasher(len(data))
    hasher.update(data)
    return hasher.hexdigest()


def pointer(sha256: str, size: int) -> bytes:
    """The pointer file git keeps in place of an LFS object."""
    return f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size}\n".encode()


def tree_oid(entries: Iterable[tuple[str, bool, str]]) -> str:
    """The id of a directory of ``(name, is a directory, oid)``."""
    # Git orders a directory as if its name ended in a slash.
    ordered = sorted(entries, key=lambda entry: (entry[0] + "/" if entry[1] else entry[0]).encode())
    body = b"".join(
        (b"40000 " if is_dir else b"100644 ") + name.encode() + b"\0" + bytes.fromhex(oid)
        for name, is_dir, oid in ordered
    )
    return hashlib.sha1(b"tree %d\0" % len(body) + body, usedforsecurity=False).hexdigest()


def commit_oid(*, tree: str, parent: str | None, author: str, seconds: float, message: str) -> str:
    """The id of a commit by ``author`` at ``seconds`` since 1970, UTC."""
    # Sub-second digits go into the text that is hashed: two commits within one second must differ.
    who = f"{author} <{author}@users.noreply.solo-hub> {seconds:.6f} +0000"
    lines = [f"tree {tree}"]
    if parent:
        lines.append(f"parent {parent}")
    lines += [f"author {who}", f"committer {who}", "", message]
    body = "\n".join(lines).encode("utf-8", "replace")
    return hashlib.sha1(b"commit %d\0" % len(body) + body, usedforsecurity=False).hexdigest()
