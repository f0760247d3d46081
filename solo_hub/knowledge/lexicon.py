"""The word index: which words stand in which documents, and how much each says (BM25).

Kept as plain arrays on disk and read through memory maps:

    words.txt                            one word a line; its line number is its id
    postings_{ends,documents,weights}    by word: documents and BM25 weights
    contents_{ends,words}                by document: its distinct words
    document_frequency                   (words,) documents that hold a word

BM25 (Robertson and Zaragoza, "The probabilistic relevance framework: BM25 and beyond", 2009), in Lucene's form, which
never weighs a word below zero:

    weight(w, d) = ln(1 + (N - n_w + 0.5) / (n_w + 0.5)) * f / (f + k1 * (1 - b + b * |d| / mean |d|))

with f the times w stands in d, |d| the words of d, n_w the documents that hold w, N all documents.
"""

from __future__ import annotations

import shutil
import uuid
from array import array
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from solo_hub.errors import DependencyError
from solo_hub.knowledge.ranking import top_of_sparse
from solo_hub.knowledge.words import words
from solo_hub.records import Document

QUERY_CELLS = 8_000_000  # documents x queries scored at once: bounds what a block of queries can need in memory
K1 = 1.5  # how fast a repeated word stops adding
B = 0.75  # how much long documents are held back, 0..1

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
        vocabulary: The words, by id.
        arrays: The arrays named in the module's text.
    """

    def __init__(self, vocabulary: Sequence[str], arrays: dict[str, Any]) -> None:
        self.vocabulary = vocabulary
        self.ids = {word: number for number, word in enumerate(vocabulary)}
        self._arrays = arrays
        self.document_count = len(arrays["contents_ends"]) - 1
        frequency = np.asarray(arrays["document_frequency"], dtype=np.float64)
        self.idf: Floats = np.log(1 + (self.document_count - frequency + 0.5) / (frequency + 0.5)).astype(np.float32)
        """`(words,)` how rare each word is; what BM25 weighs it with."""

    @classmethod
    def open_or_build(cls, folder: Path, documents: Iterable[Document]) -> Self:
        """Open the word index of a folder; make it first where there is none."""
        if not folder.exists():
            temporary = folder.with_name(f".{folder.name}-{uuid.uuid4().hex[:8]}")
            temporary.mkdir(parents=True)
            try:
                cls.build(document.text for document in documents).save(temporary)
                temporary.rename(folder)
            except OSError:
                if not folder.exists():  # else another process was faster, which is as good
                    raise
            finally:
                shutil.rmtree(temporary, ignore_errors=True)
        vocabulary = (folder / "words.txt").read_text("utf-8").split("\n")[:-1]
        return cls(
            vocabulary, {name: np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False) for name in _ARRAYS}
        )

    @classmethod
    def build(cls, texts: Iterable[str]) -> Self:
        """Index texts; about 60 bytes of memory a text while it runs."""
        ids: dict[str, int] = {}
        contents, counts = array("i"), array("H")
        ends, lengths = array("q", [0]), array("i")
        for text in texts:
            found = Counter(words(text))
            for word, count in found.items():
                contents.append(ids.setdefault(word, len(ids)))
                counts.append(min(count, 65535))
            ends.append(len(contents))
            lengths.append(found.total())
        return cls(list(ids), _transpose(len(ids), contents, counts, ends, lengths))

    def save(self, folder: Path) -> None:
        """Write the arrays into an empty folder."""
        (folder / "words.txt").write_text("".join(f"{word}\n" for word in self.vocabulary), "utf-8", newline="\n")
        for name in _ARRAYS:
            np.save(folder / f"{name}.npy", self._arrays[name])

    def encode(self, text: str) -> Ids:
        """Ids of a text's distinct known words, ascending."""
        return np.array(sorted({self.ids[word] for word in words(text) if word in self.ids}), dtype=np.int32)

    @cached_property
    def postings(self) -> Any:
        """BM25 weights as a sparse `(words, documents)` matrix (scipy CSR)."""
        return self._by_word(self._arrays["postings_weights"])

    @cached_property
    def contents(self) -> Any:
        """Which words stand in which documents, as a sparse `(documents, words)` matrix of ones (scipy CSR)."""
        words_ = self._arrays["contents_words"]
        shape = (self.document_count, len(self.ids))
        return _sparse().csr_array(
            (np.ones(len(words_), dtype=np.float32), words_, self._arrays["contents_ends"]), shape=shape
        )

    @cached_property
    def sizes(self) -> Floats:
        """`(documents,)` summed idf of each document's distinct words."""
        return np.asarray(self.contents @ self.idf, dtype=np.float32)

    @cached_property
    def _presence(self) -> Any:
        return self._by_word(np.ones(len(self._arrays["postings_documents"]), dtype=np.float32))

    def _by_word(self, values: Any) -> Any:
        arrays = self._arrays
        shape = (len(self.ids), self.document_count)
        return _sparse().csr_array((values, arrays["postings_documents"], arrays["postings_ends"]), shape=shape)

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
        """Summed idf of the words each query shares with each document: sparse `(queries, documents)`."""
        return self.bag(queries, [self.idf[query] for query in queries]) @ self._presence

    def bag(self, queries: Sequence[Ids], weights: Sequence[Floats] | None = None) -> Any:
        """Queries as a sparse `(queries, words)` matrix, weights 1 unless given (scipy CSR)."""
        ends = np.concatenate(([0], np.cumsum([len(query) for query in queries], dtype=np.int64)))
        columns = np.concatenate(queries) if len(queries) else np.zeros(0, dtype=np.int32)
        values = np.ones(len(columns), dtype=np.float32) if weights is None else np.concatenate(weights)
        return _sparse().csr_array((values, columns, ends), shape=(len(queries), len(self.ids)))


def _sparse() -> Any:
    try:
        from scipy import sparse
    except ImportError as error:
        raise DependencyError("scipy", extra="knowledge", purpose="Searching by words") from error
    return sparse


def _transpose(
    size: int, contents: array[int], counts: array[int], ends: array[int], lengths: array[int]
) -> dict[str, Any]:
    """From words by document to documents by word, with BM25 weights."""
    word = np.frombuffer(contents, dtype=np.int32) if contents else np.zeros(0, dtype=np.int32)
    count = np.frombuffer(counts, dtype=np.uint16).astype(np.float32) if counts else np.zeros(0, dtype=np.float32)
    bounds = np.frombuffer(ends, dtype=np.int64)
    length = np.frombuffer(lengths, dtype=np.int32).astype(np.float32) if lengths else np.zeros(0, dtype=np.float32)
    documents = len(bounds) - 1
    document = np.repeat(np.arange(documents, dtype=np.int32), np.diff(bounds))
    frequency = np.bincount(word, minlength=size).astype(np.int64)
    idf = np.log(1 + (documents - frequency + 0.5) / (frequency + 0.5)).astype(np.float32)
    mean = float(length.mean()) if documents and length.any() else 1.0
    weight = idf[word] * count / (count + K1 * (1 - B + B * length[document] / mean))
    order = np.argsort(word, kind="stable")
    return {
        "postings_ends": np.concatenate(([0], np.cumsum(frequency))),
        "postings_documents": document[order],
        "postings_weights": weight[order].astype(np.float32),
        "contents_ends": bounds,
        "contents_words": word,
        "document_frequency": frequency,
    }
