"""Rows that were paid for once, by a key of everything they depend on.

What a step computes row by row is appended to a file of the run folder: an interrupted step resumes where it stopped,
and repeated with other settings it computes no row twice.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, Generic, Self, TypeVar

from solo_hub.core.files import Appender, dumps, read_jsonl, read_record, write_lines
from solo_hub.core.rows import Record

R = TypeVar("R", bound=Record)


def cache_key(*parts: Any) -> str:
    """Hash of everything a row depends on: JSON types, in a fixed order."""
    return hashlib.sha256(json.dumps(parts, ensure_ascii=False, sort_keys=True).encode()).hexdigest()[:32]


class RowCache(Mapping[str, R], Generic[R]):
    """Rows by key, on disk as soon as `add` returns.

    Args:
        kind: Their type.
        path: The file that rows are added to.
        others: More files to read.

    Raises:
        InputError: A row is damaged, with file and row.
    """

    def __init__(self, kind: type[R], path: Path, *others: Path) -> None:
        self._path = path
        self._file: Appender | None = None
        self._known: dict[str, R] = {
            str(row.get("key")): read_record(kind, row, file, number)
            for file in (path, *others)
            if file.exists()
            for number, row in read_jsonl(file, torn_tail=True)
        }

    def add(self, fresh: Mapping[str, R]) -> None:
        """Add a batch."""
        if self._file is None:
            self._file = Appender(self._path)
        self._file.append({**row.to_row(), "key": key} for key, row in fresh.items())
        self._known.update(fresh)

    def keep(self, keys: Collection[str]) -> None:
        """Remove all other keys, which belong to earlier settings."""
        if self._known.keys() - set(keys):
            self._known = {key: row for key, row in self._known.items() if key in keys}
            self.close()
            write_lines(self._path, (dumps({**row.to_row(), "key": key}) + "\n" for key, row in self._known.items()))

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def __getitem__(self, key: str) -> R:
        return self._known[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._known)

    def __len__(self) -> int:
        return len(self._known)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
