"""The files of a published repo with their hashes, as listed in `provenance.json` and checked by `verify`."""

from __future__ import annotations

from pathlib import Path

from solo_hub.hub import tables

OVERLOOKED = frozenset({".gitattributes", "provenance.json"})
"""Created by the Hub, and the list itself."""
FOLDERS_OVERLOOKED = frozenset({".cache", ".git"})  # left by download tools


def hashes(folder: Path) -> dict[str, str]:
    """SHA-256 of every file by its path in the folder, in the order of the paths."""
    digests = {}
    for path in sorted(folder.rglob("*")):
        relative = path.relative_to(folder)
        if path.is_file() and relative.parts[0] not in FOLDERS_OVERLOOKED and relative.as_posix() not in OVERLOOKED:
            digests[relative.as_posix()] = tables.sha256_of(path)
    return digests


def differences(folder: Path, listed: dict[str, str]) -> list[str]:
    """Differences from the list, each as a phrase; empty if there are none."""
    found = hashes(folder)
    missing = [f"{name} is missing" for name in sorted(listed.keys() - found.keys())]
    changed = [f"{name} was changed" for name in sorted(listed.keys() & found.keys()) if listed[name] != found[name]]
    added = [f"{name} was added" for name in sorted(found.keys() - listed.keys())]
    return missing + changed + added
