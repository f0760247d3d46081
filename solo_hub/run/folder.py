"""The run folder: its files, how they are written, and its lock.

`LAYOUT` lists every file of a run and the step that creates it. Files appear by atomic rename, so a step is complete if
its file exists; only `3-labels.jsonl` grows by appending, because each of its rows is expensive.
"""

from __future__ import annotations

import contextlib
import gc
import hashlib
import itertools
import json
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from solo_hub.core.config import read_file
from solo_hub.core.errors import ConfigError, InputError, RunError
from solo_hub.core.files import (
    dumps,
    lock_folder,
    read_jsonl,
    read_record,
    write_lines,
    write_text,
)
from solo_hub.core.parsing import parse_json
from solo_hub.core.redaction import redact
from solo_hub.core.rows import Record
from solo_hub.run import transaction

R = TypeVar("R", bound=Record)

FORMAT_VERSION = 1


@dataclass(frozen=True, slots=True)
class Item:
    """A file or folder of a run and the step that creates it."""

    name: str
    step: str
    path: str


STEPS = ("questions", "passages", "labels", "selection", "adapter", "report", "published")
"""The seven steps, in order."""

LAYOUT = (
    Item("config", "", "config.yaml"),
    Item("curated", "questions", "1-curated.jsonl"),
    Item("questions", "questions", "1-questions.jsonl"),
    Item("questions_left_out", "questions", "1-left-out.jsonl"),
    Item("passages", "passages", "2-passages.jsonl"),
    Item("documents_left_out", "passages", "2-left-out.jsonl"),
    Item("labels", "labels", "3-labels.jsonl"),
    Item("feedback", "labels", "3-feedback.jsonl"),
    Item("selected", "selection", "4-selected.jsonl"),
    Item("dropped", "selection", "4-dropped.jsonl"),
    Item("adapter", "adapter", "5-adapter"),
    Item("logs", "adapter", "5-logs"),
    Item("merged", "adapter", "5-merged"),
    Item("controls", "adapter", "5-controls"),
    Item("held_out", "report", "6-questions.jsonl"),
    Item("golds", "report", "6-golds.jsonl"),
    Item("held_out_left_out", "report", "6-left-out.jsonl"),
    Item("held_out_passages", "report", "6-passages.jsonl"),
    Item("predictions", "report", "6-predictions.jsonl"),
    Item("report", "report", "6-report.json"),
    Item("html", "report", "report.html"),
    Item("dataset_repo", "published", "7-dataset"),
    Item("adapter_repo", "published", "7-adapter"),
    Item("published", "published", "7-published.json"),
)
_SUMS = ".sums.json"
REPLACED = ".replaced"
"""Folder for results that changed settings made obsolete; see `replaced`."""
_PATHS = {item.name: item.path for item in LAYOUT}


