"""Publishing a knowledge base: that of a folder, or that of a run.

A run whose knowledge is a local file, folder or index cannot be reproduced by others. If the index was published
separately, the run's cards name that repo at its commit; otherwise `publish.knowledge` publishes it first.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from solo_hub.core.errors import RepoMissingError
from solo_hub.hub.client import HubClient
from solo_hub.hub.repos import MODEL_EXTRAS, SMALL_FILES, Pinned
from solo_hub.knowledge.embedder_prompts import MARK, EmbedderPrompts
from solo_hub.knowledge.folder import KnowledgeFolder, read_about, recorded_repo
from solo_hub.knowledge.step import RunKnowledge
from solo_hub.publishing.knowledge import KnowledgeBase, publish_knowledge
from solo_hub.publishing.naming import knowledge_name
from solo_hub.publishing.personal_data import guarded
from solo_hub.run.context import RunContext
from solo_hub.run.resolved import Entry, LocalFile, PinnedRepo, Resolved, read_entry

if TYPE_CHECKING:
    from solo_hub.knowledge.index import KnowledgeIndex


def push_index(
    client: HubClient,
    index: KnowledgeIndex,
    repo_id: str,
    *,
    sources: Sequence[Entry],
    embedder: Entry,
    chunking: Mapping[str, Any],
    scratch: Path,
    push: Callable[..., Any],
    message: str = "",
    private: bool = False,
) -> dict[str, Any]:
    """Publish an index as the next version of a repo; unchanged content pushes nothing.

    Args:
        client: The Hub.
        index: The index, opened.
        repo_id: The repo.
        sources: Its sources: repos at commits, files with hashes.
        embedder: The embedder, a repo at a commit.
        chunking: How documents were split; empty for unchanged rows.
        push: Pushes a folder, as `personal_data.guarded`.
        scratch: Folder on whose disk the repo is assembled.
        message: The publisher's message.
        private: Make a new repo private.

    Returns:
        `{repo_id, type, commit, tag, url, changed}`.
    """
    from solo_hub.knowledge.published import Description, write_published

    shown = tuple(_shown(entry) for entry in sources)
    description = Description("", 0, 0, "", chunking=chunking, sources=shown)
    prompt = _query_prompt(client, index, embedder)
    base = KnowledgeBase(repo_id, tuple(sources), embedder, client.endpoint, prompt)

    def fill(place: Path) -> Mapping[str, Any]:
        return asdict(write_published(index, place, description))

    with tempfile.TemporaryDirectory(prefix=".publishing-", dir=scratch) as place:
        return publish_knowledge(
            base,
            Path(place) / "repo",
            fill,
            push,
            latest=client.latest,
            tag=client.tag_version,
            message=message,
            private=private,
        )


def publish_folder(
    base: KnowledgeFolder, namespace: str | None, *, name: str | None, message: str = "", private: bool = False
) -> dict[str, Any]:
    """Publish the knowledge base as the next version of its repo; the same content pushes nothing.

    Args:
        base: The knowledge base.
        namespace: User or organisation; the token's own user when None.
        name: Name of the repo; made from the folder's when None.
        message: What the publisher says of this version.
        private: Make a new repo private.

    Raises:
        NotAllowedError: The token may not write there.
        ConfigError: The name is not one the Hub accepts.
    """
    about = base.about
    owner = base.client.require_write(namespace)
    done = push_index(
        base.client,
        base.index,
        knowledge_name(owner, name or base.folder.resolve().name, chosen=name is not None),
        sources=[read_entry(row) for row in about["sources"]],
        embedder=read_entry(about["embedder"]),
        chunking=about["chunking"],
        scratch=base.folder,
        push=guarded(base.client, base.console, private=private, allowed=base.config.publish.allow_personal),
        message=message,
        private=private,
    )
    base.save_publication(done)
    return done


def _query_prompt(client: HubClient, index: KnowledgeIndex, embedder: Entry) -> str:
    """The embedder's prompt for queries; read from its repo if the index was built with prompts."""
    if MARK not in index.manifest.embedder or isinstance(embedder, LocalFile):
        return ""
    folder = client.pull(embedder.on(client.endpoint), allow=SMALL_FILES, ignore=MODEL_EXTRAS)
    return EmbedderPrompts.read(folder, embedder.repo_id).query


def find(context: RunContext) -> dict[str, Any] | None:
    """The published knowledge base of a run.

    Returns:
        Its entry in `7-published.json`; None if the run has none, if its knowledge is a plain corpus, or if it exists
        only locally or on another Hub.
    """
    from solo_hub.knowledge.published import Description

    entry = context.resolved.repos.get("knowledge")
    if entry is None:
        return None
    try:
        if isinstance(entry, LocalFile):
            published = recorded_repo(Path(entry.file))
            return None if published is None else _entry(context.client.pin(published, "dataset"))
        pinned = entry.on(context.client.endpoint)
        if Description.read(context.source("knowledge")) is None:
            return None
        return _entry(pinned)
    except RepoMissingError:
        return None


def publish(context: RunContext, repo_id: str, *, message: str = "") -> dict[str, Any]:
    """Publish the local knowledge of a run.

    Returns:
        Its entry in `7-published.json`.

    Raises:
        RunError: It has changed since the run.
        InputError: It contains a secret.
    """
    about, knowledge = read_about(context.source("knowledge")), context.shared(RunKnowledge)
    done = push_index(
        context.client,
        knowledge.index,
        repo_id,
        sources=[context.pinned("knowledge")] if about is None else [read_entry(row) for row in about["sources"]],
        embedder=context.pinned("embedder"),
        chunking=about["chunking"] if about is not None else knowledge.corpus.chunking(knowledge.embedder),
        scratch=context.run.path,
        push=guarded(
            context.client,
            context.console,
            private=context.config.publish.private,
            allowed=context.config.publish.allow_personal,
        ),
        message=message,
        private=context.config.publish.private,
    )
    return {name: done[name] for name in ("repo_id", "type", "commit", "tag", "url")}


def with_published(resolved: Resolved, published: Mapping[str, Any] | None, client: HubClient) -> Resolved:
    """The section `resolved` for others: local knowledge is replaced by its published repo."""
    entry = resolved.repos.get("knowledge")
    if published is None or not isinstance(entry, LocalFile):
        return resolved
    found = client.pin(f"{published['repo_id']}@{published['commit']}", "dataset").to_row()
    knowledge = PinnedRepo(**found, made_from=LocalFile(file=entry.name, sha256=entry.sha256))
    return resolved.model_copy(update={"repos": {**resolved.repos, "knowledge": knowledge}})


def _entry(pinned: Pinned) -> dict[str, Any]:
    return {
        "repo_id": pinned.repo_id,
        "type": "dataset",
        "commit": pinned.commit,
        "tag": pinned.revision if re.fullmatch(r"v[1-9]\d*", pinned.revision) else None,
        "url": f"{pinned.endpoint}/datasets/{pinned.repo_id}",
    }


def _shown(entry: Entry) -> dict[str, Any]:
    """A source for others: a file without its folders."""
    if isinstance(entry, LocalFile):
        return {"file": entry.name, "sha256": entry.sha256, "license": entry.license}
    return {key: value for key, value in entry.to_row().items() if key not in {"endpoint", "reference"}}
