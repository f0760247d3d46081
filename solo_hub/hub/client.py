"""How the official client behaves in our hands: it does not wait for ever, and says nothing unless it is asked to."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from solo_hub import connections
from solo_hub.errors import HubError
from solo_hub.untrusted import parse_json

if TYPE_CHECKING:
    import httpx2

_CONNECT, _READ = 15.0, 120.0  # seconds; the client's own default is to wait for ever
_LONGEST = 1 << 28  # bytes of an answer that is no file; a page of a list of files has a few hundred thousand
_NAME = re.compile(r"[A-Za-z0-9_-]{1,128}")
_STRANGE = "Do not pull from that Hub; check its address."
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


def check_answer(response: httpx2.Response) -> None:
    """Refuse an answer by which a Hub could write outside the cache, or fill the memory.

    The client names files of its cache by what the Hub tells: the ETag of a file, the hashes in a list of files.

    Raises:
        HubError: A name holds more than letters and digits, or a list has no end.
    """
    headers, path = response.headers, response.request.url.path
    if "x-repo-commit" in headers:
        etag = headers.get("x-linked-etag") or headers.get("etag") or ""
        _check_names([headers["x-repo-commit"], etag.removeprefix("W/").strip('"')], response)
    is_file = "/api/" not in path or "/resolve" in path or "event-stream" in headers.get("content-type", "")
    if is_file and not response.is_error:
        return
    try:
        response._content = connections.read_within(response, _LONGEST)  # noqa: SLF001 - what `response.read` does
    except connections.TooLongError as error:
        raise HubError(f"An answer of {_host(response)} is {error}.", hint=_STRANGE) from error
    if "/tree/" in path and response.is_success:
        with contextlib.suppress(ValueError, TypeError):  # what cannot be read is told by the client
            _check_names(_hashes(parse_json(response.content)), response)


def _hashes(listed: Any) -> Iterator[Any]:
    for entry in listed:
        if isinstance(entry, dict):
            large = entry.get("lfs")
            hashes = (entry.get("oid"), entry.get("xetHash"), large.get("oid") if isinstance(large, dict) else None)
            yield from (found for found in hashes if found is not None)


def _check_names(names: Iterable[Any], response: httpx2.Response) -> None:
    for name in names:
        if name and not (isinstance(name, str) and _NAME.fullmatch(name)):
            raise HubError(f"{_host(response)} names a file by what is no hash: {name!r:.60}.", hint=_STRANGE)


def _host(response: httpx2.Response) -> str:
    return f"{response.request.url.scheme}://{response.request.url.netloc.decode('ascii', 'replace')}"


def limit_waiting() -> None:
    """Give the client's shared connection limits of time, speed and size, unless the program has its own client."""
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
        hooks = made.event_hooks
        made.event_hooks = {"request": [*hooks["request"], limit], "response": [*hooks["response"], check_answer]}
        connections.watch(made, least=_LEAST)
        return made

    _http.set_client_factory(client)
