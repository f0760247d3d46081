"""The run folder: which files there are, how they are written, and who may write them.

Formats as data: `LAYOUT` names every file of a run and the step that makes it. Final files appear by atomic rename,
so a step is complete when its file is there; `3-labels.jsonl` alone grows by appending while the teacher works,
because its rows are paid for one by one.
"""

from __future__ import annotations

import contextlib
import gc
import hashlib
import itertools
import json
import os
import shutil
import socket
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from filelock import FileLock, Timeout

from solo_hub.core.config import read_file
from solo_hub.core.errors import ConfigError, InputError, RunError
from solo_hub.core.files import (
    dumps,
    may_hold_half_a_character,
    missing,
    read_jsonl,
    read_record,
    remove_empty,
    write_lines,
    write_text,
)
from solo_hub.core.parsing import parse_json
from solo_hub.core.records import Record, check_writable
from solo_hub.core.redaction import redact
from solo_hub.run import transaction

R = TypeVar("R", bound=Record)

FORMAT_VERSION = 1


@dataclass(frozen=True, slots=True)
class Item:
    """One file or folder of a run and the step that makes it."""

    name: str
    step: str
    path: str


STEPS = ("questions", "passages", "labels", "selection", "adapter", "report", "published")
"""The seven steps in their order."""

