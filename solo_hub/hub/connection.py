"""How to reach a Hub: address, token, cache."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from solo_hub.hub.client import HubClient

LOCAL = "local"

REAL = "https://huggingface.co"


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

    def client(self, *, progress: bool = False) -> HubClient:
        """The client of this Hub."""
        return HubClient(self.endpoint, self.token, self.cache, progress=progress)
