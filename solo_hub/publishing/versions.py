"""Version numbers of published repos, and tagging of versions whose push was interrupted.

A push is a commit and then a tag. A complete but untagged version is tagged before the next one, so no version is
skipped; a push that gets another version than its card says is an error, so none is lost.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from solo_hub.core.errors import ConflictError, InputError
from solo_hub.hub.repos import Pushed, RepoType, Version
from solo_hub.publishing import inventory
from solo_hub.publishing.dataset_card import Change
from solo_hub.publishing.markdown import one_line

Push = Callable[..., Any]
"""`push(folder, repo_id, type, *, message, private, parent) -> Pushed`, as `hub.client.HubClient.push`."""
Latest = Callable[[str, RepoType], Version | None]
"""`latest(repo_id, type)`, as `hub.client.HubClient.latest`."""
Tag = Callable[[str, RepoType, str], str]
"""`tag(repo_id, type, commit)`, as `hub.client.HubClient.tag_version`."""


def number(tag: str) -> int:
    """The number of a version tag.

    >>> number("v12")
    12

    Raises:
        ValueError: It is not one.
    """
    match = re.fullmatch(r"v([1-9]\d{0,8})", tag)
    if match is None:
        raise ValueError(f"'{tag}' is not a version")
    return int(match[1])


def next_tag(before: Version | None) -> str:
    """The version that a push of something new will become.

    >>> from pathlib import Path
    >>> next_tag(None), next_tag(Version("c", Path(), "v2"))
    ('v1', 'v3')
    """
    return f"v{(before.highest if before else 0) + 1}"


def read_provenance(folder: Path, repo_id: str, kinds: Mapping[str, str], setting: str) -> dict[str, Any]:
    """Read the provenance.json of a published repo, its tags and history.

    Args:
        folder: Its files.
        repo_id: The repo.
        kinds: Kinds it may be of -> the repos it names with their versions.
        setting: How another name is chosen.

    Raises:
        InputError: It is missing, broken or of another kind: the repo was not made by solo-hub.
    """
    try:
        document = json.loads((folder / "provenance.json").read_text("utf-8"))
        for name in kinds[document["kind"]].split():
            number(document[name]["tag"])
        history_of(document)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"'{repo_id}' contains something that solo-hub did not publish; it was not changed.",
            hint=f"Choose another name with {setting}, or empty that repo.",
        ) from error
    return dict(document)


def history_of(document: Mapping[str, Any]) -> tuple[Change, ...]:
    """The changes that a provenance.json lists, the newest first."""
    return tuple(Change(**entry) for entry in document.get("history") or ())


def stays(before: Version, tag: str, folder: Path) -> bool:
    """Whether a repo that holds this folder may keep the version its card names: the tag is there, or a push makes it.

    A push that was cut off between commit and tag is completed by the next one; a tag that somebody set by hand is
    not ours.
    """
    return number(tag) in {before.highest, before.highest + 1} and same_files(folder, before.folder)


def same_files(one: Path, other: Path) -> bool:
    """Whether two folders have identical files, ignoring what the Hub adds."""
    both = [(folder / "provenance.json").read_bytes() for folder in (one, other)]
    return both[0] == both[1] and inventory.hashes(one) == inventory.hashes(other)


def completed(
    before: Version, repo_id: str, kind: RepoType, *, said: str, files: Mapping[str, str], tag: Tag | None
) -> Version:
    """Tag the newest commit where it is a whole version that its push did not get to tag.

    Args:
        before: What the repo holds now.
        repo_id: The repo.
        kind: `dataset` or `model`.
        said: The version that its provenance.json says it is.
        files: Its files by provenance.json, path to SHA-256.
        tag: Makes the tag; without it nothing is tagged.
    """
    if tag is None or number(said) != before.highest + 1:
        return before
    if inventory.differences(before.folder, dict(files)):
        return before
    return replace(before, tag=tag(repo_id, kind, before.commit))


def push_as(
    tag: str,
    push: Push,
    folder: Path,
    repo_id: str,
    kind: RepoType,
    *,
    title: str,
    private: bool,
    before: Version | None,
) -> Pushed:
    """Push a folder on top of what the repo holds, and make sure that it became the version that its card says.

    Args:
        tag: That version.
        push: Pushes.
        folder: The folder.
        repo_id: The repo.
        kind: `dataset` or `model`.
        title: What changed, for the commit's message.
        private: Make a new repo private.
        before: What the repo holds.

    Raises:
        ConflictError: It became another version.
    """
    parent = before.commit if before else ""
    pushed: Pushed = push(folder, repo_id, kind, message=one_line(f"{tag}: {title}"), private=private, parent=parent)
    if pushed.tag != tag:
        raise ConflictError(
            f"'{pushed.repo_id}' became version {pushed.tag} instead of {tag}: someone else published at the "
            "same time.",
            hint="Run the command again; the next version will be consistent.",
        )
    return pushed


def entry(pushed: Pushed) -> dict[str, Any]:
    """A push as recorded in documents."""
    return {
        "repo_id": pushed.repo_id,
        "type": pushed.type,
        "commit": pushed.commit,
        "tag": pushed.tag,
        "url": pushed.url,
    }
