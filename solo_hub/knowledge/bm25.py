"""Lexical retrieval: BM25 over the word index."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from solo_hub.core.config import PluginOptions, read_options
from solo_hub.core.plugins import Embedder, Floats
from solo_hub.core.records import Question
from solo_hub.knowledge.index import KnowledgeIndex
from solo_hub.knowledge.ranking import SETTING, Integers, Ranked


class WithOptions(PluginOptions):
    """Options of `bm25` and `fused`."""

    with_options: bool = False


class BM25Retriever(Ranked):
    """BM25 scores of question words and passage words.

    Args:
        index: The knowledge index.
        embedder: Not used.
        options: `with_options` (default false): add the answer options' words to the query. This finds more facts, but
            also passages that support wrong options: teachers were less accurate (docs/retrieval.md).
    """

    reads_vectors = False

    def __init__(self, index: KnowledgeIndex, embedder: Embedder, options: Mapping[str, Any]) -> None:
        del embedder
        self.with_options = read_options(WithOptions, options, "retriever 'bm25'", SETTING).with_options
        self.index = index

    def _search(self, questions: Sequence[Question], count: int) -> Iterable[tuple[Integers, Floats]]:
        lexicon = self.index.lexicon
        queries = [" ".join([q.text, *q.options]) if self.with_options else q.text for q in questions]
        return lexicon.search([lexicon.encode(text) for text in queries], count)
