"""Retrieval by words: BM25 over the word index."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from solo_hub.knowledge.index import KnowledgeIndex
from solo_hub.knowledge.ranking import SPARE
from solo_hub.knowledge.ranking import passages as as_passages
from solo_hub.knowledge.settings import check_options
from solo_hub.plugins import Embedder, Progress
from solo_hub.records import Question, Retrieval

BLOCK = 64  # questions between two reports of progress


class BM25Retriever:
    """BM25 scores of question words and passage words.

    Args:
        index: The knowledge index.
        embedder: Not used: words need no vectors.
        options: `with_options` (default true): the answer options' words count as question words.
    """

    def __init__(self, index: KnowledgeIndex, embedder: Embedder, options: Mapping[str, Any]) -> None:
        del embedder
        self.with_options: bool = check_options("bm25", options, {"with_options": True})["with_options"]
        self.index = index

    def retrieve(
        self, questions: Sequence[Question], passages: int, progress: Progress | None = None
    ) -> list[Retrieval]:
        """Return one retrieval a question, best first; a passage that shares no word with the question is not given."""
        lexicon = self.index.lexicon
        found = []
        for start in range(0, len(questions), BLOCK):
            block = questions[start : start + BLOCK]
            asked = [" ".join([q.text, *q.options]) if self.with_options else q.text for q in block]
            ranked = lexicon.search([lexicon.encode(text) for text in asked], passages + SPARE if passages else 0)
            for question, (rows, scores) in zip(block, ranked, strict=True):
                chosen = as_passages(self.index.documents, rows.tolist(), scores.tolist())
                found.append(Retrieval(question.id, chosen[:passages]))
            if progress:
                progress(len(block))
        return found
