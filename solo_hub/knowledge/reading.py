"""Files to documents: text, Markdown, HTML, PDF and JSONL, chunked, each chunk with the place it comes from."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path

from solo_hub.core.errors import DependencyError, InputError
from solo_hub.core.files import read_jsonl
from solo_hub.core.records import Document
from solo_hub.core.settings import KnowledgeSettings
from solo_hub.knowledge.chunking import Span, TokenCounter, chunk, estimate_tokens, sentences
from solo_hub.knowledge.corpus import stream_documents

logger = logging.getLogger(__name__)

CHUNK_TOKENS = 200  # fits the 256 tokens that small sentence embedders read
OVERLAP_TOKENS = 40
PAGE_SECONDS = 60.0  # of the processor for one HTML file; a megabyte takes one, unless its tags never end


def read_files(
    path: Path,
    *,
    limit: int = CHUNK_TOKENS,
    overlap: int = OVERLAP_TOKENS,
    count: TokenCounter = estimate_tokens,
    settings: KnowledgeSettings | None = None,
) -> Iterator[Document]:
    """Read a file, or every readable file below a folder, into chunks; one file's text is in memory at a time.

    Args:
        path: A .txt, .md, .html, .pdf or .jsonl file, or a folder; hidden files are left out.
        limit: Most tokens of a chunk.
        overlap: Most tokens repeated from one chunk to the next.
        count: Counts tokens; an embedder's `count_tokens` counts what it will see.
        settings: Columns of .jsonl rows; the defaults when None.

    Yields:
        Documents with ids `FILE#N` (N from 1) and sources such as `notes.md, lines 3-9` or `paper.pdf, page 2`; file
        names are relative to the folder.

    Raises:
        InputError: A file cannot be read, or there is no text at all.
    """
    if not path.exists():
        raise InputError("there is no such file or folder.", file=str(path), hint="Check the path.")
    root = path if path.is_dir() else path.parent
    found = False
    for file in _files(path):
        name = file.relative_to(root).as_posix()
        number = 0
        for place, word, spans in _units(file, name, settings or KnowledgeSettings()):
            for piece in chunk(spans, limit, overlap, count):
                number += 1
                found = True
                yield Document(f"{name}#{number}", piece.text, _source(place, word, piece.first, piece.last))
    if not found:
        raise InputError("there is no text in it.", file=str(path), hint=f"Readable are: {', '.join(SUFFIXES)}.")


def _units(file: Path, name: str, settings: KnowledgeSettings) -> Iterator[tuple[str, str, list[Span]]]:
    """What is chunked by itself: a whole file, or each row of a .jsonl file; place, what its parts are called, text."""
    if file.suffix.lower() == ".jsonl":
        yield from _jsonl(file, settings)
    else:
        word, read = READERS[file.suffix.lower()]
        yield name, word, list(read(file))


def _source(place: str, word: str, first: int, last: int) -> str:
    if not word:
        return place
    return f"{place}, {word} {first}" if first == last else f"{place}, {word}s {first}-{last}"


def _files(path: Path) -> list[Path]:
    if path.is_file():
        if path.suffix.lower() not in SUFFIXES:
            raise InputError(
                f"cannot read '{path.suffix}' files.",
                file=str(path),
                hint=f"Convert it; readable are: {', '.join(SUFFIXES)}.",
            )
        return [path]
    below = [file for file in sorted(path.rglob("*")) if file.is_file() and not _hidden(file.relative_to(path))]
    readable = [file for file in below if file.suffix.lower() in SUFFIXES]
    if len(readable) < len(below):
        others = sorted({file.suffix.lower() or file.name for file in below if file not in readable})
        logger.warning("%d files in '%s' are left out: %s.", len(below) - len(readable), path, ", ".join(others))
    return readable


def _hidden(relative: Path) -> bool:
    return any(part.startswith(".") for part in relative.parts)


def _decode(path: Path) -> str:
    try:
        return path.read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"not UTF-8 text (byte {error.start}).", file=str(path), hint="Convert it to UTF-8.") from None
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}.", file=str(path), hint="Check its permissions.") from error


def _text(path: Path) -> Iterator[Span]:
    return sentences(_decode(path))


def _jsonl(path: Path, settings: KnowledgeSettings) -> Iterator[tuple[str, str, list[Span]]]:
    # The rows' own ids must be unique, but a long row becomes several chunks: these are numbered through the file.
    for number, document in enumerate(stream_documents(read_jsonl(path), settings, str(path)), start=1):
        yield document.source or f"{path.name}, row {number}", "", list(sentences(document.text))


class _VisibleText(HTMLParser):
    """Collects what a reader of the page sees, with the line each piece starts on."""

    SILENT = frozenset(("script", "style", "head", "noscript", "template", "svg"))
    INLINE = frozenset(
        """
        a abbr b bdi bdo cite code data dfn em i kbd mark q s samp small span strong sub sup time u var wbr
        """.split()  # noqa: SIM905 - see words.STOP_WORDS
    )

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.pieces: list[Span] = []
        self._silent = 0
        self._held: list[str] = []
        self._line = 1
        self._until = time.thread_time() + PAGE_SECONDS

    def handle_starttag(self, tag: str, attrs: object) -> None:
        del attrs
        if tag not in self.INLINE:
            self.flush()
        self._silent += tag in self.SILENT

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.INLINE:
            self.flush()
        self._silent = max(0, self._silent - (tag in self.SILENT))

    def handle_data(self, data: str) -> None:
        # tags that are opened and never closed are looked for anew from each of them
        if time.thread_time() > self._until:
            raise ValueError(f"it takes longer than {PAGE_SECONDS:g} s")
        if self._silent:
            return
        if data.strip() and not self._held:
            self._line = self.getpos()[0] + data[: len(data) - len(data.lstrip())].count("\n")
            data = data.lstrip()
        if data.strip() or self._held:
            self._held.append(data)

    def flush(self) -> None:
        """End the piece that is being collected."""
        text = "".join(self._held)
        self._held = []
        self.pieces += [Span(span.text, self._line + span.place - 1) for span in sentences(text)]


def _html(path: Path) -> Iterator[Span]:
    page = _VisibleText()
    text = _decode(path)
    try:
        page.feed(text)
        page.close()
        page.flush()
    except (ValueError, AssertionError, LookupError, RecursionError) as error:
        raise InputError(
            f"not HTML that can be read: {error}.", file=str(path), hint="Open and save it again, or remove it."
        ) from error
    yield from page.pieces


def _pdf(path: Path) -> Iterator[Span]:
    try:
        import pypdf
    except ImportError as error:
        raise DependencyError("pypdf", extra="knowledge", purpose="Reading PDF files") from error
    try:
        pages = [page.extract_text() for page in pypdf.PdfReader(path).pages]
    except MemoryError:
        raise
    except Exception as error:  # whatever a broken file makes the library stumble over
        raise InputError(
            f"not a PDF that can be read: {error}.", file=str(path), hint="Open and save it again, or remove it."
        ) from error
    blank = sum(not text.strip() for text in pages)
    if blank == len(pages):
        raise InputError(
            "no page holds text (scanned images?).", file=str(path), hint="Run text recognition on it first."
        )
    if blank:
        logger.warning("%d of %d pages of '%s' hold no text (scanned images?).", blank, len(pages), path)
    for number, text in enumerate(pages, start=1):
        # Lines of a page end where the paper did; only an empty line ends a paragraph.
        yield from (Span(span.text, number) for span in sentences(text))


READERS: dict[str, tuple[str, Callable[[Path], Iterator[Span]]]] = {
    ".txt": ("line", _text),
    ".md": ("line", _text),
    ".html": ("line", _html),
    ".htm": ("line", _html),
    ".pdf": ("page", _pdf),
}
"""Suffix -> what places are called, and the reader."""
SUFFIXES = (*READERS, ".jsonl")
