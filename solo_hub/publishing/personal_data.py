"""Before rows go public: do some look as if they held personal data? Then nobody publishes them without knowing it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from solo_hub.core.console import Console
from solo_hub.core.errors import InputError
from solo_hub.hub.client import HubClient
from solo_hub.hub.repos import RepoType
from solo_hub.publishing import leaks

ROWS = "data/**/*.parquet"
TWICE = ("data/kept/", "data/messages/")  # these rows are also in data/all
NAMED = 5  # places named in a message


def guarded(client: HubClient, console: Console, *, private: bool, allowed: bool) -> Callable[..., Any]:
    """`client.push`, with a look at a dataset's rows before it.

    Args:
        client: The Hub.
        console: Told of what was found where that does not stop the push.
        private: Whether a repo that is made is private; an existing one stays what it is.
        allowed: Publish it all the same.

    Returns:
        A push. It raises `InputError` where rows of a public dataset look as if they held personal data; the message
        names file, rows and kinds, and repeats nothing of what was found.
    """

    def push(folder: Path, repo_id: str, kind: RepoType, **named: Any) -> Any:
        if kind == "dataset":
            hidden = client.is_private(repo_id, kind)
            look(folder, console, public=not (private if hidden is None else hidden), allowed=allowed)
        return client.push(folder, repo_id, kind, **named)

    return push


def look(folder: Path, console: Console, *, public: bool, allowed: bool) -> None:
    """Look through the rows of a dataset's folder.

    Raises:
        InputError: Something was found, the repo is public, and it was not allowed.
    """
    found = [leak for leak in leaks.find(folder, leaks.PERSONAL, ROWS) if not leak.file.startswith(TWICE)]
    if not found:
        return
    kinds = ", ".join(f"{kind} {count:,}" for kind, count in Counter(leak.kind for leak in found).most_common())
    rows = len({(leak.file, leak.line) for leak in found})
    said = f"{rows:,} row{'s look' if rows > 1 else ' looks'} like personal data ({kinds})"
    places = "; ".join(f"{leak.file}, row {leak.line}: {leak.kind}" for leak in found[:NAMED])
    if public and not allowed:
        raise InputError(
            f"{said}; nothing was pushed. {places}{'; ...' if len(found) > NAMED else ''}.",
            file=f"{folder.name}/{found[0].file}",
            row=found[0].line,
            hint="Take it out of the questions or the corpus, or publish it all the same with --yes, or keep the repo "
            "private with publish.private=true.",
        )
    if public:
        console.warn(f"{said} and will be public: {places}.")
    else:
        console.note(f"{said}; the repo is private")
