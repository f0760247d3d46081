"""Rows of a dataset: a snapshot folder pulled from the Hub, or a local file.

Only the requested columns are read: for Parquet the others are not read from disk, for text formats they are dropped
after parsing. No code of a repo is run: data files are found by its card or by their names, never by a script.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from solo_hub.core.errors import InputError, UsageError, nearest
from solo_hub.core.paths import expanded
from solo_hub.hub.formats import FORMATS, OnError, find_format, stop
from solo_hub.hub.layouts import card_class_names, splits_of
from solo_hub.hub.text_files import plain_name


def read_table(
    source: Path,
    *,
    split: str | None = None,
    columns: Sequence[str] | None = None,
    limit: int | None = None,
    on_error: OnError = stop,
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Read rows as (row number from 1, row).

    Files, split and columns are checked immediately, before the first row is requested.

    Args:
        source: A dataset folder (a snapshot, or one with that layout), or a .parquet, .jsonl, .json, .csv or .tsv
            file; all but Parquet also compressed (.gz, .bz2, .zst).
        split: Split of the folder, e.g. `train`; `CONFIG/SPLIT` if the dataset has several configurations and no
            default. The only split when None. Ignored for a single file.
        columns: Columns to read, all when None. `question.stem` is the field `stem` of the column `question` unless a
            column has that name; the row then holds the field's value under that path (for a list of structs, the list
            of values). Cells of a .csv or .tsv file are verbatim text; an empty cell is an empty string.
        limit: Maximum number of rows.
        on_error: Called with the error of a row that cannot be parsed, which is then skipped; by default the first
            such row raises.

    Returns:
        An iterator. Row numbers continue across the files of a split; in a .jsonl file they are line numbers (blank
        lines are skipped but counted), in a .csv file rows below the header.

    Raises:
        InputError: A file is missing or invalid, or has no such column; file and row are named.
        UsageError: The dataset has no such split; the message lists the available ones.
    """
    files = files_of_split(source, split)
    wanted = None if columns is None else list(dict.fromkeys(columns))
    if wanted is not None and (paths := _paths(wanted, find_format(files[0]).columns(files[0]))):
        whole = list(dict.fromkeys(paths[name][0] if name in paths else name for name in wanted))
        rows = read_table(source, split=split, columns=whole, limit=limit, on_error=on_error)
        return ((number, {name: _get_path(row, paths.get(name, (name,))) for name in wanted}) for number, row in rows)
    for file in files[:1]:
        _check_columns(file, wanted)
    return itertools.islice(_read(files, wanted, on_error), limit)


def read_columns(source: Path, *, split: str | None = None) -> list[str]:
    """Names of the columns, without reading the rows; for JSONL those of the first rows.

    Raises:
        InputError: A file is missing or invalid.
        UsageError: The dataset has no such split.
    """
    file = files_of_split(source, split)[0]
    return find_format(file).columns(file)


def has_column(name: str, columns: Sequence[str]) -> bool:
    """Whether a column exists, or one that is the start of a path (`question.stem`).

    >>> has_column("question.stem", ["id", "question"]), has_column("stem", ["id", "question"])
    (True, False)
    """
    return name in columns or name in _paths([name], columns)


