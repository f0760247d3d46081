"""Retrieval by meaning: the passages whose vectors lie nearest to the question's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from solo_hub.core.config import NoOptions, read_options
from solo_hub.core.plugins import Embedder, Floats
from solo_hub.core.records import Question
from solo_hub.knowledge.embedding import embed_queries
from solo_hub.knowledge.index import KnowledgeIndex
from solo_hub.knowledge.ranking import SETTING, Integers, Ranked


class DenseRetriever(Ranked):
    """Cosine similarity of question and passage, exact.

    Args:
        index: The knowledge index.
        embedder: The embedder the index was made with.
        options: None are known.
    """

    def __init__(self, index: KnowledgeIndex, embedder: Embedder, options: Mapping[str, Any]) -> None:
        read_options(NoOptions, options, "retriever 'dense'", SETTING)
        index.check_embedder(embedder)
        self.index = index
        self.embedder = embedder

    def _search(self, questions: Sequence[Question], count: int) -> Iterable[tuple[Integers, Floats]]:
        vectors = embed_queries(self.embedder, [question.text for question in questions])
        rows, scores = self.index.search(vectors, count)
        return zip(rows, scores, strict=True)
