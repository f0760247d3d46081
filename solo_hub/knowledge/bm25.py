"""Retrieval by words: BM25 over the word index."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from solo_hub.core.plugins import Embedder, Floats, Progress
from solo_hub.core.records import Question, Retrieval
from solo_hub.knowledge.index import KnowledgeIndex
from solo_hub.knowledge.ranking import SPARE, Integers, distinct, retrieve_in_blocks
from solo_hub.knowledge.settings import check_options


class BM25Retriever:
    """BM25 scores of question words and passage words.

    Args:
        index: The knowledge index.
        embedder: Not used: words need no vectors.
        options: `with_options` (default false): the answer options' words count as question words. More facts are found
            so, and passages that speak for wrong options: teachers answered worse (docs/retrieval.md).
    """

    def __init__(self, index: KnowledgeIndex, embedder: Embedder, options: Mapping[str, Any]) -> None:
        del embedder
        self.with_options: bool = check_options("bm25", options, {"with_options": False})["with_options"]
        self.index = index

    def retrieve(
        self, questions: Sequence[Question], passages: int, progress: Progress | None = None
    ) -> list[Retrieval]:
        """Return one retrieval a question, best first; a passage that shares no word with the question is not given."""
        return retrieve_in_blocks(questions, passages, self.index.documents, self._search, progress)

    def rows(self, questions: Sequence[Question], count: int) -> Iterator[list[int]]:
        """Rows of the documents alone, best first, at most `count` for each question, each text once."""
        for rows, _ in self._search(questions, count + SPARE):
            yield distinct(self.index.documents, rows)[:count]

    def _search(self, questions: Sequence[Question], count: int) -> Iterable[tuple[Integers, Floats]]:
        lexicon = self.index.lexicon
        asked = [" ".join([q.text, *q.options]) if self.with_options else q.text for q in questions]
        return lexicon.search([lexicon.encode(text) for text in asked], count)
