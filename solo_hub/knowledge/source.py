"""The source of a run's knowledge base, whose documents and vectors are computed once and cached.

    documents (.txt, .md, .html, .pdf)       read and chunked, alone or in a folder
    rows of a dataset repo or file           used as they are
    a published knowledge base               with its own vectors, if the embedder is the same
    a folder of `solo-hub index --to`        opened in place

Indexes are cached by everything they depend on. A changed corpus gets a new index, which copies vectors from older
indexes of the same source.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from solo_hub.core import paths
from solo_hub.core.config import PluginOptions, read_options
from solo_hub.core.console import Console
from solo_hub.core.errors import ConfigError, InputError
from solo_hub.core.files import write_text
from solo_hub.core.parsing import read_object
from solo_hub.core.plugins import Embedder, find
from solo_hub.core.records import Document
from solo_hub.core.redaction import register_secret
from solo_hub.core.settings import KnowledgeSettings
from solo_hub.hub import layouts, tables
from solo_hub.hub.unusable import Policy, Unusable, describe_left_out
from solo_hub.knowledge.embedder_prompts import EmbedderPrompts

if TYPE_CHECKING:
    from solo_hub.knowledge.index import KnowledgeIndex
    from solo_hub.knowledge.published import Description
    from solo_hub.knowledge.reading import Summary

ORIGIN = "origin.json"
READING = "reading.json"
"""Summary of an index's source: rows, documents, and what was left out."""
CARDS = frozenset({"README.md"})
"""Files that describe a repo."""


class ServerOptions(PluginOptions):
    """Options of an embedder behind servers.

    Attributes:
        urls: URL of a server, or of several replicas that share the work.
        token_variable: Environment variable that holds their bearer token; never the token itself.
        concurrency: Maximum concurrent requests to one server.
        attempts: Attempts per request before a busy server counts as unavailable.
        timeout: Time limit for a complete response, in seconds.
    """

    urls: list[str] = Field(default_factory=list)
    token_variable: str = Field("TEI_TOKEN")
    concurrency: int = Field(4, ge=1, le=256)
    attempts: int = Field(6, ge=1)
    timeout: float = Field(120.0, gt=0)


def make_embedder(
    settings: KnowledgeSettings, folder: Callable[[], Path], identity: str, small: Callable[[], Path] | None = None
) -> Embedder:
    """Create the configured embedder: a model in this process, or on servers.

    Args:
        settings: The settings.
        folder: Fetches the model; not called for servers.
        identity: Model and commit of its vectors.
        small: Fetches only the model's configuration, for the prompts of a model on servers.

    Raises:
        ConfigError: Invalid options, or options of an embedder that has none; the URL of a server is missing.
    """
    plugin = find("embedders", settings.embedder)
    if getattr(plugin, "served", False):
        owner, setting = f"embedder '{settings.embedder}'", "knowledge.embedder_options"
        options = read_options(ServerOptions, settings.embedder_options, owner, setting)
        if not options.urls:
            raise ConfigError(
                f"The {owner} needs the URL of a server.", hint=f"E.g. --set {setting}.urls=[http://127.0.0.1:8080]."
            )
        served: Embedder = plugin(
            options.urls,
            identity,
            token=register_secret(os.environ.get(options.token_variable)) or None,
            concurrency=options.concurrency,
            attempts=options.attempts,
            timeout=options.timeout,
        )
        if small is not None and hasattr(served, "read_prompts"):
            served.read_prompts = lambda: EmbedderPrompts.read(small(), identity)
        return served
    if settings.embedder_options:
        raise ConfigError(
            f"The embedder '{settings.embedder}' runs in this process and has no options.",
            hint="Set knowledge.embedder=tei, or leave knowledge.embedder_options empty.",
        )
    made: Embedder = plugin(folder(), identity)
    if hasattr(made, "is_searched"):
        made.is_searched = getattr(find("retrievers", settings.retriever), "reads_vectors", True)
    return made


