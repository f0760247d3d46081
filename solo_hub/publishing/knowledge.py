"""Publishes a knowledge base: rows with embeddings, word index, manifest and card, as one commit and a version tag.

The same content pushes nothing. What the folder holds besides the card is filled in by the caller (`fill`), because how
an index is written down is the knowledge step's own affair.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from solo_hub import __version__
from solo_hub.core.errors import InputError
from solo_hub.core.files import write_text
from solo_hub.publishing import cards, facts, inventory, leaks, versions
from solo_hub.publishing.dataset import change, empty
from solo_hub.publishing.dataset_card import Change, history_table
from solo_hub.publishing.documents import Origin
from solo_hub.publishing.licences import derive
from solo_hub.publishing.markdown import Markdown, code, one_line, two_columns
from solo_hub.publishing.versions import Latest, Push, Tag

KIND = "knowledge-base"
FORMAT_VERSION = 1
MANY = 50  # sources listed in the card; all are in the manifest
EXAMPLE = 80  # characters of the card's example, at most: eight words of some languages are a page without blanks

COLUMNS = {
    "id": "Stable id of the passage.",
    "text": "The passage: a row of the source as it is, or a chunk of a document.",
    "source": "Where it stands: a file with line or page, or what the source dataset says.",
    "embedding": "Its embedding, 16-bit floating point, of length 1.",
}


@dataclass(frozen=True, slots=True)
class KnowledgeBase:
    """What the card says of a knowledge base beside its own manifest.

    Attributes:
        repo_id: Where it is published.
        origins: Its sources: repos at commits, files.
        embedder: The embedder, a repo at a commit.
        query_prompt: What the embedder wants in front of queries, or an empty text.
        endpoint: The Hub that links lead to; None for the Hugging Face Hub.
    """

    repo_id: str
    origins: tuple[Origin, ...]
    embedder: Origin
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
    """Publish a knowledge base as the next version of its repo; nothing where the repo holds it already.

    Args:
        base: What it is.
        folder: Folder to fill with what is pushed.
        fill: Writes rows, index and manifest into a folder and returns the manifest.
        push: As `hub.client.HubClient.push`.
        latest: What the repo holds now.
        tag: Tags a version whose push was cut off between commit and tag.
        message: What the publisher says of this version.
        private: Make a new repo private.

    Returns:
        `{repo_id, type, commit, tag, url, changed}`.

    Raises:
        InputError: A licence or a secret stands in the way, or the repo holds something else; nothing was pushed.
        ConflictError: Somebody else published at the same time.
    """
    before = latest(base.repo_id, "dataset")
    old = None if before is None else _provenance(before.folder, base.repo_id)
    empty(folder)
    manifest = fill(folder)
    wanted = "v1"
    if before is not None and old is not None:
        said = str(old["dataset"]["tag"])
        files = old.get("files") or {}
        before = versions.completed(before, base.repo_id, "dataset", said=said, files=files, tag=tag)
        _describe(base, folder, manifest, said, _history(old))
        if versions.may_stay(before, said) and inventory.hashes(folder) == inventory.hashes(before.folder):
            return _pushed(push, base, folder, said, before.commit, message, private=private)
        wanted = versions.next_tag(before, said)
    latest_change = change(wanted, message, _texts(before.folder) if before else (), _texts(folder))
    _describe(base, folder, manifest, wanted, (latest_change, *(_history(old) if old else ())))
    return _pushed(push, base, folder, wanted, before.commit if before else "", message, private=private)


def _pushed(
    push: Push, base: KnowledgeBase, folder: Path, tag: str, parent: str, message: str, *, private: bool
) -> dict[str, Any]:
    done = push(
        folder,
        base.repo_id,
        "dataset",
        message=one_line(f"{tag}: {message or 'knowledge base'}"),
        private=private,
        parent=parent,
    )
    versions.require_tag(done, tag)
    return {**versions.entry(done), "changed": done.changed}


def _describe(
    base: KnowledgeBase, folder: Path, manifest: Mapping[str, Any], tag: str, history: Sequence[Change]
) -> None:
    """Write card, licence and provenance beside the data, and look for secrets."""
    licence = derive([origin.source(base.endpoint) for origin in base.origins], "knowledge base")
    if licence.id == "other":
        write_text(folder / "LICENSE.md", cards.licence_file(licence, "knowledge base"))
    documents = int(manifest["documents"])
    repos = [origin.repo_id for origin in base.origins if origin.repo_id]
    front: dict[str, Any] = {
        "pretty_name": one_line(base.repo_id.rsplit("/", 1)[-1]),
        "language": cards.languages(base.origins),
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
    shown = base.origins[:MANY]
    context = {
        "name": base.repo_id.rsplit("/", 1)[-1],
        "repo_id": base.repo_id,
        "tag": tag,
        "documents": documents,
        "dimension": int(manifest["dimension"]),
        "words": int(manifest["words"]),
        "stems": _stems(folder),
        "sources": cards.origin_link(base.origins[0], base.endpoint) if len(base.origins) == 1 else None,
        "embedder": cards.origin_link(base.embedder, base.endpoint),
        "embedder_id": base.embedder.name,
        "embedder_commit": base.embedder.commit,
        "example": _example(folder),
        "query_prompt": base.query_prompt,
        "columns": two_columns(("Column", "Meaning"), {code(name): Markdown(text) for name, text in COLUMNS.items()}),
        "how": _how(manifest.get("chunking") or {}, more=len(base.origins) - len(shown)),
        "origins": cards.origins_table((*shown, base.embedder), base.endpoint),
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
    cut = "Rows were taken as they are."
    if chunking:
        cut = (
            f"Documents were cut into whole sentences, at most {int(chunking['tokens'])} tokens a passage with up to "
            f"{int(chunking['overlap'])} repeated from one to the next (counted: {chunking['counted_by']})."
        )
    return Markdown(cut + (f" {more} more sources are named in `manifest.json`." if more > 0 else ""))


def _stems(folder: Path) -> Markdown:
    """Which stems the words of the word index are cut to."""
    path = folder / "index" / "words.parquet"
    about = (pq.read_metadata(path).metadata or {}) if path.exists() else {}
    language = json.loads(about.get(b"analysis", b"{}")).get("language")
    return Markdown(f"Snowball's stems for {code(language)}" if language else "words as they are, without stems")


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


def _provenance(folder: Path, repo_id: str) -> dict[str, Any]:
    try:
        document = json.loads((folder / "provenance.json").read_text("utf-8"))
        versions.number(document["dataset"]["tag"])
        [Change(**entry) for entry in document["history"]]
        ours = document["kind"] == KIND
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise _foreign(repo_id) from error
    if not ours:
        raise _foreign(repo_id)
    return dict(document)


def _foreign(repo_id: str) -> InputError:
    return InputError(
        f"'{repo_id}' holds something that is not a knowledge base of solo-hub; it was left as it is.",
        hint="Choose another name with --name, or empty that repo.",
    )


def _history(document: Mapping[str, Any]) -> tuple[Change, ...]:
    return tuple(Change(**entry) for entry in document["history"])
