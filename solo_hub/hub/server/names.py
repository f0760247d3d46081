"""What may be the name of a repo, a ref or a file: everything a client sends as a name goes through here.

Names never become paths on this machine's disk (blobs are named by their hash), so the rules protect the *clients*,
which do write files under these names, and keep two names from meaning one thing.
"""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING

from solo_hub.hub.server import limits
from solo_hub.hub.server.errors import ApiError, bad_request, invalid_path

if TYPE_CHECKING:
    from typing import Literal

    RefKind = Literal["head", "tag", "pr"]

MAX_NAME = 96
_NAME = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_])?\Z")
_OID = re.compile(r"[0-9a-f]{40}\Z")
_SHA256 = re.compile(r"[0-9a-f]{64}\Z")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")

# First segments of the server's own URLs: an account of that name could not be reached in a browser.
RESERVED = frozenset({
    "api", "datasets", "spaces", "models", "lfs", "xet", "static", "new", "settings", "login", "join", "docs",
    "organizations", "collections", "buckets", "kernels", "oauth", "papers", "v1", "v2", "resolve",
})  # fmt: skip

# Windows opens a device, whatever the extension, when asked for one of these.
_DEVICES = frozenset({"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(1, 10))})


def is_oid(text: str) -> bool:
    """Whether the text is a full git object id."""
    return _OID.match(text) is not None


def is_sha256(text: object) -> bool:
    """Whether the value is a lower-case hexadecimal sha256."""
    return isinstance(text, str) and _SHA256.match(text) is not None


def check_account_name(name: object) -> str:
    """A user's or an organisation's name, or a 400."""
    name = check_repo_part(name, "namespace")
    if name.lower() in RESERVED:
        raise bad_request(f"The name '{name}' is reserved.")
    return name


def check_repo_part(name: object, what: str = "repo name") -> str:
    """Half a repo id, under the rules the official client checks too."""
    if not isinstance(name, str) or not name or len(name) > MAX_NAME or not _NAME.match(name):
        raise bad_request(
            f"Invalid {what}: use 1 to {MAX_NAME} of A-Z, a-z, 0-9, '-', '_' and '.', not '-' or '.' at either end."
        )
    if "--" in name or ".." in name or name.endswith((".git", ".ipynb")):
        raise bad_request(f"Invalid {what}: '--', '..' and the endings '.git' and '.ipynb' are not allowed.")
    return name


def check_ref_name(name: object) -> str:
    """A branch or tag name under git's rules, or a 400."""
    if not isinstance(name, str) or not name or len(name.encode("utf-8", "replace")) > limits.MAX_PATH_PART:
        raise bad_request("Invalid reference name: it must be 1 to 255 bytes long.")
    wrong = (
        _CONTROL.search(name)
        or any(mark in name for mark in ("..", "@{", "//", "\\", " ", "~", "^", ":", "?", "*", "["))
        or name.startswith(("/", "-", "."))
        or name.endswith(("/", ".", ".lock"))
        or "/." in name
        or name in ("@", "HEAD")
    )
    if wrong or not _encodable(name):
        raise bad_request("Invalid reference name: git does not accept it.")
    if name.startswith("refs/") or is_oid(name):
        raise bad_request("Invalid reference name: it would hide a commit or another kind of reference.")
    return name


def split_ref(revision: str) -> tuple[RefKind | None, str]:
    """The kind a revision names by its full form, such as ``refs/pr/3``, or None when it does not say."""
    for prefix, kind in (("refs/heads/", "head"), ("refs/tags/", "tag"), ("refs/pr/", "pr")):
        if revision.startswith(prefix):
            return kind, revision.removeprefix(prefix)  # type: ignore[return-value]
    return None, revision


def check_path(path: object) -> str:
    """A file's path inside a repo, or a 422 saying what is wrong with it.

    Refused is what could leave the folder a client downloads into: absolute paths, ``..``, drive letters, NUL and
    other control characters, device names, parts with a trailing dot or blank (Windows drops them), and ``.git``, in
    whose folder a file can become a command. A backslash is refused in the first part, where it makes a path rooted
    or upward on Windows; below a folder it is a character like any other, as on the real Hub, whose clients prove
    with such a file that they refuse to write it.
    """
    if not isinstance(path, str) or not path:
        raise invalid_path("Invalid path: it must be a non-empty string.")
    if not _encodable(path) or len(path.encode()) > limits.MAX_PATH:
        raise invalid_path(f"Invalid path: it must be valid Unicode of at most {limits.MAX_PATH} bytes.")
    if _CONTROL.search(path):
        raise invalid_path("Invalid path: control characters are not allowed.")
    if "\\" in path.partition("/")[0]:
        raise invalid_path("Invalid path: a backslash is not allowed in its first part.")
    if path.startswith("/") or re.match(r"[A-Za-z]:", path):
        raise invalid_path("Invalid path: it must be relative.")
    for part in path.split("/"):
        _check_part(part)
    return path


def _check_part(part: str) -> None:
    if part in ("", ".", ".."):
        raise invalid_path("Invalid path: empty parts, '.' and '..' are not allowed.")
    if len(part.encode()) > limits.MAX_PATH_PART:
        raise invalid_path(f"Invalid path: a part is longer than {limits.MAX_PATH_PART} bytes.")
    if part.endswith((".", " ")) or part.split(".", maxsplit=1)[0].rstrip().lower() in _DEVICES:
        raise invalid_path("Invalid path: a part has a name that Windows takes for another.")
    # Composed and stripped of invisible marks, because file systems fold these before they compare.
    if _folded(part) == ".git":
        raise invalid_path("Invalid path: '.git' is not allowed.")


def check_sha256(value: object) -> str:
    """A sha256 in hex, or a 400."""
    if not isinstance(value, str) or not is_sha256(value):
        raise bad_request("Invalid sha256: 64 lower-case hexadecimal digits expected.")
    return value


def check_size(value: object) -> int:
    """A number of bytes within the server's bound, or a 4xx."""
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise bad_request("Invalid size: a non-negative integer expected.")
    if value > limits.MAX_BLOB:
        raise ApiError(413, f"Object too large: at most {limits.MAX_BLOB} bytes.")
    return value


def _folded(part: str) -> str:
    visible = "".join(c for c in unicodedata.normalize("NFKC", part) if unicodedata.category(c) != "Cf")
    return visible.casefold()


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:  # a lone surrogate, which JSON can smuggle in
        return False
    return True
