"""Plain text and the pages of a PDF: sentences, and the short lines above them that are their headings."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from solo_hub.knowledge.chunking import Span, ended, heading_span, sentences

_LONGEST, _MOST_WORDS = 60, 8  # characters and words of a heading
_WIDTH = 0.6  # of the widest line: a heading without an empty line below it is shorter
_FEWEST_LINES, _LIST_WIDTH = 3, 0.8  # of a list: its median line is clearly shorter than its widest
_MANY_LINES = 20
_END = re.compile("[.!?\u3002\uff01\uff1f][\"'\u201d\u2019)\\]]*$")
_ANY_END = re.compile("[.!?](?:\\s|$)|[\u3002\uff01\uff1f]")
_ITEM = re.compile(r"\d+[.)]\s")


def plain_spans(text: str) -> Iterator[Span]:
    r"""The sentences of a text with the line each starts on, and its headings.

    Without this, a title would be read as the beginning of the first sentence below it.

    >>> [(s.text, s.place) for s in plain_spans("A short history\n\nThe firm was founded\nin 1974. It grew.")]
    [('A short history:', 1), ('The firm was founded in 1974.', 3), ('It grew.', 4)]
    """
    lines = text.split("\n")
    begin = 0
    found = list(_headings(lines))
    headings = set(found)
    for place in [*found, len(lines)]:
        yield from _body(lines[begin:place], begin)
        if place < len(lines):
            # a title stands right above another heading; sections are all of one level, since nothing tells
            following = next((n for n in range(place + 1, len(lines)) if lines[n].strip()), -1)
            yield from heading_span(lines[place], place + 1, 1 if following in headings else 2)
        begin = place + 1


def has_a_text_a_line(text: str) -> bool:
    r"""Whether every line of a long text is a sentence by itself: rows in disguise rather than prose.

    >>> has_a_text_a_line("Ice melts.\nWater flows.\n" * 10), has_a_text_a_line("Ice\nmelts.\n" * 10)
    (True, False)
    """
    spans = list(plain_spans(text))
    lines = sum(bool(line.strip()) for line in text.split("\n"))
    return len(spans) == lines >= _MANY_LINES and not any(span.heading for span in spans)


def _body(lines: Sequence[str], skipped: int) -> Iterator[Span]:
    """The sentences of lines without headings; each line of a list is one.

    Prose that an editor has wrapped has sentence ends, and lines of about one width.
    """
    for is_empty, found in itertools.groupby(enumerate(lines, skipped + 1), key=lambda row: not row[1].strip()):
        if is_empty:
            continue
        rows = [(place, line.strip()) for place, line in found]
        widths = sorted(len(line) for _, line in rows)
        ends = sum(bool(_ANY_END.search(line)) for _, line in rows)
        ragged = widths[len(rows) // 2] <= _LIST_WIDTH * widths[-1]
        if len(rows) >= _FEWEST_LINES and ends <= len(rows) / 10 and ragged:
            yield from (Span(ended(line, ".", "\u3002"), place) for place, line in rows)
        else:
            for span in sentences("\n".join(line for _, line in rows)):
                yield replace(span, place=span.place + rows[0][0] - 1)


def _headings(lines: Sequence[str]) -> Iterator[int]:
    """Indices of the lines that head what is below them."""
    written = [n for n, line in enumerate(lines) if line.strip()]
    widest = max((len(lines[n].strip()) for n in written), default=0)
    above = True  # the line before ended a sentence, or was the first of at most two headings
    stacked = False
    for n, following in itertools.pairwise(written):
        line, below = lines[n].strip(), lines[following].strip()
        apart = following > n + 1
        is_heading = (
            (above or (n > 0 and not lines[n - 1].strip()))
            and (apart or len(line) <= _WIDTH * widest)
            and _looks_like_one(line)
            and not below[0].islower()
            and not (_ITEM.match(line) and _ITEM.match(below))
            and _is_prose(lines, following)
        )
        if is_heading:
            yield n
        above = bool(_END.search(line)) or (is_heading and not stacked)
        stacked = is_heading


def _looks_like_one(line: str) -> bool:
    return (
        len(line) <= _LONGEST
        and len(line.split()) <= _MOST_WORDS
        and line[0].isalnum()
        and not line[0].islower()
        and (line[-1].isalnum() or line[-1] in ")\u300b\u300d")
        and ": " not in line
        and "\t" not in line
    )


def _is_prose(lines: Sequence[str], start: int) -> bool:
    """Whether a sentence ends in the paragraph that begins here, or in the one below a single line."""
    if _has_end(lines, start):
        return True
    alone = start + 1 < len(lines) and not lines[start + 1].strip()
    return alone and _has_end(lines, start + 2)  # a heading below the title


def _has_end(lines: Sequence[str], start: int) -> bool:
    """Whether a sentence ends in the paragraph that begins here; it is read no further than that."""
    paragraph = itertools.takewhile(str.strip, (lines[n] for n in range(start, len(lines))))
    return any(_ANY_END.search(line) for line in paragraph)