class RunFolder:
    """A run's files.

    Args:
        path: The folder; created if missing.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def __str__(self) -> str:
        return str(self.path)

    def file(self, name: str) -> Path:
        """Path of a file by its name in `LAYOUT`."""
        return self.path / _PATHS[name]

    @property
    def training(self) -> Path:
        """Folder of training checkpoints until the adapter is finished."""
        return self.path / ".5-training"

    def has(self, *names: str) -> bool:
        """Whether all the named files exist; False while an interrupted change waits to be completed."""
        return not transaction.pending(self.path) and all(self.file(name).exists() for name in names)

    def create(self) -> None:
        """Create the folder."""
        self.path.mkdir(parents=True, exist_ok=True)

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Lock the folder for this process; see `lock_folder`."""
        with lock_folder(self.path, "run folder", "--run"):
            self._sweep()
            transaction.resume(self.path)
            yield

    def _sweep(self) -> None:
        """Remove temporary files of a killed process."""
        for name in (*_PATHS.values(), _SUMS):
            for left in self.path.glob(f".{name}.????????"):
                left.unlink(missing_ok=True)
        for name in (".7-dataset", ".7-adapter", ".arrived"):
            if not transaction.pending(self.path):
                shutil.rmtree(self.path / name, ignore_errors=True)

    def write_rows(self, name: str, rows: Iterable[Record | Mapping[str, Any]]) -> None:
        """Write a JSONL file row by row, with an atomic rename at the end."""
        write_lines(self.file(name), (dumps(row) + "\n" for row in rows))

    def read_rows(self, name: str, kind: type[R]) -> list[R]:
        """Read a JSONL file of records.

        Raises:
            InputError: A row is not JSON or lacks a field; file and row are named.
        """
        path = self.file(name)
        self._check_consistent()
        with _collector_paused():
            return [read_record(kind, row, path, number) for number, row in read_jsonl(path)]

    def row_error(self, name: str, index: int | None, message: str, field: str | None = None) -> InputError:
        """The error about a row of a JSONL file, to be raised.

        Args:
            name: Name of the file.
            index: Index of the row in the result of `read_rows`; the message gives the file's line number.
            message: What is wrong.
            field: The row's field.
        """
        numbers = (number for number, _ in read_jsonl(self.file(name)))
        return InputError(
            message,
            file=str(self.file(name)),
            row=None if index is None else next(itertools.islice(numbers, index, None)),
            field=field,
            hint=f"Restore the file, or delete {self._result_of(name).name} and run `solo-hub distill --run "
            f"{self.path}` to redo the step.",
        )

    def _result_of(self, name: str) -> Path:
        """The file that must be deleted to redo the step that created a file."""
        step = next(item.step for item in LAYOUT if item.name == name)
        return self.file("report" if step == "report" else name)

    def check_ids(self, name: str, ids: Sequence[str], other_name: str, expected: Sequence[str]) -> None:
        """Check that the rows of a file belong to the same questions as another file's, in the same order.

        Args:
            name: Name of the file.
            ids: Question ids in it.
            other_name: Name of the other file.
            expected: Question ids in the other file.

        Raises:
            InputError: They differ; names both files and the first row.
        """
        if ids == expected:
            return
        pairs = enumerate(zip(ids, expected, strict=False))
        index = next((i for i, (a, b) in pairs if a != b), min(len(ids), len(expected)))
        other = self.file(other_name).name
        if index < min(len(ids), len(expected)):
            problem = f"question '{ids[index]}', but {other} has '{expected[index]}'"
        else:
            problem = f"{len(ids)} rows, but {other} has {len(expected)}"
        row = index if index < len(ids) else None
        raise self.row_error(name, row, f"{problem}: one of the files was edited.")

    def write_json(self, name: str, document: Mapping[str, Any]) -> None:
        """Write a JSON document, redacted, by atomic rename, and record its hash."""
        write_text(self.file(name), self._json_text(name, document))

    def _json_text(self, name: str, document: Mapping[str, Any]) -> str:
        """The text of a document to be written; records its hash in addition to that of the present file."""
        text = json.dumps(redact(document), ensure_ascii=False, indent=2, allow_nan=False) + "\n"
        path = self.file(name)
        self.record_hashes({name: text.encode()}, {name: path.read_bytes()} if path.is_file() else {})
        return text

    def put_in_place(self, folders: Mapping[str, Path], published: Mapping[str, Any]) -> None:
        """Rename prepared folders to their final names, and write `7-published.json`, in one transaction.

        Args:
            folders: The prepared folders, in the run folder, by the names of those they replace.
            published: The document to write.
        """
        text, path = self._json_text("published", published), self.file("published")
        moves = []
        for name, folder in folders.items():
            if self.file(name).exists():
                moves.append((_PATHS[name], f"{transaction.DISCARDED}/{_PATHS[name]}"))
            moves.append((folder.name, _PATHS[name]))
        transaction.commit(self.path, moves, {path.name: text})

    def record_hashes(self, contents: Mapping[str, bytes], present: Mapping[str, bytes]) -> None:
        """Record hashes of content about to be written.

        Args:
            contents: New content by name.
            present: Present content by name; its hash stays valid until the write has happened.
        """
        before = self._sums()
        now = {
            name: [
                *(known for known in before.get(name, []) if name in present and known == _hash(present[name])),
                _hash(content),
            ]
            for name, content in contents.items()
        }
        if any(before.get(name) != known for name, known in now.items()):
            write_text(self.path / _SUMS, json.dumps({**before, **now}, indent=2) + "\n")

    def sums(self, name: str) -> list[str]:
        """Recorded hashes of a name."""
        return list(self._sums().get(name, []))

    def add_hashes(self, sums: Mapping[str, Sequence[str]]) -> None:
        """Record hashes of files about to be restored, in addition to the present ones."""
        before = self._sums()
        now = {name: list(dict.fromkeys([*before.get(name, []), *known])) for name, known in sums.items() if known}
        write_text(self.path / _SUMS, json.dumps({**before, **now}, indent=2) + "\n")

    def hash_matches(self, name: str, content: bytes) -> bool:
        """Whether content matches its recorded hash; True if none is recorded, as in older folders."""
        known = self._sums().get(name)
        return not known or _hash(content) in known

    def _sums(self) -> dict[str, list[str]]:
        """Hashes of the JSON documents written here; empty in folders of older versions."""
        try:
            sums = parse_json((self.path / _SUMS).read_bytes())
        except (FileNotFoundError, NotADirectoryError):
            return {}
        except (OSError, ValueError) as error:
            raise RunError(f"'{self.path / _SUMS}' cannot be read.", hint="Delete it.") from error
        if isinstance(sums, dict) and all(isinstance(known, list) for known in sums.values()):
            return sums
        raise RunError(f"'{self.path / _SUMS}' does not contain hashes.", hint="Delete it.")

    def read_config(self) -> dict[str, Any]:
        """Read `config.yaml`: `config_version`, `settings` and `resolved`.

        Raises:
            RunError: It is missing, or is not the configuration of a run.
        """
        path = self.file("config")
        self._check_consistent()
        if not path.exists():
            raise RunError(
                f"'{self.path}' is not a run folder: it has no config.yaml.",
                hint="Pass the folder of a run, e.g. runs/demo.",
            )
        try:
            parts = read_file(path)
        except ConfigError as error:
            raise RunError(error.message, hint="Restore it, or choose another folder with --run DIR.") from error
        if not all(isinstance(parts.get(name), dict) for name in ("settings", "resolved")):
            raise RunError(f"'{path}' is not the configuration of a run.", hint="Choose another folder with --run DIR.")
        return parts

    def _check_consistent(self) -> None:
        """Reject a folder with an incomplete change.

        Raises:
            RunError: A change of several files has not been completed.
        """
        if transaction.pending(self.path):
            raise RunError(
                f"A change of the run '{self.path}' is in progress, or was interrupted.",
                hint=f"If no process is working on it, resume with `solo-hub distill --run {self.path}`.",
            )

    def check_made_here(self) -> None:
        """Reject a folder with files of a run but no `config.yaml`, which is always written first.

        Raises:
            RunError: The settings the files were made with are unknown.
        """
        existing = next((item.path for item in LAYOUT if item.step and (self.path / item.path).exists()), None)
        if existing and not self.has("config"):
            raise RunError(
                f"'{self.path}' contains {existing} but no config.yaml with its settings.",
                hint="Restore config.yaml, or choose another folder with --run DIR.",
            )

    def read_json(self, name: str) -> dict[str, Any]:
        """Read a JSON document.

        Raises:
            RunError: The file is missing or invalid, or was edited after it was written.
        """
        path = self.file(name)
        self._check_consistent()
        try:
            data = path.read_bytes()
            document = parse_json(data)
        except FileNotFoundError:
            earlier = self.path / REPLACED
            raise RunError(
                f"'{path}' does not exist yet.",
                hint=f"Run the step that creates it, or `solo-hub distill --run {self.path}`."
                + (f" Results with earlier settings are kept in '{earlier}' until then." if earlier.is_dir() else ""),
            ) from None
        except (OSError, ValueError) as error:
            raise RunError(
                f"'{path}' cannot be read: {error}.", hint="Delete it and run the same command again."
            ) from error
        if not self.hash_matches(name, data):
            raise RunError(
                f"'{path}' was edited after it was written: its hash differs from {_SUMS}.",
                hint="Delete it and run the same command again.",
            )
        if not isinstance(document, dict):
            raise RunError(f"'{path}' is not a JSON object.", hint="Delete it and run the same command again.")
        return document


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@contextlib.contextmanager
def _collector_paused() -> Iterator[None]:
    """Pause garbage collection: records have no cycles, and scanning a million of them takes a third of the time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
