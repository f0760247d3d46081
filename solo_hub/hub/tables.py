"""Rows of a dataset: a snapshot folder pulled from the Hub, or a local file.

Only the named columns are read. For Parquet the others never leave the disk; for text formats they are dropped as the
row is parsed. Nothing of a repo is ever run: data files are found by its card or by their names, never by a script.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from solo_hub.core.errors import InputError, UsageError, nearest
from solo_hub.hub.formats import FORMATS, OnError, find_format
from solo_hub.hub.layouts import card_class_names, splits_of
from solo_hub.hub.text_files import plain_name

_HASH_BLOCK = 1 << 20  # bytes


def read_table(
    source: Path,
    *,
    split: str | None = None,
    columns: Sequence[str] | None = None,
    limit: int | None = None,
    on_error: OnError | None = None,
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Read rows as (row number from 1, row).

    Files, split and columns are checked at once, before the first row is asked for.

    Args:
        source: A dataset folder (a snapshot, or anything laid out like one), or a .parquet, .jsonl, .json, .csv or .tsv
            file; all but Parquet also compressed (.gz, .bz2, .zst).
        split: Split of the folder, e.g. `train`; `CONFIG/SPLIT` where the dataset has several configurations and no
            default one. The only split when None. A single file has none, so it is ignored there.
        columns: Columns to read, all when None; `question.stem` is the field `stem` of the column `question`, where no
            column has that very name, and the row then holds it alone, under that path. Of a list of structs it is the
            list of their fields. Cells of a .csv or .tsv file
            are text, exactly as they stand; an empty cell is an empty text.
        limit: Stop after so many rows.
        on_error: Called with what is wrong with a row that cannot be parsed, which is then left out; without it the
            first such row raises.

    Returns:
        An iterator. Numbers go on across the files of a split; in a .jsonl file they are line numbers (blank
        lines are left out but counted), in a .csv file rows below the header.

    Raises:
        InputError: A file is missing or broken, or has no such column; file and row are named.
        UsageError: The dataset has no such split; the message names those there are.
    """
    files = files_of_split(source, split)
    wanted = None if columns is None else list(dict.fromkeys(columns))
    if wanted is not None and (paths := _paths(wanted, find_format(files[0]).columns(files[0]))):
        whole = list(dict.fromkeys(paths[name][0] if name in paths else name for name in wanted))
        rows = read_table(source, split=split, columns=whole, limit=limit, on_error=on_error)
        return ((number, {name: _reach(row, paths.get(name, (name,))) for name in wanted}) for number, row in rows)
    for file in files[:1]:
        _check_columns(file, wanted)
    return itertools.islice(_read(files, wanted, on_error), limit)


def read_columns(source: Path, *, split: str | None = None) -> list[str]:
    """Names of the columns there are, without reading the rows; for JSONL those of the first rows.

    Raises:
        InputError: A file is missing or broken.
        UsageError: The dataset has no such split.
    """
    file = files_of_split(source, split)[0]
    return find_format(file).columns(file)


def has_column(name: str, there: Sequence[str]) -> bool:
    """Whether there is such a column, or one that a path (`question.stem`) begins with.

    >>> has_column("question.stem", ["id", "question"]), has_column("stem", ["id", "question"])
    (True, False)
    """
    return name in there or name in _paths([name], there)


def _paths(names: Sequence[str], there: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """The names that are no columns but paths into one: column and fields; the longest column's name wins."""
    found = {}
    for name in names:
        parts = name.split(".")
        heads = (".".join(parts[:end]) for end in range(len(parts) - 1, 0, -1))
        head = None if name in there else next((head for head in heads if head in there), None)
        if head is not None:
            found[name] = (head, *name[len(head) + 1 :].split("."))
    return found


def _reach(value: Any, path: Sequence[str]) -> Any:
    """What lies at the end of a path; None where a field is missing."""
    for place, field in enumerate(path):
        if isinstance(value, list):
            return [_reach(item, path[place:]) for item in value]
        value = value.get(field) if isinstance(value, dict) else None
    return value


def count_rows(source: Path, *, split: str | None = None) -> int:
    """Number of rows; read from the footer of Parquet files, counted in others.

    Raises:
        InputError: A file is missing or broken.
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
    """Names of the classes of a column, in the order of their numbers.

    They stand in the schema of Parquet files that `datasets` wrote, or in the `dataset_info` of a dataset's card.

    Returns:
        Nothing for a column without names; no row is read.

    Raises:
        InputError: A file is missing or broken.
        UsageError: The dataset has no such split.
    """
    file = files_of_split(source, split)[0]
    named = getattr(find_format(file), "class_names", None)
    names = tuple(named(file, column)) if named else ()
    return names or (card_class_names(source, split, column) if source.is_dir() else ())


def files_of_split(source: Path, split: str | None) -> list[Path]:
    """The data files of a split, in order; for a single file, that file.

    Raises:
        InputError: There is no such file or folder, or it holds no data files.
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
        said = f"has no split '{split}'" if split is not None else "has several splits"
        raise UsageError(f"The dataset in '{source}' {said}.", hint=nearest(split or "", splits))
    return splits[split]


def local_file(reference: str) -> Path | None:
    """The local file that `REPO|FILE` means, or None when it means a repo.

    A name with the ending of a data file is a file: `data/questions.csv` is not looked up on the Hub.

    Raises:
        InputError: It is meant as a file, and there is none.
    """
    path = Path(reference).expanduser()
    if path.is_file():
        find_format(path)
        return path
    if plain_name(path).endswith((*FORMATS, ".txt")) or reference.startswith((".", "/", "~")):
        raise InputError("no such file.", file=reference, hint="Check the path, or give a dataset repo as OWNER/NAME.")
    return None


def sha256_of(file: Path) -> str:
    """SHA-256 of a file, in hex: what a run remembers of a local file."""
    digest = hashlib.sha256()
    with file.open("rb") as handle:
        while block := handle.read(_HASH_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def _read(
    files: Sequence[Path], columns: list[str] | None, on_error: OnError | None
) -> Iterator[tuple[int, dict[str, Any]]]:
    offset = 0
    for index, file in enumerate(files):
        if index:
            _check_columns(file, columns)
        number = 0
        for number, row in find_format(file).rows(file, columns, on_error):
            yield offset + number, row
        offset += number


def _check_columns(file: Path, columns: list[str] | None) -> None:
    """Refuse columns that the file does not have, before its rows are read."""
    there = find_format(file).columns(file)
    for column in columns or ():
        if there and column not in there:
            hint = nearest(column, there)
            if len(there) == 1 and ";" in there[0]:
                hint = "Its cells seem to be separated by ';': save it with commas."
            raise InputError("no such column.", file=str(file), field=column, hint=hint)
