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
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from solo_hub.core import paths
from solo_hub.core.console import Console
from solo_hub.core.errors import ConfigError, InputError
from solo_hub.core.files import write_text
from solo_hub.core.plugins import Embedder, find
from solo_hub.core.records import Document
from solo_hub.core.redaction import register_secret
from solo_hub.core.settings import KnowledgeSettings
from solo_hub.hub import tables

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
        token = register_secret(os.environ.get(settings.embedder_token)) or None
        served: Embedder = plugin(
            settings.embedder_urls,
            identity,
            token=token,
            concurrency=settings.embedder_concurrency,
            attempts=settings.embedder_attempts,
            timeout=settings.embedder_timeout,
        )
        return served
    if settings.embedder_urls:
        raise ConfigError(
            f"The embedder '{settings.embedder}' runs in this process and takes no address.",
            hint="Set knowledge.embedder=tei, or leave knowledge.embedder_urls empty.",
        )
    made: Embedder = plugin(folder(), identity)
    return made


@dataclass(frozen=True, slots=True)
class Source:
    """What a knowledge base is made of, and how it is read.

    Attributes:
        path: A file or folder of the user's, or a snapshot of a dataset repo.
        settings: Columns and chunk sizes.
        place: What the source is called in messages.
        own: Whether it is the user's own; else it is the snapshot of a repo, whose README is no document.
        rows_of_text: Whether a .txt file holds a passage a line; else it is a document like the others.
    """

    path: Path
    settings: KnowledgeSettings
    place: str
    own: bool
    rows_of_text: bool = True

    @property
    def is_documents(self) -> bool:
        """Whether it holds documents to be read whole and chunked, rather than rows."""
        if self.path.is_dir():
            return self.own and not (self.path / "data").is_dir() and not any(self.path.glob("*.parquet"))
        suffix = self.path.suffix.lower()
        return suffix in READ_WHOLE or (suffix == ".txt" and not self.rows_of_text)

    @property
    def description(self) -> Description | None:
        """That of a published knowledge base; None where it is another source."""
        from solo_hub.knowledge.published import Description

        return Description.read(self.path)

    def chunking(self, embedder: Embedder) -> dict[str, Any]:
        """How documents are cut, for the manifest; empty where rows are taken as they are."""
        if not self.is_documents:
            return {}
        counted = "the embedder's tokens" if hasattr(embedder, "count_tokens") else "estimated tokens"
        return {"tokens": self.settings.chunk_tokens, "overlap": self.settings.chunk_overlap, "counted_by": counted}

    def documents(self, embedder: Embedder) -> Iterator[Document]:
        """Its documents, one at a time.

        Args:
            embedder: Counts tokens where it can.

        Raises:
            InputError: The source cannot be read, or a row or file of it.
            ConfigError: A column is not there.
        """
        from solo_hub.knowledge.chunking import estimate_tokens
        from solo_hub.knowledge.corpus import stream_documents
        from solo_hub.knowledge.published import published_rows
        from solo_hub.knowledge.reading import read_files

        settings = self.settings
        if (description := self.description) is not None:
            for batch, _ in published_rows(self.path, description, vectors=False):
                yield from batch
        elif self.is_documents:
            count = getattr(embedder, "count_tokens", estimate_tokens)
            yield from read_files(
                self.path, limit=settings.chunk_tokens, overlap=settings.chunk_overlap, count=count, settings=settings
            )
        else:
            rows = tables.read_table(self.path, split=settings.split, columns=self._columns())
            yield from stream_documents(rows, settings, self.place)

    def _columns(self) -> list[str]:
        settings = self.settings
        there = tables.read_columns(self.path, split=settings.split)
        if not there:
            raise InputError("the corpus is empty.", file=self.place, hint="Give one with text to look things up in.")
        if settings.text_column not in there:
            raise ConfigError(
                f"The corpus {self.place} has no column '{settings.text_column}'.",
                hint=f"Set knowledge.text_column; there are: {', '.join(there)}.",
            )
        return [name for name in (settings.id_column, settings.text_column, settings.source_column) if name in there]

    def count(self) -> int:
        """How many documents there will be, for a progress bar; 0 where nobody knows before they are read."""
        if (description := self.description) is not None:
            return description.documents
        return 0 if self.is_documents else tables.count_rows(self.path, split=self.settings.split)

    def build(
        self, embedder: Embedder, folder: Path, console: Console, *, reuse: Sequence[Path] = ()
    ) -> KnowledgeIndex:
        """Make an index of it.

        Args:
            embedder: Makes the vectors.
            folder: Where it goes.
            console: Shows progress.
            reuse: Other indexes whose vectors are taken where the text is the same.

        Raises:
            InputError: A row or file of the source is unusable.
        """
        from solo_hub.knowledge.index import KnowledgeIndex

        with console.progress("embedding passages", self.count()) as progress:
            return KnowledgeIndex.build(self.documents(embedder), embedder, folder, progress, reuse=reuse)


def open_index(source: Source, name: str, embedder: Embedder, console: Console) -> KnowledgeIndex:
    """Open the index of a source; it is made, or taken over from a published one, where it is not there yet.

    Args:
        source: What it is made of, or an index itself.
        name: Repo and commit, or file and hash: what the documents depend on.
        embedder: Makes the vectors.
        console: Shows progress.

    Raises:
        InputError: A row or file of the source is unusable.
        RunError: It is an index of another embedder.
    """
    index = _open(source, name, embedder, console)
    index.show = console.progress
    if hasattr(embedder, "dimension"):  # a server may change its model under the same address
        embedder.dimension = index.manifest.dimension
    return index


def _open(source: Source, name: str, embedder: Embedder, console: Console) -> KnowledgeIndex:
    from solo_hub.knowledge.index import KnowledgeIndex
    from solo_hub.knowledge.published import published_rows

    if is_index(source.path):
        index = KnowledgeIndex.open(source.path)
        index.check_embedder(embedder)
        return index
    folder = index_folder(name, source.settings, embedder.identity)
    if (finished := KnowledgeIndex.finished(folder, embedder.identity)) is not None:
        return finished  # the folder is named by all that its content depends on
    older = _older(folder, name)
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / ORIGIN, json.dumps({"source": _stem(name)}) + "\n")
    description = source.description
    if description is not None and description.embedder == embedder.identity:
        with console.progress("taking over published vectors", description.documents) as progress:
            return KnowledgeIndex.adopt(published_rows(source.path, description), embedder.identity, folder, progress)
    return source.build(embedder, folder, console, reuse=older)


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
    return paths.home() / "cache" / "knowledge"


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
