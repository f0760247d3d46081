"""Choosing the best of many scores, and turning them into passages."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from solo_hub.core.plugins import Floats, Progress
from solo_hub.core.records import Passage, Question, Retrieval
from solo_hub.knowledge.storage import DocumentFile

if TYPE_CHECKING:
    from solo_hub.knowledge.index import KnowledgeIndex

BLOCK = 64  # questions searched at once, between two reports of progress
SETTING = "knowledge.retriever_options"
"""Where retrievers' options are set."""
SPARE = 8  # rows looked at beyond those asked for, because documents with the same text are given once

Integers = npt.NDArray[np.int64]


def top(scores: Floats, count: int) -> Integers:
    """Indices of the `count` largest scores of each row, best first; equal scores in the order of their index.

    Args:
        scores: `(rows, candidates)`.
        count: How many; fewer where there are fewer candidates.

    Returns:
        `(rows, min(count, candidates))`.
    """
    candidates = scores.shape[1]
    count = min(count, candidates)
    if count == 0:
        return np.zeros((len(scores), 0), dtype=np.int64)
    if count < candidates:
        chosen = np.argpartition(-scores, count - 1, axis=1)[:, :count]
    else:
        chosen = np.tile(np.arange(candidates), (len(scores), 1))
    chosen.sort(axis=1)  # ascending index first, so that the stable sort below breaks ties by it
    order = np.argsort(-np.take_along_axis(scores, chosen, axis=1), axis=1, kind="stable")
    return np.take_along_axis(chosen, order, axis=1).astype(np.int64)


def top_of_sparse(scores: Any, count: int) -> Iterator[tuple[Integers, Floats]]:
    """The `count` largest stored scores of each row, best first; equal scores in the order of their column.

    Args:
        scores: A sparse `(rows, columns)` matrix (scipy CSR); what it does not store is not chosen, nor are zeros.
        count: How many; fewer where fewer are stored.

    Yields:
        Columns and scores, a row at a time.
    """
    for start, end in pairwise(scores.indptr.tolist()):
        columns, values = scores.indices[start:end], scores.data[start:end]
        if count < len(values):
            kept = np.argpartition(-values, count - 1)[:count] if count else np.zeros(0, dtype=np.int64)
            columns, values = columns[kept], values[kept]
        order = np.lexsort((columns, -values))
        order = order[values[order] > 0]
        yield columns[order].astype(np.int64), values[order]


class Ranked:
    """Base of retrievers that rank the documents of an index; one adds `_search`."""

    index: KnowledgeIndex

    def retrieve(
        self, questions: Sequence[Question], passages: int, progress: Progress | None = None
    ) -> list[Retrieval]:
        """Return one retrieval per question, in order, best passage first, at most `passages` each."""

        def retrieve(block: Sequence[Question]) -> list[Retrieval]:
            searched = self._search(block, passages + SPARE if passages else 0)
            found = []
            for question, (rows, scores) in zip(block, searched, strict=True):
                there = rows >= 0  # -1 fills up where fewer are found
                given = as_passages(self.index.documents, rows[there].tolist(), scores[there].tolist())
                found.append(Retrieval(question.id, given[:passages]))
            return found

        return in_blocks(questions, BLOCK, retrieve, progress)

    def rows(self, questions: Sequence[Question], count: int) -> Iterator[list[int]]:
        """Row numbers of the documents, best first, at most `count` per question, each text once."""
        for rows, _ in self._search(questions, count + SPARE):
            yield distinct(self.index.documents, rows)[:count]

    def _search(self, questions: Sequence[Question], count: int) -> Iterable[tuple[Integers, Floats]]:
        """Rows and scores, best first, for each question."""
        raise NotImplementedError


def in_blocks(
    questions: Sequence[Question],
    size: int,
    retrieve: Callable[[Sequence[Question]], list[Retrieval]],
    progress: Progress | None,
) -> list[Retrieval]:
    """Retrievals of all questions, `size` at once; `progress` is told how many are done."""
    found = []
    for start in range(0, len(questions), size):
        block = questions[start : start + size]
        found += retrieve(block)
        if progress:
            progress(len(block))
    return found


def distinct(documents: DocumentFile, rows: Integers) -> list[int]:
    """The rows in their order, each text once: of documents with the same text the first stands.

    Row -1 fills up where a search finds fewer than it is asked for, and is left out.
    """
    rows = rows[rows >= 0]
    found: dict[str, int] = {}
    for row, text in zip(rows.tolist(), documents.texts(rows), strict=True):
        found.setdefault(text, row)
    return list(found.values())


def as_passages(documents: DocumentFile, rows: Sequence[int], scores: Sequence[float]) -> tuple[Passage, ...]:
    """The passages of these rows, each text once: of documents with the same text the first stands."""
    found: dict[str, Passage] = {}
    for row, score in zip(rows, scores, strict=True):
        document = documents[int(row)]
        found.setdefault(document.text, Passage(document.id, document.text, float(score), document.source))
    return tuple(found.values())
