"""Documents and vectors on disk, read through memory maps.

A store is a folder that grows by appending; a checkpoint says how much of it is whole:

    documents.jsonl      one document a line
    vectors.f16          (documents, dimension) float16, row after row
    checkpoint.json      {embedder, dimension, documents, bytes}: what is below these marks is complete
    offsets.npy          where each line starts (made from documents.jsonl when it is missing)

A killed writer leaves a store that is whole up to its checkpoint: `read_store` sees that much and no more.
"""

from __future__ import annotations

import hashlib
import json
import mmap
import os
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, overload

import numpy as np
import numpy.typing as npt

from solo_hub.core.errors import RunError
from solo_hub.core.files import dumps, write_text
from solo_hub.core.plugins import Floats
from solo_hub.core.records import Document

Halves = npt.NDArray[np.float16]
Integers = npt.NDArray[np.int64]

REBUILD = "Delete the folder and build the index again."


class DocumentFile(Sequence[Document]):
    """Documents read from a JSONL file when they are asked for: millions of them cost no memory.

    Args:
        path: The file.
        offsets: Byte at which each line starts, and the end of the last one: `(documents + 1,)`.
    """

    def __init__(self, path: Path, offsets: Integers) -> None:
        self.path = path
        self.offsets = offsets
        with path.open("rb") as file:  # the map stays when the file is closed
            # An empty file cannot be mapped.
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if len(self) else None

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @overload
    def __getitem__(self, index: int) -> Document: ...
    @overload
    def __getitem__(self, index: slice) -> list[Document]: ...
    def __getitem__(self, index: int | slice) -> Document | list[Document]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        position = index + len(self) if index < 0 else index
        if not 0 <= position < len(self):
            raise IndexError(index)
        assert self._map is not None  # noqa: S101 - there is a document, so the file is not empty
        return Document.from_row(json.loads(self._map[self.offsets[position] : self.offsets[position + 1]]))

    def texts(self, rows: Integers) -> list[str]:
        """Texts of some documents alone, which is a third of the work of reading them whole."""
        bounds = zip(self.offsets[rows].tolist(), self.offsets[rows + 1].tolist(), strict=True)
        data = self._map or b""
        return [json.loads(str(data[start:end], "utf-8"))["text"] for start, end in bounds]

    def close(self) -> None:
        """Close the file."""
        if self._map is not None:
            self._map.close()


class Store:
    """The whole part of a store.

    Attributes:
        documents: Its documents, in order.
        vectors: `(documents, dimension)` float16, memory-mapped.
        embedder: Identity of the embedder that made the vectors.
    """

    def __init__(self, folder: Path, documents: DocumentFile, vectors: Halves, embedder: str) -> None:
        self.folder = folder
        self.documents = documents
        self.vectors = vectors
        self.embedder = embedder

    @cached_property
    def _order(self) -> tuple[npt.NDArray[np.uint64], Integers]:
        """The texts' hashes in ascending order, and their rows."""
        hashes = np.fromiter(
            (text_key(document.text) for document in self.documents), dtype=np.uint64, count=len(self.documents)
        )
        order = np.argsort(hashes, kind="stable")
        return hashes[order], order

    def rows_of(self, texts: Sequence[str]) -> Integers:
        """Row whose document has exactly this text, or -1: `(texts,)`."""
        hashes, order = self._order
        rows = np.full(len(texts), -1, dtype=np.int64)
        if not len(hashes):
            return rows
        keys = np.array([text_key(text) for text in texts], dtype=np.uint64)
        for i, place in enumerate(np.searchsorted(hashes, keys)):
            # Of the few texts that share 64 bits the equal one is wanted, so texts are compared in the end.
            while place < len(hashes) and hashes[place] == keys[i]:
                if self.documents[int(order[place])].text == texts[i]:
                    rows[i] = order[place]
                    break
                place += 1  # noqa: PLW2901 - walks over equal hashes
        return rows


def take_rows(matrix: Halves, rows: Integers) -> Floats:
    """Some rows of a matrix, as float32: `(rows, dimension)`.

    Of a mapped file they are read, not touched: the system maps 64 KB around every row that is touched, and all of that
    counts as the process's memory.
    """
    behind: Any = matrix.base  # a slice's is the whole matrix
    if not (isinstance(matrix, np.memmap) and isinstance(behind, mmap.mmap) and hasattr(os, "preadv")):
        return np.asarray(matrix[rows], dtype=np.float32)
    found = np.empty((len(rows), matrix.shape[1]), dtype=matrix.dtype)
    size, start = found.itemsize * matrix.shape[1], matrix.offset
    with Path(str(matrix.filename)).open("rb", buffering=0) as file:
        for row, into in zip(rows.tolist(), found, strict=True):
            if os.preadv(file.fileno(), [into], start + row * size) != size:
                raise RunError(f"'{matrix.filename}' is cut short.", hint=REBUILD)
    return found.astype(np.float32)


