"""Verifies the files in the Hub cache, which are named by the hash of their content.

huggingface_hub compares sizes only, so a file corrupted in transfer (an unreadable configuration, wrong weights) would
stay in the cache forever. Small files are named by their git blob hash, large ones by their SHA-256, whether they came
by plain HTTP or by Xet, which verifies chunks in transit but not the file on disk.

Reading gigabytes takes seconds, so a large file is verified once per download: a note in the repo's cache folder
records verified files, and is valid as long as size and modification time do not change. Small files are verified once
per process.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from solo_hub.hub import tables

NOTES = ".solo-hub-whole"  # next to `blobs`: removed with the repo
_GIT = re.compile(r"[0-9a-f]{40}")  # SHA-1 of a git blob
_LARGE = re.compile(r"[0-9a-f]{64}")  # SHA-256 of the content
_AT_ONCE = 4  # files read in parallel; hashing releases the GIL

_whole: set[tuple[Path, str]] = set()  # files verified by this process


def remove_corrupted(
    folder: Path, allow: Sequence[str] | None = None, ignore: Sequence[str] | None = None
) -> list[Path]:
    """Remove files from the cache whose hash differs from their name, so that they are downloaded again.

    Args:
        folder: A snapshot in the cache. Without symbolic links the cache has no hashes, and nothing is verified.
        allow: Patterns of the files to verify, as for a download; all by default.
        ignore: Patterns of files to skip.

    Returns:
        The removed files, as paths in the snapshot.

    Raises:
        OSError: A file cannot be read or removed.
    """
    from huggingface_hub.utils import filter_repo_objects  # type: ignore[attr-defined]  # documented there, all the same

    files = filter_repo_objects(
        (file for file in sorted(folder.rglob("*")) if file.is_symlink()),
        allow_patterns=None if allow is None else list(allow),
        ignore_patterns=None if ignore is None else list(ignore),
        key=lambda file: file.relative_to(folder).as_posix(),
    )
    # Follow one link only: blobs shared between repos are behind a second link, named by Xet's hash.
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
        if (tables.sha256_of(blob) if large else tables.git_hash_of(blob)) != blob.name:
            return False
        if large:
            _write(note, state)
    _whole.add((blob, state))
    return True


def _read(note: Path) -> str | None:
    try:
        return note.read_text("ascii")
    except (OSError, ValueError):
        return None  # no readable note: verify the file


def _write(note: Path, state: str) -> None:
    # A read-only cache keeps no notes: the next process verifies the file again.
    with contextlib.suppress(OSError):
        note.parent.mkdir(exist_ok=True)
        own = note.with_name(f"{note.name}.{os.getpid()}")
        own.write_text(state, "ascii")
        own.replace(note)
