"""The word index: which words stand in which documents, and how much each says (BM25).

Kept as plain arrays on disk (made by `counting`) and read through memory maps: memory holds the vocabulary, and of the
rest what a query touches:

    words.txt                            one word a line; its line number is its id
    analysis.json                        how texts become words: language, versions (`words`)
    postings_{ends,documents,weights}    by word: documents and BM25 weights
    contents_{ends,words}                by document: its distinct words
    document_frequency                   (words,) documents that hold a word

BM25 (Robertson and Zaragoza, "The probabilistic relevance framework: BM25 and beyond", 2009), in Lucene's form, which
never weighs a word below zero:

    weight(w, d) = ln(1 + (N - n_w + 0.5) / (n_w + 0.5)) * f / (f + k1 * (1 - b + b * |d| / mean |d|))

with f the times w stands in d, |d| the words of d, n_w the documents that hold w, N all documents.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from solo_hub.core.plugins import Progress
from solo_hub.core.records import Document
from solo_hub.knowledge.counting import build_words
from solo_hub.knowledge.ranking import top_of_sparse
from solo_hub.knowledge.words import Analysis

QUERY_CELLS = 8_000_000  # documents x queries scored at once: bounds what a block of queries can need in memory
BLOCK = 1_000_000  # documents whose words are weighed at once

Floats = npt.NDArray[np.float32]
Integers = npt.NDArray[np.int64]
Ids = npt.NDArray[np.int32]

_ARRAYS = (
    "postings_ends",
    "postings_documents",
    "postings_weights",
    "contents_ends",
    "contents_words",
    "document_frequency",
)


class Lexicon:
    """A word index, open for reading.

    Args:
        analysis: How texts become words.
        vocabulary: The words, by id.
        arrays: The arrays named in the module's text.
    """

    def __init__(self, analysis: Analysis, vocabulary: Sequence[str], arrays: dict[str, Any]) -> None:
        self.analysis = analysis
        self.vocabulary = vocabulary
        self.ids = {word: number for number, word in enumerate(vocabulary)}
        self._arrays = arrays
        self.document_count = len(arrays["contents_ends"]) - 1
        frequency = np.asarray(arrays["document_frequency"], dtype=np.float64)
        self.idf: Floats = np.log(1 + (self.document_count - frequency + 0.5) / (frequency + 0.5)).astype(np.float32)
        """`(words,)` how rare each word is; what BM25 weighs it with."""

    @classmethod
    def open_or_build(cls, folder: Path, documents: Sequence[Document], progress: Progress | None = None) -> Self:
        """Open the word index of a folder; make it first, or finish it, where it is not whole.

        Args:
            folder: Where it is kept.
            documents: What it is made of.
            progress: Called with documents done, where it is made.
        """
        analysis = build_words(folder, documents, progress)
        vocabulary = (folder / "words.txt").read_text("utf-8").split("\n")[:-1]
        arrays = {name: np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False) for name in _ARRAYS}
        return cls(analysis, vocabulary, arrays)

    def encode(self, text: str) -> Ids:
        """Ids of a text's distinct known words, ascending."""
        return np.array(
            sorted({self.ids[word] for word in self.analysis.words(text) if word in self.ids}), dtype=np.int32
        )

    @cached_property
    def postings(self) -> Any:
        """BM25 weights as a sparse `(words, documents)` matrix (scipy CSR); its arrays stay files."""
        from scipy import sparse

        arrays = self._arrays
        parts = (arrays["postings_weights"], arrays["postings_documents"], arrays["postings_ends"])
        return sparse.csr_array(parts, shape=(len(self.ids), self.document_count))

    @cached_property
    def sizes(self) -> Floats:
        """`(documents,)` summed idf of each document's distinct words."""
        sizes = np.zeros(self.document_count, dtype=np.float32)
        ends = self._arrays["contents_ends"]
        for start in range(0, self.document_count, BLOCK):
            bounds = np.asarray(ends[start : start + BLOCK + 1])
            weights = self.idf[self._arrays["contents_words"][bounds[0] : bounds[-1]]]
            holders = np.repeat(np.arange(len(bounds) - 1), np.diff(bounds))
            sizes[start : start + BLOCK] = np.bincount(holders, weights, minlength=len(bounds) - 1)
        return sizes

    def words_of(self, document: int) -> Ids:
        """Ids of a document's distinct words, ascending."""
        ends = self._arrays["contents_ends"]
        return np.sort(np.asarray(self._arrays["contents_words"][ends[document] : ends[document + 1]], dtype=np.int32))

    def search(self, queries: Sequence[Ids], count: int) -> list[tuple[Integers, Floats]]:
        """For each query the best documents by BM25 and their scores, best first; only those that share a word."""
        found: list[tuple[Integers, Floats]] = []
        step = max(1, QUERY_CELLS // max(1, self.document_count))
        for start in range(0, len(queries), step):
            scores = self.bag(queries[start : start + step]) @ self.postings
            found += top_of_sparse(scores, count)
        return found

    def second_facts(self, links: Sequence[Ids], gaps: Sequence[Ids], count: int, damping: float) -> Integers:
        """Documents that complete first facts to chains.

        Args:
            links: For each first fact its words that the claim lacks.
            gaps: For each first fact the claim's words that it lacks.
            count: How many second facts for each first.
            damping: Summed idf added to a document's own.

        Returns:
            Of all first facts together, ascending: the `count` documents best by
            `(|d & link| + |d & gap|) / sqrt(|d| + damping)`, |.| summing idf, that hold a word of both.
        """
        if not links:
            return np.zeros(0, dtype=np.int64)
        step = max(1, QUERY_CELLS // max(1, self.document_count))
        found = []
        for start in range(0, len(links), step):
            linked = self._overlap(links[start : start + step])
            filled = self._overlap(gaps[start : start + step])
            both = linked.multiply(filled).tocsr()  # positive where a document holds words of both
            both.data[:] = 1
            scores = (linked + filled).multiply(both).tocsr()
            scores.data /= np.sqrt(self.sizes[scores.indices] + damping)
            found += [rows for rows, _ in top_of_sparse(scores, count)]
        return np.unique(np.concatenate(found))

    def _overlap(self, queries: Sequence[Ids]) -> Any:
        """Summed idf of the words each query shares with each document: sparse `(queries, documents)`.

        Only the documents of the queries' own words are read.
        """
        from scipy import sparse

        used = np.unique(np.concatenate(queries)) if len(queries) else np.zeros(0, dtype=np.int32)
        starts = self._arrays["postings_ends"]
        lists = [self._arrays["postings_documents"][starts[word] : starts[word + 1]] for word in used]
        holders = np.concatenate([np.zeros(0, dtype=np.int32), *lists])
        lengths = [len(held) for held in lists]
        values = np.repeat(self.idf[used], lengths)
        ends = np.concatenate(([0], np.cumsum(lengths, dtype=np.int64)))
        held_by = sparse.csr_array((values, holders, ends), shape=(len(used), self.document_count))
        return self.bag([np.searchsorted(used, query) for query in queries], size=len(used)) @ held_by

    def bag(self, queries: Sequence[npt.NDArray[Any]], size: int | None = None) -> Any:
        """Queries as a sparse `(queries, words)` matrix of ones (scipy CSR); `size` words, all of them unless given."""
        from scipy import sparse

        ends = np.concatenate(([0], np.cumsum([len(query) for query in queries], dtype=np.int64)))
        columns = np.concatenate(queries) if len(queries) else np.zeros(0, dtype=np.int32)
        shape = (len(queries), len(self.ids) if size is None else size)
        return sparse.csr_array((np.ones(len(columns), dtype=np.float32), columns, ends), shape=shape)
