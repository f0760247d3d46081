"""A last look for secrets: nothing that looks like a token or a private key leaves in a published file.

The message names file, line and kind; the secret itself is never repeated.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from solo_hub.errors import InputError

PATTERNS: dict[str, re.Pattern[bytes]] = {
    "Hugging Face token": re.compile(rb"(?<![A-Za-z0-9_])(?:hf|api_org)_[A-Za-z0-9]{30,}"),
    "OpenAI-style key": re.compile(rb"(?<![A-Za-z0-9_-])sk-(?:[a-z0-9]+-){0,3}[A-Za-z0-9_]{20,}"),
    "AWS access key": re.compile(rb"(?<![A-Z0-9])(?:AKIA|ASIA)[A-Z0-9]{16}(?![A-Z0-9])"),
    "AWS secret key": re.compile(rb"(?i)aws_?secret_?access_?key[\"' ]{0,3}[:=][\"' ]{0,3}[A-Za-z0-9/+=]{40}"),
    "GitHub token": re.compile(rb"(?<![A-Za-z0-9_])(?:gh[pousr]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{40,})"),
    "Slack token": re.compile(rb"(?<![A-Za-z0-9])xox[abeprs]-[A-Za-z0-9-]{10,}"),
    "Google API key": re.compile(rb"(?<![A-Za-z0-9_-])AIza[A-Za-z0-9_-]{35}(?![A-Za-z0-9_-])"),
    "private key": re.compile(rb"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY-----"),
    "authorization header": re.compile(rb"(?i)authorization[\"']?\s*[:=]\s*[\"']?bearer\s+[A-Za-z0-9._~+/-]{16,}"),
    "password in an address": re.compile(rb"(?i)\b[a-z][a-z0-9+.-]{1,20}://[^\s/:@\"'<>]{1,64}:[^\s/:@\"'<>]{3,256}@"),
}

_BINARY = frozenset({".safetensors", ".png", ".webp", ".jpg"})
"""Weights and images: any bytes may occur there by chance, and nothing of ours writes text into them."""


@dataclass(frozen=True, slots=True)
class Leak:
    """A place that looks like a secret.

    Attributes:
        file: Path within the folder.
        line: Line, counted from 1; None in a file without lines.
        kind: What it looks like.
    """

    file: str
    line: int | None
    kind: str


def find(folder: Path) -> Iterator[Leak]:
    """Look through every file of a folder; parquet files are read cell by cell, because their bytes are compressed."""
    for path in sorted(folder.rglob("*")):
        if not path.is_file():
            continue
        name = path.relative_to(folder).as_posix()
        if path.suffix == ".parquet":
            yield from _find_in_parquet(path, name)
        elif path.suffix == ".safetensors":
            yield from _find_in_lines(_safetensors_header(path).splitlines(), name, numbered=False)
        elif path.suffix not in _BINARY:
            yield from _find_in_lines(path.read_bytes().splitlines(), name, numbered=True)


def refuse(folder: Path) -> None:
    """Stop when a file of the folder holds something that looks like a secret.

    Raises:
        InputError: Names file, line or row, and kind.
    """
    for leak in find(folder):
        raise InputError(
            f"this looks like a secret ({leak.kind}); nothing was pushed.",
            file=f"{folder.name}/{leak.file}",
            row=leak.line,
            hint="Take it out of the source it came from and run again; if it is real, revoke it.",
        )


def _find_in_lines(lines: list[bytes], name: str, *, numbered: bool) -> Iterator[Leak]:
    for number, line in enumerate(lines, start=1):
        for kind, pattern in PATTERNS.items():
            if pattern.search(line):
                yield Leak(name, number if numbered else None, kind)


def _find_in_parquet(path: Path, name: str) -> Iterator[Leak]:
    import json

    import pyarrow.parquet as pq

    number = 0
    for batch in pq.ParquetFile(path).iter_batches(batch_size=1000):
        for row in batch.to_pylist():
            number += 1
            line = json.dumps(row, ensure_ascii=False, default=str).encode("utf-8", "replace")
            for kind, pattern in PATTERNS.items():
                if pattern.search(line):
                    yield Leak(name, number, kind)


def _safetensors_header(path: Path) -> bytes:
    with path.open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
        return file.read(min(size, 10_000_000))  # bytes; a header is far smaller
