"""The first rows of a dataset, for its page: read from the store as far as needed, bounded in every direction."""

from __future__ import annotations

import csv
import io
import json
import threading
import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from solo_hub.core.errors import InputError
from solo_hub.hub.layouts import splits_by_name
from solo_hub.hub.server import limits
from solo_hub.hub.server.trees import File

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from solo_hub.hub.server.content import ContentStore
    from solo_hub.hub.server.core import Hub
    from solo_hub.hub.server.history import Commit

MAX_ROWS = 20
MAX_COLUMNS = 24
MAX_CELL = 300  # characters
MAX_SPLITS = 60
_TEXT_BYTES = limits.MEBI  # of a text file, unpacked: more is not looked at
_COLUMN_BYTES = 256 * limits.MEBI  # a Parquet column whose first group of rows is larger, unpacked, is left out
_READ = 256 * 1024  # bytes of a Parquet column fetched at once
_one_at_a_time = threading.Lock()  # what pages may take of memory does not grow with the number of readers


@dataclass(frozen=True, slots=True)
class Cell:
    """One value as a page shows it.

    Attributes:
        text: The value, cut to `MAX_CELL` characters.
        kind: ``text``, ``number``, ``null``, or ``other`` for lists, mappings and bytes.
    """

    text: str
    kind: str


@dataclass(slots=True)
class Preview:
    """The first rows of one split.

    Attributes:
        splits: Names of all splits.
        split: The one shown.
        columns: Names and types of the columns shown.
        rows: Their cells, ``(rows, columns)``.
        more_columns: Number of columns that are not shown.
        total: Number of rows of the split, None where it would take reading them all.
        problem: Why there are no rows, or why they end early; empty without a problem.
    """

    splits: list[str]
    split: str
    columns: list[tuple[str, str]] = field(default_factory=list)
    rows: list[list[Cell]] = field(default_factory=list)
    more_columns: int = 0
    total: int | None = None
    problem: str = ""


def preview(hub: Hub, commit: Commit, card: dict[str, Any], split: str | None) -> Preview | None:
    """The first rows of a split, or of the first one; None when the repo has no data files.

    Args:
        hub: The Hub.
        commit: Commit to read.
        card: Metadata of its card.
        split: Name of the split wanted; an unknown one is taken for the first.
    """
    files = dict(hub.trees.files(commit.tree))
    try:
        splits = splits_by_name(files, card)
    except InputError as error:
        return Preview([], "", problem=str(error))
    if not splits:
        return None
    chosen = split if split in splits else next((name for name in splits if name.endswith("train")), next(iter(splits)))
    shown = Preview(list(splits)[:MAX_SPLITS], chosen)
    paths = [path.as_posix() for path in splits[chosen]]
    with _one_at_a_time:
        try:
            if paths[0].lower().endswith(".parquet"):
                _read_parquet(hub.content, [files[path] for path in paths], shown)
            else:
                _read_text(hub.content, files[paths[0]], paths[0].lower(), shown)
        except (KeyError, OSError, MemoryError, ValueError, RecursionError, csv.Error, zlib.error) as error:
            # pyarrow's own errors are ValueError and OSError too
            shown.problem = f"The rows of '{paths[0]}' cannot be read ({type(error).__name__})."
    return shown


