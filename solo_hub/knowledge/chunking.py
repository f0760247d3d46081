"""Long texts to chunks: whole sentences under their headings, a little overlap, and where each chunk comes from."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from solo_hub.core.errors import ConfigError
from solo_hub.core.words import stands_alone

TokenCounter = Callable[[Sequence[str]], list[int]]
"""Tokens of each text; an embedder's `count_tokens` counts what it will see."""

_PARAGRAPH = re.compile(r"\n[^\S\n]*\n\s*")
# A sentence ends at . ! ?, a danda or an Arabic mark before a blank; a quotation mark or bracket may close in between,
# unless what follows goes on in lower case. In scripts without blanks it ends right after its like.
_SENTENCE = re.compile(
    r"(?<=[.!?\u0964\u0965\u061f\u06d4])\s+|(?<=[.!?][\"'\u201d\u2019)\]])\s+(?=[^\sa-z])|(?<=[\u3002\uff01\uff1f])\s*"
)
_QUOTED_END = re.compile("[.!?\u3002\uff01\uff1f][\"')\\]]+$")
_WORD = re.compile(r"\S+")
_LETTERS_A_TOKEN = 4  # of English in word-piece vocabularies, on average
_HEADING_SHARE = 4  # headings said again at the top of a chunk take at most a fourth of it
_WIDE = "\u2e80"  # from here on, scripts with full-width marks


@dataclass(frozen=True, slots=True)
class Span:
    """A piece of text and its place.

    Attributes:
        text: A sentence, a heading, or a row of a table.
        place: A line or a page, counted from 1; 0 where it is not known.
        heading: Level of a heading, 1 the highest; 0 for other text.
    """

    text: str
    place: int
    heading: int = 0


