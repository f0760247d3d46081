"""Errors of the embedded Hub, as the official clients read them.

A client never looks at the body of an error first: it turns on the status and on the headers ``X-Error-Code`` and
``X-Error-Message``. One exception class carries all three, so that any function below the routes can refuse a
request in the words the client will show.
"""

from __future__ import annotations

from typing import Any


class ApiError(Exception):
    """A refusal with a status, a message for people and, where clients branch on it, a code.

    Attributes:
        status: HTTP status: 4xx, 501 for what is not offered, 507 where there is no room.
        message: One sentence, sent as ``X-Error-Message`` and in the JSON body.
        code: Value of ``X-Error-Code`` or None.
        headers: Further headers, such as ``X-Repo-Commit`` on a missing file.
        extra: Further keys of the JSON body, such as ``url`` of a repo that exists already.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str | None = None,
        headers: dict[str, str] | None = None,
        extra: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code
        self.headers = headers or {}
        self.extra = extra or {}


def bad_request(message: str) -> ApiError:
    """A body, path or parameter that does not have the form it should have."""
    return ApiError(400, message)


def invalid_path(message: str) -> ApiError:
    """A file path no client should ever write to its disk."""
    return ApiError(422, message)


def too_large(message: str) -> ApiError:
    """More bytes or items than the server takes in one request."""
    return ApiError(413, message)


def not_offered(what: str) -> ApiError:
    """Something the real Hub has and this one does not; the client shows the sentence."""
    return ApiError(501, f"The embedded Hub does not offer {what}.")


def no_room() -> ApiError:
    """The disk the server keeps everything on is full."""
    return ApiError(507, "Not enough room on the server's disk.")


def forbidden(message: str) -> ApiError:
    """The caller is known but may not do this."""
    return ApiError(403, message)


def conflict(message: str, **extra: Any) -> ApiError:
    """What should be made exists already."""
    return ApiError(409, message, extra=extra)


def repo_not_found(*, authenticated: bool) -> ApiError:
    """No such repo, or one the caller may not even know of.

    The real Hub answers 401 to a caller without a token, because the repo might be private; clients read both as
    "repository not found".
    """
    if authenticated:
        return ApiError(404, "Repository not found", code="RepoNotFound")
    return ApiError(401, "Invalid username or password.", code="RepoNotFound")


def revision_not_found(revision: str) -> ApiError:
    """The repo exists, the branch, tag or commit does not."""
    return ApiError(404, f"Invalid rev id: {revision}", code="RevisionNotFound")


def entry_not_found(message: str = "Entry not found", *, commit: str | None = None) -> ApiError:
    """The revision exists, the file or folder does not.

    ``X-Repo-Commit`` must come along: clients remember "no such file at this commit" in their cache.
    """
    headers = {"X-Repo-Commit": commit} if commit else {}
    return ApiError(404, message, code="EntryNotFound", headers=headers)
