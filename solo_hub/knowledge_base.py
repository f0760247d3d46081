"""The knowledge base behind a run: whatever its source is, documents and vectors are made of it once and then reused.

    folder of documents, .md, .html, .pdf    read and chunked
    rows of a dataset repo or file           taken as they are
    a published knowledge base               its own vectors, where the embedder is the same
    a folder made by `solo-hub index --to`   opened where it lies

Indexes are kept in a cache by what they depend on. A corpus that changed is another index, and what an older index of
the same source embedded is copied.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from solo_hub.console import Console
from solo_hub.errors import ConfigError, InputError
from solo_hub.hub import local, tables
from solo_hub.plugins import Embedder, find
from solo_hub.records import Document
from solo_hub.run import write_text
from solo_hub.settings import KnowledgeSettings

if TYPE_CHECKING:
    from solo_hub.knowledge.index import KnowledgeIndex
    from solo_hub.knowledge.published import Description

ORIGIN = "origin.json"
READ_WHOLE = (".md", ".html", ".htm", ".pdf")
"""Files that hold a document rather than rows."""


def make_embedder(settings: KnowledgeSettings, folder: Callable[[], Path], identity: str) -> Embedder:
    """The embedder of the settings: a model in this process, or one behind servers.

    Args:
        settings: Names it.
        folder: Fetches the model; not called for one behind servers.
        identity: Model and commit that its vectors count as.

    Raises:
        ConfigError: It needs the address of a server and has none, or has one and needs none.
    """
    plugin = find("embedders", settings.embedder)
    if getattr(plugin, "served", False):
        if not settings.embedder_urls:
            raise ConfigError(
                f"The embedder '{settings.embedder}' needs the address of a server.",
                hint="Set knowledge.embedder_urls, e.g. --set knowledge.embedder_urls=[http://127.0.0.1:8080].",
            )
        token = os.environ.get(settings.embedder_token) or None
        served: Embedder = plugin(settings.embedder_urls, identity, token=token)
        return served
    if settings.embedder_urls:
        raise ConfigError(
            f"The embedder '{settings.embedder}' runs in this process and takes no address.",
            hint="Set knowledge.embedder=tei, or leave knowledge.embedder_urls empty.",
        )
    made: Embedder = plugin(folder(), identity)
    return made


def is_documents(source: Path, *, own: bool) -> bool:
    """Whether a source holds documents to be read whole and chunked, rather than rows.

    Args:
        source: A file or folder.
        own: Whether it is the user's own; else it is the snapshot of a repo, whose README is no document.
    """
    if source.is_dir():
        return own and not (source / "data").is_dir() and not any(source.glob("*.parquet"))
    return source.suffix.lower() in READ_WHOLE


def chunking(settings: KnowledgeSettings, embedder: Embedder) -> dict[str, Any]:
    """How documents are cut, for the manifest."""
    counted = "the embedder's tokens" if hasattr(embedder, "count_tokens") else "estimated tokens"
    return {"tokens": settings.chunk_tokens, "overlap": settings.chunk_overlap, "counted_by": counted}


def documents_of(
    source: Path, settings: KnowledgeSettings, embedder: Embedder, *, place: str, own: bool
) -> Iterator[Document]:
    """Documents of a source, one at a time.

    Args:
        source: A file or folder of the user's, or a snapshot of a dataset repo.
        settings: Columns and chunk sizes.
        embedder: Counts tokens where it can.
        place: What the source is called in messages.
        own: Whether the source is the user's own, rather than a snapshot.

    Raises:
        InputError: The source cannot be read, or a row or file of it.
        ConfigError: A column is not there.
    """
    from solo_hub.knowledge.chunking import estimate_tokens
    from solo_hub.knowledge.corpus import stream_documents
    from solo_hub.knowledge.published import Description, published_rows
    from solo_hub.knowledge.reading import read_files

    if (description := Description.read(source)) is not None:
        for batch, _ in published_rows(source, description, vectors=False):
            yield from batch
    elif is_documents(source, own=own):
        count = getattr(embedder, "count_tokens", estimate_tokens)
        yield from read_files(
            source, limit=settings.chunk_tokens, overlap=settings.chunk_overlap, count=count, settings=settings
        )
    else:
        columns = _columns(source, settings, place)
        yield from stream_documents(tables.read_table(source, split=settings.split, columns=columns), settings, place)


def _columns(source: Path, settings: KnowledgeSettings, place: str) -> list[str]:
    there = tables.read_columns(source, split=settings.split)
    if not there:
        raise InputError("the corpus is empty.", file=place, hint="Give one with text to look things up in.")
    if settings.text_column not in there:
        raise ConfigError(
            f"The corpus {place} has no column '{settings.text_column}'.",
            hint=f"Set knowledge.text_column; there are: {', '.join(there)}.",
        )
    return [name for name in (settings.id_column, settings.text_column, settings.source_column) if name in there]


def open_index(
    source: Path,
    name: str,
    settings: KnowledgeSettings,
    embedder: Embedder,
    *,
    place: str,
    own: bool,
    console: Console,
) -> KnowledgeIndex:
    """Open the index of a source; it is made, or taken over from a published one, where it is not there yet.

    Args:
        source: A file or folder on this machine, or a snapshot of a dataset repo.
        name: Repo and commit, or file and hash: what the documents depend on.
        settings: How it is read.
        embedder: Makes the vectors.
        place: What the source is called in messages.
        own: Whether the source is the user's own, rather than a snapshot.
        console: Shows progress.

    Raises:
        InputError: A row or file of the source is unusable.
        RunError: It is an index of another embedder.
    """
    index = _open(source, name, settings, embedder, place=place, own=own, console=console)
    index.show = console.progress
    if hasattr(embedder, "dimension"):  # a server may change its model under the same address
        embedder.dimension = index.manifest.dimension
    return index


def _open(
    source: Path,
    name: str,
    settings: KnowledgeSettings,
    embedder: Embedder,
    *,
    place: str,
    own: bool,
    console: Console,
) -> KnowledgeIndex:
    from solo_hub.knowledge.index import KnowledgeIndex
    from solo_hub.knowledge.published import Description, published_rows

    if is_index(source):
        index = KnowledgeIndex.open(source)
        index.check_embedder(embedder)
        return index
    folder = index_folder(name, settings, embedder.identity)
    if (finished := KnowledgeIndex.finished(folder, embedder.identity)) is not None:
        return finished  # the folder is named by all that its content depends on
    older = _older(folder, name)
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / ORIGIN, json.dumps({"source": _stem(name)}) + "\n")
    description = Description.read(source)
    if description is not None and description.embedder == embedder.identity:
        with console.progress("taking over published vectors", description.documents) as progress:
            return KnowledgeIndex.adopt(published_rows(source, description), embedder.identity, folder, progress)
    documents = documents_of(source, settings, embedder, place=place, own=own)
    expected = count_documents(source, settings, description, own=own)
    with console.progress("embedding passages", expected) as progress:
        return KnowledgeIndex.build(documents, embedder, folder, progress, reuse=older)


def count_documents(source: Path, settings: KnowledgeSettings, description: Description | None, *, own: bool) -> int:
    """How many documents there will be, for a progress bar; 0 where nobody knows before they are read."""
    if description is not None:
        return description.documents
    return 0 if is_documents(source, own=own) else tables.count_rows(source, split=settings.split)


def is_index(folder: Path) -> bool:
    """Whether a folder is an index made by `solo-hub index --to`."""
    try:
        return "generation" in json.loads((folder / "manifest.json").read_text("utf-8"))
    except (OSError, ValueError, TypeError):
        return False


def index_folder(name: str, settings: KnowledgeSettings, identity: str) -> Path:
    """Where the index of a source is kept: by everything its content depends on."""
    parts = [name, identity, settings.split, settings.text_column, settings.id_column, settings.source_column]
    parts += [str(settings.chunk_tokens), str(settings.chunk_overlap)]
    return _cache() / hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:24]


def _cache() -> Path:
    return local.home() / "cache" / "knowledge"


def _stem(name: str) -> str:
    """The source without its commit or hash."""
    return name.rpartition("@")[0] or name


def _older(folder: Path, name: str) -> list[Path]:
    """Other indexes of the same source, the newest first."""
    found = []
    for path in _cache().glob(f"*/{ORIGIN}"):
        try:
            same = json.loads(path.read_text("utf-8")).get("source") == _stem(name)
        except (OSError, ValueError, AttributeError):
            continue
        if same and path.parent != folder:
            found.append((path.stat().st_mtime, path.parent))
    return [path for _, path in sorted(found, reverse=True)]
