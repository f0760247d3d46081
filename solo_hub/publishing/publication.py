"""Publishes a run: fills and checks both folders, then pushes the dataset, then the adapter.

    dataset card -> names the adapter by repo and version        provenance.json, both cards: every source at its commit
    adapter card -> names the dataset by repo, version and commit

The dataset goes first because the adapter's card names its commit. If the second push fails, the next `publish` finds
the dataset unchanged and completes the pair. A version that was committed but not tagged is tagged first, so no version
is skipped; a push on top of an unknown commit is refused, so no version is lost.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from yaml import YAMLError

from solo_hub.core.errors import InputError, SoloHubError
from solo_hub.core.parsing import parse_yaml
from solo_hub.hub.repos import RepoType, Version
from solo_hub.publishing import facts, versions
from solo_hub.publishing.adapter import fill_adapter_folder
from solo_hub.publishing.adapter_card import AdapterVersion
from solo_hub.publishing.dataset import change, fill_dataset_folder, stream_rows
from solo_hub.publishing.dataset_card import Change, DatasetVersion
from solo_hub.publishing.documents import RunDocuments, rows
from solo_hub.publishing.naming import Names
from solo_hub.publishing.versions import Latest, Push, Tag

KINDS = {"pseudo-labels": "dataset adapter", "solo-adapter": "dataset adapter"}
UNPUSHED = "0" * 40
"""Placeholder of the dataset's commit while both folders are checked before the first push."""


class NoGainError(SoloHubError):
    """The student is not better than its base, and `allow_no_gain` is off."""


@dataclass(frozen=True, slots=True)
class Folders:
    """The folders of the two repos: `7-dataset` and `7-adapter` of the run folder."""

    dataset: Path
    adapter: Path


def publish(
    documents: RunDocuments,
    folders: Folders,
    names: Names,
    push: Push,
    *,
    latest: Latest,
    tag: Tag | None = None,
    message: str = "",
    private: bool = False,
    allow_no_gain: bool = False,
    confirm: Callable[[str], bool] = lambda _: True,
) -> dict[str, Any]:
    """Publish dataset and adapter.

    Args:
        documents: The run.
        folders: Folders to fill.
        names: Names of the repos.
        push: Pushes a folder as one commit and a version tag; does nothing if the repo is up to date.
        latest: Finds the published version.
        tag: Tags a version whose push was interrupted between commit and tag; without it that version stays untagged.
        message: The publisher's message, for history and commit.
        private: Make new repos private.
        allow_no_gain: Publish although the student is not better than its base; the card says so first.
        confirm: Asks whether to publish over what another run published.

    Returns:
        The document `7-published.json`.

    Raises:
        NoGainError: The student is not better than its base.
        InputError: A licence, a secret, a row or another run's repo prevents it; nothing was pushed.
        ModelError: The adapter is broken or has no effect; nothing was pushed.
        ConflictError: Somebody else published at the same time.
    """
    require_gain(documents.report, allow_no_gain=allow_no_gain)
    old_dataset = _completed(latest(names.dataset, "dataset"), names.dataset, "dataset", tag)
    old_adapter = _completed(latest(names.adapter, "model"), names.adapter, "model", tag)
    dataset = _fill_dataset(documents, folders.dataset, names, before=old_dataset, adapter=old_adapter, message=message)
    known = old_dataset.commit if old_dataset and versions.same_files(folders.dataset, old_dataset.folder) else UNPUSHED
    # Everything about the adapter is checked before the first push; only the dataset's commit is filled in after it.
    adapter = _fill_adapter(documents, folders.adapter, names, before=old_adapter, commit=known, tag=dataset.tag)
    if old_dataset and dataset.tag != read_provenance(old_dataset.folder, names.dataset)["dataset"]["tag"]:
        _confirm(
            _other_rows(old_dataset.folder, folders.dataset), names.dataset, dataset.tag, "publish.dataset", confirm
        )
    if old_adapter and adapter.tag != read_provenance(old_adapter.folder, names.adapter)["adapter"]["tag"]:
        _confirm(
            _other_name(old_adapter.folder, folders.adapter), names.adapter, adapter.tag, "publish.adapter", confirm
        )

    title = message or _summary(dataset)
    first = versions.push_as(
        dataset.tag, push, folders.dataset, names.dataset, "dataset", title=title, private=private, before=old_dataset
    )
    adapter = _fill_adapter(documents, folders.adapter, names, before=old_adapter, commit=first.commit, tag=dataset.tag)
    title = message or f"trained on {names.dataset} {dataset.tag}"
    second = versions.push_as(
        adapter.tag, push, folders.adapter, names.adapter, "model", title=title, private=private, before=old_adapter
    )
    return {"dataset": versions.entry(first), "adapter": versions.entry(second)}


