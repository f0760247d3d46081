"""Retrieval by meaning: the passages whose vectors lie nearest to the question's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from solo_hub.knowledge.index import KnowledgeIndex
from solo_hub.knowledge.ranking import SPARE
from solo_hub.knowledge.ranking import passages as as_passages
from solo_hub.knowledge.settings import check_options
from solo_hub.plugins import Embedder, Progress
from solo_hub.records import Question, Retrieval

BLOCK = 64  # questions embedded and searched at once


class DenseRetriever:
    """Cosine similarity of question and passage, exact.

    Args:
        index: The knowledge index.
        embedder: The embedder the index was made with.
        options: None are known.
    """

    def __init__(self, index: KnowledgeIndex, embedder: Embedder, options: Mapping[str, Any]) -> None:
        check_options("dense", options, {})
        index.check_embedder(embedder)
        self.index = index
        self.embedder = embedder

    def retrieve(
        self, questions: Sequence[Question], passages: int, progress: Progress | None = None
    ) -> list[Retrieval]:
        """Return one retrieval a question, in order, best passage first, at most `passages` each."""
        found = []
        for start in range(0, len(questions), BLOCK):
            block = questions[start : start + BLOCK]
            vectors = self.embedder.embed([question.text for question in block])
            rows, scores = self.index.search(vectors, passages + SPARE if passages else 0)
            for question, near, cosines in zip(block, rows, scores, strict=True):
                chosen = as_passages(self.index.documents, near.tolist(), cosines.tolist())
                found.append(Retrieval(question.id, chosen[:passages]))
            if progress:
                progress(len(block))
        return found
