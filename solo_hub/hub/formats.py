"""Data file formats: one class each, which lists a file's columns and reads its rows.

`FORMATS` maps file extensions to formats. Text formats are read line by line, so that errors name the row and large
files do not fill the memory.
"""

from __future__ import annotations

import csv
import itertools
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

from solo_hub.core.errors import InputError, nearest
from solo_hub.core.parsing import parse_json
from solo_hub.hub.json_trouble import InvalidConstantError, describe_invalid_json, find_document
from solo_hub.hub.text_files import COMPRESSED, LONGEST_LINE, first_line, is_compressed, plain_name, read_lines

Row = dict[str, Any]
OnError = Callable[[InputError], None]
"""Called with the error of an invalid row; reading continues with the next row."""


def stop(error: InputError) -> None:
    """Raise the error: the first invalid row stops the reading."""
    raise error


_PEEK = 100  # rows whose keys are taken as the columns of a JSONL file
_BATCH = 1024  # rows per Parquet batch
_LONGEST_CELL = 1 << 26  # characters; Python's own limit of 131,072 is too small for a document in a cell
_LONGEST_LINE = LONGEST_LINE
_LONGEST_LIST = 1 << 29  # characters of a .json file that is one list, which is read at once


class Format(Protocol):
    """A data file format."""

    def columns(self, file: Path) -> list[str]:
        """Names of the columns; empty if the file has no rows to infer them from."""
        ...

    def rows(self, file: Path, columns: Sequence[str] | None, on_error: OnError = stop) -> Iterator[tuple[int, Row]]:
        """Iterate over (row number from 1, row) with only the given columns.

        An invalid row is passed to `on_error`. Errors of the whole file (encoding, corrupt archive, corrupt
        Parquet pages) always raise.
        """
        ...


class Parquet:
    """Parquet; only the requested columns are read from disk."""

    def columns(self, file: Path) -> list[str]:
        """Top-level columns according to the file's footer."""
        with self._opened(file) as table:
            return list(table.schema_arrow.names)

    def rows(
        self,
        file: Path,
        columns: Sequence[str] | None,
        on_error: OnError = stop,  # noqa: ARG002 - Parquet has no errors of single rows
    ) -> Iterator[tuple[int, Row]]:
        """Rows as Python objects: structs as dicts, lists as lists."""
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
                # corrupt pages decode to anything: invalid text, dates of the year 300,000, lengths in TB
                raise InputError(
                    f"corrupt data from this row on ({first_line(error)}).",
                    file=str(file),
                    row=number + 1,
                    hint="Download or write the file again.",
                ) from error

    def class_names(self, file: Path, column: str) -> tuple[str, ...]:
        """Class names of a column, which `datasets` stores in the schema; empty if there are none."""
        with self._opened(file) as table:
            metadata = (table.schema_arrow.metadata or {}).get(b"huggingface", b"{}")
        try:
            names = json.loads(metadata)["info"]["features"][column]["names"]
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
                f"not a readable Parquet file ({first_line(error)}).",
                file=str(file),
                hint="Download or write the file again.",
            ) from error


class JsonLines:
    """One JSON object per line; a `.json` file may contain one list of objects instead."""

    def columns(self, file: Path) -> list[str]:
        """Keys of the first rows, in order of first appearance."""
        rows = itertools.islice(self._objects(file, lambda _: None), _PEEK)
        columns = list(dict.fromkeys(key for _, row in rows for key in row))
        if not columns:  # all rows are invalid: raise the error of the first
            next(self._objects(file, stop), None)
        return columns

    def rows(self, file: Path, columns: Sequence[str] | None, on_error: OnError = stop) -> Iterator[tuple[int, Row]]:
        """Rows; a missing key is None."""
        for number, row in self._objects(file, on_error):
            yield number, row if columns is None else {column: row.get(column) for column in columns}

    def _objects(self, file: Path, on_error: OnError) -> Iterator[tuple[int, Row]]:
        if plain_name(file).endswith(".json") and _starts_with_list(file):
            yield from self._list(file, on_error)
            return
        lines = ((number, line) for number, line in read_lines(file, _LONGEST_LINE) if line.strip())
        for index, (number, line) in enumerate(lines):
            if not index and (whole := find_document(line, file)) is not None:
                raise whole
            try:
                row = _object(line, file, number)
            except InputError as error:
                on_error(error)
            else:
                yield number, row

    @staticmethod
    def _list(file: Path, on_error: OnError) -> Iterator[tuple[int, Row]]:
        parts, size = [], 0
        for _, line in read_lines(file, _LONGEST_LINE):
            parts.append(line)
            size += len(line)
            if size > _LONGEST_LIST:
                raise InputError(
                    f"a list of more than {_LONGEST_LIST >> 20} MB, which would have to be read at once.",
                    file=str(file),
                    hint="Write one object per line (.jsonl).",
                )
        text = "".join(parts)
        try:
            items = parse_json(text, parse_constant=_refuse_constant)
        except InvalidConstantError as error:
            raise InputError(f"not valid JSON ({error}).", file=str(file), hint="Write null instead.") from None
        except ValueError as error:
            raise InputError(
                f"not valid JSON ({first_line(error)}).", file=str(file), hint="Write one object per line (.jsonl)."
            ) from None
        for number, item in enumerate(items, start=1):
            if isinstance(item, dict):
                yield number, item
                continue
            on_error(InputError(f"a JSON {type(item).__name__}, not an object.", file=str(file), row=number))


