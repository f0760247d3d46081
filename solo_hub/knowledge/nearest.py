"""Nearest vectors among millions: 8-bit vectors in inverted lists on disk (faiss), the best of them scored exactly.

An index of this kind is a folder:

    centroids.faiss      the trained, empty index: where the lists are
    part-NNNN.faiss      lists of a million vectors each, while building; a killed build goes on after the last one
    lists.ivfdata        all lists, memory-mapped
    lists.faiss          the index over them

Memory while building: a part (dimension bytes a vector), the training sample and a block of vectors in float32. Memory
while searching: the centroids; lists and vectors are pages of files that the system may drop at any time.
"""

from __future__ import annotations

import contextlib
import ctypes
import math
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import numpy as np
from filelock import FileLock

from solo_hub.core.errors import import_optional
from solo_hub.core.plugins import Floats, Progress
from solo_hub.knowledge.ranking import top
from solo_hub.knowledge.storage import Halves, Integers, take_rows

PART = 1_000_000  # vectors a part
BLOCK = 65_536  # vectors converted to float32 at once: 100 MB at 384 dimensions
LISTS_PER_ROOT = 4  # lists = 4 * sqrt(vectors), the usual rule
MOST_LISTS = 4096  # from a million vectors on: four times the lists make building four times as long
SAMPLE_PER_LIST = 40  # training vectors a list; faiss asks for at least 39
PROBES = 64  # lists looked at for each query
AGAIN = 10  # candidates scored again exactly, for each one asked for


class NearestIndex:
    """Approximate search whose scores are exact.

    Args:
        lists: The faiss index.
        vectors: `(documents, dimension)` the vectors themselves, memory-mapped.
        probes: Lists looked at for each query: more find more and take longer.
    """

    def __init__(self, lists: Any, vectors: Halves, probes: int = PROBES) -> None:
        self.lists = lists
        self.vectors = vectors
        self.lists.nprobe = min(probes, lists.nlist)

    @classmethod
    def open_or_build(cls, folder: Path, vectors: Halves, *, seed: int = 0, progress: Progress | None = None) -> Self:
        """Open the index of a folder; make it first, or finish it, where it is not whole.

        Args:
            folder: Where it is kept.
            vectors: `(documents, dimension)` unit vectors.
            seed: Chooses the training sample.
            progress: Called with vectors done.
        """
        faiss = import_optional(
            "faiss", package="faiss-cpu", extra="knowledge", purpose="Searching millions of vectors"
        )
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / ".lock"):  # a second process waits and finds it built
            if not (folder / "lists.faiss").exists():
                _build(faiss, folder, vectors, seed, progress)
            # The index names its lists by a full path; the flag looks beside the index: the folder may have moved.
            with _nothing_printed():
                return cls(faiss.read_index(str(folder / "lists.faiss"), faiss.IO_FLAG_ONDISK_SAME_DIR), vectors)

    def search(self, queries: Floats, count: int) -> tuple[Integers, Floats]:
        """The documents nearest to each query by cosine, best first.

        Args:
            queries: `(queries, dimension)` unit vectors.
            count: How many.

        Returns:
            Rows and their cosines, both `(queries, min(count, documents))`; where the lists looked at hold fewer, the
            rest is filled with row -1 and minus infinity.
        """
        count = min(count, len(self.vectors))
        rows = np.full((len(queries), count), -1, dtype=np.int64)
        scores = np.full((len(queries), count), -np.inf, dtype=np.float32)
        if not count or not len(queries):
            return rows, scores
        _, candidates = self.lists.search(
            np.ascontiguousarray(queries, dtype=np.float32), min(count * AGAIN, len(self.vectors))
        )
        for number, (query, row) in enumerate(zip(queries, candidates, strict=True)):
            found = np.sort(row[row >= 0])  # ascending reads the file forwards
            cosines = take_rows(self.vectors, found) @ query
            best = top(cosines[None], count)[0]
            rows[number, : len(best)] = found[best]
            scores[number, : len(best)] = cosines[best]
        return rows, scores


@contextlib.contextmanager
def _nothing_printed() -> Iterator[None]:
    """Drop what faiss prints from C to stdout, which is for data, while it merges and opens lists."""
    sys.stdout.flush()
    kept, nowhere = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.close(nowhere)
    try:
        yield
    finally:
        ctypes.CDLL(None).fflush(None)  # C's own buffer, filled behind Python's back
        os.dup2(kept, 1)
        os.close(kept)


def _build(faiss: Any, folder: Path, vectors: Halves, seed: int, progress: Progress | None) -> None:
    from faiss.contrib.ondisk import merge_ondisk

    trained = folder / "centroids.faiss"
    if not trained.exists():
        _write(faiss, _train(faiss, vectors, seed), trained)
    parts = []
    for start in range(0, len(vectors), PART):
        path = folder / f"part-{start // PART:04d}.faiss"
        end = min(start + PART, len(vectors))
        if not path.exists():
            index = faiss.read_index(str(trained))
            for at in range(start, end, BLOCK):
                block = np.asarray(vectors[at : min(at + BLOCK, end)], dtype=np.float32)
                index.add_with_ids(block, np.arange(at, at + len(block)))
                if progress:
                    progress(len(block))
            _write(faiss, index, path)
        elif progress:
            progress(end - start)
        parts.append(str(path))
    index = faiss.read_index(str(trained))
    with _nothing_printed():
        merge_ondisk(index, parts, str(folder / "lists.ivfdata"))
    _write(faiss, index, folder / "lists.faiss")
    for path in (*map(Path, parts), trained):
        path.unlink()


def _train(faiss: Any, vectors: Halves, seed: int) -> Any:
    count, dimension = vectors.shape
    lists = max(1, min(round(LISTS_PER_ROOT * math.sqrt(count)), count // SAMPLE_PER_LIST or 1, MOST_LISTS))
    index = faiss.index_factory(dimension, f"IVF{lists},SQ8", faiss.METRIC_INNER_PRODUCT)
    index.cp.seed = seed + 1
    chosen = np.random.default_rng(seed).choice(count, size=min(count, lists * SAMPLE_PER_LIST), replace=False)
    index.train(np.asarray(vectors[np.sort(chosen)], dtype=np.float32))
    return index


def _write(faiss: Any, index: Any, path: Path) -> None:
    temporary = path.with_name(f".{path.name}")
    faiss.write_index(index, str(temporary))
    shutil.move(temporary, path)