def _other_rows(old: Path, new: Path) -> str:
    """How the rows show that another run published them; empty if the versions share a question."""
    known = {row["question"] for row in stream_rows(new)}
    return "" if any(row["question"] in known for row in stream_rows(old)) else "none of its questions is in this run"


def _other_name(old: Path, new: Path) -> str:
    """How the settings show that another run published the adapter; empty if its name is the same."""
    before, now = (_settings(folder).get("name") for folder in (old, new))
    return f"it was made by the run '{before}'" if before not in (None, now) else ""


def _settings(folder: Path) -> Mapping[str, Any]:
    """The published settings of a run; empty where they are not readable."""
    try:
        document = parse_yaml((folder / "config.yaml").read_text("utf-8"))
        return dict(document["settings"])
    except (OSError, UnicodeDecodeError, YAMLError, KeyError, TypeError, ValueError):
        return {}


def _confirm(why: str, repo_id: str, tag: str, setting: str, confirm: Callable[[str], bool]) -> None:
    """Ask before a version of another run is replaced.

    Raises:
        InputError: The answer is no.
    """
    if why and not confirm(f"'{repo_id}' holds another run ({why}). Publish this one as its version {tag}?"):
        raise InputError(
            f"'{repo_id}' holds another run: {why}. Nothing was published.",
            hint=f"Give this run another name with {setting}, or publish it as version {tag} with --yes.",
        )


def check(documents: RunDocuments, folders: Folders, names: Names, *, allow_no_gain: bool = False) -> None:
    """Fill both folders as a first version, to find problems before anything is pushed.

    Raises:
        NoGainError: The student is not better than its base.
        InputError: A licence, a secret or a row prevents it.
        ModelError: The adapter is broken or has no effect.
    """
    require_gain(documents.report, allow_no_gain=allow_no_gain)
    dataset = _fill_dataset(documents, folders.dataset, names, before=None, adapter=None, message="")
    _fill_adapter(documents, folders.adapter, names, before=None, commit=UNPUSHED, tag=dataset.tag)


def _completed(before: Version | None, repo_id: str, kind: RepoType, tag: Tag | None) -> Version | None:
    """Tag the newest commit where it is a whole version that its push did not get to tag."""
    if before is None:
        return None
    document = read_provenance(before.folder, repo_id)
    said = document["dataset" if kind == "dataset" else "adapter"]["tag"]
    return versions.completed(before, repo_id, kind, said=said, files=document.get("files") or {}, tag=tag)


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
                "Publish anyway with --allow-no-gain (setting publish.allow_no_gain); the card then says so in "
                "its first sentence."
            ),
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
    history: tuple[Change, ...] = ()
    old_rows: Iterable[dict[str, Any]] = ()
    if before is not None:
        document = read_provenance(before.folder, names.dataset)
        history = versions.history_of(document)
        again = DatasetVersion(document["dataset"]["tag"], document["adapter"]["tag"], history)
        fill_dataset_folder(folder, documents, names, again)
        if versions.stays(before, again.tag, folder):
            return again
        old_rows = stream_rows(before.folder)
    tag = versions.next_tag(before)
    new_rows = (row.to_row() for row in rows(documents))
    history = (change(tag, message, old_rows, new_rows), *history)
    version = DatasetVersion(tag, versions.next_tag(adapter), history)
    fill_dataset_folder(folder, documents, names, version)
    return version


def _fill_adapter(
    documents: RunDocuments, folder: Path, names: Names, *, before: Version | None, commit: str, tag: str
) -> AdapterVersion:
    """Fill the folder as the version that is there; where that differs, as the next one."""
    if before is not None:
        again = AdapterVersion(read_provenance(before.folder, names.adapter)["adapter"]["tag"], commit, tag)
        fill_adapter_folder(folder, documents, names, again)
        if versions.stays(before, again.tag, folder):
            return again
    version = AdapterVersion(versions.next_tag(before), commit, tag)
    fill_adapter_folder(folder, documents, names, version)
    return version


def read_provenance(folder: Path, repo_id: str) -> dict[str, Any]:
    """As `versions.read_provenance`, of a dataset or an adapter."""
    return versions.read_provenance(folder, repo_id, KINDS, "publish.dataset or publish.adapter")


def _summary(version: DatasetVersion) -> str:
    newest = version.history[0]
    if len(version.history) == 1:
        return f"{newest.rows} pseudo-labels"
    return f"{newest.added} rows added, {newest.removed} removed, {newest.changed} changed"
