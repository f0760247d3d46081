"""Pages for people (to come)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from solo_hub.hub.embedded.http import Router


def add_routes(router: Router) -> None:
    """Register the routes of this module."""
