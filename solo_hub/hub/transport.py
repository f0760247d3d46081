"""Limits for huggingface_hub's HTTP client: timeouts, minimum speed, response size; and its progress bars."""

from __future__ import annotations

import contextlib
import functools
import re
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from solo_hub.core import deadlines as connections
from solo_hub.core.errors import HubError
from solo_hub.core.parsing import parse_json

if TYPE_CHECKING:
    import httpx2

_CONNECT, _READ = 15.0, 120.0  # seconds; the client's own default is no timeout
_LONGEST = 1 << 28  # bytes of a response that is not a file; a page of a file list has a few hundred thousand
_NAME = re.compile(r"[A-Za-z0-9_-]{1,128}")
_STRANGE = "Do not pull from that Hub; check its URL."
_LEAST = connections.MinimumSpeed(60_000, 60.0)  # 1 kB/s; slower transfers are aborted, and retried by the client


@contextlib.contextmanager
def progress_bars(shown: bool) -> Iterator[None]:  # noqa: FBT001
    """Hide the client's progress bars unless requested; as a library solo-hub is silent by default."""
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
    """Reject responses by which a Hub could write outside the cache, or exhaust the memory.

    The client names its cache files after values from the Hub: a file's ETag, the hashes in a file list.

    Raises:
        HubError: A name contains more than letters and digits, or a response is too large.
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
        raise HubError(f"A response of {_host(response)} is {error}.", hint=_STRANGE) from error
    if "/tree/" in path and response.is_success:
        with contextlib.suppress(ValueError, TypeError):  # invalid JSON is reported by the client
            _check_names(_hashes(parse_json(response.content)), response)


def _hashes(listed: Any) -> Iterator[Any]:
    for entry in listed:
        if isinstance(entry, dict):
            large = entry.get("lfs")
            hashes = (entry.get("oid"), entry.get("xetHash"), large.get("oid") if isinstance(large, dict) else None)
            yield from (value for value in hashes if value is not None)


def _check_names(names: Iterable[Any], response: httpx2.Response) -> None:
    for name in names:
        if name and not (isinstance(name, str) and _NAME.fullmatch(name)):
            raise HubError(f"{_host(response)} returned an invalid file hash: {name!r:.60}.", hint=_STRANGE)


def _host(response: httpx2.Response) -> str:
    return f"{response.request.url.scheme}://{response.request.url.netloc.decode('ascii', 'replace')}"


def limit_waiting() -> None:
    """Add time, speed and size limits to the client's shared connection.

    A client made by the calling program keeps its own limits; its responses are still checked.
    """
    from huggingface_hub.utils import _http

    factory = _http._GLOBAL_CLIENT_FACTORY  # noqa: SLF001 - no public getter
    if factory is _http.default_client_factory:
        _http.set_client_factory(_limited)
    elif factory is not _limited and getattr(factory, "func", None) is not _checked:
        # not with `set_client_factory`, which would close a client that the program holds
        with _http._CLIENT_LOCK:  # noqa: SLF001
            _http._GLOBAL_CLIENT_FACTORY = functools.partial(_checked, factory)  # noqa: SLF001
            if _http._GLOBAL_CLIENT is not None:  # noqa: SLF001
                _check(_http._GLOBAL_CLIENT)  # noqa: SLF001


def _limited() -> httpx2.Client:
    import httpx2
    from huggingface_hub.utils import _http

    made = _check(_http.default_client_factory())
    made.event_hooks = {**made.event_hooks, "request": [*made.event_hooks["request"], _limit]}
    connections.watch(made, httpx2, least=_LEAST)
    return made


def _limit(request: httpx2.Request) -> None:
    """Set timeouts per request: some calls explicitly ask for none, which overrides a connection's default."""
    timeouts = request.extensions.get("timeout") or {}
    request.extensions["timeout"] = {
        kind: timeouts.get(kind) or default
        for kind, default in (("connect", _CONNECT), ("read", _READ), ("write", _READ), ("pool", _READ))
    }


def _checked(factory: Callable[[], httpx2.Client]) -> httpx2.Client:
    return _check(factory())


def _check(made: httpx2.Client) -> httpx2.Client:
    hooks = made.event_hooks
    if check_answer not in hooks["response"]:  # a program may return the same client again
        made.event_hooks = {**hooks, "response": [check_answer, *hooks["response"]]}
    return made
