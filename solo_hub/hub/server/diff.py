"""A unified diff between two commits, bounded in size."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

from solo_hub.hub.server.gitobjects import pointer
from solo_hub.hub.server.trees import File

if TYPE_CHECKING:
    from solo_hub.hub.server.core import Hub
    from solo_hub.hub.server.history import Commit

MAX_FILES = 100
MAX_TEXT = 64 * 1024  # bytes of a file that is compared line by line


def unified(hub: Hub, before: Commit | None, after: Commit) -> str:
    """What changed between two commits, as ``git diff`` would print it."""
    old = dict(hub.trees.files(before.tree)) if before else {}
    new = dict(hub.trees.files(after.tree))
    changed = [path for path in sorted(old.keys() | new.keys()) if old.get(path) != new.get(path)]
    return "".join(_one(hub, path, old.get(path), new.get(path)) for path in changed[:MAX_FILES])


def _one(hub: Hub, path: str, old: File | None, new: File | None) -> str:
    zeros = "0" * 40
    head = f"diff --git a/{path} b/{path}\n"
    if old is None:
        head += "new file mode 100644\n"
    if new is None:
        head += "deleted file mode 100644\n"
    head += f"index {old.oid if old else zeros}..{new.oid if new else zeros}\n"
    texts = _text(hub, old), _text(hub, new)
    if texts[0] is None or texts[1] is None:
        return head + f"Binary files a/{path} and b/{path} differ\n"
    lines = difflib.unified_diff(
        texts[0].splitlines(), texts[1].splitlines(), f"a/{path}" if old else "/dev/null",
        f"b/{path}" if new else "/dev/null", lineterm="",
    )  # fmt: skip
    return head + "".join(line + "\n" for line in lines)


def _text(hub: Hub, file: File | None) -> str | None:
    if file is None:
        return ""
    data = pointer(file.sha256, file.size) if file.lfs else hub.content.read_all(file.sha256, limit=MAX_TEXT)
    try:
        return data.decode() if data is not None else None
    except UnicodeDecodeError:
        return None