class _BlobFile(io.RawIOBase):
    """A blob as a file that can be read from anywhere, for readers that jump to what they need."""

    def __init__(self, content: ContentStore, file: File) -> None:
        self._content = content
        self._file = file
        self._at = 0

    def readable(self) -> bool:
        """Always."""
        return True

    def seekable(self) -> bool:
        """Always."""
        return True

    def tell(self) -> int:
        """Where the next read begins."""
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a place."""
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._file.size}[whence]
        self._at = max(0, start + offset)
        return self._at

    def read(self, size: int | None = -1) -> bytes:
        """The next bytes."""
        stop = self._file.size if size is None or size < 0 else min(self._at + size, self._file.size)
        if stop <= self._at:
            return b""
        data = b"".join(self._content.read(self._file.sha256, self._at, stop))
        self._at += len(data)
        return data


def _read_parquet(content: ContentStore, files: list[File], shown: Preview) -> None:
    from pyarrow import parquet

    def opened(file: File) -> Any:
        return parquet.ParquetFile(_BlobFile(content, file), buffer_size=_READ, pre_buffer=False)

    first = opened(files[0])
    schema = first.schema_arrow
    names = schema.names[:MAX_COLUMNS]
    if first.metadata.num_row_groups:
        sizes: dict[str, int] = {}
        group = first.metadata.row_group(0)
        for index in range(group.num_columns):
            column = group.column(index)
            top = column.path_in_schema.partition(".")[0]
            sizes[top] = sizes.get(top, 0) + column.total_uncompressed_size
        names = [name for name in names if sizes.get(name, 0) <= _COLUMN_BYTES]
    shown.more_columns = len(schema.names) - len(names)
    shown.columns = [(name, _type_name(schema.field(name).type)) for name in names]
    if len(files) <= MAX_SPLITS:
        shown.total = sum((first if file is files[0] else opened(file)).metadata.num_rows for file in files)
    for batch in first.iter_batches(batch_size=MAX_ROWS, columns=names, use_threads=False):
        columns = [column.to_pylist() for column in batch.columns]
        shown.rows += [[cell(column[row]) for column in columns] for row in range(batch.num_rows)]
        if len(shown.rows) >= MAX_ROWS:
            break
    shown.rows = shown.rows[:MAX_ROWS]


def _type_name(kind: Any) -> str:
    name = {"large_string": "string", "double": "float64", "halffloat": "float16", "float": "float32"}.get(
        str(kind), str(kind)
    )
    return name if len(name) <= 24 else name.partition("<")[0]  # noqa: PLR2004  what fits over a column


def _read_text(content: ContentStore, file: File, name: str, shown: Preview) -> None:
    text, whole = _beginning(content, file, packed=name.endswith(".gz"))
    name = name.removesuffix(".gz")
    if name.endswith((".csv", ".tsv")):
        rows: Iterable[dict[str, Any]] = _delimited(text, "\t" if name.endswith(".tsv") else ",", whole=whole)
    elif name.endswith(".txt"):
        rows = ({"text": line} for line in text.splitlines())
    else:
        rows = _objects(text, shown, whole=whole)
    first = [row for row, _ in zip(rows, range(MAX_ROWS), strict=False)]
    names = list(dict.fromkeys(key for row in first for key in row))
    shown.more_columns = max(0, len(names) - MAX_COLUMNS)
    names = names[:MAX_COLUMNS]
    shown.columns = [(name, _kind_of(row.get(name) for row in first)) for name in names]
    shown.rows = [[cell(row.get(name)) for name in names] for row in first]
    if not first and not shown.problem:
        shown.problem = "The file has no rows." if whole else "The first row is too long to show here."


def _beginning(content: ContentStore, file: File, *, packed: bool) -> tuple[str, bool]:
    """The first characters of a text file, and whether these are all."""
    size = min(file.size, _TEXT_BYTES)
    data = b"".join(content.read(file.sha256, 0, size))
    whole = size == file.size
    if packed:
        unpacker = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)  # 16: gzip
        data = unpacker.decompress(data, _TEXT_BYTES)
        whole = unpacker.eof
    return data.decode("utf-8-sig", "replace"), whole


def _delimited(text: str, delimiter: str, *, whole: bool) -> Iterator[dict[str, Any]]:
    if not whole:
        text = text.rpartition("\n")[0]
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    header = next(reader, [])
    for row in reader:
        if row:
            yield dict(zip(header, row, strict=False))


def _objects(text: str, shown: Preview, *, whole: bool) -> Iterator[dict[str, Any]]:
    """The objects of a .jsonl file, or of a .json file that is one list of them."""
    decoder = json.JSONDecoder()
    at = 0
    while True:
        while at < len(text) and text[at] in " \t\r\n,[":
            at += 1
        if at >= len(text) or text[at] == "]":
            return
        try:
            value, at = decoder.raw_decode(text, at)
        except ValueError:
            if whole:  # else it is the row that was cut
                shown.problem = f"The file is not valid JSON from character {at + 1:,} on."
            return
        if not isinstance(value, dict):
            shown.problem = "The file does not hold one object a row."
            return
        yield value


def _kind_of(values: Iterable[Any]) -> str:
    """Name of the type of a text format's column, by the values shown."""
    kinds = {type(value) for value in values if value is not None}
    if not kinds:
        return "null"
    if len(kinds) > 1:
        return "number" if kinds == {int, float} else "mixed"
    return {str: "string", int: "int", float: "float", bool: "bool", list: "list", dict: "struct"}[kinds.pop()]


def cell(value: Any) -> Cell:
    """A value as a page shows it: what is long is cut, bytes are counted.

    >>> cell(["a", 1]), cell(None).kind, cell(b"1234").text
    (Cell(text='["a", 1]', kind='other'), 'null', '4 bytes')
    """
    if isinstance(value, str):
        return Cell(_cut(value), "text")
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return Cell(_cut(f"{value:.6g}" if isinstance(value, float) else str(value)), "number")
    if value is None:
        return Cell("null", "null")
    return Cell(_cut(_written(value)), "other")


def _written(value: Any) -> str:
    if isinstance(value, bytes):
        return f"{len(value):,} bytes"
    if isinstance(value, (bool, list, dict)):
        return json.dumps(_short(value), ensure_ascii=False, default=str)
    return str(value)  # dates, times, decimals


def _short(value: Any, depth: int = 0) -> Any:
    """A nested value of which no more is kept than a cell can show."""
    if isinstance(value, bytes):
        return f"{len(value):,} bytes"
    if isinstance(value, str):
        return value[: MAX_CELL + 1]
    if isinstance(value, list):
        return [_short(item, depth + 1) for item in value[:MAX_CELL]] if depth < 8 else "…"  # noqa: PLR2004
    if isinstance(value, dict):
        items = list(value.items())[:MAX_CELL]
        return {str(key): _short(item, depth + 1) for key, item in items} if depth < 8 else "…"  # noqa: PLR2004
    return value


def _cut(text: str) -> str:
    return text if len(text) <= MAX_CELL else text[: MAX_CELL - 1].rstrip() + "…"
