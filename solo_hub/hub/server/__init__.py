"""A Hub server of our own: a folder, a loopback port, and the official clients cannot tell it from the real one.

>>> from solo_hub.hub.server import EmbeddedHub
>>> with EmbeddedHub(root) as hub:  # doctest: +SKIP
...     api = HfApi(endpoint=hub.endpoint, token=hub.token)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from solo_hub.hub.server.processes import Handle, find_or_start
    from solo_hub.hub.server.server import EmbeddedHub

__all__ = ["EmbeddedHub", "Handle", "find_or_start"]


def __getattr__(name: str) -> Any:
    """Load the server only when it is asked for: its libraries are an optional extra."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        from solo_hub.hub.server import processes, server
    except ImportError as error:
        from solo_hub.core.errors import DependencyError

        raise DependencyError(error.name or "starlette", extra="hub", purpose="The embedded Hub") from error
    return {"EmbeddedHub": server.EmbeddedHub, "Handle": processes.Handle, "find_or_start": processes.find_or_start}[
        name
    ]
