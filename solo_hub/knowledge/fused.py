"""Meaning and words fused: reciprocal rank fusion of the dense and the BM25 ranking.

Cormack, Clarke and Büttcher, "Reciprocal rank fusion outperforms Condorcet and individual rank learning methods", SIGIR
2009: score(d) = sum over rankings of 1 / (60 + rank of d).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from solo_hub.knowledge.bm25 import BM25Retriever
from solo_hub.knowledge.index import KnowledgeIndex
from solo_hub.knowledge.ranking import BLOCK
from solo_hub.knowledge.retrieval import DenseRetriever
from solo_hub.knowledge.settings import check_options
from solo_hub.plugins import Embedder, Progress
from solo_hub.records import Passage, Question, Retrieval

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
        settings = check_options("fused", options, {"with_options": False})
        self.rankings = (DenseRetriever(index, embedder, {}), BM25Retriever(index, embedder, settings))

    def retrieve(
        self, questions: Sequence[Question], passages: int, progress: Progress | None = None
    ) -> list[Retrieval]:
        """Return one retrieval a question, in order, best passage first, at most `passages` each."""
        depth = max(DEPTH, passages)
        found = []
        for start in range(0, len(questions), BLOCK):
            block = questions[start : start + BLOCK]
            both = zip(*(ranking.retrieve(block, depth) for ranking in self.rankings), strict=True)
            found += [
                Retrieval(question.id, fuse([one.passages for one in ranked])[:passages])
                for question, ranked in zip(block, both, strict=True)
            ]
            if progress:
                progress(len(block))
        return found


def fuse(rankings: Sequence[Sequence[Passage]]) -> tuple[Passage, ...]:
    """Join rankings by reciprocal rank; equal scores in the order in which the passages are first met.

    >>> a, b, c = (Passage(name, name, 0.0) for name in "abc")
    >>> [(p.id, round(p.score * 1000, 2)) for p in fuse([[a, b], [b, c]])]
    [('b', 32.52), ('a', 16.39), ('c', 16.13)]
    """
    scores: dict[str, float] = {}
    known: dict[str, Passage] = {}
    for ranking in rankings:
        for rank, passage in enumerate(ranking, start=1):
            known.setdefault(passage.id, passage)
            scores[passage.id] = scores.get(passage.id, 0.0) + 1 / (DAMPING + rank)
    order = sorted(scores, key=lambda name: -scores[name])
    return tuple(Passage(name, known[name].text, scores[name], known[name].source) for name in order)
