"""How the official client behaves in our hands: it does not wait for ever, and says nothing unless it is asked to."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from solo_hub import connections

if TYPE_CHECKING:
    import httpx2

_CONNECT, _READ = 15.0, 120.0  # seconds; the client's own default is to wait for ever
_LEAST = connections.LeastSpeed(60_000, 60.0)  # 1 kB/s; what is slower is dropped, and begun again by the client


@contextlib.contextmanager
def progress_bars(shown: bool) -> Iterator[None]:  # noqa: FBT001
    """Keep the client's progress bars off stderr unless they are wanted; the library is silent by default."""
    from huggingface_hub.utils.tqdm import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    if shown or are_progress_bars_disabled():
        yield
        return
    disable_progress_bars()
    try:
        yield
    finally:
        enable_progress_bars()


def limit_waiting() -> None:
    """Give the client's shared connection time limits and a least speed, unless the program has its own client."""
    from huggingface_hub.utils import _http

    if _http._GLOBAL_CLIENT_FACTORY is not _http.default_client_factory:  # noqa: SLF001 - there is no public getter
        return

    def limit(request: httpx2.Request) -> None:
        # Some calls of the client ask in so many words for no limit, so a default of the connection would not do.
        asked = request.extensions.get("timeout") or {}
        request.extensions["timeout"] = {
            kind: asked.get(kind) or default
            for kind, default in (("connect", _CONNECT), ("read", _READ), ("write", _READ), ("pool", _READ))
        }

    def client() -> httpx2.Client:
        made = _http.default_client_factory()
        made.event_hooks = {**made.event_hooks, "request": [*made.event_hooks["request"], limit]}
        connections.watch(made, least=_LEAST)
        return made

    _http.set_client_factory(client)
