"""Publishes a run: fills both folders, checks both, and only then pushes the dataset and after it the adapter.

    dataset card -> names the adapter by repo and version        provenance.json, both cards: every source at its commit
    adapter card -> names the dataset by repo, version and commit

The dataset goes first because only a pushed commit has a name. Should the second push fail, the next `publish`
finds the dataset unchanged and completes the pair.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from solo_hub.errors import ConflictError, InputError, RunError, SoloHubError
from solo_hub.publishing import facts
from solo_hub.publishing.adapter import fill_adapter_folder
from solo_hub.publishing.adapter_card import AdapterVersion
from solo_hub.publishing.dataset import change, fill_dataset_folder, read_rows
from solo_hub.publishing.dataset_card import Change, DatasetVersion
from solo_hub.publishing.documents import RunDocuments
from solo_hub.publishing.markdown import one_line
from solo_hub.publishing.naming import Names

UNPUSHED = "0" * 40
"""Stands for the dataset's commit while both folders are checked before the first push."""


class NoGainError(SoloHubError):
    """The student is not better than its base, and publishing it was not asked for."""


class Pushed(Protocol):
    """What a push returns."""

    repo_id: str
    type: Any
    commit: str
    tag: str | None
    url: str
    changed: bool


@dataclass(frozen=True, slots=True)
class Version:
    """The newest version of a repo that is on the Hub already.

    Attributes:
        tag: `v1`, `v2`, ...
        commit: The commit it names.
        folder: That commit, downloaded.
    """

    tag: str
    commit: str
    folder: Path


@dataclass(frozen=True, slots=True)
class Folders:
    """Where the two repos are filled: `7-dataset` and `7-adapter` of the run folder."""

    dataset: Path
    adapter: Path


Push = Callable[..., Any]
"""`push(folder, repo_id, type, *, message, private) -> Pushed`, as `hub.door.Door.push`."""
Latest = Callable[[str, str], Version | None]
"""`latest(repo_id, type)`: the newest published version, None where there is none."""


def publish(
    documents: RunDocuments,
    folders: Folders,
    names: Names,
    push: Push,
    *,
    latest: Latest | None = None,
    message: str = "",
    private: bool = False,
    allow_no_gain: bool = False,
) -> dict[str, Any]:
    """Publish dataset and adapter.

    Args:
        documents: The run.
        folders: Folders to fill.
        names: Names of the repos.
        push: Pushes a folder as one commit and a version tag, and nothing where the repo holds it already.
        latest: Finds what was published before; without it both repos are taken to be new.
        message: What the publisher says of this version; stands in the history and in the commit.
        private: Make new repos private.
        allow_no_gain: Publish although the student is not better than its base; the card says so first.

    Returns:
        The document `7-published.json`.

    Raises:
        NoGainError: The student is not better than its base.
        InputError: A licence, a secret or a row stands in the way; nothing has been pushed.
        ModelError: The adapter is broken or changes nothing; nothing has been pushed.
        ConflictError: Somebody else published at the same time.
    """
    require_gain(documents.report, allow_no_gain=allow_no_gain)
    find = latest or _nothing_before
    old_dataset, old_adapter = find(names.dataset, "dataset"), find(names.adapter, "model")
    dataset = _fill_dataset(documents, folders.dataset, names, before=old_dataset, adapter=old_adapter, message=message)
    known = old_dataset.commit if old_dataset and same_files(folders.dataset, old_dataset.folder) else UNPUSHED
    # Everything about the adapter is checked before the first push; only the dataset's commit is filled in after it.
    _fill_adapter(documents, folders.adapter, names, before=old_adapter, commit=known, tag=dataset.tag)

    title = message or _summary(dataset)
    first = push(
        folders.dataset, names.dataset, "dataset", message=one_line(f"{dataset.tag}: {title}"), private=private
    )
    _require_tag(first, dataset.tag)
    adapter = _fill_adapter(documents, folders.adapter, names, before=old_adapter, commit=first.commit, tag=dataset.tag)
    title = message or f"trained on {names.dataset} {dataset.tag}"
    second = push(folders.adapter, names.adapter, "model", message=one_line(f"{adapter.tag}: {title}"), private=private)
    _require_tag(second, adapter.tag)
    return {"dataset": _entry(first), "adapter": _entry(second)}


def _nothing_before(repo_id: str, kind: str) -> Version | None:  # noqa: ARG001 - fits `Latest`
    return None