def text_key(text: str) -> int:
    """64 bits of a text's SHA-256: where to look for it, not whether it is the same."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")


def read_store(folder: Path) -> Store | None:
    """Open the whole part of a store; None where there is nothing to use.

    Raises:
        RunError: The files are shorter than the checkpoint says.
    """
    try:
        checkpoint = json.loads((folder / "checkpoint.json").read_text("utf-8"))
        count, dimension, size = int(checkpoint["documents"]), int(checkpoint["dimension"]), int(checkpoint["bytes"])
        embedder = str(checkpoint["embedder"])
    except (OSError, ValueError, KeyError, TypeError):
        return None  # killed before its first checkpoint
    lines, vectors = folder / "documents.jsonl", folder / "vectors.f16"
    try:
        if lines.stat().st_size < size or vectors.stat().st_size < 2 * count * dimension:
            raise RunError(f"The index '{folder}' is cut short.", hint=REBUILD)
    except OSError as error:
        raise RunError(f"The index '{folder}' cannot be read: {error.strerror}.", hint=REBUILD) from error
    if count == 0:
        matrix: Halves = np.zeros((0, dimension), dtype=np.float16)
    else:
        matrix = np.memmap(vectors, dtype=np.float16, mode="r", shape=(count, dimension))
    offsets = _offsets(folder, size)
    if len(offsets) != count + 1:
        raise RunError(f"The index '{folder}' holds {len(offsets) - 1} documents, not {count}.", hint=REBUILD)
    return Store(folder, DocumentFile(lines, offsets), matrix, embedder)


def _offsets(folder: Path, size: int) -> Integers:
    path = folder / "offsets.npy"
    if path.exists():
        offsets: Integers = np.load(path, mmap_mode="r", allow_pickle=False)
        return offsets
    return np.fromiter(_line_starts(folder / "documents.jsonl", size), dtype=np.int64)


def _line_starts(path: Path, size: int) -> Iterator[int]:
    yield 0
    end = 0
    with path.open("rb") as file:
        for line in file:
            end += len(line)
            if end > size:
                return
            yield end


def text_hash(documents: Iterable[Document]) -> str:
    """SHA-256 of the lines that hold the documents: equal hashes mean equal documents in equal order."""
    digest = hashlib.sha256()
    for document in documents:
        digest.update(_line(document))
    return digest.hexdigest()


def _line(document: Document) -> bytes:
    return (dumps(document) + "\n").encode()


class Writer:
    """Appends documents with their vectors to a new store; a batch that returned is on disk.

    Args:
        folder: The store's folder; made anew.
        embedder: Identity of the embedder.
    """

    def __init__(self, folder: Path, embedder: str) -> None:
        folder.mkdir(parents=True)
        self.folder = folder
        self.embedder = embedder
        self.count = 0
        self._size = 0
        self._offsets = [np.zeros(1, dtype=np.int64)]
        self._lines = (folder / "documents.jsonl").open("wb")
        self._vectors = (folder / "vectors.f16").open("wb")
        self._hash = hashlib.sha256()
        self.dimension: int | None = None

    def append(self, documents: Sequence[Document], vectors: Floats | Halves) -> None:
        """Append a batch: `vectors` is `(documents, dimension)`."""
        lines = [_line(document) for document in documents]
        ends = self._size + np.cumsum([len(line) for line in lines], dtype=np.int64)
        blob = b"".join(lines)
        self._hash.update(blob)
        self._lines.write(blob)
        self._vectors.write(np.ascontiguousarray(vectors, dtype=np.float16).tobytes())
        for file in (self._lines, self._vectors):
            file.flush()
            os.fsync(file.fileno())
        self._offsets.append(ends)
        self._size += len(blob)
        self.count += len(documents)
        self.dimension = int(vectors.shape[1])
        checkpoint: dict[str, Any] = {
            "embedder": self.embedder,
            "dimension": self.dimension,
            "documents": self.count,
            "bytes": self._size,
        }
        write_text(self.folder / "checkpoint.json", json.dumps(checkpoint) + "\n")

    def finish(self) -> str:
        """Write the offsets and close; returns the SHA-256 of all document lines."""
        np.save(self.folder / "offsets.npy", np.concatenate(self._offsets))
        self.close()
        return self._hash.hexdigest()

    def close(self) -> None:
        """Close the files."""
        self._lines.close()
        self._vectors.close()
