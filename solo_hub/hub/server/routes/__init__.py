"""All routes of the embedded Hub, one module a topic."""

from __future__ import annotations

from solo_hub.hub.server.http import Router


def build() -> Router:
    """A router with every route; the order matters where patterns overlap: refusals first, pages last."""
    from solo_hub.hub.server.routes import (
        accounts,
        collections,
        commits,
        discussions,
        files,
        lfs,
        listing,
        pages,
        refs,
        repos,
        unsupported,
        xet,
    )

    router = Router()
    topics = (accounts, listing, collections, repos, commits, refs, discussions, files, lfs, xet, pages)
    for module in (unsupported, *topics):
        module.add_routes(router)
    return router
