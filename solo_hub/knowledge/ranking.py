"""Choosing the best of many scores, and turning them into passages."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from solo_hub.knowledge.storage import DocumentFile
from solo_hub.plugins import Floats
from solo_hub.records import Passage

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


def passages(documents: DocumentFile, rows: Sequence[int], scores: Sequence[float]) -> tuple[Passage, ...]:
    """The passages of these rows, each text once: of documents with the same text the first stands."""
    found: dict[str, Passage] = {}
    for row, score in zip(rows, scores, strict=True):
        document = documents[int(row)]
        found.setdefault(document.text, Passage(document.id, document.text, float(score), document.source))
    return tuple(found.values())