class Delimited:
    """Comma- or tab-separated values with a header; every cell is text, verbatim.

    Args:
        delimiter: Cell separator.
        number_lines: Use line numbers of the file as row numbers, instead of counting from below the header.
    """

    def __init__(self, delimiter: str, *, number_lines: bool = False) -> None:
        self.delimiter, self.number_lines = delimiter, number_lines

    def columns(self, file: Path) -> list[str]:
        """The header."""
        return next(self._records(file, stop))[1]

    def rows(self, file: Path, columns: Sequence[str] | None, on_error: OnError = stop) -> Iterator[tuple[int, Row]]:
        """Rows below the header, numbered from 1; blank rows are skipped but counted."""
        records = self._records(file, on_error)
        _, header = next(records)
        missing = [column for column in columns or () if column not in header]
        if missing:
            raise InputError("no such column.", file=str(file), field=missing[0], hint=nearest(missing[0], header))
        places = [(name, header.index(name)) for name in (header if columns is None else columns)]
        for row, (line, cells) in enumerate(records, start=1):
            number = line if self.number_lines else row
            if not cells:
                continue
            if len(cells) == len(header):
                yield number, {name: cells[place] for name, place in places}
                continue
            on_error(
                InputError(
                    f"(line {line}) has {len(cells)} cells, the header has {len(header)}.",
                    file=str(file),
                    row=number,
                    hint="Quote cells that contain the separator or a line break.",
                )
            )

    def _records(self, file: Path, on_error: OnError) -> Iterator[tuple[int, list[str]]]:
        """The header and then every record, each with its last line number."""
        csv.field_size_limit(max(csv.field_size_limit(), _LONGEST_CELL))
        lines = (line for _, line in read_lines(file, _LONGEST_LINE))
        reader = csv.reader(lines, delimiter=self.delimiter, strict=True)
        header: list[str] | None = None
        while True:
            try:
                cells = next(reader, None)
            except csv.Error as error:
                problem = self._invalid(error, reader.line_num, file)
                if header is None:
                    raise problem from error
                on_error(problem)
                yield reader.line_num, []  # counted as a row, like a blank line
                continue
            if header is None:
                header = self._header(cells or [], file)
                cells = header
            if cells is None:
                return
            yield reader.line_num, cells

    @staticmethod
    def _header(cells: Sequence[str], file: Path) -> list[str]:
        header = [name.strip() for name in cells]
        if not any(header):
            raise InputError("has no header.", file=str(file), row=1, hint="Name the columns in the first line.")
        if len(header) == 1 and ";" in header[0]:  # where a comma is a decimal point, spreadsheets write it so
            raise InputError(
                "its cells are separated by ';'.",
                file=str(file),
                row=1,
                hint="Save it with commas, or as tab-separated .tsv.",
            )
        duplicates = [name for index, name in enumerate(header) if name in header[:index]]
        if duplicates:
            raise InputError("duplicate column in the header.", file=str(file), row=1, field=duplicates[0])
        return header

    def _invalid(self, error: csv.Error, line: int, file: Path) -> InputError:
        row = line if self.number_lines else None
        if "new-line character" in str(error):
            return InputError(
                "line ends are CR only, as on classic Mac OS.",
                file=str(file),
                row=row,
                hint="Convert the line ends, e.g. tr '\\r' '\\n' < OLD > NEW",
            )
        return InputError(
            f"line {line} cannot be read ({error}).", file=str(file), row=row, hint="Fix the quotes of that line."
        )


FORMATS: dict[str, Format] = {
    ".parquet": Parquet(),
    ".jsonl": JsonLines(),
    ".json": JsonLines(),
    ".csv": Delimited(","),
    ".tsv": Delimited("\t"),
}
"""Extension -> format. A .txt file is prose without rows, read by `knowledge.reading`."""


def find_format(file: Path) -> Format:
    """The format of a file by its extension; the extension of a compressed file (.gz, .bz2, .zst) is skipped.

    Raises:
        InputError: The file has no rows, or an unsupported format.
    """
    name = plain_name(file)
    for extension, fmt in FORMATS.items():
        if name.endswith(extension) and not (extension == ".parquet" and is_compressed(file)):
            return fmt
    if name.endswith(".txt"):
        raise InputError(
            "a .txt file is prose and has no rows.",
            file=str(file),
            hint='If each line is a row, convert it to {"text": ...} lines (.jsonl), or to a .csv file with a header.',
        )
    raise InputError(
        "unsupported file format.",
        file=str(file),
        hint=f"Use one of: {', '.join(FORMATS)}; all but .parquet also compressed as {', '.join(COMPRESSED)}.",
    )


def _starts_with_list(file: Path) -> bool:
    return next((line.lstrip()[0] == "[" for _, line in read_lines(file, _LONGEST_LINE) if line.strip()), False)


def _object(line: str, file: Path, number: int) -> Row:
    """Parse one line as a JSON object."""
    try:
        row = parse_json(line, parse_constant=_refuse_constant)
    except ValueError as error:
        reason, hint = describe_invalid_json(line, error)
        raise InputError(reason, file=str(file), row=number, hint=hint) from None
    if not isinstance(row, dict):
        raise InputError(
            f"a JSON {type(row).__name__}, not an object.",
            file=str(file),
            row=number,
            hint="Write one object per line.",
        )
    return row


def _refuse_constant(name: str) -> Any:
    """Reject NaN and Infinity, which Python accepts but JSON does not have."""
    raise InvalidConstantError(f"{name} is not a JSON number")
