"""Long texts to chunks: whole sentences, a little overlap, and where each chunk comes from."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from solo_hub.core.errors import ConfigError

TokenCounter = Callable[[Sequence[str]], list[int]]
"""Tokens of each text; an embedder's `count_tokens` counts what it will see."""

_PARAGRAPH = re.compile(r"\n[^\S\n]*\n\s*")
# A sentence ends at . ! or ? before a blank, or right after its counterpart in scripts without blanks.
_SENTENCE = re.compile(r"(?<=[.!?])\s+|(?<=[\u3002\uff01\uff1f])\s*")
_WORD = re.compile(r"\S+")
_LETTERS_A_TOKEN = 4  # of English in word-piece vocabularies, on average


@dataclass(frozen=True, slots=True)
class Span:
    """A piece of text and its place: a line or a page, counted from 1."""

    text: str
    place: int


@dataclass(frozen=True, slots=True)
class Chunk:
    """A run of sentences.

    Attributes:
        text: The sentences, joined by blanks.
        first: Place of its first sentence.
        last: Place of its last sentence.
    """

    text: str
    first: int
    last: int


def estimate_tokens(texts: Sequence[str]) -> list[int]:
    """Tokens of each text, estimated: one for every started four letters of a word; no model needed."""
    return [sum(-(-len(word) // _LETTERS_A_TOKEN) for word in _WORD.findall(text)) for text in texts]


def sentences(text: str) -> Iterator[Span]:
    r"""The sentences of a text with the line each starts on; paragraphs end sentences too.

    >>> [(s.text, s.place) for s in sentences("Ice melts. Water\nflows.\n\nSteam rises")]
    [('Ice melts.', 1), ('Water flows.', 1), ('Steam rises', 4)]
    """
    breaks = [match.start() for match in re.finditer("\n", text)]
    for start, paragraph in _parts(text, 0, _PARAGRAPH):
        for position, sentence in _parts(paragraph, start, _SENTENCE):
            if stripped := " ".join(sentence.split()):
                lead = len(sentence) - len(sentence.lstrip())
                yield Span(stripped, bisect_right(breaks, position + lead - 1) + 1)


def _parts(text: str, offset: int, separator: re.Pattern[str]) -> Iterator[tuple[int, str]]:
    start = 0
    for match in separator.finditer(text):
        yield offset + start, text[start : match.start()]
        start = match.end()
    yield offset + start, text[start:]


def chunk(spans: Iterable[Span], limit: int, overlap: int, count: TokenCounter = estimate_tokens) -> list[Chunk]:
    """Join sentences to chunks.

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
    pieces = _fit(list(spans), limit, count)
    chunks: list[Chunk] = []
    held: list[tuple[Span, int]] = []
    size = 0
    for span, tokens in pieces:
        if held and size + tokens > limit:
            chunks.append(_join(held))
            held = _tail(held, min(overlap, limit - tokens))
            size = sum(n for _, n in held)
        held.append((span, tokens))
        size += tokens
    if held:
        chunks.append(_join(held))
    return chunks


def _fit(spans: list[Span], limit: int, count: TokenCounter) -> list[tuple[Span, int]]:
    """Spans with their tokens, those beyond the limit cut in halves between words until they fit."""
    result: list[tuple[Span, int]] = []
    for span, tokens in zip(spans, count([s.text for s in spans]), strict=True):
        if tokens <= limit or len(span.text) == 1:
            result.append((span, tokens))
            continue
        words = span.text.split(" ")
        middle = len(words) // 2
        # One endless word (a URL, a script without blanks) is cut between characters.
        half = len(" ".join(words[:middle])) if middle else len(span.text) // 2
        parts = [Span(text, span.place) for text in (span.text[:half].strip(), span.text[half:].strip()) if text]
        result += _fit(parts, limit, count)
    return result


def _tail(held: list[tuple[Span, int]], room: int) -> list[tuple[Span, int]]:
    kept: list[tuple[Span, int]] = []
    for span, tokens in reversed(held):
        if tokens > room:
            break
        kept.insert(0, (span, tokens))
        room -= tokens
    return kept


def _join(held: list[tuple[Span, int]]) -> Chunk:
    return Chunk(" ".join(span.text for span, _ in held), held[0][0].place, held[-1][0].place)
