"""Which files a published repo holds, each with its hash: what `provenance.json` lists and `verify` looks up."""

from __future__ import annotations

import hashlib
from pathlib import Path

OVERLOOKED = frozenset({".gitattributes", "provenance.json"})
"""Made by the Hub itself, and the list's own file."""
FOLDERS_OVERLOOKED = frozenset({".cache", ".git"})  # left by download tools


def hashes(folder: Path) -> dict[str, str]:
    """SHA-256 of every file by its path in the folder, in the order of the paths."""
    found = {}
    for path in sorted(folder.rglob("*")):
        relative = path.relative_to(folder)
        if path.is_file() and relative.parts[0] not in FOLDERS_OVERLOOKED and relative.as_posix() not in OVERLOOKED:
            with path.open("rb") as file:
                found[relative.as_posix()] = hashlib.file_digest(file, "sha256").hexdigest()
    return found


def differences(folder: Path, listed: dict[str, str]) -> list[str]:
    """What is not as listed, each as a phrase; empty where all is."""
    found = hashes(folder)
    missing = [f"{name} is missing" for name in sorted(listed.keys() - found.keys())]
    changed = [f"{name} was changed" for name in sorted(listed.keys() & found.keys()) if listed[name] != found[name]]
    added = [f"{name} was added" for name in sorted(found.keys() - listed.keys())]
    return missing + changed + added
