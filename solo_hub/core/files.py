"""Atomic file writes, and JSONL files of records: writing, appending, reading."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import IO, Any, Self, TypeVar

from filelock import FileLock, Timeout

from solo_hub.core.errors import InputError, RunError
from solo_hub.core.parsing import parse_json
from solo_hub.core.rows import Record

R = TypeVar("R", bound=Record)


def dumps(row: Record | Mapping[str, Any]) -> str:
    """One JSON line; equal rows give equal bytes."""
    return json.dumps(row.to_row() if isinstance(row, Record) else row, ensure_ascii=False, allow_nan=False)


def read_record(kind: type[R], row: Mapping[str, Any], path: Path, number: int) -> R:
    """Read one record; the error of an invalid one names file and row."""
    try:
        return kind.from_row(row)
    except (InputError, TypeError, AttributeError) as error:
        message = error.message if isinstance(error, InputError) else f"not a {kind.__name__} row."
        raise InputError(message, file=str(path), row=number, hint="Delete the file and run the step again.") from error


def read_jsonl(path: Path, *, torn_tail: bool = False) -> Iterator[tuple[int, dict[str, Any]]]:
    """Read a JSONL file as (row number from 1, object).

    Args:
        path: The file.
        torn_tail: Skip an incomplete last line (a process was killed while appending).

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
                row = parse_json(line)
            except ValueError as error:
                raise InputError(
                    f"not valid JSON ({error}).", file=str(path), row=number, hint="Fix or remove that line."
                ) from None
            if not isinstance(row, dict):
                raise InputError(
                    f"a JSON {type(row).__name__}, not an object.",
                    file=str(path),
                    row=number,
                    hint="Write one object per line.",
                )
            yield number, row


@contextlib.contextmanager
def lock_folder(folder: Path, what: str, option: str, name: str = ".lock") -> Iterator[None]:
    """Create a folder and lock it for this process; the lock is released when the process ends.

    A folder that was created but not used is removed.

    Args:
        folder: The folder.
        what: What it is, for messages.
        option: The command's option that names it, for messages.
        name: Name of the lock file.

    Raises:
        RunError: Another process holds it, which the message names, or it cannot be written.
    """
    made = [path for path in (folder, *folder.parents) if not path.exists()]  # innermost first
    holder, lock = folder / ".holder", FileLock(folder / name)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
    except Timeout:
        who = holder.read_text("utf-8") if holder.exists() else "another process"
        raise RunError(
            f"The {what} '{folder}' is in use by {who}.", hint=f"Wait for it, or choose another with {option} DIR."
        ) from None
    except OSError as error:
        raise RunError(
            f"Cannot write to the {what} '{folder}': {error.strerror}.", hint=f"Choose another with {option} DIR."
        ) from error
    try:
        holder.write_text(f"process {os.getpid()} on {socket.gethostname()}", "utf-8")
        yield
    finally:
        holder.unlink(missing_ok=True)
        if made and folder.is_dir() and {path.name for path in folder.iterdir()} <= {name}:
            with contextlib.suppress(OSError):  # Windows does not remove open files
                (folder / name).unlink(missing_ok=True)
                for path in made:
                    path.rmdir()
        lock.release()


def write_text(path: Path, text: str) -> None:
    """Write a file atomically: complete or not at all, even after a power failure."""
    write_lines(path, (text,))


def write_lines(path: Path, lines: Iterable[str]) -> None:
    """Write a file atomically from a stream of parts, which include their line ends."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with _named_errors(path):
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        _fill(handle, Path(temporary), path, lines)


def _fill(handle: int, temporary: Path, path: Path, lines: Iterable[str]) -> None:
    """Write a temporary file and rename it; remove it if writing fails."""
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            file.writelines(lines)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def _named_errors(path: Path) -> Iterator[None]:
    """Add the file's name to system errors: those of an open file lack it."""
    try:
        yield
    except OSError as error:
        if error.errno is not None and error.filename is None:
            error.filename = str(path)
        raise


@contextlib.contextmanager
def _locked(file: IO[bytes]) -> Iterator[None]:
    """Lock a file against other appenders; without file locks (Windows) the run's lock suffices."""
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
    """Appends rows to a JSONL file in batches.

    When `append` returns, the batch is in the file and survives the process. It is flushed to disk while the next batch
    is computed, so a power failure loses at most the newest batch; waiting for the disk after each of thousands of
    small batches would take longer than a fast model.

    Args:
        path: The file; an incomplete last line, left by a killed process, is removed first.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._file = path.open("ab+")
        self._flusher = ThreadPoolExecutor(1, thread_name_prefix="flush")
        self._flushing: Future[None] | None = None
        with _locked(self._file):  # what looks incomplete may still be being written
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
        with _named_errors(self._path), _locked(self._file):
            self._file.seek(0, os.SEEK_END)
            self._file.write(data)
            self._file.flush()
        self._flushing = self._flusher.submit(os.fsync, self._file.fileno())

    def _wait(self) -> None:
        flushing, self._flushing = self._flushing, None
        if flushing is not None:
            with _named_errors(self._path):
                flushing.result()

    def close(self) -> None:
        """Flush everything to disk and close the file.

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
