"""Translation of huggingface_hub's exceptions: one sentence, a hint what to do next, and never a token."""

from __future__ import annotations

import contextlib
import errno
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

from solo_hub.core.errors import (
    ConflictError,
    GatedError,
    HubError,
    InputError,
    NotAllowedError,
    RepoMissingError,
    SoloHubError,
    UsageError,
)
from solo_hub.core.redaction import scrub

_FULL_DISK = (errno.ENOSPC, errno.EDQUOT)
_PERMISSION_ERRORS = (errno.EACCES, errno.EROFS, errno.EPERM)
_XET_STATUS = re.compile(r"HTTP status (?:client|server) error \((\d{3}) ")
_LFS_REFUSAL = re.compile(r"LFS batch API returned errors:\s+Encountered error for file with OID \w+: `?([^`]*)")
_NO_CERTIFICATES = "No CA certificates were loaded"
_AGAIN = "Run the same command again; finished work is not repeated."
_LONGEST = 400  # characters quoted from a server's message

_SERVER_ERRORS = 500


@dataclass(frozen=True, slots=True)
class Place:
    """The context of a failed operation.

    Attributes:
        endpoint: URL of the Hub.
        repo_id: The repo, or empty.
        type: `model`, `dataset` or `space`.
        revision: Requested revision, or empty.
        cache: Download cache, for messages about the disk.
    """

    endpoint: str
    repo_id: str = ""
    type: str = "model"
    revision: str = ""
    cache: str = ""

    @property
    def page(self) -> str:
        """The repo's page on the Hub."""
        return repo_url(self.endpoint, self.repo_id, self.type)

    @property
    def loopback(self) -> bool:
        """Whether the Hub runs on this machine."""
        return (urlsplit(self.endpoint).hostname or "") in {"127.0.0.1", "localhost", "::1"}


def repo_url(endpoint: str, repo_id: str, type: str) -> str:  # noqa: A002 - the Hub's own word
    """URL of a repo's page."""
    prefix = "" if type == "model" else f"{type}s/"
    return f"{endpoint.rstrip('/')}/{prefix}{repo_id}"


@contextlib.contextmanager
def translated(place: Place) -> Iterator[None]:
    """Translate exceptions of the Hub client into solo-hub errors.

    Raises:
        SoloHubError: In place of the client's error, which becomes its cause unless its text contains a token.
    """
    try:
        yield
    except SoloHubError:
        raise
    except Exception as error:
        ours = explain(error, place)
        if ours is None:
            raise
        raise ours from (error if scrub(str(error)) == str(error) else None)


def explain(error: Exception, place: Place) -> SoloHubError | None:
    """Translate an exception of the Hub client; None if it is not about the Hub."""
    for link in _chain(error):
        ours = _explain_known(link, place) or _explain_transport(link, place)
        if ours is not None:
            return ours
    return _explain_rest(error, place)


def _explain_known(error: BaseException, place: Place) -> SoloHubError | None:
    """Translate the client's own exceptions; the first match counts, so specific types precede general ones."""
    from huggingface_hub import errors as hf

    what = f"{place.type} '{place.repo_id}'"
    table: tuple[tuple[type[Exception] | tuple[type[Exception], ...], type[HubError], str, str], ...] = (
        (
            hf.GatedRepoError,
            GatedError,
            f"The {what} is gated and its terms have not been accepted.",
            f"Accept them at {place.page}, then log in with `hf auth login`.",
        ),
        (
            (hf.RevisionNotFoundError, hf.RevisionResolutionError),
            RepoMissingError,
            f"The {what} has no revision '{place.revision or 'main'}'.",
            f"See the available revisions at {place.page}.",
        ),
        (
            hf.RepositoryNotFoundError,
            RepoMissingError,
            f"There is no {what} on {place.endpoint}, or it is private.",
            "Check the name, or log in with `hf auth login`.",
        ),
        (
            hf.DisabledRepoError,
            RepoMissingError,
            f"The {what} has been disabled on {place.endpoint}.",
            "Choose another repo.",
        ),
        (
            hf.LocalTokenNotFoundError,
            NotAllowedError,
            f"There is no token for {place.endpoint}.",
            "Log in with `hf auth login`, or set HF_TOKEN.",
        ),
        (
            hf.OfflineModeIsEnabled,
            HubError,
            "HF_HUB_OFFLINE is set, which blocks every request, also to a local Hub.",
            "Unset it; to work without a network use `--hub local`.",
        ),
    )
    for kinds, ours, message, hint in table:
        if isinstance(error, kinds):
            return ours(message, hint=hint)
    if isinstance(error, hf.HfHubHTTPError):
        return _explain_status(error.response.status_code, _server_message(error), place)
    return None


