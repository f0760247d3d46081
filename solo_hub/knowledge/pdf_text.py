"""The text of a PDF, page by page, without repeated headers and footers."""

from __future__ import annotations

import io
import logging
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from solo_hub.core.errors import InputError, import_optional
from solo_hub.hub.text_files import read_bytes
from solo_hub.knowledge.chunking import Span
from solo_hub.knowledge.decoding import LONGEST_FILE
from solo_hub.knowledge.plain_text import plain_spans

logger = logging.getLogger(__name__)

_EDGE = 2  # lines at the top and at the bottom of a page that may be its header and footer
_FEWEST_PAGES = 3  # that must repeat a line for it to be one; both of a document of two
_SHARE = 0.4  # of the pages: left and right pages may have headers of their own
_WORD = re.compile(r"\w+(?:-\w+)*")
_BROKEN = re.compile(r"\b([^\W\d_]+)[-\u2010\u00ad]\n([^\W\d_A-Z]\w*)")
_NUMBER = re.compile(r"\d+")
_PAGE_NUMBER = re.compile(r"\W*(?:page|seite|p\.)?\s*(\d+)(?:\s*(?:of|von|/)\s*\d+)?\W*", re.IGNORECASE)


def pdf_spans(file: Path) -> Iterator[Span]:
    """Sentences with the page each is on.

    Raises:
        InputError: The file is corrupt, encrypted, or has no text.
        DependencyError: pypdf is missing.
    """
    pages = _pages(file)
    blank = sum(not text.strip() for text in pages)
    if blank == len(pages):
        raise InputError("no page has text (scanned images?).", file=str(file), hint="Run OCR on it first.")
    if blank:
        logger.warning("%d of %d pages of '%s' have no text (scanned images?).", blank, len(pages), file)
    for number, text in enumerate(without_broken_words(without_running_lines(pages)), start=1):
        # lines of a page end where the paper did; an empty line or a heading ends a paragraph
        yield from (replace(span, place=number) for span in plain_spans(text))


def _pages(file: Path) -> list[str]:
    pypdf = import_optional("pypdf", package="pypdf", extra="knowledge", purpose="Reading PDF files")
    data = io.BytesIO(read_bytes(file, LONGEST_FILE))
    try:
        reader = pypdf.PdfReader(data)
        locked = reader.is_encrypted and not reader.decrypt("")
        pages = [] if locked else [whole_characters(page.extract_text()) for page in reader.pages]
    except MemoryError:
        raise
    except Exception as error:  # whatever a broken file makes the library stumble over
        raise InputError(
            f"not a readable PDF: {error}.", file=str(file), hint="Open and save it again, or remove it."
        ) from error
    if locked:
        raise InputError(
            "is encrypted with a password.", file=str(file), hint="Save a copy without one, e.g. qpdf --decrypt OLD NEW"
        )
    return pages


def whole_characters(text: str) -> str:
    r"""A page's text without what broken fonts leave in it: halves of characters are joined, or replaced; no NUL.

    >>> whole_characters("\ud83d\ude00 a\x00b \ud83d.")
    '\U0001f600 ab \ufffd.'
    """
    return text.replace("\0", "").encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def without_running_lines(pages: Sequence[str]) -> list[str]:
    """Take out the headers and footers that pages repeat, page numbers included.

    A line among the first or the last two of a page is one where as many pages as `_SHARE` (and at least three, or both
    of two) have the same there, numbers aside (of two pages not: *Invoice 17*, *Invoice 18*); and where it is the
    page's number alone.
    """
    lines = [page.split("\n") for page in pages]
    edges = [_edges(page) for page in lines]
    counts = Counter(key for page in edges for key in {key for _, key in page})
    some = sum(bool(page) for page in edges)
    needed = max(2, min(some, _FEWEST_PAGES), _SHARE * some)
    kept = []
    for number, (page, edge) in enumerate(zip(lines, edges, strict=True), start=1):
        running = {
            index
            for index, key in edge
            if _says_number(page[index], number) or (counts[key] >= needed and (some > 2 or "#" not in key[1]))  # noqa: PLR2004
        }
        kept.append("\n".join(line for index, line in enumerate(page) if index not in running))
    return kept


def without_broken_words(pages: Sequence[str]) -> list[str]:
    r"""Join the words that a hyphen breaks at the end of a line.

    The hyphen stays where the document writes the word with it elsewhere, or both parts as words and never the whole.

    >>> without_broken_words(["It has a dehumid-\nifier and a well-\nknown mill. The mill is known well."])
    ['It has a dehumidifier\n and a well-known\n mill. The mill is known well.']
    """
    words = {word.casefold() for page in pages for word in _WORD.findall(_BROKEN.sub(" ", page))}

    def join(match: re.Match[str]) -> str:
        first, second = match[1], match[2]
        whole, compound = f"{first}{second}".casefold(), f"{first}-{second}".casefold()
        parts = {first.casefold(), second.casefold()} <= words
        return f"{first}{'-' if whole not in words and (compound in words or parts) else ''}{second}\n"

    return [_BROKEN.sub(join, page) for page in pages]


def _says_number(line: str, number: int) -> bool:
    """Whether a line is the number of its page and nothing else: *Page 3 of 9*, *- 3 -*."""
    match = _PAGE_NUMBER.fullmatch(line)
    return match is not None and int(match[1]) == number


def _edges(page: Sequence[str]) -> list[tuple[int, tuple[str, str]]]:
    """Lines that may be headers or footers: their index, and what they are compared by; none of a page without more."""
    written = [index for index, line in enumerate(page) if line.strip()]
    if len(written) <= _EDGE:
        return []
    top, bottom = written[:_EDGE], written[max(_EDGE, len(written) - _EDGE) :]
    return [
        (index, (side, _NUMBER.sub("#", " ".join(page[index].casefold().split()))))
        for side, indices in (("top", top), ("bottom", bottom))
        for index in indices
    ]
