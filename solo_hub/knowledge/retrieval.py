"""Retrieval by meaning: the passages whose vectors lie nearest to the question's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from solo_hub.knowledge.index import KnowledgeIndex
from solo_hub.knowledge.ranking import passages as as_passages
from solo_hub.knowledge.ranking import top
from solo_hub.knowledge.settings import check_options
from solo_hub.plugins import Embedder, Floats, Progress
from solo_hub.records import Question, Retrieval

BLOCK = 64  # questions scored at once: 64 x 62,191 float32 scores are 16 MB


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
        vectors = self.index.float_vectors()
        found = []
        for start in range(0, len(questions), BLOCK):
            block = questions[start : start + BLOCK]
            scores: Floats = self.embedder.embed([question.text for question in block]) @ vectors.T
            # Twins share a text: a few spare rows keep the count full after they are merged.
            best = top(scores, passages + 8) if passages else top(scores, 0)
            for question, row, values in zip(block, best, scores, strict=True):
                chosen = as_passages(self.index.documents, row.tolist(), values[row].tolist())
                found.append(Retrieval(question.id, chosen[:passages]))
            if progress:
                progress(len(block))
        return found
