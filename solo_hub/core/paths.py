"""Folders of solo-hub: its own package, what it keeps on this machine, and its cache."""

from __future__ import annotations

import os
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]
"""Folder of the package `solo_hub`."""


def home() -> Path:
    """Where solo-hub keeps what is not a run: `SOLO_HUB_HOME`, by default `~/.local/share/solo-hub`."""
    return Path(os.environ.get("SOLO_HUB_HOME") or "~/.local/share/solo-hub").expanduser()


def cache_folder() -> Path:
    """Downloads from the embedded Hub, apart from `~/.cache/huggingface`: the same id may hold other bytes there."""
    return home() / "cache" / "hub"
