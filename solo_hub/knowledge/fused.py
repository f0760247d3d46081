"""Meaning and words fused: reciprocal rank fusion of the dense and the BM25 ranking.

Cormack, Clarke and Büttcher, "Reciprocal rank fusion outperforms Condorcet and individual rank learning methods", SIGIR
2009: score(d) = sum over rankings of 1 / (60 + rank of d).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from solo_hub.core.config import read_options
from solo_hub.core.plugins import Embedder, Progress
from solo_hub.core.records import Question, Retrieval
from solo_hub.knowledge.bm25 import BM25Retriever, WithOptions
from solo_hub.knowledge.index import KnowledgeIndex
from solo_hub.knowledge.ranking import BLOCK, SETTING, as_passages, in_blocks
from solo_hub.knowledge.retrieval import DenseRetriever

T = TypeVar("T")

DAMPING = 60  # the paper's constant: how little the very first ranks stand out
DEPTH = 100  # ranks looked at in each ranking


class FusedRetriever:
    """Reciprocal rank fusion of `dense` and `bm25`.

    Args:
        index: The knowledge index.
        embedder: The embedder the index was made with.
        options: `with_options` (default false), as for bm25.
    """

    def __init__(self, index: KnowledgeIndex, embedder: Embedder, options: Mapping[str, Any]) -> None:
        read_options(WithOptions, options, "retriever 'fused'", SETTING)
        self.rankings = (DenseRetriever(index, embedder, {}), BM25Retriever(index, embedder, options))
        self.documents = index.documents

    def retrieve(
        self, questions: Sequence[Question], passages: int, progress: Progress | None = None
    ) -> list[Retrieval]:
        """Return one retrieval a question, in order, best passage first, at most `passages` each."""

        def retrieve(block: Sequence[Question]) -> list[Retrieval]:
            rankings = (ranking.rows(block, max(DEPTH, passages)) for ranking in self.rankings)
            best = [fuse(ranked)[:passages] for ranked in zip(*rankings, strict=True)]
            pairs = [([row for row, _ in ranked], [score for _, score in ranked]) for ranked in best]
            return [Retrieval(q.id, as_passages(self.documents, *pair)) for q, pair in zip(block, pairs, strict=True)]

        return in_blocks(questions, BLOCK, retrieve, progress)


def fuse(rankings: Sequence[Sequence[T]]) -> list[tuple[T, float]]:
    """Join rankings by reciprocal rank, best first; equal scores in the order in which they are first met.

    >>> [(name, round(score * 1000, 2)) for name, score in fuse(["ab", "bc"])]
    [('b', 32.52), ('a', 16.39), ('c', 16.13)]
    """
    scores: dict[T, float] = {}
    for ranking in rankings:
        for rank, one in enumerate(ranking, start=1):
            scores[one] = scores.get(one, 0.0) + 1 / (DAMPING + rank)
    return sorted(scores.items(), key=lambda pair: -pair[1])
