"""Files to documents: text, Markdown, HTML, PDF and rows, chunked, each chunk with the place it comes from."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from solo_hub.core.errors import InputError
from solo_hub.core.records import Document
from solo_hub.core.settings import KnowledgeSettings
from solo_hub.hub.formats import FORMATS, find_format
from solo_hub.hub.text_files import plain_name
from solo_hub.hub.unusable import LeftOut, Unusable
from solo_hub.knowledge.chunking import Span, TokenCounter, chunk, estimate_tokens, sentences
from solo_hub.knowledge.corpus import stream_documents
from solo_hub.knowledge.decoding import decode_html, decode_text
from solo_hub.knowledge.html_text import html_spans
from solo_hub.knowledge.markdown_text import markdown_spans
from solo_hub.knowledge.pdf_text import pdf_spans

logger = logging.getLogger(__name__)

VERSION = 2  # of how documents are read and cut: an index of another version is made again
CHUNK_TOKENS = 200  # fits the 256 tokens that small sentence embedders read
OVERLAP_TOKENS = 40


@dataclass(slots=True)
class Summary:
    """What was read, and what was not.

    Attributes:
        documents: Files read whole.
        rows: Rows of files of rows.
        chunks: Passages made of both.
        left_out: Rows and files that were not read, or that hold no text.
    """

    documents: int = 0
    rows: int = 0
    chunks: int = 0
    left_out: list[LeftOut] = field(default_factory=list)

    def __str__(self) -> str:
        parts = [_counted(self.documents, "document")] if self.documents else []
        parts += [_counted(self.rows, "row")] if self.rows or not parts else []
        if self.documents or self.chunks != self.rows:
            return f"{_counted(self.chunks, 'chunk')} of {' and '.join(parts)}"
        return parts[0]

    def to_row(self) -> dict[str, Any]:
        """Return it as JSON types."""
        left_out = [item.to_row() for item in self.left_out]
        return {"documents": self.documents, "rows": self.rows, "chunks": self.chunks, "left_out": left_out}

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Self:
        """Make one of what `to_row` returned."""
        left_out = [LeftOut(**item) for item in row["left_out"]]
        return cls(int(row["documents"]), int(row["rows"]), int(row["chunks"]), left_out)


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def read_files(
    path: Path,
    *,
    limit: int = CHUNK_TOKENS,
    overlap: int = OVERLAP_TOKENS,
    count: TokenCounter = estimate_tokens,
    settings: KnowledgeSettings | None = None,
    unusable: Unusable | None = None,
    summary: Summary | None = None,
    skip: Collection[str] = (),
) -> Iterator[Document]:
    """Read a file, or every readable file below a folder, into chunks; one file's text is in memory at a time.

    Args:
        path: A document (`READERS`), a file of rows (`hub.formats`), or a folder; hidden files are left out.
        limit: Most tokens of a chunk.
        overlap: Most tokens repeated from one chunk to the next.
        count: Counts tokens; an embedder's `count_tokens` counts what it will see.
        settings: Columns of files of rows; the defaults when None.
        unusable: What happens to files and rows that cannot be read; the first one raises when None.
        summary: Is filled in with what was read. Files without any text stand in its `left_out` under either policy.
        skip: Names of files, relative to the folder, that are no documents.

    Yields:
        Documents with ids `FILE#N` (N from 1) and sources such as `notes.md, lines 3-9` or `paper.pdf, page 2`; file
        names are relative to the folder.

    Raises:
        InputError: A file cannot be read, or there is no text at all.
    """
    if not path.exists():
        raise InputError("no such file or folder.", file=str(path), hint="Check the path.")
    root = path if path.is_dir() else path.parent
    unusable, summary = unusable or Unusable(), summary or Summary()
    for file in _files(path, settings or KnowledgeSettings()):
        name = file.relative_to(root).as_posix()
        if name in skip:
            continue
        number = 0
        problems = len(unusable.left_out)
        try:
            for place, word, spans in _units(file, name, settings or KnowledgeSettings(), unusable, summary):
                for piece in chunk(spans, limit, overlap, count):
                    number += 1
                    summary.chunks += 1
                    yield Document(f"{name}#{number}", piece.text, _source(place, word, piece.first, piece.last))
        except InputError as error:
            unusable(error)
        if not number and len(unusable.left_out) == problems:
            unusable.add(InputError("there is no text in it.", file=str(file)))
    summary.left_out = unusable.left_out
    if not summary.chunks:
        reasons = " ".join(map(str, unusable.left_out[:1]))
        raise InputError(
            f"there is no text in it. {reasons}".rstrip(), file=str(path), hint=f"Readable are: {_READABLE}."
        )


def _units(
    file: Path, name: str, settings: KnowledgeSettings, unusable: Unusable, summary: Summary
) -> Iterator[tuple[str, str, list[Span]]]:
    """What is chunked by itself, a whole file or a row of one; each with its place and what its parts are called."""
    reader = _reader(file)
    if reader is None:
        yield from _rows(file, name, settings, unusable, summary)
        return
    word, read = reader
    spans = list(read(file))
    summary.documents += bool(spans)
    yield name, word, spans


def _rows(
    file: Path, name: str, settings: KnowledgeSettings, unusable: Unusable, summary: Summary
) -> Iterator[tuple[str, str, list[Span]]]:
    # The rows' own ids must be unique, but a long row becomes several chunks: these are numbered through the file.
    number = 0

    def counted() -> Iterator[tuple[int, dict[str, Any]]]:
        nonlocal number
        for row in find_format(file).rows(file, None, unusable):
            number = row[0]
            yield row

    for document in stream_documents(counted(), settings, str(file), unusable):
        summary.rows += 1
        yield document.source or f"{name}, row {number}", "", list(sentences(document.text))


def _source(place: str, word: str, first: int, last: int) -> str:
    if not word or not first:
        return place
    return f"{place}, {word} {first}" if first == last else f"{place}, {word}s {first}-{last}"


def is_readable(file: Path) -> bool:
    """Whether a file is a document, or holds rows, by its ending."""
    return plain_name(file).endswith(SUFFIXES)


def is_document(file: Path) -> bool:
    """Whether a file is read whole and cut into chunks, by its ending."""
    return _reader(file) is not None


def _reader(file: Path) -> tuple[str, Callable[[Path], Iterator[Span]]] | None:
    name = plain_name(file)
    return next((reader for ending, reader in READERS.items() if name.endswith(ending)), None)


def _files(path: Path, settings: KnowledgeSettings) -> list[Path]:
    if path.is_file():
        if not is_readable(path):
            raise InputError(
                f"cannot read '{path.suffix}' files.", file=str(path), hint=f"Convert it; readable are: {_READABLE}."
            )
        return [path]
    below = [file for file in sorted(path.rglob("*")) if file.is_file() and not _hidden(file.relative_to(path))]
    others = [file for file in below if not (is_document(file) or _holds_texts(file, settings))]
    if others:
        kinds = sorted({file.suffix.lower() or file.name for file in others})
        logger.warning("%d files in '%s' are left out: %s.", len(others), path, ", ".join(kinds))
    return [file for file in below if file not in set(others)]


def _holds_texts(file: Path, settings: KnowledgeSettings) -> bool:
    """Whether a file of a folder holds rows that are documents: a .jsonl file does, others where they have the column.

    A folder of documents often has tables beside them, settings of tools among them, that are none.
    """
    if not is_readable(file) or plain_name(file).endswith(".jsonl"):
        return is_readable(file)
    try:
        return settings.text_column in find_format(file).columns(file)
    except InputError:
        return False


def _hidden(relative: Path) -> bool:
    return any(part.startswith(".") for part in relative.parts)


READERS: dict[str, tuple[str, Callable[[Path], Iterator[Span]]]] = {
    ".txt": ("line", lambda file: sentences(decode_text(file))),
    ".md": ("line", lambda file: markdown_spans(decode_text(file), file)),
    ".markdown": ("line", lambda file: markdown_spans(decode_text(file), file)),
    ".html": ("line", lambda file: html_spans(decode_html(file), file)),
    ".htm": ("line", lambda file: html_spans(decode_html(file), file)),
    ".xhtml": ("line", lambda file: html_spans(decode_html(file), file)),
    ".pdf": ("page", pdf_spans),
}
"""Ending of a document -> what its places are called, and the reader."""
SUFFIXES = (*READERS, *FORMATS)
_READABLE = ", ".join(SUFFIXES)
