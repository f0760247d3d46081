"""solo-hub as a folder, and its pinned dependencies, for jobs and Spaces."""

from __future__ import annotations

import re
import shutil
from importlib import metadata
from pathlib import Path

from solo_hub.core.errors import RunError
from solo_hub.core.paths import PACKAGE


def pins(needed: str) -> list[str]:
    """solo-hub's dependencies at the installed versions, except those already pinned."""
    present = {_name(line) for line in needed.splitlines() if line and not line.startswith("#")}
    pinned = []
    for line in metadata.requires("solo-hub") or ():
        name = _name(line)
        if "extra ==" not in line and name not in present:
            pinned.append(pin(name))
    return sorted(pinned)


def pin(name: str) -> str:
    """A package at the installed version; unpinned if it is not installed."""
    try:
        return f"{name}=={metadata.version(name).partition('+')[0]}"
    except metadata.PackageNotFoundError:  # published from a machine that does not run the model
        return name


def _name(requirement: str) -> str:
    match = re.match(r"[A-Za-z0-9._-]+", requirement)
    return re.sub(r"[-_.]+", "-", match[0]).lower() if match else ""


def copy_package(folder: Path) -> None:
    """Copy solo-hub to a folder, laid out like an installed package."""
    skipped = shutil.ignore_patterns("__pycache__", "*.pyc", "_spaces", ".*")
    shutil.copytree(PACKAGE, folder / "solo_hub", ignore=skipped)
    if not (folder / "solo_hub" / "_cards").is_dir():
        shutil.copytree(PACKAGE.parent / "cards", folder / "solo_hub" / "_cards")
    installed = metadata.distribution("solo-hub")
    information = folder / f"solo_hub-{installed.version}.dist-info"
    information.mkdir()
    for name in ("METADATA", "entry_points.txt"):
        content = installed.read_text(name)
        if content is None:
            raise RunError(f"The installation of solo-hub has no {name}.", hint="Reinstall solo-hub.")
        (information / name).write_text(content, "utf-8")
