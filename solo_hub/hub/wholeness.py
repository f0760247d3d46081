"""Whether the files in the client's cache are what the Hub has: the cache names each by the hash of its content.

The client compares lengths only, and a body that was changed on its way keeps its length: a configuration that nothing
can read, or weights that are others, would stay in the cache for good. Small files are named by the hash that git gives
them, large ones by their SHA-256, whether they came by plain HTTP or by Xet, which looks at its chunks as they come and
not at the file on the disk.

Reading gigabytes takes seconds, so a large file is read once a download: a note in the repo's folder of the cache says
which file was found whole, and stands for as long as the file keeps its length and its time. Small files are read once
a process.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

NOTES = ".solo-hub-whole"  # beside `blobs`: goes when the repo is removed from the cache
_GIT = re.compile(r"[0-9a-f]{40}")  # SHA-1 of a git blob
_LARGE = re.compile(r"[0-9a-f]{64}")  # SHA-256 of the content
_AT_ONCE = 4  # files that are read at the same time; hashing leaves the interpreter free

_whole: set[tuple[Path, str]] = set()  # what this process has found whole


def remove_corrupted(
    folder: Path, allow: Sequence[str] | None = None, ignore: Sequence[str] | None = None
) -> list[Path]:
    """Remove from the cache what is not what its name says, so that it is downloaded again.

    Args:
        folder: A snapshot in the cache. Where the system has no links, the cache keeps no hashes, and nothing is found.
        allow: Patterns of the files to look at, as those of a download; all by default.
        ignore: Patterns of files to leave alone.

    Returns:
        What was removed, as paths in the snapshot.

    Raises:
        OSError: A file can be neither read nor removed.
    """
    from huggingface_hub.utils import filter_repo_objects  # type: ignore[attr-defined]  # documented there, all the same

    files = filter_repo_objects(
        (file for file in sorted(folder.rglob("*")) if file.is_symlink()),
        allow_patterns=None if allow is None else list(allow),
        ignore_patterns=None if ignore is None else list(ignore),
        key=lambda file: file.relative_to(folder).as_posix(),
    )
    # One step of the link only: what the cache's repos share lies behind another link, named by Xet's hash.
    blobs = {file: Path(os.path.normpath(file.parent / file.readlink())) for file in files}
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        verdicts = dict(zip(blobs, pool.map(_is_whole, blobs.values()), strict=True))
    broken = [file for file, whole in verdicts.items() if not whole]
    for file in broken:
        for path in (blobs[file].resolve(), blobs[file], file):
            path.unlink(missing_ok=True)
    return broken


def _is_whole(blob: Path) -> bool:
    large = _LARGE.fullmatch(blob.name) is not None
    if not blob.is_file() or not (large or _GIT.fullmatch(blob.name)):
        return True
    seen = blob.stat()
    state = f"{seen.st_size} {seen.st_mtime_ns}"
    if (blob, state) in _whole:
        return True
    note = blob.parent.parent / NOTES / blob.name
    if not (large and _read(note) == state):
        if (_sha256(blob) if large else _git_sha1(blob)) != blob.name:
            return False
        if large:
            _write(note, state)
    _whole.add((blob, state))
    return True


def _sha256(blob: Path) -> str:
    with blob.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _git_sha1(blob: Path) -> str:
    data = blob.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


def _read(note: Path) -> str | None:
    try:
        return note.read_text("ascii")
    except (OSError, ValueError):
        return None  # no note that can be read: the file is read instead


def _write(note: Path, state: str) -> None:
    # A cache that may only be read keeps no notes: the next process reads the file once more.
    with contextlib.suppress(OSError):
        note.parent.mkdir(exist_ok=True)
        own = note.with_name(f"{note.name}.{os.getpid()}")
        own.write_text(state, "ascii")
        own.replace(note)