@dataclass(frozen=True, slots=True)
class Source:
    """The source of a knowledge base, and how it is read.

    Attributes:
        path: A local file or folder, or a snapshot of a dataset repo.
        settings: Columns and chunk sizes.
        place: Its name in messages.
        own: Whether it is local; otherwise it is the snapshot of a repo, whose README is not a document.
        unusable_rows: What to do with rows and documents that cannot be used.
    """

    path: Path
    settings: KnowledgeSettings
    place: str
    own: bool
    unusable_rows: Policy = "stop"

    @property
    def is_documents(self) -> bool:
        """Whether it holds documents to be read whole and chunked, rather than rows."""
        from solo_hub.knowledge.reading import is_document

        if not self.path.is_dir():
            return is_document(self.path)
        if self.own:
            return not (self.path / "data").is_dir() and not any(self.path.glob("*.parquet"))
        documents = (file for file in self.path.rglob("*") if is_document(file) and file.name not in CARDS)
        return any(documents) and not layouts.has_data_files(self.path)

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

    def documents(self, embedder: Embedder | None = None, summary: Summary | None = None) -> Iterator[Document]:
        """Its documents, one at a time.

        Args:
            embedder: Counts tokens where it can; without one they are estimated.
            summary: Is filled in with what was read and what was left out.

        Raises:
            InputError: The source cannot be read, or a row or file of it.
            ConfigError: A column is not there.
        """
        from solo_hub.knowledge.chunking import estimate_tokens
        from solo_hub.knowledge.corpus import stream_documents
        from solo_hub.knowledge.published import published_rows
        from solo_hub.knowledge.reading import Summary, read_files

        settings, unusable = self.settings, Unusable(self.unusable_rows)
        summary = Summary() if summary is None else summary
        if (description := self.description) is not None:
            for batch, _ in published_rows(self.path, description, vectors=False):
                yield from batch
        elif self.is_documents:
            count = getattr(embedder, "count_tokens", estimate_tokens)
            yield from read_files(
                self.path,
                limit=settings.chunk_tokens,
                overlap=settings.chunk_overlap,
                count=count,
                settings=settings,
                unusable=unusable,
                summary=summary,
                skip=() if self.own else CARDS,
            )
        else:
            rows = tables.read_table(self.path, split=settings.split, columns=self._columns(), on_error=unusable)
            for document in stream_documents(rows, settings, self.place, unusable):
                summary.rows += 1
                summary.chunks += 1
                yield document
            summary.left_out = unusable.left_out

    def _columns(self) -> list[str]:
        column = self.settings.column
        columns = tables.read_columns(self.path, split=self.settings.split)
        if not columns:
            raise InputError("the corpus is empty.", file=self.place, hint="Use a corpus with text.")
        if column("text") not in columns:
            raise ConfigError(
                f"The corpus {self.place} has no column '{column('text')}'.",
                hint=f"Set knowledge.columns.text to one of: {', '.join(columns)}.",
            )
        return [name for name in (column("id"), column("text"), column("source")) if name in columns]

    def count(self) -> int:
        """Number of documents, for a progress bar; 0 if unknown before they are read."""
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

        with console.progress("embedding passages", self.count() or None, saved=True) as progress:
            return KnowledgeIndex.build(self._documents(embedder, folder), embedder, folder, progress, reuse=reuse)

    def _documents(self, embedder: Embedder, folder: Path) -> Iterator[Document]:
        """Its documents; once all are read, what they were is written down, before the index can be finished."""
        from solo_hub.knowledge.reading import Summary

        summary = Summary()
        yield from self.documents(embedder, summary)
        if summary.chunks:
            write_text(folder / READING, json.dumps(summary.to_row(), ensure_ascii=False) + "\n")


def read_summary(folder: Path) -> Summary | None:
    """What an index was made of; None where that was not written down, by a version before or a published one."""
    from solo_hub.knowledge.reading import Summary

    try:
        return Summary.from_row(json.loads((folder / READING).read_text("utf-8")))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def report_reading(summary: Summary | None, console: Console) -> None:
    """Report what was read and what was left out."""
    if summary is None:
        return
    console.note(f"read: {summary}")
    if summary.left_out:
        console.warn(describe_left_out(summary.left_out, "document"))


def open_index(source: Source, name: str, embedder: Embedder, console: Console) -> KnowledgeIndex:
    """Open the index of a source; build it, or import a published one, if it does not exist.

    Args:
        source: The source, or an index itself.
        name: Repo and commit, or file and hash, for the cache.
        embedder: Embeds the texts.
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

    if (finished := find_index(source, name, embedder)) is not None:
        return finished
    folder = index_folder(name, source, embedder.identity)
    older = _older(folder, name)
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / ORIGIN, json.dumps({"source": _stem(name)}) + "\n")
    description = source.description
    if description is not None and description.embedder == embedder.identity:
        with console.progress("importing published vectors", description.documents) as progress:
            return KnowledgeIndex.adopt(published_rows(source.path, description), embedder.identity, folder, progress)
    return source.build(embedder, folder, console, reuse=older)


def find_index(source: Source, name: str, embedder: Embedder) -> KnowledgeIndex | None:
    """The index of a source if it exists.

    Raises:
        RunError: The source is an index of another embedder.
    """
    from solo_hub.knowledge.index import KnowledgeIndex

    if is_index(source.path):
        index = KnowledgeIndex.open(source.path)
        index.check_embedder(embedder)
        return index
    # the folder is named by all that its content depends on
    return KnowledgeIndex.finished(index_folder(name, source, embedder.identity), embedder.identity)


def is_index(folder: Path) -> bool:
    """Whether a folder is an index built by `solo-hub index --to`."""
    return "generation" in read_object(folder / "manifest.json")


def index_folder(name: str, source: Source, identity: str) -> Path:
    """Cache folder of the index of a source, by everything its content depends on."""
    from solo_hub.knowledge.reading import VERSION

    settings = source.settings
    parts = [name, identity, settings.split, settings.column("text"), settings.column("id")]
    parts += [settings.column("source"), str(settings.chunk_tokens), str(settings.chunk_overlap)]
    parts += [f"reader {VERSION}"] if source.is_documents else []
    parts += ["leave_out"] if source.unusable_rows == "leave_out" else []
    return _cache() / hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:24]


def _cache() -> Path:
    return paths.home() / "cache" / "knowledge"


def _stem(name: str) -> str:
    """The source without its commit or hash."""
    return name.rpartition("@")[0] or name


def _older(folder: Path, name: str) -> list[Path]:
    """Other indexes of the same source, the newest first."""
    same = [path for path in _cache().glob(f"*/{ORIGIN}") if read_object(path).get("source") == _stem(name)]
    found = sorted(((path.stat().st_mtime, path.parent) for path in same if path.parent != folder), reverse=True)
    return [path for _, path in found]
