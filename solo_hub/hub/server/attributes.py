"""Which files go to LFS: the patterns of ``.gitattributes``, size, and whether the content is text."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from solo_hub.hub.server.repos import RepoType

LFS_FROM = 10 * 1024 * 1024  # bytes; larger files go to LFS whatever their name
_MAX_PATTERNS = 1000

_COMMON = (
    "7z", "arrow", "bin", "bz2", "ckpt", "ftz", "gz", "h5", "joblib", "lfs.*", "mlmodel", "model", "msgpack", "npy",
    "npz", "onnx", "ot", "parquet", "pb", "pickle", "pkl", "pt", "pth", "rar", "safetensors",
)  # fmt: skip
_TAIL = ("tar.*", "tar", "tflite", "tgz", "wasm", "xz", "zip", "zst")
_DATASET_EXTRA = (
    "pcm", "sam", "raw", "aac", "flac", "mp3", "ogg", "wav", "bmp", "gif", "png", "tiff", "jpg", "jpeg", "webp", "mp4",
    "webm", "lz4", "mds",
)  # fmt: skip


def initial(repo_type: RepoType) -> str:
    """The ``.gitattributes`` every new repo starts with."""
    patterns = [f"*.{ending}" for ending in _COMMON] + ["saved_model/**/*"]
    patterns += [f"*.{ending}" for ending in _TAIL] + ["*tfevents*"]
    if repo_type == "dataset":
        patterns += [f"*.{ending}" for ending in _DATASET_EXTRA]
    return "".join(f"{pattern} filter=lfs diff=lfs merge=lfs -text\n" for pattern in patterns)


def lfs_patterns(text: str) -> tuple[tuple[str, bool], ...]:
    """Patterns of a ``.gitattributes`` with whether they turn LFS on or off, in order."""
    found = []
    for line in text.splitlines()[:_MAX_PATTERNS]:
        pattern, *settings = line.split()[:32] or [""]
        if not pattern or pattern.startswith("#"):
            continue
        if "filter=lfs" in settings:
            found.append((pattern, True))
        elif "-filter" in settings or "!filter" in settings:
            found.append((pattern, False))
    return tuple(found)


def goes_to_lfs(path: str, size: int, sample: bytes, patterns: Iterable[tuple[str, bool]]) -> bool:
    """Whether a file is kept as an LFS object."""
    if size > LFS_FROM:
        return True
    decided = False
    for pattern, turn_on in patterns:  # the last match counts, as in git
        if _matches(pattern, path):
            decided = turn_on
    return decided or not _is_text(sample)


def _is_text(sample: bytes) -> bool:
    if b"\0" in sample:
        return False
    try:
        sample.decode()
    except UnicodeDecodeError as error:
        return error.start >= len(sample) - 3  # the sample may end inside a character
    return True


def _matches(pattern: str, path: str) -> bool:
    """Whether a git pattern matches a path; the time is bounded by the product of their lengths."""
    if "/" not in pattern:
        return fnmatchcase(path.rsplit("/", 1)[-1], pattern)
    parts = path.split("/")
    reached = {0}  # how many parts of the path the pattern's parts so far can have used up
    for part in pattern.strip("/").split("/"):
        if part == "**":
            reached = set(range(min(reached), len(parts) + 1)) if reached else reached
        else:
            reached = {at + 1 for at in reached if at < len(parts) and fnmatchcase(parts[at], part)}
    return len(parts) in reached


def ignore_patterns(text: str) -> tuple[tuple[str, bool], ...]:
    """Patterns of a ``.gitignore`` with whether they ignore or take back, in order."""
    found = []
    for raw in text.splitlines()[:_MAX_PATTERNS]:
        line = raw.strip()
        if line and not line.startswith("#"):
            found.append((line.removeprefix("!"), not line.startswith("!")))
    return tuple(found)


def is_ignored(path: str, patterns: Iterable[tuple[str, bool]]) -> bool:
    """Whether a ``.gitignore`` covers a file, by itself or by one of its folders."""
    parts = path.split("/")
    above = ["/".join(parts[:depth]) for depth in range(1, len(parts) + 1)]
    ignored = False
    for pattern, ignore in patterns:
        candidates = above[:-1] if pattern.endswith("/") else above
        bare = pattern.rstrip("/")
        if any(_matches(bare, candidate) for candidate in candidates):
            ignored = ignore
    return ignored
