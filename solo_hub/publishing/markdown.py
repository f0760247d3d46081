"""Untrusted text in Markdown: whatever a question, passage or name contains is shown as text.

Jinja's own autoescaping knows HTML only, so the card environment passes every printed value through `finish`: a
`Markdown` value is printed as it is, any other string is escaped. Data longer than a few words belongs in a fenced
block (`fenced`), names and phrases in a code span (`code`): inside these nothing is markup, and no renderer turns
addresses into links.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from jinja2 import Undefined

_MARKUP = re.compile(r"([\\`*_\[\]~$])")
_AT_START = re.compile(r"^(?:[#+\-=:!>]|\d+(?=[.)](?:\s|$)))")
"""Characters with a meaning only at the start of a line: headings, lists, quotes."""
_LINKS = re.compile(r"://|www\.|@", re.IGNORECASE)
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]")
"""Control characters and direction overrides: they can hide or reorder text."""


_UNPRINTABLE = re.compile(_CONTROL.pattern[:-1] + "\u2028\u2029\x85]")
"""Characters that must be escaped in a line of code."""


class Markdown(str):
    """Trusted Markdown, made by this package."""

    __slots__ = ()


def finish(value: Any) -> str:
    """Turn any printed value of a template into safe Markdown.

    Raises:
        jinja2.UndefinedError: The template uses an undefined name.
        TypeError: The value is None or a collection: a template must handle missing values in words.
    """
    if isinstance(value, Markdown):
        return value
    if isinstance(value, Undefined):
        return str(value)  # a strict one raises, with its name
    if isinstance(value, bool) or value is None or not isinstance(value, str | int):
        raise TypeError(f"a template prints a bare {type(value).__name__}")
    return str(value) if isinstance(value, int) else inline(value)


def one_line(text: str) -> str:
    """Text without line breaks, control characters and lone surrogates."""
    return re.sub(r"\s+", " ", _CONTROL.sub("", well_formed(text))).strip()


def well_formed(text: str) -> str:
    """Replace lone surrogates, which no file can hold, by the replacement character."""
    return (
        text.encode("utf-8", "replace").decode("utf-8")
        if text.isascii()
        else re.sub(r"[\ud800-\udfff]", "\ufffd", text)
    )


def inline(text: str) -> Markdown:
    r"""Escape text for use within a sentence or a table cell.

    Anything that a renderer might turn into a link goes into a code span.

    >>> print(inline("a*b <i>"))
    a\*b &lt;i&gt;
    """
    line = one_line(text)
    if _LINKS.search(line):
        return code(line)
    line = _MARKUP.sub(r"\\\1", line.replace("&", "&amp;")).replace("<", "&lt;").replace(">", "&gt;")
    start = _AT_START.match(line)
    if start:
        line = f"\\{line}" if not start[0].isdigit() else f"{start[0]}\\{line[start.end() :]}"
    return Markdown(line)


def code(text: str) -> Markdown:
    """Show text in a code span, whatever backticks it holds itself.

    >>> print(code("a`b"))
    `` a`b ``
    """
    line = one_line(text) or " "
    fence = "`" * (_longest_run(line, "`") + 1)
    padding = " " if line.startswith(("`", " ")) or line.endswith(("`", " ")) or len(fence) > 1 else ""
    return Markdown(f"{fence}{padding}{line}{padding}{fence}")


def fenced(text: str, language: str = "") -> Markdown:
    """Show text as a block, whatever fences it holds itself."""
    clean = _CONTROL.sub("", well_formed(text)).rstrip("\n")
    clean = re.sub(r"\n{3,}", "\n\n", clean)
    fence = "`" * max(3, _longest_run(clean, "`") + 1)
    return Markdown(f"{fence}{language}\n{clean}\n{fence}")


def link(text: str, target: str) -> Markdown:
    """Link `text`, shown as code, to an address made by this package."""
    safe = re.sub(r"[^A-Za-z0-9:/._@%?=&#+~-]", "", target)
    return Markdown(f"[{code(text)}]({safe})")


def as_json(record: Mapping[str, Any]) -> Markdown:
    """A fenced block of JSON, one field a line; a list of objects takes a line for each."""
    lines = [f"  {_compact(name)}: {_field(value)}" for name, value in record.items()]
    return fenced("{\n" + ",\n".join(lines) + "\n}", "json")


def _field(value: Any) -> str:
    if isinstance(value, list) and value and all(isinstance(item, Mapping) for item in value):
        return "[\n" + ",\n".join(f"    {_compact(item)}" for item in value) + "\n  ]"
    return _compact(value)


def _compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def python_literal(text: str) -> Markdown:
    """Write text as a Python string literal on one line.

    Non-ASCII letters stay readable; everything that could end the line or the literal is escaped.
    """
    literal = json.dumps(well_formed(text), ensure_ascii=False)
    return Markdown(_UNPRINTABLE.sub(lambda match: f"\\u{ord(match[0]):04x}", literal))


def table(head: Sequence[str], rows: Iterable[Sequence[str]], *, align: str = "") -> Markdown:
    """A table; cells are escaped like any printed value.

    Args:
        head: Names of the columns.
        rows: Cells of each row.
        align: `l` or `r` for each column; the first left and the others right when empty.
    """
    align = align or "l".ljust(len(head), "r")
    rule = "|".join(":--" if side == "l" else "--:" for side in align)
    lines = [_cells(head), f"|{rule}|", *(_cells(row) for row in rows)]
    return Markdown("\n".join(lines))


def two_columns(head: tuple[str, str], values: Mapping[str, str]) -> Markdown:
    """A left-aligned table of names and values."""
    return table(head, list(values.items()), align="ll")


def _cells(cells: Iterable[str]) -> str:
    # A bar ends a cell, even within a code span.
    return "| " + " | ".join(finish(cell).replace("|", "\\|") for cell in cells) + " |"


def _longest_run(text: str, sign: str) -> int:
    return max((len(run) for run in re.findall(re.escape(sign) + "+", text)), default=0)
