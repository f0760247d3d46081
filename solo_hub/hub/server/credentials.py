"""The client's side of a token: where this user's programs keep the token of an embedded Hub.

The server stores only digests, so a program that finds a running server needs its token from somewhere else. It lies
in one file readable by its owner only, outside every root: ``$SOLO_HUB_HOME/credentials.json``, or
``~/.config/solo-hub/credentials.json`` without that variable. Deleting it costs nothing but a new token.
"""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

logger = logging.getLogger(__name__)

LOCK_SECONDS = 10.0


def default_root() -> Path:
    """The root of the embedded Hub when none is named."""
    home = os.environ.get("SOLO_HUB_HOME")
    return (Path(home).expanduser() if home else Path.home() / ".local" / "share" / "solo-hub") / "hub"


def file_path() -> Path:
    """Where tokens are kept."""
    if home := os.environ.get("SOLO_HUB_HOME"):
        return Path(home).expanduser() / "credentials.json"
    config = os.environ.get("XDG_CONFIG_HOME")
    return (Path(config) if config else Path.home() / ".config") / "solo-hub" / "credentials.json"


def load_token(root_id: str, user: str) -> str | None:
    """The token kept for a user of a root, or None."""
    entry = _load().get(root_id)
    token = entry.get("tokens", {}).get(user) if isinstance(entry, dict) else None
    return token if isinstance(token, str) else None


def store_token(root_id: str, root: Path, user: str, token: str) -> bool:
    """Keep a token; False when there is no place to write to, which only means a new token next time."""
    path = file_path()
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with FileLock(f"{path}.lock", timeout=LOCK_SECONDS):
            # Roots that are gone take their tokens along, or test runs would fill the file.
            kept = {key: entry for key, entry in _load().items() if Path(str(entry.get("root"))).exists()}
            entry = kept.setdefault(root_id, {"root": str(root), "tokens": {}})
            entry["root"] = str(root)
            entry["tokens"][user] = token
            temporary = path.with_name(f"{path.name}.{os.getpid()}")
            handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                json.dump(kept, file, indent=1)
            temporary.replace(path)
    except (OSError, Timeout) as error:
        logger.warning("The token cannot be kept for later: %s", error)
        return False
    return True


def _load() -> dict[str, dict[str, Any]]:
    try:
        data = json.loads(file_path().read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    if not isinstance(data, dict):
        return {}
    return {
        key: entry for key, entry in data.items() if isinstance(entry, dict) and isinstance(entry.get("tokens"), dict)
    }
