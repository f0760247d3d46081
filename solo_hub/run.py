"""The run folder: which files there are, how they are written, and who may write them.

Formats as data: `LAYOUT` names every file of a run and the step that makes it. Final files appear by atomic rename,
so a step is complete when its file is there; `3-labels.jsonl` alone grows by appending while the teacher works,
because its rows are paid for one by one.
"""

from __future__ import annotations

import contextlib
import gc
import hashlib
import json
import os
import re
import socket
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Self, TypeVar

from filelock import FileLock, Timeout

from solo_hub.errors import InputError, RunError
from solo_hub.records import Record, check_writable, is_writable
from solo_hub.redaction import redact

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
    Item("questions", "questions", "1-questions.jsonl"),
    Item("passages", "passages", "2-passages.jsonl"),
    Item("labels", "labels", "3-labels.jsonl"),
    Item("selected", "selection", "4-selected.jsonl"),
    Item("dropped", "selection", "4-dropped.jsonl"),
    Item("adapter", "adapter", "5-adapter"),
    Item("logs", "adapter", "5-logs"),
    Item("merged", "adapter", "5-merged"),
    Item("controls", "adapter", "5-controls"),
    Item("held_out", "report", "6-questions.jsonl"),
    Item("golds", "report", "6-golds.jsonl"),
    Item("held_out_passages", "report", "6-passages.jsonl"),
    Item("predictions", "report", "6-predictions.jsonl"),
    Item("report", "report", "6-report.json"),
    Item("html", "report", "report.html"),
    Item("dataset_repo", "published", "7-dataset"),
    Item("adapter_repo", "published", "7-adapter"),
    Item("published", "published", "7-published.json"),
)
_SUMS = ".sums.json"
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
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
        """Whether all the named files are there."""
        return all(self.file(name).exists() for name in names)

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
            holder.write_text(f"process {os.getpid()} on {socket.gethostname()}", "utf-8")
            yield
        finally:
            holder.unlink(missing_ok=True)
            lock.release()

    def _sweep(self) -> None:
        """Remove what a killed process was writing when it died: `write_text` would have renamed it."""
        for name in (*_PATHS.values(), _SUMS):
            for left in self.path.glob(f".{name}.????????"):
                left.unlink(missing_ok=True)

    def write_rows(self, name: str, rows: Iterable[Record | Mapping[str, Any]]) -> None:
        """Write a JSONL file whole, by atomic rename, a row at a time."""
        write_lines(self.file(name), (dumps(row) + "\n" for row in rows))

    def read_rows(self, name: str, kind: type[R]) -> list[R]:
        """Read a JSONL file of records.

        Raises:
            InputError: A row is not JSON or lacks a field; file and row are named.
        """
        path = self.file(name)
        with _collector_paused():
            return [read_record(kind, row, path, number) for number, row in read_jsonl(path)]

    def check_ids(self, name: str, found: Sequence[str], expected: Sequence[str]) -> None:
        """Refuse a file whose rows are not those of the run's questions: it was changed, or is another run's.

        Raises:
            InputError: Names the file, and the first row that differs where both are as long.
        """
        if found == expected:
            return
        row = next((n for n, pair in enumerate(zip(found, expected, strict=False), 1) if pair[0] != pair[1]), None)
        said = f"{len(found)} rows for {len(expected)} questions" if len(found) != len(expected) else "another question"
        raise InputError(
            f"{said}: its rows are not those of the run's questions.",
            file=str(self.file(name)),
            row=row if len(found) == len(expected) else None,
            hint="Delete the file and run the same command again: the step is then done anew.",
        )

    def write_json(self, name: str, document: Mapping[str, Any]) -> None:
        """Write a JSON document without secrets in it, by atomic rename, and remember its hash."""
        text = json.dumps(redact(document), ensure_ascii=False, indent=2, allow_nan=False) + "\n"
        sums = self._sums()
        # the older hash stays: a process killed between the two writes leaves the older document, and that is good
        sums[name] = [*sums.get(name, [])[-1:], hashlib.sha256(text.encode()).hexdigest()]
        write_text(self.path / _SUMS, json.dumps(sums, indent=2) + "\n")
        write_text(self.file(name), text)

    def _sums(self) -> dict[str, list[str]]:
        """Hashes of the JSON documents written here; none in folders of older versions."""
        try:
            sums = json.loads((self.path / _SUMS).read_bytes())
        except (FileNotFoundError, NotADirectoryError):
            return {}
        except (OSError, ValueError) as error:
            raise RunError(f"'{self.path / _SUMS}' cannot be read.", hint="Delete it.") from error
        if isinstance(sums, dict) and all(isinstance(known, list) for known in sums.values()):
            return sums
        raise RunError(f"'{self.path / _SUMS}' does not hold hashes.", hint="Delete it.")

    def read_json(self, name: str) -> dict[str, Any]:
        """Read a JSON document.

        Raises:
            RunError: The file is missing or broken, or is not what was written: a number that was changed afterwards
                is no result.
        """
        path = self.file(name)
        try:
            data = path.read_bytes()
            document = json.loads(data)
            if _SURROGATE.search(data):
                check_writable(document)
        except FileNotFoundError:
            raise RunError(
                f"'{path}' is not there yet.",
                hint=f"Run the step that makes it, or `solo-hub distill --run {self.path}`.",
            ) from None
        except (OSError, ValueError) as error:
            raise RunError(
                f"'{path}' cannot be read: {error}.", hint="Delete it and run the same command again."
            ) from error
        known = self._sums().get(name)
        if known and hashlib.sha256(data).hexdigest() not in known:
            raise RunError(
                f"'{path}' was changed after it was written.", hint="Delete it and run the same command again."
            )
        if not isinstance(document, dict):
            raise RunError(f"'{path}' does not hold a JSON object.", hint="Delete it and run the same command again.")
        return document


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


