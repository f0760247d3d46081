"""Converts corpus rows to validated documents."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from solo_hub.core.errors import InputError
from solo_hub.core.records import Document
from solo_hub.core.settings import KnowledgeSettings
from solo_hub.hub.formats import OnError, stop

Row = tuple[int, Mapping[str, Any]]
"""A row and its number, counted from 1."""


def stream_documents(
    rows: Iterable[Row], settings: KnowledgeSettings, place: str, on_error: OnError = stop
) -> Iterator[Document]:
    """Turn rows into documents one at a time.

    Args:
        rows: Rows with their numbers.
        settings: Which columns hold text, id and source.
        place: Repo or file the rows come from, for messages.
        on_error: Called with what is wrong with an unusable row, which is then left out; by default the first raises.

    Yields:
        One document a row, in order.

    Raises:
        InputError: A row is unusable (named by file, row and field).
    """
    seen: dict[str, int] = {}
    for number, row in rows:
        try:
            document = _document(row, settings, number, seen)
        except InputError as error:
            on_error(error.at(place, number))
        else:
            seen[document.id] = number
            yield document


def _document(row: Mapping[str, Any], settings: KnowledgeSettings, number: int, seen: Mapping[str, int]) -> Document:
    """The document of a row; errors do not name the row."""
    source, text = row.get(settings.column("source")), _text(row, settings.column("text"))
    identifier = _identifier(row, settings.column("id"), number)
    if identifier in seen:
        raise InputError(
            f"duplicate id '{identifier}' (also in row {seen[identifier]}).",
            field=settings.column("id"),
            hint="Make ids unique, or set knowledge.columns.id to a column that is.",
        )
    return Document(identifier, text, "" if source is None else str(source))


def _text(row: Mapping[str, Any], column: str) -> str:
    if column not in row:
        known = ", ".join(map(str, row)) or "none"
        raise InputError(
            f"no such column (columns: {known}).",
            field=column,
            hint="Set knowledge.columns.text to the column with the text.",
        )
    text = row[column]
    if not isinstance(text, str):
        raise InputError(f"not a string but {_kind(text)}.", field=column, hint="Write a string, or remove the row.")
    if not text.strip():
        raise InputError("the text is empty.", field=column, hint="Add the text, or remove the row.")
    return text


def _identifier(row: Mapping[str, Any], column: str, number: int) -> str:
    value = row.get(column)
    if value is None:
        return str(number)
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise InputError(
            f"an id must be a string or an integer, not {_kind(value)}.",
            field=column,
            hint="Set knowledge.columns.id to another column.",
        )
    return str(value)


def _kind(value: Any) -> str:
    return "null" if value is None else f"a {type(value).__name__}"
