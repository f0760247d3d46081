"""Reads files to documents: text, Markdown, HTML, PDF and rows, split into chunks with their positions."""

from __future__ import annotations

import logging
import unicodedata
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
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
from solo_hub.knowledge.plain_text import plain_spans

logger = logging.getLogger(__name__)

_TYPESETTING = {0xAD: None} | {code: unicodedata.normalize("NFKC", chr(code)) for code in range(0xFB00, 0xFB07)}
"""Soft hyphens, and ligatures such as the one letter that is *fl*: a typesetter's, no part of the word."""
VERSION = 5  # of reading and chunking: an index of another version is rebuilt
CHUNK_TOKENS = 200  # fits the 256 tokens of small sentence embedders
OVERLAP_TOKENS = 40


@dataclass(slots=True)
class Summary:
    """Counts of what was read and left out.

    Attributes:
        documents: Document files.
        rows: Rows of data files.
        chunks: Passages made from both.
        left_out: Rows and files that could not be read, or have no text.
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
        """Read a row of `to_row`."""
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
    """Read a file, or every supported file in a folder, into chunks, one file in memory at a time.

    Args:
        path: A document (`READERS`), a data file (`hub.formats`), or a folder; hidden files are skipped.
        limit: Maximum tokens of a chunk.
        overlap: Maximum overlap of consecutive chunks, in tokens.
        count: Counts tokens, e.g. an embedder's `count_tokens`.
        settings: Columns of data files; the defaults when None.
        unusable: Handles files and rows that cannot be read; the first one raises when None.
        summary: Updated with counts. Files without any text are in its `left_out` under either policy.
        skip: File names, relative to the folder, that are not documents.

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
        if (shown := name.encode(errors="backslashreplace").decode()) != name:  # ids and sources hold it
            unusable(InputError("the file's name is not UTF-8.", file=str(root / shown), hint="Rename it."))
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
            unusable.add(InputError("contains no text.", file=str(file)))
    summary.left_out = unusable.left_out
    if not summary.chunks:
        reasons = " ".join(map(str, unusable.left_out[:1]))
        raise InputError(
            f"contains no text. {reasons}".rstrip(), file=str(path), hint=f"Supported formats: {_READABLE}."
        )


def _units(
    file: Path, name: str, settings: KnowledgeSettings, unusable: Unusable, summary: Summary
) -> Iterator[tuple[str, str, list[Span]]]:
    """Units that are chunked separately, a whole file or a row, with their position and the name of its parts."""
    reader = _reader(file)
    if reader is None:
        yield from _rows(file, name, settings, unusable, summary)
        return
    word, read = reader
    spans = [replace(span, text=span.text.translate(_TYPESETTING)) for span in read(file)]
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
    """Whether a file is a document or a data file, by its extension."""
    return plain_name(file).endswith(SUFFIXES)


def is_document(file: Path) -> bool:
    """Whether a file is a document, to be split into chunks, by its extension."""
    return _reader(file) is not None


def _reader(file: Path) -> tuple[str, Callable[[Path], Iterator[Span]]] | None:
    name = plain_name(file)
    return next((reader for ending, reader in READERS.items() if name.endswith(ending)), None)


def _files(path: Path, settings: KnowledgeSettings) -> list[Path]:
    if path.is_file():
        if not is_readable(path):
            raise InputError(
                f"unsupported file format '{path.suffix}'.", file=str(path), hint=f"Convert it to one of: {_READABLE}."
            )
        return [path]
    below = [file for file in sorted(path.rglob("*")) if file.is_file() and not _hidden(file.relative_to(path))]
    others = [file for file in below if not (is_document(file) or _holds_texts(file, settings))]
    if others:
        kinds = sorted({file.suffix.lower() or file.name for file in others})
        logger.warning(
            "%d files in '%s' have an unsupported format and are left out: %s.", len(others), path, ", ".join(kinds)
        )
    return [file for file in below if file not in set(others)]


def _holds_texts(file: Path, settings: KnowledgeSettings) -> bool:
    """Whether a data file in a folder has document rows: a .jsonl file, or any with the text column.

    A folder of documents often also has tables and settings of tools.
    """
    if not is_readable(file) or plain_name(file).endswith(".jsonl"):
        return is_readable(file)
    try:
        return settings.column("text") in find_format(file).columns(file)
    except InputError:
        return False


def _hidden(relative: Path) -> bool:
    return any(part.startswith(".") for part in relative.parts)


READERS: dict[str, tuple[str, Callable[[Path], Iterator[Span]]]] = {
    ".txt": ("line", lambda file: plain_spans(decode_text(file))),
    ".md": ("line", lambda file: markdown_spans(decode_text(file), file)),
    ".markdown": ("line", lambda file: markdown_spans(decode_text(file), file)),
    ".html": ("line", lambda file: html_spans(decode_html(file), file)),
    ".htm": ("line", lambda file: html_spans(decode_html(file), file)),
    ".xhtml": ("line", lambda file: html_spans(decode_html(file), file)),
    ".pdf": ("page", pdf_spans),
}
"""Extension of a document -> unit of its positions, and the reader."""
SUFFIXES = (*READERS, *FORMATS)
_READABLE = ", ".join(SUFFIXES)
