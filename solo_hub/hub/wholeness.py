"""Whether small files in the client's cache are what the Hub has: the cache names them by the hash of their content.

The client compares lengths only, and a body that was changed on its way keeps its length: a configuration that nothing
can read would stay in the cache for good. Large files are known there by Xet's hash, which the client has looked at, or
by the server's word alone.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

_GIT = 40  # hexadecimal digits of the SHA-1 of a git blob


def discard_damaged(folder: Path) -> list[Path]:
    """Remove from the cache what is not what its name says, so that it is downloaded again.

    Args:
        folder: A snapshot in the cache. Where the system has no links, the cache keeps no hashes, and nothing is found.

    Returns:
        What was removed, as paths in the snapshot.
    """
    broken = [file for file in sorted(folder.rglob("*")) if file.is_symlink() and not _is_whole(file.resolve())]
    for file in broken:
        file.resolve().unlink(missing_ok=True)
        file.unlink(missing_ok=True)
    return broken


def _is_whole(blob: Path) -> bool:
    if len(blob.name) != _GIT or not blob.is_file():
        return True
    data = blob.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest() == blob.name
