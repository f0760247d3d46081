"""Builds a knowledge index: vectors of known texts are copied; only new texts are embedded."""

from __future__ import annotations

import contextlib
import json
import logging
import shutil
import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from filelock import FileLock, Timeout

from solo_hub.core.errors import InputError, RunError
from solo_hub.core.files import write_text
from solo_hub.core.plugins import Embedder, Floats, Progress
from solo_hub.core.records import Document
from solo_hub.knowledge.storage import REBUILD, Halves, Store, Writer, read_store, text_hash

logger = logging.getLogger(__name__)

FORMAT_VERSION = 1
BATCH = 1024  # documents between checkpoints: about two seconds of embedding on two CPU cores


@dataclass(frozen=True, slots=True)
class Manifest:
    """The manifest of an index.

    Attributes:
        format_version: Format of the folder.
        embedder: Identity of the embedder: model and commit.
        dimension: Length of a vector.
        documents: Number of documents.
        text_hash: SHA-256 of all document lines, in order: equal hashes mean equal documents.
        generation: Subfolder with the data.
        embedded: Number of texts its build embedded; the others were copied.
    """

    format_version: int
    embedder: str
    dimension: int
    documents: int
    text_hash: str
    generation: str
    embedded: int


def read_manifest(folder: Path) -> Manifest | None:
    """The manifest of an index folder, or None.

    Raises:
        RunError: It is invalid or of another format.
    """
    path = folder / "manifest.json"
    try:
        values = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise RunError(f"'{path}' cannot be read: {error}.", hint=REBUILD) from error
    if not isinstance(values, dict) or values.get("format_version") != FORMAT_VERSION:
        found = values.get("format_version") if isinstance(values, dict) else None
        raise RunError(f"'{path}' has format {found}, not {FORMAT_VERSION}.", hint=REBUILD)
    try:
        return Manifest(**values)
    except TypeError as error:
        raise RunError(f"'{path}' is not an index's manifest: {error}.", hint=REBUILD) from error


def is_current(documents: Iterable[Document], embedder: Embedder, folder: Path) -> bool:
    """Whether an index already has exactly these documents; not checked for iterators."""
    manifest = read_manifest(folder)
    if manifest is None or manifest.embedder != embedder.identity or not isinstance(documents, Sequence):
        return False
    return len(documents) == manifest.documents and text_hash(documents) == manifest.text_hash


@contextlib.contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """Lock the folder: one builder at a time."""
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        logger.warning("Another process is building the index in '%s'; waiting for it.", folder)
        lock.acquire()  # released when that process ends
    try:
        yield
    finally:
        lock.release()


@contextlib.contextmanager
def known_stores(folder: Path, identity: str, others: Iterable[Path]) -> Iterator[list[Store]]:
    """Earlier vectors: of the folder's current generation, of killed builds, of other indexes."""
    stores_found = []
    for path in (folder, *(other for other in others if other != folder)):
        try:
            manifest = read_manifest(path)
            generations = [] if manifest is None else [path / manifest.generation]
            stores = [read_store(generation) for generation in [*generations, *sorted(path.glob("building-*"))]]
        except RunError:
            if path == folder:
                raise
            continue  # skip a corrupt other index
        stores_found += [store for store in stores if store is not None and store.embedder == identity]
    try:
        yield stores_found
    finally:
        for store in stores_found:
            store.documents.close()


def with_vectors(
    documents: Iterator[Document], embedder: Embedder, known: Sequence[Store]
) -> Iterator[tuple[list[Document], Floats | Halves, int]]:
    """Yield batches with their vectors and the number of newly embedded texts."""
    while batch := list(islice(documents, BATCH)):
        yield batch, *_vectors(batch, embedder, known)


def write(
    batches: Iterable[tuple[Sequence[Document], Floats | Halves, int]],
    identity: str,
    folder: Path,
    progress: Progress | None,
) -> None:
    """Write a generation from batches of documents, vectors and number of new ones, and replace the old one.

    Raises:
        InputError: There are no documents.
    """
    name = uuid.uuid4().hex[:12]
    writer = Writer(folder / f"building-{name}", identity)
    embedded = 0
    try:
        for batch, vectors, fresh in batches:
            writer.append(batch, vectors)
            embedded += fresh
            if progress:
                progress(len(batch))
        if writer.count == 0:
            writer.close()
            shutil.rmtree(writer.folder)
            raise InputError(
                "there are no documents to index.", file=str(folder), hint="Use a corpus with at least one row."
            )
        hashed = writer.finish()
    finally:
        writer.close()
    generation = f"index-{name}"
    writer.folder.rename(folder / generation)
    manifest = Manifest(FORMAT_VERSION, identity, writer.dimension or 0, writer.count, hashed, generation, embedded)
    write_text(folder / "manifest.json", json.dumps(asdict(manifest), indent=2) + "\n")
    for old in [*folder.glob("building-*"), *folder.glob("index-*")]:
        if old.name != generation:
            shutil.rmtree(old)


def _vectors(batch: Sequence[Document], embedder: Embedder, known: Sequence[Store]) -> tuple[Floats | Halves, int]:
    """Vectors of a batch, and the number of newly embedded texts."""
    texts = [document.text for document in batch]
    rows: dict[int, tuple[Store, int]] = {}
    for store in known:
        missing = [i for i in range(len(texts)) if i not in rows]
        for i, row in zip(missing, store.rows_of([texts[i] for i in missing]), strict=True):
            if row >= 0:
                rows[i] = (store, int(row))
    fresh = [i for i in range(len(texts)) if i not in rows]
    if len(fresh) == len(texts):
        return embedder.embed(texts), len(fresh)
    dimension = known[0].vectors.shape[1]
    vectors = np.zeros((len(texts), dimension), dtype=np.float16)
    for i, (store, row) in rows.items():
        vectors[i] = store.vectors[row]
    if fresh:
        vectors[fresh] = embedder.embed([texts[i] for i in fresh])
    return vectors, len(fresh)