def _explain_transport(error: BaseException, place: Place) -> SoloHubError | None:
    """Translate errors of the disk, the machine's limits and the network."""
    import httpx2

    if is_full_disk(error):
        return full_disk(place.cache or "the cache")
    if _NO_CERTIFICATES in str(error):
        hint = f"Install them (`ca-certificates`), or raise the limit of open files (`ulimit -n`). {_AGAIN}"
        return HubError("The Xet library cannot read the CA certificates of this machine.", hint=hint)
    if status := _XET_STATUS.search(str(error)):  # the Xet library reports every HTTP error as a lost connection
        return _explain_status(int(status[1]), _server_message(error), place)
    if isinstance(error, ValueError) and (refused := _LFS_REFUSAL.search(str(error))):
        reason = " ".join(scrub(refused[1]).split())[:_LONGEST].rstrip(".")
        return HubError(f"{place.endpoint} refused a file of '{place.repo_id}': {reason}.", hint=f"Fix that. {_AGAIN}")
    if isinstance(error, (httpx2.TransportError, httpx2.InvalidURL, ConnectionError, TimeoutError)):
        return _unreachable(error, place)
    return None


def is_full_disk(error: BaseException) -> bool:
    """Whether an exception means that the disk is full; Rust libraries say so only in the message."""
    return (isinstance(error, OSError) and error.errno in _FULL_DISK) or "No space left on device" in str(error)


def full_disk(folder: str) -> HubError:
    """The error for a full disk."""
    return HubError(
        f"No space left on the disk of {folder}.",
        hint="Free some, or set SOLO_HUB_HOME or HF_HOME to another disk, and run the same command again.",
    )


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error and its chain of causes: the client hides a lost connection behind "not in the cache"."""
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        yield link
        link = link.__cause__ or link.__context__


def _server_message(error: BaseException) -> str:
    """The server's message on one line, truncated, without tokens."""
    text = getattr(error, "server_message", None) or str(error).strip().split("\n")[0]
    text = " ".join(scrub(text).split())
    return text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "..."


def _explain_status(status: int, message: str, place: Place) -> SoloHubError:
    where = f"the {place.type} '{place.repo_id}'" if place.repo_id else place.endpoint
    message = message.rstrip(".")
    known: dict[int, tuple[type[HubError], str, str]] = {
        401: (
            NotAllowedError,
            f"{place.endpoint} rejected the token.",
            "Log in again with `hf auth login --force`, or correct HF_TOKEN.",
        ),
        403: (
            NotAllowedError,
            f"The token lacks permission for {where}: {message}.",
            "Log in with a token that has write access there (`hf auth login`), or choose another --namespace.",
        ),
        409: (ConflictError, f"{where} was changed at the same time ({message}).", _AGAIN),
        412: (ConflictError, f"{where} was changed at the same time ({message}).", _AGAIN),
        413: (
            HubError,
            f"{place.endpoint} rejected the request for {where} as too large.",
            "Push fewer or smaller files.",
        ),
        429: (HubError, f"{place.endpoint} limits the request rate: {message}.", f"Wait a few minutes. {_AGAIN}"),
        507: (HubError, f"{place.endpoint} has no space left for {where}.", f"Free some there. {_AGAIN}"),
    }
    if status in known:
        ours, text, hint = known[status]
        return ours(text, hint=hint)
    if status >= _SERVER_ERRORS:
        return HubError(f"{place.endpoint} failed with status {status} on {where}: {message}.", hint=_AGAIN)
    return HubError(
        f"{place.endpoint} rejected the request for {where} with status {status}: {message}.",
        hint="Check the name and the files.",
    )


def _unreachable(error: BaseException, place: Place) -> HubError:
    reason = " ".join(scrub(str(error) or type(error).__name__).split())
    hint = (
        "Start it with `solo-hub hub serve`, or use `--hub local`, which starts it automatically."
        if place.loopback
        else "Check the network, or work without one with `--hub local`."
    )
    return HubError(f"Cannot reach {place.endpoint} ({reason[:_LONGEST].rstrip('.')}).", hint=hint)


def _explain_rest(error: Exception, place: Place) -> SoloHubError | None:
    import httpx2
    from huggingface_hub import errors as hf

    message = _server_message(error).rstrip(".")
    if isinstance(error, (hf.HFValidationError, hf.HfUriError)):
        return UsageError(f"'{place.repo_id}' is not a repo id: {message}.", hint="Write it as OWNER/NAME.")
    if isinstance(error, ValueError) and "README.md" in str(error):
        detail = " ".join(scrub(str(error)).split())
        return InputError(f"the Hub rejects the card's metadata: {detail[:_LONGEST].rstrip('.')}.", file="README.md")
    if isinstance(error, (json.JSONDecodeError, UnicodeDecodeError, httpx2.DecodingError)):
        return HubError(f"{place.endpoint} returned a malformed response ({type(error).__name__}).", hint=_AGAIN)
    if isinstance(error, OSError) and error.filename:
        writable = "Change its permissions, or set SOLO_HUB_HOME or HF_HOME to a writable folder."
        hint = writable if error.errno in _PERMISSION_ERRORS else "Check its permissions."
        return HubError(f"Cannot use '{error.filename}': {error.strerror}.", hint=hint)
    # The Xet transfer library reports everything, lost connections included, as RuntimeError.
    if isinstance(error, (OSError, RuntimeError)):
        return HubError(f"The transfer of the {place.type} '{place.repo_id}' failed: {message}.", hint=_AGAIN)
    return None
