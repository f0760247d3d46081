"""Data file formats: how to name a file's columns and read its rows, one class each.

`FORMATS` maps endings to formats. Text formats are read line by line, so that a broken row can be named and a large
file does not fill the memory.
"""

from __future__ import annotations

import csv
import gzip
import itertools
import json
import re
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any, Protocol, cast

from solo_hub.core.errors import InputError, nearest
from solo_hub.core.records import check_writable

Row = dict[str, Any]

_PEEK = 100  # rows whose keys count as the columns of a JSONL file
_BATCH = 1024  # rows a Parquet batch
_LONGEST_CELL = 1 << 26  # characters; Python's own limit of 131,072 is too small for a document in a cell
_LONGEST_LINE = 1 << 26  # bytes; a row is a question or a passage, and a small gzip file may unpack to anything
_LONGEST_LIST = 1 << 29  # characters of a .json file that is one list, which is read as a whole
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


class Format(Protocol):
    """One kind of data file."""

    def columns(self, file: Path) -> list[str]:
        """Names of the columns; empty for a file with no rows to tell them."""
        ...

    def rows(self, file: Path, columns: Sequence[str] | None) -> Iterator[tuple[int, Row]]:
        """Rows with their numbers from 1; only the named columns are in them."""
        ...


class Parquet:
    """Parquet: columns that are not named are not read from the disk."""

    def columns(self, file: Path) -> list[str]:
        """Top-level columns by the file's footer."""
        with self._opened(file) as table:
            return list(table.schema_arrow.names)

    def rows(self, file: Path, columns: Sequence[str] | None) -> Iterator[tuple[int, Row]]:
        """Rows as Python objects: a struct is a dict, a list a list."""
        import pyarrow as pa

        number = 0
        with self._opened(file) as table:
            if columns is not None and not columns:
                yield from ((n, {}) for n in range(1, table.metadata.num_rows + 1))
                return
            try:
                for batch in table.iter_batches(batch_size=_BATCH, columns=columns, use_threads=False):
                    for row in batch.to_pylist():
                        number += 1
                        yield number, row
            except (pa.ArrowException, OSError, ValueError, OverflowError, MemoryError) as error:
                # broken pages decode to anything: bytes that are no text, dates of the year 300,000, lengths in TB
                raise InputError(
                    f"the data from here on cannot be read ({_first_line(error)}).",
                    file=str(file),
                    row=number + 1,
                    hint="Download or write the file again.",
                ) from error

    def class_names(self, file: Path, column: str) -> tuple[str, ...]:
        """Names of a column's classes, which `datasets` keeps in the schema; empty where there are none."""
        with self._opened(file) as table:
            written = (table.schema_arrow.metadata or {}).get(b"huggingface", b"{}")
        try:
            names = json.loads(written)["info"]["features"][column]["names"]
        except (ValueError, KeyError, TypeError):
            return ()
        return tuple(map(str, names)) if isinstance(names, list) else ()

    @staticmethod
    def _opened(file: Path) -> Any:
        import pyarrow as pa
        from pyarrow import parquet

        try:
            return parquet.ParquetFile(file)
        except (pa.ArrowException, OSError, ValueError, MemoryError) as error:
            raise InputError(
                f"not a readable Parquet file ({_first_line(error)}).",
                file=str(file),
                hint="Download or write the file again.",
            ) from error


class JsonLines:
    """One JSON object a line; a `.json` file may hold one list of objects instead."""

    def columns(self, file: Path) -> list[str]:
        """Keys of the first rows, in the order they are first seen."""
        return list(dict.fromkeys(key for _, row in itertools.islice(self._objects(file), _PEEK) for key in row))

    def rows(self, file: Path, columns: Sequence[str] | None) -> Iterator[tuple[int, Row]]:
        """Rows; a key that a row lacks is None."""
        for number, row in self._objects(file):
            yield number, row if columns is None else {column: row.get(column) for column in columns}

    def _objects(self, file: Path) -> Iterator[tuple[int, Row]]:
        if file.name.lower().removesuffix(".gz").endswith(".json") and _starts_with_list(file):
            yield from self._list(file)
            return
        for number, line in _lines(file):
            if line.strip():
                yield number, _object(line, file, number)

    @staticmethod
    def _list(file: Path) -> Iterator[tuple[int, Row]]:
        parts, size = [], 0
        for _, line in _lines(file):
            parts.append(line)
            size += len(line)
            if size > _LONGEST_LIST:
                raise InputError(
                    f"a list of more than {_LONGEST_LIST >> 20} MB, which would be read as a whole.",
                    file=str(file),
                    hint="Write one object a line (.jsonl).",
                )
        text = "".join(parts)
        try:
            items = json.loads(text, parse_constant=_refuse_constant)
        except (ValueError, RecursionError) as error:
            raise InputError(
                f"not valid JSON ({_first_line(error)}).", file=str(file), hint="Write one object a line."
            ) from None
        for number, item in enumerate(items, start=1):
            if not isinstance(item, dict):
                raise InputError(f"a JSON {type(item).__name__}, not an object.", file=str(file), row=number)
            yield number, item