def require_gain(report: Mapping[str, Any], *, allow_no_gain: bool) -> None:
    """Refuse to publish a student that is not better than its base.

    Raises:
        NoGainError: It is not, and `allow_no_gain` is off.
    """
    judged = facts.gain(report)
    if not judged.better and not allow_no_gain:
        raise NoGainError(
            f"{judged.sentence} Nothing was published.",
            hint=(
                "Publish it all the same with --allow-no-gain (setting publish.allow_no_gain); the card then says "
                "so in its first sentence."
            ),
        )


def same_files(one: Path, other: Path) -> bool:
    """Whether two folders hold the same files, byte for byte; what the Hub itself adds to a repo is overlooked."""
    mine, theirs = _files(one), _files(other)
    return mine.keys() == theirs.keys() and all(
        path.stat().st_size == theirs[name].stat().st_size and path.read_bytes() == theirs[name].read_bytes()
        for name, path in mine.items()
    )


def _fill_dataset(
    documents: RunDocuments,
    folder: Path,
    names: Names,
    *,
    before: Version | None,
    adapter: Version | None,
    message: str,
) -> DatasetVersion:
    """Fill the folder as the version that is there; where that differs, as the next one."""
    if before is None:
        first = DatasetVersion("v1", next_tag(adapter), ())
        rows = [row.to_row() for row in fill_dataset_folder(folder, documents, names, first)]
        first = DatasetVersion("v1", next_tag(adapter), (change("v1", message, [], rows),))
        fill_dataset_folder(folder, documents, names, first)
        return first
    known, adapter_tag = read_history(before.folder)
    again = DatasetVersion(before.tag, adapter_tag, known)
    rows = [row.to_row() for row in fill_dataset_folder(folder, documents, names, again)]
    if same_files(folder, before.folder):
        return again
    tag = next_tag(before)
    following = DatasetVersion(tag, next_tag(adapter), (change(tag, message, read_rows(before.folder), rows), *known))
    fill_dataset_folder(folder, documents, names, following)
    return following


def _fill_adapter(
    documents: RunDocuments, folder: Path, names: Names, *, before: Version | None, commit: str, tag: str
) -> AdapterVersion:
    """Fill the folder as the version that is there; where that differs, as the next one."""
    version = AdapterVersion(before.tag if before else "v1", commit, tag)
    fill_adapter_folder(folder, documents, names, version)
    if before and not same_files(folder, before.folder):
        version = AdapterVersion(next_tag(before), commit, tag)
        fill_adapter_folder(folder, documents, names, version)
    return version


def read_history(folder: Path) -> tuple[tuple[Change, ...], str | None]:
    """History and adapter version of a published dataset, from its provenance.json.

    Raises:
        InputError: It is missing or broken: the repo was not made by solo-hub.
    """
    path = folder / "provenance.json"
    try:
        document = json.loads(path.read_text("utf-8"))
        history = tuple(Change(**entry) for entry in document["history"])
        return history, document["adapter"]["tag"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            "the repo to publish to holds something else, not pseudo-labels of solo-hub.",
            file=path.name,
            hint="Choose another name with publish.dataset.",
        ) from error


def next_tag(before: Version | None) -> str:
    """The version after the one that is there.

    >>> next_tag(None), next_tag(Version("v2", "", Path()))
    ('v1', 'v3')
    """
    return f"v{int(before.tag.removeprefix('v')) + 1}" if before else "v1"


def _require_tag(pushed: Pushed, tag: str) -> None:
    if pushed.tag != tag:
        raise ConflictError(
            f"'{pushed.repo_id}' became version {pushed.tag} where {tag} was expected: somebody published there at "
            f"the same time.",
            hint="Run `solo-hub publish` again; the next version will be whole.",
        )


def _summary(version: DatasetVersion) -> str:
    newest = version.history[0]
    if len(version.history) == 1:
        return f"{newest.rows} pseudo-labels"
    return f"{newest.added} rows added, {newest.removed} removed, {newest.changed} changed"


def _entry(pushed: Pushed) -> dict[str, Any]:
    return {
        "repo_id": pushed.repo_id,
        "type": pushed.type,
        "commit": pushed.commit,
        "tag": pushed.tag,
        "url": pushed.url,
    }


def _files(folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        raise RunError(f"'{folder}' is not there.", hint="Run `solo-hub publish` again.")
    found = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    return {
        name: path
        for name, path in found.items()
        if not name.startswith((".cache/", ".git/")) and name != ".gitattributes"
    }
