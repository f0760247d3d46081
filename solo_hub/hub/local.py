"""Which Hub a command talks to: the embedded one, an address, or huggingface_hub's own."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from solo_hub.errors import DependencyError, UsageError
from solo_hub.hub.door import Door

LOCAL = "local"
_REAL = "https://huggingface.co"
_FREEZERS = ("huggingface_hub", "datasets")  # these read HF_ENDPOINT once, when they are imported


@dataclass(frozen=True, slots=True)
class Connection:
    """How to reach a Hub.

    Attributes:
        endpoint: Address, or None for huggingface_hub's own.
        token: Token, None for the user's stored one, empty for none at all.
        cache: Cache folder of downloads, or None for huggingface_hub's own.
    """

    endpoint: str | None
    token: str | None
    cache: Path | None

    def __repr__(self) -> str:
        """Leave the token out: a connection ends up in logs and tracebacks."""
        return f"Connection(endpoint={self.endpoint!r}, token={'***' if self.token else None}, cache={self.cache!r})"

    def door(self, *, progress: bool = False) -> Door:
        """The door to this Hub."""
        return Door(self.endpoint, self.token, self.cache, progress=progress)


def home() -> Path:
    """Where solo-hub keeps what is not a run: `SOLO_HUB_HOME`, by default `~/.local/share/solo-hub`."""
    return Path(os.environ.get("SOLO_HUB_HOME") or "~/.local/share/solo-hub").expanduser()


def cache_folder() -> Path:
    """Downloads from the embedded Hub, apart from `~/.cache/huggingface`: the same id may hold other bytes there."""
    return home() / "cache" / "hub"


def open_hub(
    spec: str | None, *, needs: Sequence[str] | None = None, note: Callable[[str], None] | None = None
) -> Connection:
    """Find the Hub that a command was told to use.

    Args:
        spec: `local` for the embedded Hub, which is started when it is not running; an address; None for
            huggingface_hub's own.
        needs: Repos (OWNER/NAME[@REVISION]) the command is going to pull: those of them that come with solo-hub are
            put on the embedded Hub when they are missing. All that come with installed packages when None.
        note: Called with a sentence when something takes a while.

    Raises:
        UsageError: `spec` is neither.
        DependencyError: The embedded Hub, or a package that carries a needed model, is not installed.
    """
    if spec is None:
        return Connection(None, None, None)
    if spec == LOCAL:
        return _open_embedded(needs, note)
    parts = urlsplit(spec)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise UsageError(
            f"'{spec}' is not a Hub.", hint="Give --hub local, or an address such as http://127.0.0.1:8000."
        )
    endpoint = spec.rstrip("/")
    if endpoint == _REAL:
        return Connection(endpoint, None, None)
    # The stored token belongs to the real Hub: no other address gets it. HF_TOKEN is set on purpose for this command.
    return Connection(endpoint, os.environ.get("HF_TOKEN", ""), cache_folder())


def _open_embedded(needs: Sequence[str] | None, note: Callable[[str], None] | None) -> Connection:
    try:
        from solo_hub.hub.embedded import find_or_start
    except ImportError as error:
        missing = (error.name or "starlette").split(".")[0]
        raise DependencyError(missing, extra="hub", purpose="The embedded Hub") from error
    from solo_hub.hub import seeding

    hub = find_or_start()
    connection = Connection(hub.endpoint, hub.token, cache_folder())
    seeding.seed_missing(connection, needs, note=note)
    return connection


def announce(connection: Connection) -> None:
    """Tell libraries and child processes about the Hub by HF_ENDPOINT and HF_TOKEN.

    huggingface_hub and datasets read HF_ENDPOINT once, when they are imported: call this before.

    Raises:
        RuntimeError: One of them has been imported already with another endpoint; a mistake of the caller.
    """
    if connection.endpoint is None:
        return
    frozen = [name for name in _FREEZERS if name in sys.modules]
    if frozen and os.environ.get("HF_ENDPOINT", _REAL).rstrip("/") != connection.endpoint:
        raise RuntimeError(f"{' and '.join(frozen)} was imported before the Hub was chosen")
    os.environ["HF_ENDPOINT"] = connection.endpoint
    if connection.token:
        os.environ["HF_TOKEN"] = connection.token