Piece = tuple[Span, int]
"""A span and its tokens."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """A run of sentences.

    Attributes:
        text: The sentences, joined by blanks.
        first: Place of its first sentence; 0 where it is not known.
        last: Place of its last sentence; 0 where it is not known.
    """

    text: str
    first: int
    last: int


def estimate_tokens(texts: Sequence[str]) -> list[int]:
    """Tokens of each text, estimated: no model needed.

    One for every started four letters of a word, and for each character of a script without blanks.
    """
    return [sum(map(_estimate, _WORD.findall(text))) for text in texts]


def _estimate(word: str) -> int:
    alone = 0 if word.isascii() else sum(map(stands_alone, word))
    return alone - (alone - len(word)) // _LETTERS_A_TOKEN


def sentences(text: str) -> Iterator[Span]:
    r"""The sentences of a text with the line each starts on; paragraphs end sentences too.

    >>> [(s.text, s.place) for s in sentences("Ice melts. Water\nflows.\n\nSteam rises")]
    [('Ice melts.', 1), ('Water flows.', 1), ('Steam rises', 4)]
    >>> [s.text for s in sentences('"Stop!" she said. "It melts." Nobody heard.')]
    ['"Stop!" she said.', '"It melts."', 'Nobody heard.']
    """
    breaks = [match.start() for match in re.finditer("\n", text)]
    for start, paragraph in _parts(text, 0, _PARAGRAPH):
        for position, sentence in _parts(paragraph, start, _SENTENCE):
            if stripped := " ".join(sentence.split()):
                lead = len(sentence) - len(sentence.lstrip())
                yield Span(stripped, bisect_right(breaks, position + lead - 1) + 1)


def heading_span(text: str, place: int, level: int) -> list[Span]:
    """A heading as a span that what it heads can follow on the same line; nothing where it is empty.

    >>> heading_span(" Melting  points ", 3, 2)
    [Span(text='Melting points:', place=3, heading=2)]
    """
    text = " ".join(text.split()).rstrip("\u00b6#").rstrip()
    if not text:
        return []
    return [Span(ended(text, ":", "\uff1a"), place, level)]


def row_sentence(header: Sequence[str], cells: Sequence[str]) -> str:
    """A row of a table as a sentence: each cell after the name of its column, where the table names its columns.

    >>> row_sentence(["Metal", "Melts at"], ["iron", "1,538 C"])
    'Metal: iron; Melts at: 1,538 C.'
    """
    named = header if len(header) == len(cells) else [""] * len(cells)
    told = [f"{name}: {cell}" if name else cell for name, cell in zip(named, cells, strict=True) if cell]
    return ended("; ".join(told), ".", "\u3002")


def ended(text: str, mark: str, wide_mark: str) -> str:
    """A text that ends with a mark; one of its script's own where it ends without any.

    >>> ended("ice", ".", "\u3002"), ended('"Ice melts."', ".", "\u3002")
    ('ice.', '"Ice melts."')
    """
    if not text or not (text[-1].isalnum() or text[-1] in ")]\"'%") or _QUOTED_END.search(text):
        return text
    return text + (wide_mark if text[-1] >= _WIDE else mark)


def _parts(text: str, offset: int, separator: re.Pattern[str]) -> Iterator[tuple[int, str]]:
    start = 0
    for match in separator.finditer(text):
        yield offset + start, text[start : match.start()]
        start = match.end()
    yield offset + start, text[start:]


def chunk(spans: Iterable[Span], limit: int, overlap: int, count: TokenCounter = estimate_tokens) -> list[Chunk]:
    """Join sentences to chunks.

    A heading is never parted from what follows it. It opens a new chunk where the one before is at least half full, and
    is said again, with those above it, at the top of every further chunk of its section.

    Args:
        spans: The sentences, in order.
        limit: Most tokens of a chunk; a longer sentence is cut between words.
        overlap: Most tokens of whole sentences repeated at the start of the next chunk, so that what two neighbours say
            together can be found.
        count: Counts tokens.

    Raises:
        ConfigError: The overlap leaves no room for anything new.
    """
    if limit < 1 or not 0 <= overlap < limit:
        raise ConfigError(
            f"Chunks of {limit} tokens cannot overlap by {overlap}.", hint="Choose an overlap below the chunk size."
        )
    chunks: list[Chunk] = []
    held: list[Piece] = []
    above: list[Piece] = []  # the headings that what comes next stands under, the highest first
    size = 0
    for span, tokens in _fit(list(spans), limit, count):
        opens = bool(span.heading) and 2 * size >= limit and not held[-1][0].heading
        if held and (size + tokens > limit or opens):
            said, carried = _split_headings(held, limit - tokens)
            chunks.append(_join(said))
            path = [piece for piece in above if not span.heading or piece[0].heading < span.heading]
            rest = carried if carried or span.heading else _tail(said, min(overlap, limit - tokens))
            held = _headed(path, rest, span, limit - tokens, limit // _HEADING_SHARE)
            size = _size(held)
        if span.heading:
            above = [piece for piece in above if piece[0].heading < span.heading] + [(span, tokens)]
        held.append((span, tokens))
        size += tokens
    if held:
        chunks.append(_join(held))
    return chunks


def _size(pieces: Sequence[Piece]) -> int:
    return sum(tokens for _, tokens in pieces)


def _split_headings(held: list[Piece], room: int) -> tuple[list[Piece], list[Piece]]:
    """What a chunk ends with, and the headings at its end, which belong to the next one where they fit into it."""
    last = len(held)
    while last and held[last - 1][0].heading:
        last -= 1
    return (held[:last], held[last:]) if last and _size(held[last:]) <= room else (held, [])


def _headed(path: Sequence[Piece], rest: list[Piece], span: Span, room: int, most: int) -> list[Piece]:
    """The start of a chunk below as many of its headings as fit, the lowest first to be kept.

    Args:
        path: Headings above what comes next, the highest first.
        rest: What the chunk starts with: headings that it was left, or sentences said again.
        span: What comes after that.
        room: Tokens there are for all of it; sentences said again give way to headings.
        most: Most tokens of the headings that are said again.
    """
    level = rest[0][0].heading if rest else 0
    path = [piece for piece in path if piece not in rest and (not level or piece[0].heading < level)]
    most = min(most, room - _size(rest)) if level else min(most, room)
    top: list[Piece] = []
    for piece in reversed(path):
        if piece[1] > most:
            break
        top.insert(0, piece)
        most -= piece[1]
    while rest and not level and _size(top) + _size(rest) > room:
        rest = rest[1:]
    place = rest[0][0].place if rest else span.place  # what is said again does not move where the chunk begins
    return [(replace(heading, place=place), tokens) for heading, tokens in top] + rest


def _fit(spans: list[Span], limit: int, count: TokenCounter) -> list[Piece]:
    """Spans with their tokens, those beyond the limit cut in halves between words until they fit."""
    result: list[Piece] = []
    for span, tokens in zip(spans, count([s.text for s in spans]), strict=True):
        if tokens <= limit or len(span.text) == 1:
            result.append((span, tokens))
            continue
        words = span.text.split(" ")
        middle = len(words) // 2
        # One endless word (a URL, a script without blanks) is cut between characters.
        half = len(" ".join(words[:middle])) if middle else len(span.text) // 2
        parts = [replace(span, text=text) for text in (span.text[:half].strip(), span.text[half:].strip()) if text]
        result += _fit(parts, limit, count)
    return result


def _tail(held: list[Piece], room: int) -> list[Piece]:
    """The last sentences that fit, back to the last heading."""
    kept: list[Piece] = []
    for span, tokens in reversed(held):
        if tokens > room or span.heading:
            break
        kept.insert(0, (span, tokens))
        room -= tokens
    return kept


def _join(held: list[Piece]) -> Chunk:
    places = [span.place for span, _ in held]
    known = all(places)
    return Chunk(" ".join(span.text for span, _ in held), places[0] if known else 0, places[-1] if known else 0)
