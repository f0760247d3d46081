"""What a Markdown document says: headings, sentences, rows of tables; no marks, front matter or link targets."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from solo_hub.core.parsing import parse_yaml
from solo_hub.knowledge.chunking import Span, heading_span, row_sentence, sentences
from solo_hub.knowledge.html_text import html_spans

if TYPE_CHECKING:
    from markdown_it.token import Token

PART = 1 << 19  # characters parsed at once: some 75 MB of tokens
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_FRONT_MATTER = re.compile(
    r"\A(?:---[^\S\n]*\n(?P<yaml>.*?)\n(?:---|\.\.\.)|\+\+\+[^\S\n]*\n.*?\n\+\+\+)[^\S\n]*(?:\n|\Z)", re.DOTALL
)


def markdown_spans(text: str, file: Path) -> Iterator[Span]:
    """Headings, sentences and rows of tables, with the lines they start on.

    Args:
        text: The document.
        file: Where it is from, for messages.
    """
    from markdown_it import MarkdownIt

    text = text.replace("\r\n", "\n").replace("\r", "\n")
    body, skipped, title = _without_front_matter(text)
    parser = MarkdownIt("commonmark").enable(["table", "strikethrough"])
    for part, before in _parts(body):
        tokens = parser.parse(part)
        if title and not before and not any(token.type == "heading_open" and token.tag == "h1" for token in tokens):
            yield from heading_span(title, 1, 1)
        yield from _spans(tokens, skipped + before, file)


def _parts(text: str) -> Iterator[tuple[str, int]]:
    """A document in parts that bound the parser's memory, each with the number of lines before it.

    It is cut before a line that begins a block: one that is not indented, after a blank one, outside of fences.
    """
    held: list[str] = []
    size = before = 0
    fence = ""
    for line in re.findall(r"[^\n]*\n|[^\n]+", text):  # a form feed ends no line for the parser
        if size > PART and not fence and not held[-1].strip() and line[:1].strip():
            yield "".join(held), before
            before += len(held)
            held, size = [], 0
        if match := _FENCE.match(line):
            fence = match[1] if not fence else "" if match[1].startswith(fence) else fence
        held.append(line)
        size += len(line)
    yield "".join(held), before


def _without_front_matter(text: str) -> tuple[str, int, str]:
    """The document without the metadata at its top, how many lines those take, and the title they give."""
    match = _FRONT_MATTER.match(text)
    if match is None:
        return text, 0, ""
    title = ""
    if match["yaml"] is not None:
        try:
            metadata = parse_yaml(match["yaml"])
        except yaml.YAMLError:
            metadata = None
        if not isinstance(metadata, dict):  # a rule above and below a paragraph
            return text, 0, ""
        title = metadata["title"] if isinstance(metadata.get("title"), str) else ""
    return text[match.end() :], text.count("\n", 0, match.end()), title


def _spans(tokens: Sequence[Token], skipped: int, file: Path) -> Iterator[Span]:
    """Spans of a document's blocks; tables are gone through apart, since their cells are one row together."""
    rest = iter(tokens)
    level = 0
    for token in rest:
        line = skipped + (token.map[0] if token.map else 0) + 1
        if token.type == "heading_open":
            level = int(token.tag[1:])
        elif token.type == "heading_close":
            level = 0
        elif token.type == "table_open":
            yield from _rows(rest, skipped)
        elif token.type == "inline":
            yield from heading_span(_text(token), line, level) if level else _placed(sentences(_text(token)), line)
        elif token.type in ("fence", "code_block"):
            yield from _placed(sentences(token.content), line + (token.type == "fence"))
        elif token.type == "html_block":
            yield from _placed(html_spans(token.content, file), line)


def _rows(tokens: Iterator[Token], skipped: int) -> Iterator[Span]:
    """A sentence for each row of a table, its tokens taken up to the table's end."""
    header: list[str] = []
    cells: list[str] = []
    rows: list[Span] = []
    line = 0
    for token in itertools.takewhile(lambda token: token.type != "table_close", tokens):
        if token.type == "tr_open":
            cells, line = [], skipped + (token.map[0] if token.map else 0) + 1
        elif token.type == "thead_close":
            header = cells
        elif token.type == "inline":
            cells.append(" ".join(_text(token).split()))
        elif token.type == "tr_close" and header and any(cells):
            rows.append(Span(row_sentence(header, cells), line))
    return iter(rows or [Span(row_sentence([], header), line)] * any(header))


def _placed(spans: Iterator[Span], line: int) -> Iterator[Span]:
    """Spans whose lines are counted from a line of the document."""
    return (Span(span.text, line + span.place - 1 if span.place else 0, span.heading) for span in spans)


def _text(token: Token) -> str:
    """The text of a line of Markdown as a reader sees it."""
    parts = []
    for child in token.children or ():
        if child.type in ("text", "code_inline", "image"):
            parts.append(child.content)
        elif child.type in ("softbreak", "hardbreak"):
            parts.append("\n")
        elif child.type == "html_inline" and child.content.lower().startswith("<br"):
            parts.append(" ")
    return "".join(parts)
