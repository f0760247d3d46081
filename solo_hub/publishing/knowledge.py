"""Publishes a knowledge base: rows with embeddings, word index, manifest and card, as one commit and a version tag.

Unchanged content pushes nothing. Everything but the card is written by the caller (`fill`), because the format of an
index belongs to the knowledge step.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from solo_hub import __version__
from solo_hub.core.files import write_text
from solo_hub.publishing import cards, facts, inventory, leaks, versions
from solo_hub.publishing.dataset import change, empty
from solo_hub.publishing.dataset_card import Change, history_table
from solo_hub.publishing.documents import source
from solo_hub.publishing.licences import derive
from solo_hub.publishing.markdown import Markdown, code, one_line, two_columns
from solo_hub.publishing.versions import Latest, Push, Tag
from solo_hub.run.resolved import Entry

KIND = "knowledge-base"
FORMAT_VERSION = 1
MANY = 50  # sources listed in the card; all are in the manifest
EXAMPLE = 80  # maximum characters of the card's example: in scripts without spaces eight "words" can be a page

COLUMNS = {
    "id": "Stable id of the passage.",
    "text": "The passage: a row of the source, or a chunk of a document.",
    "source": "Its source: a file with line or page, or as given by the source dataset.",
    "embedding": "Its embedding, 16-bit floating point, of length 1.",
}


@dataclass(frozen=True, slots=True)
class KnowledgeBase:
    """Information for the card of a knowledge base beside its manifest.

    Attributes:
        repo_id: The repo.
        sources: Repos at commits, files.
        embedder: The embedder, a repo at a commit.
        query_prompt: The embedder's prompt for queries; may be empty.
        endpoint: The Hub of links; None for the Hugging Face Hub.
    """

    repo_id: str
    sources: tuple[Entry, ...]
    embedder: Entry
    endpoint: str | None = None
    query_prompt: str = ""


def publish_knowledge(
    base: KnowledgeBase,
    folder: Path,
    fill: Callable[[Path], Mapping[str, Any]],
    push: Push,
    *,
    latest: Latest,
    tag: Tag,
    message: str = "",
    private: bool = False,
) -> dict[str, Any]:
    """Publish a knowledge base as the next version of its repo; nothing if the repo is up to date.

    Args:
        base: The knowledge base.
        folder: Folder to fill and push.
        fill: Writes rows, index and manifest into a folder and returns the manifest.
        push: As `hub.client.HubClient.push`.
        latest: Returns the current version of the repo.
        tag: Tags a version whose push was interrupted between commit and tag.
        message: The publisher's message.
        private: Make a new repo private.

    Returns:
        `{repo_id, type, commit, tag, url, changed}`.

    Raises:
        InputError: A licence or a secret prevents it, or the repo contains something else; nothing was pushed.
        ConflictError: Somebody else published at the same time.
    """
    before = latest(base.repo_id, "dataset")
    old = versions.read_provenance(before.folder, base.repo_id, {KIND: "dataset"}, "--name") if before else {}
    empty(folder)
    manifest = fill(folder)
    wanted, history = "v1", versions.history_of(old)
    if before is not None:
        wanted, files = str(old["dataset"]["tag"]), old.get("files") or {}
        before = versions.completed(before, base.repo_id, "dataset", said=wanted, files=files, tag=tag)
        _describe(base, folder, manifest, wanted, history)
    if before is None or not versions.stays(before, wanted, folder):
        wanted = versions.next_tag(before)
        latest_change = change(wanted, message, _texts(before.folder) if before else (), _texts(folder))
        _describe(base, folder, manifest, wanted, (latest_change, *history))
    title = message or "knowledge base"
    done = versions.push_as(wanted, push, folder, base.repo_id, "dataset", title=title, private=private, before=before)
    return {**versions.entry(done), "changed": done.changed}


def _describe(
    base: KnowledgeBase, folder: Path, manifest: Mapping[str, Any], tag: str, history: Sequence[Change]
) -> None:
    """Write card, licence and provenance beside the data, and look for secrets."""
    licence = derive([source("knowledge", entry, base.endpoint) for entry in base.sources], "knowledge base")
    if licence.id == "other":
        write_text(folder / "LICENSE.md", cards.licence_file(licence, "knowledge base"))
    documents = int(manifest["documents"])
    repos = [entry.repo_id for entry in base.sources if entry.repo_id]
    front: dict[str, Any] = {
        "pretty_name": one_line(base.repo_id.rsplit("/", 1)[-1]),
        "language": cards.languages(base.sources),
        **cards.licence_entries(licence),
        "task_categories": ["sentence-similarity", "question-answering"],
        "size_categories": [facts.size_category(documents)],
        "source_datasets": list(dict.fromkeys(repos)),
        "tags": ["solo-hub", "knowledge-base", "embeddings", "retrieval"],
        "configs": [
            {
                "config_name": "default",
                "default": True,
                "data_files": [{"split": "train", "path": "data/train-*"}],
            }
        ],
    }
    shown = [("knowledge", entry) for entry in base.sources[:MANY]]
    context = {
        "name": base.repo_id.rsplit("/", 1)[-1],
        "repo_id": base.repo_id,
        "tag": tag,
        "documents": documents,
        "dimension": int(manifest["dimension"]),
        "words": int(manifest["words"]),
        "stems": _stems(folder),
        "sources": cards.entry_link(base.sources[0], base.endpoint) if len(base.sources) == 1 else None,
        "embedder": cards.entry_link(base.embedder, base.endpoint),
        "embedder_id": base.embedder.name,
        "embedder_commit": base.embedder.commit,
        "example": _example(folder),
        "query_prompt": base.query_prompt,
        "columns": two_columns(("Column", "Meaning"), {code(name): Markdown(text) for name, text in COLUMNS.items()}),
        "how": _how(manifest.get("chunking") or {}, more=len(base.sources) - len(shown)),
        "origins": cards.origins_table([*shown, ("embedder", base.embedder)], base.endpoint),
        "licence": licence,
        "licence_sources": cards.licence_table(licence),
        "history": history_table(history),
        "solo_hub": __version__,
    }
    write_text(folder / "README.md", cards.render("knowledge.md.jinja", front, "dataset", context))
    provenance = {
        "format_version": FORMAT_VERSION,
        "kind": KIND,
        "dataset": {"repo_id": base.repo_id, "tag": tag},
        "embedder": manifest["embedder"],
        "documents": documents,
        "history": [asdict(change) for change in history],
        "files": inventory.hashes(folder),
    }
    write_text(folder / "provenance.json", json.dumps(provenance, ensure_ascii=False, indent=2) + "\n")
    leaks.refuse(folder)


def _how(chunking: Mapping[str, Any], more: int) -> Markdown:
    """How texts became passages, in a sentence."""
    cut = "Rows are unchanged."
    if chunking:
        cut = (
            f"Documents were split at sentence boundaries: at most {int(chunking['tokens'])} tokens per passage, up to "
            f"{int(chunking['overlap'])} tokens of overlap (counted: {chunking['counted_by']})."
        )
    return Markdown(cut + (f" {more} more sources are listed in `manifest.json`." if more > 0 else ""))


def _stems(folder: Path) -> Markdown:
    """The stemming of the word index."""
    path = folder / "index" / "words.parquet"
    about = (pq.read_metadata(path).metadata or {}) if path.exists() else {}
    language = json.loads(about.get(b"analysis", b"{}")).get("language")
    return Markdown(f"Snowball stemming for {code(language)}" if language else "no stemming")


def _example(folder: Path) -> str:
    """A short question-like text for the card's code: the beginning of the first passage."""
    first = next(iter(sorted((folder / "data").glob("train-*.parquet"))))
    text = pq.ParquetFile(first).read_row_group(0, columns=["text"]).column("text")[0].as_py()
    return " ".join(str(text).split()[:8])[:EXAMPLE].strip()


def _texts(folder: Path) -> Iterator[dict[str, Any]]:
    """Id and text of each passage, a batch in memory."""
    for path in sorted((folder / "data").glob("train-*.parquet")):
        for batch in pq.ParquetFile(path).iter_batches(columns=["id", "text"]):
            yield from batch.to_pylist()