class Delimited:
    """Comma- or tab-separated cells below a header; every cell is text, exactly as it stands.

    Args:
        delimiter: What separates cells.
    """

    def __init__(self, delimiter: str) -> None:
        self.delimiter = delimiter

    def columns(self, file: Path) -> list[str]:
        """The header."""
        return next(self._records(file))[1]

    def rows(self, file: Path, columns: Sequence[str] | None) -> Iterator[tuple[int, Row]]:
        """Rows below the header, the first of them number 1; blank ones are left out but counted."""
        records = self._records(file)
        _, header = next(records)
        missing = [column for column in columns or () if column not in header]
        if missing:
            raise InputError("no such column.", file=str(file), field=missing[0], hint=nearest(missing[0], header))
        places = [(name, header.index(name)) for name in (header if columns is None else columns)]
        for number, (line, cells) in enumerate(records, start=1):
            if not cells:
                continue
            if len(cells) != len(header):
                raise InputError(
                    f"(line {line}) has {len(cells)} cells, the header has {len(header)}.",
                    file=str(file),
                    row=number,
                    hint="Quote cells that hold the separator or a line break.",
                )
            yield number, {name: cells[place] for name, place in places}

    def _records(self, file: Path) -> Iterator[tuple[int, list[str]]]:
        """The header and then every record, each with the number of its last line."""
        csv.field_size_limit(max(csv.field_size_limit(), _LONGEST_CELL))
        reader = csv.reader((line for _, line in _lines(file)), delimiter=self.delimiter, strict=True)
        try:
            header = [name.strip() for name in next(reader, [])]
            if not any(header):
                raise InputError("has no header.", file=str(file), row=1, hint="Name the columns in the first line.")
            twice = [name for index, name in enumerate(header) if name in header[:index]]
            if twice:
                raise InputError("the header names a column twice.", file=str(file), row=1, field=twice[0])
            yield reader.line_num, header
            for cells in reader:
                yield reader.line_num, cells
        except csv.Error as error:
            raise InputError(
                f"line {reader.line_num} cannot be read ({error}).", file=str(file), hint="Mend its quotes."
            ) from error


class Lines:
    """Plain text: a row a line, in the one column `text`; blank lines are left out but counted."""

    def columns(self, file: Path) -> list[str]:  # noqa: ARG002 - the same for every file
        """The one column."""
        return ["text"]

    def rows(self, file: Path, columns: Sequence[str] | None) -> Iterator[tuple[int, Row]]:
        """Lines without their end."""
        for number, line in _lines(file):
            if line.strip():
                yield number, {"text": line.rstrip("\r\n")} if columns is None or "text" in columns else {}


FORMATS: dict[str, Format] = {
    ".parquet": Parquet(),
    ".jsonl": JsonLines(),
    ".json": JsonLines(),
    ".csv": Delimited(","),
    ".tsv": Delimited("\t"),
    ".txt": Lines(),
}


def find_format(file: Path) -> Format:
    """The format of a file by its ending, `.gz` apart.

    Raises:
        InputError: It is none that is read here.
    """
    name = file.name.lower().removesuffix(".gz")
    for ending, found in FORMATS.items():
        if name.endswith(ending) and not (ending == ".parquet" and file.name.lower().endswith(".gz")):
            return found
    raise InputError("this kind of file is not read.", file=str(file), hint=f"Give one of: {', '.join(FORMATS)}.")


def _lines(file: Path) -> Iterator[tuple[int, str]]:
    """Lines of a text file with their numbers, decoded one by one so that a bad byte has a row."""
    number = 0
    try:
        with _opened(file) as handle:
            for number, line in enumerate(iter(lambda: handle.readline(_LONGEST_LINE + 1), b""), start=1):
                if len(line) > _LONGEST_LINE:
                    raise InputError(
                        f"is longer than {_LONGEST_LINE >> 20} MB.",
                        file=str(file),
                        row=number,
                        hint="Is it one row? Write one a line, and a document as a file of its own.",
                    )
                yield number, line.decode("utf-8-sig" if number == 1 else "utf-8")
    except UnicodeDecodeError:
        raise InputError("is not UTF-8 text.", file=str(file), row=number, hint="Save the file as UTF-8.") from None
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(
            f"cannot be read ({_first_line(error)}).", file=str(file), row=number + 1, hint="Check the file."
        ) from error


def _opened(file: Path) -> IO[bytes]:
    return cast("IO[bytes]", gzip.open(file, "rb") if file.name.lower().endswith(".gz") else file.open("rb"))


def _starts_with_list(file: Path) -> bool:
    return next((line.lstrip()[0] == "[" for _, line in _lines(file) if line.strip()), False)


def _object(line: str, file: Path, number: int) -> Row:
    """One line as a JSON object."""
    try:
        row = json.loads(line, parse_constant=_refuse_constant)
        if _SURROGATE.search(line):
            check_writable(row)
    except UnicodeEncodeError:
        raise InputError(
            "holds half of a surrogate pair, which is no character.", file=str(file), row=number, hint="Mend that line."
        ) from None
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"not valid JSON ({_first_line(error)}).", file=str(file), row=number, hint="Mend or remove that line."
        ) from None
    if not isinstance(row, dict):
        raise InputError(
            f"a JSON {type(row).__name__}, not an object.", file=str(file), row=number, hint="Write one object a line."
        )
    return row


def _refuse_constant(name: str) -> Any:
    """JSON has no NaN and no Infinity, though Python reads them."""
    raise ValueError(f"{name} is not a JSON number")


def _first_line(error: BaseException) -> str:
    text = str(error).strip() or type(error).__name__
    return text.split("\n", maxsplit=1)[0].rstrip(".")
