"""Text files as bytes and lines, compressed or not, and diagnosis of files that are not UTF-8."""

from __future__ import annotations

import bz2
import codecs
import gzip
import io
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import IO, cast

from solo_hub.core.errors import InputError

LONGEST_LINE = 1 << 26  # bytes; a row is a question or a passage, and a small gzip file may expand to any size


def _zstd(file: Path) -> IO[bytes]:
    import pyarrow as pa

    return cast("IO[bytes]", io.BufferedReader(pa.input_stream(str(file), compression="zstd")))


_OPENERS: dict[str, Callable[[Path], IO[bytes]]] = {
    ".gz": cast("Callable[[Path], IO[bytes]]", partial(gzip.GzipFile, mode="rb")),
    ".bz2": partial(bz2.BZ2File, mode="rb"),
    ".zst": _zstd,
}
COMPRESSED = tuple(_OPENERS)
"""Extensions of compressed files, in lower case."""

READ_ERRORS = (OSError, EOFError, zlib.error)
"""Exceptions of opening or decompressing a corrupt file."""

_MARKS = (
    (codecs.BOM_UTF32_LE, "UTF-32"),
    (codecs.BOM_UTF32_BE, "UTF-32"),
    (codecs.BOM_UTF16_LE, "UTF-16"),
    (codecs.BOM_UTF16_BE, "UTF-16"),
    (codecs.BOM_UTF8, "UTF-8-SIG"),
)
"""Byte order marks and their codecs, longest first."""


def plain_name(file: Path) -> str:
    """A file's name in lower case, without the extension of a compressed file.

    >>> plain_name(Path("Corpus.JSONL.GZ"))
    'corpus.jsonl'
    """
    name = file.name.lower()
    return next((name.removesuffix(ending) for ending in COMPRESSED if name.endswith(ending)), name)


def is_compressed(file: Path) -> bool:
    """Whether a file is compressed, by its extension."""
    return file.name.lower().endswith(COMPRESSED)


def open_binary(file: Path) -> IO[bytes]:
    """Open a file for reading, decompressing it if necessary."""
    opener = _OPENERS.get(file.suffix.lower())
    return file.open("rb") if opener is None else opener(file)


def marked_encoding(start: bytes) -> str | None:
    """The encoding given by a byte order mark at the start of a file; None without one."""
    return next((name for mark, name in _MARKS if start.startswith(mark)), None)


def encoding_trouble(error: UnicodeDecodeError, start: bytes) -> tuple[str, str]:
    """Problem and hint for text that is not UTF-8.

    Args:
        error: The decoding error.
        start: The file's first bytes.
    """
    marked = marked_encoding(start)
    if marked in ("UTF-16", "UTF-32"):
        return f"is {marked} text, not UTF-8.", f"Save it as UTF-8, e.g. iconv -f {marked} -t UTF-8 OLD > NEW"
    byte = error.object[error.start : error.start + 1]
    guess = byte.decode("cp1252", errors="replace")
    meant = f", which is '{guess}' in Windows-1252" if guess.isprintable() and guess != "\ufffd" else ""
    return (
        f"is not UTF-8 text (byte 0x{byte.hex().upper()}{meant}).",
        "Save the file as UTF-8, e.g. iconv -f WINDOWS-1252 -t UTF-8 OLD > NEW",
    )


def read_lines(file: Path, longest: int = LONGEST_LINE) -> Iterator[tuple[int, str]]:
    """Lines of a UTF-8 file with their numbers from 1, decoded one by one so that errors name the row.

    Raises:
        InputError: The file cannot be read, is not UTF-8, or a line is longer than `longest` bytes.
    """
    number = 0
    try:
        with open_binary(file) as handle:
            for number, line in enumerate(iter(lambda: handle.readline(longest + 1), b""), start=1):
                if len(line) > longest:
                    raise InputError(
                        f"is longer than {longest >> 20} MB.",
                        file=str(file),
                        row=number,
                        hint="Write one row per line, and a long document as a separate file.",
                    )
                if number == 1:
                    start = line[:4]
                yield number, line.decode("utf-8-sig" if number == 1 else "utf-8")
    except UnicodeDecodeError as error:
        reason, hint = encoding_trouble(error, start)
        raise InputError(reason, file=str(file), row=number, hint=hint) from None
    except READ_ERRORS as error:
        raise InputError(
            f"cannot be read ({first_line(error)}).", file=str(file), row=number + 1, hint="Check the file."
        ) from error


def read_bytes(file: Path, longest: int) -> bytes:
    """All bytes of a file, decompressed.

    Raises:
        InputError: The file cannot be read, or is longer than `longest` bytes.
    """
    try:
        with open_binary(file) as handle:
            data = handle.read(longest + 1)
    except READ_ERRORS as error:
        raise InputError(
            f"cannot be read ({first_line(error)}).", file=str(file), hint="Check the file and its permissions."
        ) from error
    if len(data) > longest:
        raise InputError(f"is longer than {longest >> 20} MB.", file=str(file), hint="Split it into several files.")
    return data


def first_line(error: BaseException) -> str:
    """The first line of an error message, without the full stop."""
    text = str(error).strip() or type(error).__name__
    return text.split("\n", maxsplit=1)[0].rstrip(".")
