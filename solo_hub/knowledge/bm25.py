"""Retrieval by words: BM25 over the word index."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from solo_hub.knowledge.index import KnowledgeIndex
from solo_hub.knowledge.ranking import passages as as_passages
from solo_hub.knowledge.ranking import top
from solo_hub.knowledge.settings import check_options
from solo_hub.plugins import Embedder, Floats, Progress
from solo_hub.records import Question, Retrieval

BLOCK = 64  # questions scored at once


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

    def scores(self, questions: Sequence[Question]) -> Floats:
        """BM25 scores: `(questions, documents)`."""
        lexicon = self.index.lexicon
        asked = [" ".join([q.text, *q.options]) if self.with_options else q.text for q in questions]
        bag = lexicon.bag([lexicon.encode(text) for text in asked])
        return np.asarray((bag @ lexicon.postings()).toarray(), dtype=np.float32)

    def retrieve(
        self, questions: Sequence[Question], passages: int, progress: Progress | None = None
    ) -> list[Retrieval]:
        """Return one retrieval a question, best first; a passage that shares no word with the question is not given."""
        found = []
        for start in range(0, len(questions), BLOCK):
            block = questions[start : start + BLOCK]
            scores = self.scores(block)
            best = top(scores, passages + 8 if passages else 0)
            for question, row, values in zip(block, best, scores, strict=True):
                useful = row[values[row] > 0]
                chosen = as_passages(self.index.documents, useful.tolist(), values[useful].tolist())
                found.append(Retrieval(question.id, chosen[:passages]))
            if progress:
                progress(len(block))
        return found
