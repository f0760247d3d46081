"""Files that are there whole or not at all, and JSONL files of records: how they are written, appended to and read."""

from __future__ import annotations

import contextlib
import json
import os
import re
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import IO, Any, Self, TypeVar

from solo_hub.core.errors import InputError
from solo_hub.core.records import Record, is_writable

R = TypeVar("R", bound=Record)

_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


def may_hold_half_a_character(data: bytes) -> bool:
    """Whether JSON names a surrogate by its number; most does not, and is then not looked at any closer."""
    return _SURROGATE.search(data) is not None


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
            if may_hold_half_a_character(line) and not is_writable(row):
                raise InputError(
                    "half of a surrogate pair, which no file can hold.",
                    file=str(path),
                    row=number,
                    hint="Mend or remove that line.",
                )
            yield number, row


def missing(path: Path) -> list[Path]:
    """A folder and those above it that are not there yet, the innermost first."""
    return [folder for folder in (path, *path.parents) if not folder.exists()]


def remove_empty(made: Sequence[Path], lock: str) -> None:
    """Remove folders that were made for nothing: the innermost holds its lock file at most.

    Args:
        made: What was `missing` before; nothing where the folder was there.
        lock: Name of the lock file.
    """
    if made and made[0].is_dir() and {path.name for path in made[0].iterdir()} <= {lock}:
        with contextlib.suppress(OSError):  # Windows lets nobody remove a file that is open
            (made[0] / lock).unlink(missing_ok=True)
            for path in made:
                path.rmdir()


def write_text(path: Path, text: str) -> None:
    """Write a file so that it is there whole or not at all, also after a power cut."""
    write_lines(path, (text,))


def write_lines(path: Path, lines: Iterable[str]) -> None:
    """Write a file like `write_text`, from parts that need not all be in memory; each brings its own line end."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with _naming(path):
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        _fill(handle, Path(temporary), path, lines)


def _fill(handle: int, temporary: Path, path: Path, lines: Iterable[str]) -> None:
    """Write the file under another name and give it its own; what cannot be written whole is taken away."""
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
def _naming(path: Path) -> Iterator[None]:
    """Have what the system refuses name the file: writing to an open one tells nothing of where it is."""
    try:
        yield
    except OSError as error:
        if error.errno is not None and error.filename is None:
            error.filename = str(path)
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
        self._path = path
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
        with _naming(self._path), _held(self._file):
            self._file.seek(0, os.SEEK_END)
            self._file.write(data)
            self._file.flush()
        self._flushing = self._flusher.submit(os.fsync, self._file.fileno())

    def _wait(self) -> None:
        flushing, self._flushing = self._flushing, None
        if flushing is not None:
            with _naming(self._path):
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
