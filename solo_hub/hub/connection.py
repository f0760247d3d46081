"""How to reach a Hub: URL, token, cache."""

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
        endpoint: URL, or None for huggingface_hub's default.
        token: Access token; None for the user's stored token, empty for anonymous access.
        cache: Download cache, or None for huggingface_hub's default.
    """

    endpoint: str | None
    token: str | None
    cache: Path | None

    def __repr__(self) -> str:
        """Omit the token: connections end up in logs and tracebacks."""
        return f"Connection(endpoint={self.endpoint!r}, token={'***' if self.token else None}, cache={self.cache!r})"

    def client(self, *, progress: bool = False) -> HubClient:
        """The client of this Hub."""
        return HubClient(self.endpoint, self.token, self.cache, progress=progress)
