"""Folders of solo-hub: its package, its data on this machine, and its cache."""

from __future__ import annotations

import os
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]
"""Folder of the package `solo_hub`."""


def home() -> Path:
    """Data folder of solo-hub (all but the runs): `SOLO_HUB_HOME`, by default `~/.local/share/solo-hub`."""
    return Path(os.environ.get("SOLO_HUB_HOME") or "~/.local/share/solo-hub").expanduser()


def cache_folder() -> Path:
    """Cache of the embedded Hub; not `~/.cache/huggingface`, where the same repo id may have other content."""
    return home() / "cache" / "hub"