def dumps(row: Record | Mapping[str, Any]) -> str:
    """One JSON line, the same bytes for the same row."""
    return json.dumps(row.to_row() if isinstance(row, Record) else row, ensure_ascii=False, allow_nan=False)


def read_record(kind: type[R], row: Mapping[str, Any], path: Path, number: int) -> R:
    """Read one record, naming file and row when it is not one."""
    try:
        return kind.from_row(row)
    except (InputError, TypeError, AttributeError) as error:
        message = error.message if isinstance(error, InputError) else f"not a {kind.__name__} row."
        raise InputError(message, file=str(path), row=number, hint="Delete the file and run the step again.") from error


def read_jsonl(path: Path, *, torn_tail: bool = False) -> Iterator[tuple[int, dict[str, Any]]]:
    """Read a JSONL file as (row number from 1, object).

    Args:
        path: The file.
        torn_tail: Whether the last line may be incomplete (a process was killed while appending); it is then left out.

    Raises:
        InputError: A line is not a JSON object, with file and row.
    """
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if torn_tail and not line.endswith(b"\n"):
                return
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except (ValueError, RecursionError):
                raise InputError(
                    "not valid JSON.", file=str(path), row=number, hint="Mend or remove that line."
                ) from None
            if not isinstance(row, dict):
                raise InputError(
                    f"a JSON {type(row).__name__}, not an object.",
                    file=str(path),
                    row=number,
                    hint="Write one object a line.",
                )
            if _SURROGATE.search(line) and not is_writable(row):
                raise InputError(
                    "half of a surrogate pair, which no file can hold.",
                    file=str(path),
                    row=number,
                    hint="Mend or remove that line.",
                )
            yield number, row


def write_text(path: Path, text: str) -> None:
    """Write a file so that it is there whole or not at all, also after a power cut."""
    write_lines(path, (text,))


def write_lines(path: Path, lines: Iterable[str]) -> None:
    """Write a file like `write_text`, from parts that need not all be in memory; each brings its own line end."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            file.writelines(lines)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def _held(file: IO[bytes]) -> Iterator[None]:
    """Hold a file against other appenders; the lock falls with the process. Where there is none the run's lock does."""
    if sys.platform == "win32":
        yield
        return
    import fcntl

    fcntl.flock(file, fcntl.LOCK_EX)
    try:
        yield
    finally:
        fcntl.flock(file, fcntl.LOCK_UN)


class Appender:
    """Appends rows to a JSONL file a batch at a time.

    When `append` returns, the batch is in the file: the death of the process loses nothing of it. It is flushed to the
    disk while the next batch is computed, so a power cut costs the newest batch at most; waiting for the disk after
    each of many thousand small batches takes longer than a fast model.

    Args:
        path: The file; a torn last line, left by a killed process, is cut off first.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("ab+")
        self._flusher = ThreadPoolExecutor(1, thread_name_prefix="flush")
        self._flushing: Future[None] | None = None
        with _held(self._file):  # what looks torn may be what another process is writing
            self._cut_torn_tail()

    def _cut_torn_tail(self) -> None:
        size = self._file.seek(0, os.SEEK_END)
        end = size
        while end > 0:
            start = max(0, end - 65536)
            self._file.seek(start)
            newline = self._file.read(end - start).rfind(b"\n")
            if newline >= 0:
                end = start + newline + 1
                break
            end = start
        if end < size:
            self._file.truncate(end)

    def append(self, rows: Iterable[Record | Mapping[str, Any]]) -> None:
        """Append a batch.

        Raises:
            OSError: The disk is full, or the batch before this one could not be flushed to it.
        """
        data = "".join(dumps(row) + "\n" for row in rows).encode()
        self._wait()
        with _held(self._file):
            self._file.seek(0, os.SEEK_END)
            self._file.write(data)
            self._file.flush()
        self._flushing = self._flusher.submit(os.fsync, self._file.fileno())

    def _wait(self) -> None:
        flushing, self._flushing = self._flushing, None
        if flushing is not None:
            flushing.result()

    def close(self) -> None:
        """Wait until everything is on disk, and close the file.

        Raises:
            OSError: The last batch could not be flushed to the disk.
        """
        try:
            self._wait()
        finally:
            self._flusher.shutdown()
            self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
