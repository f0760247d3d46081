"""The knowledge index: a folder with documents, vectors, a word index and a manifest.

    manifest.json     names the current generation; replaced by atomic rename: readers see the old index or the new one
    index-*/          a generation: documents, vectors (`storage`), word index (`lexicon`)
    building-*/       what a build has written so far; a killed build's work is reused by the next one

Building is declarative: `build(documents)` creates the index of exactly these documents. Vectors of known texts, from
the current generation or a killed build, are copied; only new texts are embedded. Adding, removing and resuming
therefore use the same code.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np

from solo_hub.core.errors import RunError
from solo_hub.core.plugins import Embedder, Floats, Progress
from solo_hub.core.records import Document
from solo_hub.knowledge.building import (
    BATCH,
    Manifest,
    exclusive,
    is_current,
    known_stores,
    read_manifest,
    with_vectors,
    write,
)
from solo_hub.knowledge.lexicon import Lexicon
from solo_hub.knowledge.nearest import NearestIndex
from solo_hub.knowledge.ranking import top
from solo_hub.knowledge.storage import REBUILD, DocumentFile, Halves, Integers, Store, read_store, take_rows
from solo_hub.knowledge.words import TOKENIZER

EXACT_BELOW = 300_000  # up to this many documents the search is exhaustive: 460 MB of float32 at 384 dimensions
WORDS = f"words-{TOKENIZER}"
"""Folder of the word index, with its version."""
QUERY_CELLS = 16_000_000  # documents x queries scored at once: 64 MB of float32

Show = Callable[[str, int], AbstractContextManager[Progress]]
"""Shows progress, like `Console.progress`."""


class KnowledgeIndex:
    """An index, open for reading.

    Attributes:
        folder: Its folder.
        manifest: Its manifest.
        documents: The documents, read from disk on access.
        vectors: `(documents, dimension)` float16, memory-mapped, rows of length 1.
        show: Shows progress of lazy builds; called with a title and the number of documents.
    """

    show: Show | None = None

    def __init__(self, folder: Path, manifest: Manifest, store: Store) -> None:
        self.folder = folder
        self.manifest = manifest
        self._store = store

    @property
    def documents(self) -> DocumentFile:
        """The documents, in the order of the corpus."""
        return self._store.documents

    @property
    def vectors(self) -> Halves:
        """`(documents, dimension)` float16, memory-mapped."""
        return self._store.vectors

    @cached_property
    def lexicon(self) -> Lexicon:
        """The word index; built on first use and stored on disk."""
        with self._shown("building the word index") as progress:
            lexicon = Lexicon.open_or_build(self._store.folder / WORDS, self.documents, progress)
        for old in (*self._store.folder.glob("words*"), *self._store.folder.glob(".words*-building")):
            if old.name not in {WORDS, f".{WORDS}-building"}:  # made by an earlier version
                shutil.rmtree(old, ignore_errors=True)
        return lexicon

    @cached_property
    def nearest(self) -> NearestIndex:
        """The approximate vector index for large corpora; built on first use and stored on disk."""
        with self._shown("building the vector index") as progress:
            return NearestIndex.open_or_build(self._store.folder / "nearest", self.vectors, progress=progress)

    def _shown(self, title: str) -> AbstractContextManager[Progress | None]:
        return self.show(title, len(self.documents)) if self.show else nullcontext()

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Open a complete index.

        Raises:
            RunError: There is none, or it is corrupt or of another format.
        """
        manifest = read_manifest(folder)
        if manifest is None:
            raise RunError(f"There is no index in '{folder}'.", hint="Build it with `solo-hub index`.")
        store = read_store(folder / manifest.generation)
        if store is None or len(store.documents) != manifest.documents:
            raise RunError(f"The index in '{folder}' does not match its manifest.", hint=REBUILD)
        return cls(folder, manifest, store)

    @classmethod
    def build(
        cls,
        documents: Iterable[Document],
        embedder: Embedder,
        folder: Path,
        progress: Progress | None = None,
        *,
        reuse: Iterable[Path] = (),
    ) -> Self:
        """Build the index of exactly these documents; known texts are not embedded again.

        Args:
            documents: The documents, in order; an iterator is read once, a batch at a time.
            embedder: Embeds the texts.
            folder: The index folder; an existing index is replaced when the new one is complete.
            progress: Called with the number of documents done.
            reuse: Folders of other indexes, whose vectors of the same embedder are copied.

        Raises:
            InputError: There are no documents.
            RunError: The folder has an index of another format.
        """
        with exclusive(folder):
            if not is_current(documents, embedder, folder):
                with known_stores(folder, embedder.identity, reuse) as known:
                    write(with_vectors(iter(documents), embedder, known), embedder.identity, folder, progress)
        return cls.open(folder)

    @classmethod
    def adopt(
        cls,
        batches: Iterable[tuple[Sequence[Document], Floats | Halves]],
        identity: str,
        folder: Path,
        progress: Progress | None = None,
    ) -> Self:
        """Build the index of documents with given vectors: nothing is embedded.

        Args:
            batches: Documents and their `(documents, dimension)` unit vectors; read once.
            identity: Identity of the vectors' embedder.
            folder: As for `build`.
            progress: Called with documents done.

        Raises:
            InputError: There are no documents.
        """
        with exclusive(folder):
            write(((*batch, 0) for batch in batches), identity, folder, progress)
        return cls.open(folder)

    @classmethod
    def finished(cls, folder: Path, identity: str) -> Self | None:
        """The complete index of a folder built with this embedder, or None."""
        try:
            index = cls.open(folder)
        except RunError:
            return None
        return index if index.manifest.embedder == identity else None

    def remove(self, ids: Collection[str]) -> Self:
        """Remove documents by id; returns the new index, opened. Nothing is embedded."""
        left = [row for row, document in enumerate(self.documents) if document.id not in ids]
        parts = (left[start : start + BATCH] for start in range(0, len(left), BATCH))
        batches = (([self.documents[row] for row in part], self.vectors[part]) for part in parts)
        return type(self).adopt(batches, self.manifest.embedder, self.folder)

    def check_embedder(self, embedder: Embedder) -> None:
        """Check that an embedder's vectors are comparable with the index's.

        Raises:
            RunError: Its identity differs.
        """
        if embedder.identity != self.manifest.embedder:
            raise RunError(
                f"The index in '{self.folder}' was built with '{self.manifest.embedder}', not '{embedder.identity}'.",
                hint="Rebuild it with this embedder, or set knowledge.embedding_model to the index's.",
            )

    def search(self, queries: Floats, count: int) -> tuple[Integers, Floats]:
        """The documents nearest to each query by cosine, best first; exact up to `EXACT_BELOW` documents.

        Args:
            queries: `(queries, dimension)` unit vectors.
            count: How many; fewer where there are fewer documents.

        Returns:
            Rows and their cosines, both `(queries, count)`.
        """
        if len(self.documents) >= EXACT_BELOW:
            return self.nearest.search(queries, count)
        vectors = self._float_vectors
        step = max(1, QUERY_CELLS // len(vectors))
        rows, scores = [], []
        for start in range(0, len(queries), step):
            cosines: Floats = queries[start : start + step] @ vectors.T
            best = top(cosines, count)
            rows.append(best)
            scores.append(np.take_along_axis(cosines, best, axis=1))
        if not rows:
            nothing = np.zeros((0, min(count, len(vectors))))
            return nothing.astype(np.int64), nothing.astype(np.float32)
        return np.concatenate(rows), np.concatenate(scores)

    def vectors_of(self, rows: Integers) -> Floats:
        """Vectors of some documents as float32: `(rows, dimension)`."""
        if len(self.documents) >= EXACT_BELOW:
            return take_rows(self.vectors, rows)
        return np.asarray(self.vectors[rows], dtype=np.float32)

    @cached_property
    def _float_vectors(self) -> Floats:
        """All vectors as float32 in memory: `(documents, dimension)`; for corpora that fit."""
        return np.asarray(self.vectors, dtype=np.float32)
