"""Folders of solo-hub: its package, its data on this machine, and its cache."""

from __future__ import annotations

import os
from pathlib import Path

from solo_hub.core.errors import RunError

PACKAGE = Path(__file__).resolve().parents[1]
"""Folder of the package `solo_hub`."""


def shipped(folder: str) -> Path:
    """A folder that people edit, `cards` or `spaces`: beside the package in a source tree, inside it when installed.

    Raises:
        RunError: It is in neither place: the installation is damaged.
    """
    for path in (PACKAGE / f"_{folder}", PACKAGE.parent / folder):
        if path.is_dir():
            return path
    raise RunError(f"The folder '{folder}' is missing from this installation.", hint="Install solo-hub again.")


def home() -> Path:
    """Data folder of solo-hub (all but the runs): `SOLO_HUB_HOME`, by default `~/.local/share/solo-hub`."""
    return Path(os.environ.get("SOLO_HUB_HOME") or "~/.local/share/solo-hub").expanduser()


def cache_folder() -> Path:
    """Cache of the embedded Hub; not `~/.cache/huggingface`, where the same repo id may have other content."""
    return home() / "cache" / "hub"


def expanded(reference: str) -> Path:
    """A path as a user writes it, `~` expanded where there is such a user.

    >>> expanded("~nosuchuser/docs")
    PosixPath('~nosuchuser/docs')
    """
    path = Path(reference)
    try:
        return path.expanduser()
    except RuntimeError:  # no such user: then there is no such file
        return path