LAYOUT = (
    Item("config", "", "config.yaml"),
    Item("curated", "questions", "1-curated.jsonl"),
    Item("questions", "questions", "1-questions.jsonl"),
    Item("questions_left_out", "questions", "1-left-out.jsonl"),
    Item("passages", "passages", "2-passages.jsonl"),
    Item("documents_left_out", "passages", "2-left-out.jsonl"),
    Item("labels", "labels", "3-labels.jsonl"),
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
"""Where results go that changed settings put out of date; see `replaced`."""
_PATHS = {item.name: item.path for item in LAYOUT}


class RunFolder:
    """A run's files.

    Args:
        path: The folder; made when it is missing.
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
        """Where training keeps its checkpoints until the adapter is finished."""
        return self.path / ".5-training"

    def has(self, *names: str) -> bool:
        """Whether all the named files are there; none is while a change of several of them waits to be finished."""
        return not transaction.pending(self.path) and all(self.file(name).exists() for name in names)

    def create(self) -> None:
        """Make the folder.

        Raises:
            RunError: It cannot be made or written to.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RunError(
                f"Cannot make the run folder '{self.path}': {error.strerror}.", hint="Choose another with --run DIR."
            ) from error

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the folder for this process; the lock falls with the process, however it ends.

        Raises:
            RunError: Another process holds it; the message names it.
        """
        made = missing(self.path)
        self.create()
        holder = self.path / ".holder"
        lock = FileLock(self.path / ".lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            who = holder.read_text("utf-8") if holder.exists() else "another process"
            raise RunError(
                f"The run folder '{self.path}' is in use by {who}.",
                hint="Wait for it, or choose another with --run DIR.",
            ) from None
        except OSError as error:
            raise RunError(
                f"Cannot write to the run folder '{self.path}': {error.strerror}.",
                hint="Choose another with --run DIR.",
            ) from error
        try:
            self._sweep()
            transaction.resume(self.path)
            holder.write_text(f"process {os.getpid()} on {socket.gethostname()}", "utf-8")
            yield
        finally:
            holder.unlink(missing_ok=True)
            remove_empty(made, ".lock")  # a start that failed takes no folder
            lock.release()

    def _sweep(self) -> None:
        """Remove what a killed process was writing when it died: `write_text` would have renamed it."""
        for name in (*_PATHS.values(), _SUMS):
            for left in self.path.glob(f".{name}.????????"):
                left.unlink(missing_ok=True)
        for name in (".7-dataset", ".7-adapter", ".arrived"):
            if not transaction.pending(self.path):
                shutil.rmtree(self.path / name, ignore_errors=True)

    def write_rows(self, name: str, rows: Iterable[Record | Mapping[str, Any]]) -> None:
        """Write a JSONL file whole, by atomic rename, a row at a time."""
        write_lines(self.file(name), (dumps(row) + "\n" for row in rows))

    def read_rows(self, name: str, kind: type[R]) -> list[R]:
        """Read a JSONL file of records.

        Raises:
            InputError: A row is not JSON or lacks a field; file and row are named.
        """
        path = self.file(name)
        self._check_whole()
        with _collector_paused():
            return [read_record(kind, row, path, number) for number, row in read_jsonl(path)]

    def refuse(self, name: str, index: int | None, message: str, field: str | None = None) -> InputError:
        """An error about a JSONL file, to be raised.

        Args:
            name: Name of the file.
            index: The row among those that `read_rows` returns, from 0; told as an editor counts, blank lines too.
            message: What is wrong.
            field: The row's field.
        """
        numbers = (number for number, _ in read_jsonl(self.file(name)))
        return InputError(
            message,
            file=str(self.file(name)),
            row=None if index is None else next(itertools.islice(numbers, index, None)),
            field=field,
            hint=f"Put back what was changed, or delete {self._sign_of(name).name} and run `solo-hub distill --run "
            f"{self.path}`: the step is then done anew.",
        )

    def _sign_of(self, name: str) -> Path:
        """The file whose absence has the step of a file done again."""
        step = next(item.step for item in LAYOUT if item.name == name)
        return self.file("report" if step == "report" else name)

    def check_ids(self, name: str, found: Sequence[str], of: str, expected: Sequence[str]) -> None:
        """Refuse a file whose rows are not those of another one, each in its place: one of the two was changed.

        Args:
            name: Name of the file.
            found: Ids of its questions.
            of: Name of the other file.
            expected: Ids of the questions there.

        Raises:
            InputError: Names both files and the first row that differs.
        """
        if found == expected:
            return
        pairs = enumerate(zip(found, expected, strict=False))
        index = next((i for i, (a, b) in pairs if a != b), min(len(found), len(expected)))
        other = self.file(of).name
        if index < min(len(found), len(expected)):
            said = f"it is of question '{found[index]}' where {other} has '{expected[index]}'"
        else:
            said = f"{len(found)} rows for the {len(expected)} of {other}"
        row = index if index < len(found) else None
        raise self.refuse(name, row, f"{said}: one of the two files was changed.")

    def write_json(self, name: str, document: Mapping[str, Any]) -> None:
        """Write a JSON document without secrets in it, by atomic rename, and remember its hash."""
        write_text(self.file(name), self._json_text(name, document))

    def _json_text(self, name: str, document: Mapping[str, Any]) -> str:
        """A document as it will be written; its hash is remembered already, beside that of the one that is there."""
        text = json.dumps(redact(document), ensure_ascii=False, indent=2, allow_nan=False) + "\n"
        path = self.file(name)
        self.remember({name: text.encode()}, {name: path.read_bytes()} if path.is_file() else {})
        return text

    def put_in_place(self, folders: Mapping[str, Path], published: Mapping[str, Any]) -> None:
        """Give folders that were filled apart their names, and write `7-published.json`, in one change.

        Args:
            folders: The folders, in the run folder, by the names of what they replace.
            published: What is written.
        """
        text, path = self._json_text("published", published), self.file("published")
        moves = []
        for name, folder in folders.items():
            if self.file(name).exists():
                moves.append((_PATHS[name], f"{transaction.DISCARDED}/{_PATHS[name]}"))
            moves.append((folder.name, _PATHS[name]))
        transaction.commit(self.path, moves, {path.name: text})

    def remember(self, contents: Mapping[str, bytes], present: Mapping[str, bytes]) -> None:
        """Keep hashes of what is about to be written.

        Args:
            contents: By the names under which the hashes are kept.
            present: What is there now: a process killed before the write leaves it, and that is good.
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
        """Hashes that are kept under a name."""
        return list(self._sums().get(name, []))

    def recall(self, sums: Mapping[str, Sequence[str]]) -> None:
        """Keep hashes of files that are going to be put back, beside those that are known."""
        before = self._sums()
        now = {name: list(dict.fromkeys([*before.get(name, []), *known])) for name, known in sums.items() if known}
        write_text(self.path / _SUMS, json.dumps({**before, **now}, indent=2) + "\n")

    def remembers(self, name: str, content: bytes) -> bool:
        """Whether this is what was written under a name; yes where nothing is known of it, as in older folders."""
        known = self._sums().get(name)
        return not known or _hash(content) in known

    def _sums(self) -> dict[str, list[str]]:
        """Hashes of the JSON documents written here; none in folders of older versions."""
        try:
            sums = parse_json((self.path / _SUMS).read_bytes())
        except (FileNotFoundError, NotADirectoryError):
            return {}
        except (OSError, ValueError) as error:
            raise RunError(f"'{self.path / _SUMS}' cannot be read.", hint="Delete it.") from error
        if isinstance(sums, dict) and all(isinstance(known, list) for known in sums.values()):
            return sums
        raise RunError(f"'{self.path / _SUMS}' does not hold hashes.", hint="Delete it.")

    def read_config(self) -> dict[str, Any]:
        """Read `config.yaml`: `config_version`, `settings` and `resolved`.

        Raises:
            RunError: It is missing, or is not the configuration of a run.
        """
        path = self.file("config")
        self._check_whole()
        if not path.exists():
            raise RunError(
                f"'{self.path}' is not a run folder: there is no config.yaml in it.",
                hint="Give the folder of a run, e.g. runs/demo.",
            )
        try:
            document = read_file(path)
            check_writable(document)
        except ConfigError as error:
            raise RunError(error.message, hint="Put it back, or choose another folder with --run DIR.") from error
        except UnicodeEncodeError as error:
            raise RunError(
                f"'{path}' holds half of a surrogate pair, which no file can hold.",
                hint="Put it back, or choose another folder with --run DIR.",
            ) from error
        parts = document if isinstance(document, dict) else {}
        if not all(isinstance(parts.get(name), dict) for name in ("settings", "resolved")):
            raise RunError(f"'{path}' is not the configuration of a run.", hint="Choose another folder with --run DIR.")
        return parts

    def _check_whole(self) -> None:
        """Refuse a folder between two states.

        Raises:
            RunError: A change of several files was begun and not finished.
        """
        if transaction.pending(self.path):
            raise RunError(
                f"A change of the run '{self.path}' is under way, or was cut off.",
                hint=f"Where nothing works on it any more: `solo-hub distill --run {self.path}` goes on.",
            )

    def check_made_here(self) -> None:
        """Refuse a folder with files of a run but no `config.yaml`, which is written before all others.

        Raises:
            RunError: Nobody knows what they were made with.
        """
        found = next((item.path for item in LAYOUT if item.step and (self.path / item.path).exists()), None)
        if found and not self.has("config"):
            raise RunError(
                f"'{self.path}' holds {found} but no config.yaml, which says what it was made with.",
                hint="Put config.yaml back, or choose another folder with --run DIR.",
            )

    def read_json(self, name: str) -> dict[str, Any]:
        """Read a JSON document.

        Raises:
            RunError: The file is missing or broken, or is not what was written: a number that was changed afterwards
                is no result.
        """
        path = self.file(name)
        self._check_whole()
        try:
            data = path.read_bytes()
            document = parse_json(data)
            if may_hold_half_a_character(data):
                check_writable(document)
        except FileNotFoundError:
            earlier = self.path / REPLACED
            raise RunError(
                f"'{path}' is not there yet.",
                hint=f"Run the step that makes it, or `solo-hub distill --run {self.path}`."
                + (f" What was made with earlier settings is in '{earlier}' until then." if earlier.is_dir() else ""),
            ) from None
        except (OSError, ValueError) as error:
            raise RunError(
                f"'{path}' cannot be read: {error}.", hint="Delete it and run the same command again."
            ) from error
        if not self.remembers(name, data):
            raise RunError(
                f"'{path}' was changed after it was written: its hash is not the one in {_SUMS}.",
                hint="Delete it and run the same command again.",
            )
        if not isinstance(document, dict):
            raise RunError(f"'{path}' does not hold a JSON object.", hint="Delete it and run the same command again.")
        return document


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@contextlib.contextmanager
def _collector_paused() -> Iterator[None]:
    """Records hold no cycles: searching a growing million of them again and again for some is a third of the time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