def _paths(names: Sequence[str], columns: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Those names that are paths into a column rather than columns: column and fields; the longest column wins."""
    paths = {}
    for name in names:
        parts = name.split(".")
        heads = (".".join(parts[:end]) for end in range(len(parts) - 1, 0, -1))
        head = None if name in columns else next((head for head in heads if head in columns), None)
        if head is not None:
            paths[name] = (head, *name[len(head) + 1 :].split("."))
    return paths


def _get_path(value: Any, path: Sequence[str]) -> Any:
    """The value at a path; None if a field is missing."""
    for place, field in enumerate(path):
        if isinstance(value, list):
            return [_get_path(item, path[place:]) for item in value]
        value = value.get(field) if isinstance(value, dict) else None
    return value


def count_rows(source: Path, *, split: str | None = None) -> int:
    """Number of rows; read from the footer of Parquet files, counted otherwise.

    Raises:
        InputError: A file is missing or invalid.
        UsageError: The dataset has no such split.
    """
    total = 0
    for file in files_of_split(source, split):
        if file.name.lower().endswith(".parquet"):
            import pyarrow as pa
            import pyarrow.parquet as pq

            try:
                total += pq.read_metadata(file).num_rows
            except (pa.ArrowException, OSError) as error:
                raise InputError(f"not a Parquet file: {error}.", file=str(file), hint="Download it again.") from error
        else:
            total += sum(1 for _ in find_format(file).rows(file, [], lambda _: None))
    return total


def class_names(source: Path, *, split: str | None = None, column: str) -> tuple[str, ...]:
    """Class names of a column, in label order.

    Read from the schema of Parquet files written by `datasets`, or from the `dataset_info` of the card.

    Returns:
        Empty for a column without class names; no rows are read.

    Raises:
        InputError: A file is missing or invalid.
        UsageError: The dataset has no such split.
    """
    file = files_of_split(source, split)[0]
    named = getattr(find_format(file), "class_names", None)
    names = tuple(named(file, column)) if named else ()
    return names or (card_class_names(source, split, column) if source.is_dir() else ())


def files_of_split(source: Path, split: str | None) -> list[Path]:
    """The data files of a split, in order; for a single file, that file.

    Raises:
        InputError: There is no such file or folder, or it has no data files.
        UsageError: The dataset has no such split.
    """
    if source.is_file():
        find_format(source)
        return [source]
    if not source.is_dir():
        raise InputError("no such file or folder.", file=str(source), hint="Check the path.")
    splits = splits_of(source)
    if split is None and len(splits) == 1:
        return next(iter(splits.values()))
    if split not in splits:
        problem = f"has no split '{split}'" if split is not None else "has several splits"
        raise UsageError(f"The dataset '{_name_of(source)}' {problem}.", hint=nearest(split or "", splits))
    return splits[split]


def _name_of(source: Path) -> str:
    """A dataset's name for messages: a repo instead of the folder of its snapshot in the cache.

    >>> _name_of(Path("cache/datasets--acme--town/snapshots/0a1b")), _name_of(Path("town"))
    ('acme/town', 'town')
    """
    repo, is_snapshot = source.parent.parent.name, source.parent.name == "snapshots"
    return repo.removeprefix("datasets--").replace("--", "/") if is_snapshot else str(source)


def local_file(reference: str) -> Path | None:
    """The local file that a reference names, or None if it names a repo.

    A name with the extension of a data file is a file: `data/questions.csv` is not looked up on the Hub.

    Raises:
        InputError: It names a file that does not exist.
    """
    path = expanded(reference)
    if path.is_file():
        find_format(path)
        return path
    if plain_name(path).endswith((*FORMATS, ".txt")) or reference.startswith((".", "/", "~")):
        raise InputError("no such file.", file=reference, hint="Check the path, or give a dataset repo as OWNER/NAME.")
    return None


def sha256_of(file: Path) -> str:
    """SHA-256 of a file, in hex, as stored in a run for local files."""
    with file.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def git_hash_of(file: Path) -> str:
    """SHA-1 of a file as git names it, in hex."""
    data = file.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


def _read(files: Sequence[Path], columns: list[str] | None, on_error: OnError) -> Iterator[tuple[int, dict[str, Any]]]:
    offset = 0
    for index, file in enumerate(files):
        if index:
            _check_columns(file, columns)
        number = 0
        for number, row in find_format(file).rows(file, columns, on_error):
            yield offset + number, row
        offset += number


def _check_columns(file: Path, columns: list[str] | None) -> None:
    """Raise for columns that the file does not have, before its rows are read."""
    available = find_format(file).columns(file)
    for column in columns or ():
        if available and column not in available:
            raise InputError("no such column.", file=str(file), field=column, hint=nearest(column, available))
