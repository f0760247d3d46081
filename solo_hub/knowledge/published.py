"""The published format of a knowledge base: rows with vectors, the word index, and a manifest.

    data/train-*.parquet     id, text, source, embedding (float16, length 1): what `load_dataset` gives
    index/words.parquet      word, documents (row numbers), bm25 (weights): the inverted word index; its metadata name
                             the language of its stems
    manifest.json            embedder and commit, dimension, chunking, counts, sources

Of an untrusted repo only rows and vectors are used. Vectors must be finite and of length 1; search structures (inverted
lists, word index) are rebuilt locally from the rows, because memory-mapped files with offsets must not be untrusted.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import numpy as np

from solo_hub.core.errors import InputError
from solo_hub.core.files import write_text
from solo_hub.core.parsing import read_object
from solo_hub.core.plugins import Floats
from solo_hub.core.records import Document
from solo_hub.knowledge.index import KnowledgeIndex
from solo_hub.knowledge.storage import Halves

KIND = "knowledge-base"
FORMAT_VERSION = 1
ROWS_PER_FILE = 200_000  # about 170 MB at 384 dimensions
ROWS_PER_GROUP = 1_000
READ = 4_096  # rows at a time
LENGTH_SLACK = 0.01  # how far from 1 a float16 vector's length may be
MANIFEST = "manifest.json"


@dataclass(frozen=True, slots=True)
class Description:
    """`manifest.json` of a knowledge base.

    Attributes:
        embedder: Identity of the embedder: model and commit.
        dimension: Length of a vector.
        documents: Number of rows.
        text_hash: SHA-256 of the documents in their order.
        words: Distinct words of the word index.
        chunking: How files were cut: `{tokens, overlap, counted_by}`; empty where rows were taken as they are.
        sources: What it was made from: repos at commits, files with their hashes, licences.
        format_version: Format of the repo.
        kind: Always `knowledge-base`.
    """

    embedder: str
    dimension: int
    documents: int
    text_hash: str
    words: int = 0
    chunking: Mapping[str, Any] = field(default_factory=dict)
    sources: tuple[Mapping[str, Any], ...] = ()
    format_version: int = FORMAT_VERSION
    kind: str = KIND

    @classmethod
    def read(cls, folder: Path) -> Self | None:
        """Read the manifest of a folder; None where it holds no knowledge base.

        Raises:
            InputError: It is one of a later format, or broken.
        """
        path = folder / MANIFEST
        values = read_object(path)
        if values.get("kind") != KIND:
            return None
        if values.get("format_version") != FORMAT_VERSION:
            raise InputError(
                f"a knowledge base of format {values.get('format_version')}, not {FORMAT_VERSION}.",
                file=str(path),
                hint="Update solo-hub.",
            )
        try:
            return cls(**{**values, "sources": tuple(values.get("sources") or ())})
        except TypeError as error:
            raise InputError(f"invalid manifest of a knowledge base: {error}.", file=str(path)) from error

    def write(self, folder: Path) -> None:
        """Write the manifest."""
        write_text(folder / MANIFEST, json.dumps(asdict(self), indent=2, ensure_ascii=False) + "\n")


def write_published(index: KnowledgeIndex, folder: Path, description: Description) -> Description:
    """Write rows, vectors, word index and manifest of an index into a folder.

    The same index gives the same bytes.

    Returns:
        The description with its counts filled in.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema([
        ("id", pa.string()),
        ("text", pa.string()),
        ("source", pa.string()),
        ("embedding", pa.list_(pa.float16(), index.manifest.dimension)),
    ])  # fmt: skip
    (folder / "data").mkdir(parents=True, exist_ok=True)
    parts = max(1, -(-len(index.documents) // ROWS_PER_FILE))
    for number in range(parts):
        first, last = number * ROWS_PER_FILE, min((number + 1) * ROWS_PER_FILE, len(index.documents))
        path = folder / "data" / f"train-{number:05d}-of-{parts:05d}.parquet"
        with pq.ParquetWriter(path, schema, **_WRITER) as writer:
            for start in range(first, last, ROWS_PER_GROUP):
                documents = index.documents[start : min(start + ROWS_PER_GROUP, last)]
                vectors = np.asarray(index.vectors[start : start + len(documents)])
                writer.write_table(
                    pa.table(
                        {
                            "id": [document.id for document in documents],
                            "text": [document.text for document in documents],
                            "source": [document.source for document in documents],
                            "embedding": pa.FixedSizeListArray.from_arrays(
                                pa.array(vectors.ravel()), index.manifest.dimension
                            ),
                        },
                        schema=schema,
                    )
                )
    described = replace(
        description,
        embedder=index.manifest.embedder,
        dimension=index.manifest.dimension,
        documents=len(index.documents),
        text_hash=index.manifest.text_hash,
        words=_write_words(index, folder / "index"),
    )
    described.write(folder)
    return described


def _write_words(index: KnowledgeIndex, folder: Path) -> int:
    """The inverted word index as a table; returns the number of words."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder.mkdir(parents=True, exist_ok=True)
    lexicon = index.lexicon
    postings = lexicon.postings  # (words, documents), BM25 weights
    lists = pa.LargeListArray.from_arrays
    ends = pa.array(np.asarray(postings.indptr, dtype=np.int64))
    table = pa.table({
        "word": pa.array(list(lexicon.vocabulary), pa.string()),
        "documents": lists(ends, pa.array(np.asarray(postings.indices, dtype=np.int32))),
        "bm25": lists(ends, pa.array(np.asarray(postings.data, dtype=np.float32))),
    })  # fmt: skip
    with pq.ParquetWriter(folder / "words.parquet", table.schema, **_WRITER) as writer:
        writer.write_table(table, row_group_size=50_000)
        # Beside the columns, because versions before this one refuse a manifest with an entry that they do not know.
        writer.add_key_value_metadata({"analysis": json.dumps(asdict(lexicon.analysis))})
    return len(lexicon.vocabulary)


_WRITER: dict[str, Any] = {
    "compression": "zstd",
    "compression_level": 3,
    "version": "2.6",
    "use_dictionary": ["source"],
    "write_statistics": False,
    "write_page_index": False,
    "store_schema": False,
}
"""Everything that shapes the bytes; vectors hardly compress, so little is spent on them."""


def published_rows(
    folder: Path, description: Description, *, vectors: bool = True
) -> Iterator[tuple[list[Document], Halves]]:
    """Documents and vectors of a published knowledge base, a batch at a time.

    Args:
        folder: Its snapshot.
        description: Its manifest.
        vectors: Whether the vectors are wanted; without them the arrays have no columns.

    Raises:
        InputError: A file is missing or broken, a text is empty, or a vector is not finite, not of length 1, or of
            another dimension than the manifest's.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    files = sorted((folder / "data").glob("train-*.parquet"))
    if not files:
        raise InputError("there are no data files.", file=str(folder / "data"), hint="Download it again.")
    columns = ["id", "text", "source", *(["embedding"] if vectors else [])]
    number = 0
    for file in files:
        try:
            for batch in pq.ParquetFile(file).iter_batches(batch_size=READ, columns=columns):
                rows = batch.select(columns[:3]).to_pylist()
                found: Halves = np.zeros((len(rows), 0), dtype=np.float16)
                if vectors:
                    found = _vectors(batch.column("embedding"), len(rows), description.dimension, file, number)
                yield [_document(row, file, number + place) for place, row in enumerate(rows, start=1)], found
                number += len(rows)
        except InputError:
            raise
        except (pa.ArrowException, OSError, KeyError, TypeError, ValueError, AttributeError) as error:
            raise InputError(f"cannot be read: {error}.", file=str(file), hint="Download it again.") from error


def _document(row: Mapping[str, Any], file: Path, number: int) -> Document:
    if not isinstance(row["id"], str) or not isinstance(row["text"], str) or not row["text"].strip():
        raise InputError(
            "a row needs an id and a text.", file=str(file), row=number, field="text", hint="Publish it again."
        )
    return Document(row["id"], row["text"], str(row["source"] or ""))


def _vectors(column: Any, count: int, dimension: int, file: Path, before: int) -> Halves:
    values: Floats = np.asarray(column.flatten().to_numpy(zero_copy_only=False), dtype=np.float32)
    if column.null_count or values.size != count * dimension:
        raise InputError(
            f"the vectors do not have the manifest's dimension {dimension}.",
            file=str(file),
            row=before + 1,
            field="embedding",
            hint="Publish it again.",
        )
    matrix = values.reshape(count, dimension)
    lengths = np.linalg.norm(matrix, axis=1)
    wrong = ~(np.abs(lengths - 1) <= LENGTH_SLACK)  # NaN is wrong too
    if wrong.any():
        raise InputError(
            "the vector is not of length 1.",
            file=str(file),
            row=before + int(np.argmax(wrong)) + 1,
            field="embedding",
            hint="Publish it again, or set another knowledge.embedding_model to embed the texts again.",
        )
    return matrix.astype(np.float16)
