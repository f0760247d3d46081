"""Diagnosis of invalid JSON files: one document instead of lines, columns instead of rows, two rows on a line."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from solo_hub.core.errors import InputError
from solo_hub.hub.text_files import READ_ERRORS, first_line, open_binary, plain_name

LONGEST_DOCUMENT = 1 << 26  # bytes read to find out what a file is


class InvalidConstantError(ValueError):
    """NaN or Infinity, which Python writes but JSON does not have."""


def describe_invalid_json(line: str, error: Exception) -> tuple[str, str]:
    """Problem and hint for a line that is not one JSON value.

    Args:
        line: The line.
        error: The parser's error.
    """
    inside = line.rstrip("\r\n")
    if isinstance(error, InvalidConstantError):
        return f"not valid JSON ({error}).", "Write null instead."
    if "\0" in line:
        return "contains NUL characters: UTF-16 text, or not text at all.", "Save the file as UTF-8."
    if isinstance(error, json.JSONDecodeError) and error.msg == "Extra data":
        if "\r" in inside[: error.pos + 1]:
            return (
                "line ends are CR only, as on classic Mac OS.",
                "Convert the line ends, e.g. tr '\\r' '\\n' < OLD > NEW",
            )
        return (
            f"not valid JSON: a second value follows the first at character {error.pos + 1}.",
            "Write one object per line.",
        )
    return f"not valid JSON ({first_line(error)}).", "Fix or remove that line."


def find_document(line: str, file: Path) -> InputError | None:
    """The error for a file that is one JSON document instead of JSON lines; None if it is not.

    Args:
        line: The file's first line; the rest is read only if this looks like (the beginning of) a document.
        file: The file.
    """
    try:
        start = json.loads(line)
    except (ValueError, RecursionError):
        start = None
    if isinstance(start, dict) and _table_error(start, file) is None:
        return None
    try:
        with open_binary(file) as handle:
            data = handle.read(LONGEST_DOCUMENT + 1)
        document = json.loads(data.decode("utf-8-sig")) if len(data) <= LONGEST_DOCUMENT else None
    except (*READ_ERRORS, ValueError, RecursionError):
        return None
    if isinstance(document, dict):
        return _table_error(document, file) or InputError(
            "one JSON document over several lines, not one object per line.",
            file=str(file),
            hint="Write each row on its own line, e.g. jq -c . OLD > NEW",
        )
    if isinstance(document, list) and _is_rows(document):
        return InputError(
            "the file is one JSON list, not one object per line.",
            file=str(file),
            hint=f"Rename it to {plain_name(file).rpartition('.')[0]}.json, or write one object per line.",
        )
    return None


def _table_error(document: Mapping[str, Any], file: Path) -> InputError | None:
    """The error for a document that is a whole table; None if it may be a row."""
    values = list(document.values())
    if len(values) > 1 and all(isinstance(value, dict) and value and _has_row_numbers(value) for value in values):
        return InputError(
            "a JSON document of columns, not of rows.",
            file=str(file),
            hint='Write rows; with pandas: to_json(NAME, orient="records", lines=True).',
        )
    tables = [key for key, value in document.items() if _is_rows(value)]
    nested = any(isinstance(value, dict | list) for key, value in document.items() if key not in tables)
    if len(tables) == 1 and plain_name(file).endswith(".json") and not nested:
        return InputError(
            f"one JSON document with its rows in the field '{tables[0]}'.",
            file=str(file),
            hint=f"Write them one per line, e.g. jq -c '.{tables[0]}[]' OLD > NEW.jsonl",
        )
    return None


def _has_row_numbers(column: Mapping[str, Any]) -> bool:
    """Whether the keys are row numbers, as in a column written by pandas."""
    return list(column) == [str(number) for number in range(len(column))]


def _is_rows(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(item, dict) for item in value)
