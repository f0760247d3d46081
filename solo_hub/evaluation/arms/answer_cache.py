"""Cache of the arms' answers, keyed by everything they depend on.

An evaluation resumes where it stopped; repeated with another arm or metric, it computes no answer twice.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Self

from solo_hub.core.files import Appender, dumps, read_jsonl, read_record, write_text
from solo_hub.core.records import Prediction

FILE = ".6-answers.jsonl"


class Answers(Mapping[str, Prediction]):
    """Answers by key, on disk as soon as `add` returns.

    Args:
        folder: The run folder.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE
        self._known: dict[str, Prediction] = {}
        if self._path.exists():
            for number, row in read_jsonl(self._path, torn_tail=True):
                self._known[str(row.get("key"))] = read_record(Prediction, row, self._path, number)
        self._file: Appender | None = None

    def add(self, fresh: Mapping[str, Prediction]) -> None:
        """Add a batch."""
        if self._file is None:
            self._file = Appender(self._path)
        self._file.append({"key": key, **row.to_row()} for key, row in fresh.items())
        self._known.update(fresh)

    def keep(self, keys: Collection[str]) -> None:
        """Remove all other keys, which belong to earlier settings."""
        if self._known.keys() - set(keys):
            self._known = {key: row for key, row in self._known.items() if key in keys}
            self.close()
            write_text(
                self._path, "".join(dumps({"key": key, **row.to_row()}) + "\n" for key, row in self._known.items())
            )

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def __getitem__(self, key: str) -> Prediction:
        return self._known[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._known)

    def __len__(self) -> int:
        return len(self._known)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
