"""Checks what is about to be published for secrets, which stop the push, and personal data, which needs confirmation.

A heuristic based on patterns: it finds the kinds of `SECRETS` and `PERSONAL` in their usual notation, numbers only
with valid check digits; it does not find names, addresses, or anything spelt out or split over rows.

Messages name file, row and kind, but never repeat the content.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from solo_hub.core.errors import InputError

_SHAPE = bytes.maketrans(b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ", b"0" * 10 + b"A" * 26)
"""Digits become 0 and capitals A: what a number looks like can then be looked for as a plain string."""


@dataclass(frozen=True, slots=True)
class Look:
    """The pattern of one kind of secret or personal data.

    Attributes:
        kind: Its name.
        pattern: The regular expression.
        near: Strings of which every match contains one; searching for them first avoids most pattern searches.
        seen_in: The form of the text to search them in: `text`, `lower` (small letters), `shape` (see `_SHAPE`), `bare`
            (the same without blanks and hyphens).
        holds: Validates a match, e.g. by check digits.
    """

    kind: str
    pattern: re.Pattern[bytes]
    near: tuple[bytes, ...]
    seen_in: str = "text"
    holds: Callable[[bytes], bool] | None = None

    def found(self, text: bytes) -> bool:
        """Whether a text contains it."""
        if self.holds is None:
            return self.pattern.search(text) is not None
        return any(self.holds(match[0]) for match in self.pattern.finditer(text))


def _luhn(number: bytes) -> bool:
    """Check digit of a card number: every second digit from the right is doubled, digits are summed (ISO/IEC 7812-1).

    >>> _luhn(b"4111 1111 1111 1111"), _luhn(b"4111 1111 1111 1112"), _luhn(b"0000 0000 0000 0000")
    (True, False, False)
    """
    digits = [byte - 48 for byte in number if 48 <= byte <= 57]  # noqa: PLR2004 - the ASCII digits
    doubled = [2 * digit - 9 * (digit > 4) for digit in digits[-2::-2]]  # noqa: PLR2004 - 2 * 5 has two digits
    return len(set(digits)) > 1 and (sum(digits[::-2]) + sum(doubled)) % 10 == 0


def _iban(number: bytes) -> bool:
    """Check digits of an IBAN: letters count from A = 10, the first four characters go last, modulo 97 (ISO 13616).

    >>> _iban(b"GB82 WEST 1234 5698 7654 32"), _iban(b"GB82 WEST 1234 5698 7654 33")
    (True, False)
    """
    bare = number.replace(b" ", b"").decode()
    # capitals that follow may have been matched as its end
    ends = (bare[:length] for length in range(len(bare), 14, -1))
    return any(int("".join(str(int(c, 36)) for c in end[4:] + end[:4])) % 97 == 1 for end in ends)


def _is_random(value: bytes) -> bool:
    """Whether a value is a key, not a placeholder: it has a digit, or is long and mixed-case.

    >>> _is_random(b"a1b2c3d4"), _is_random(b"qWertzUiop" * 2), _is_random(b"YOUR_API_KEY"), _is_random(b"YourApiKey")
    (True, True, False, False)
    """
    mixed = value.lower() != value != value.upper()
    return any(48 <= byte <= 57 for byte in value) or (mixed and len(value) >= 20)  # noqa: PLR2004 - digits; as tokens are


SECRETS: tuple[Look, ...] = (
    Look(
        "Hugging Face token",
        re.compile(rb"(?<![A-Za-z0-9_])(?:hf|api_org)_[A-Za-z0-9]{30,}"),
        (b"hf_", b"api_org_"),
    ),
    Look("OpenAI-style key", re.compile(rb"(?<![A-Za-z0-9_-])sk-(?:[a-z0-9]+-){0,3}[A-Za-z0-9_]{20,}"), (b"sk-",)),
    Look("AWS access key", re.compile(rb"(?<![A-Z0-9])(?:AKIA|ASIA)[A-Z0-9]{16}(?![A-Z0-9])"), (b"AKIA", b"ASIA")),
    Look(
        "AWS secret key",
        re.compile(rb"(?i)aws_?secret_?access_?key[\"' ]{0,3}[:=][\"' ]{0,3}[A-Za-z0-9/+=]{40}"),
        (b"access_key", b"accesskey"),
        "lower",
    ),
    Look(
        "GitHub token",
        re.compile(rb"(?<![A-Za-z0-9_])(?:gh[pousr]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{40,})"),
        (b"ghp_", b"gho_", b"ghu_", b"ghs_", b"ghr_", b"github_pat_"),
    ),
    Look("Slack token", re.compile(rb"(?<![A-Za-z0-9])xox[abeprs]-[A-Za-z0-9-]{10,}"), (b"xox",)),
    Look("Google API key", re.compile(rb"(?<![A-Za-z0-9_-])AIza[A-Za-z0-9_-]{35}(?![A-Za-z0-9_-])"), (b"AIza",)),
    Look("private key", re.compile(rb"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY-----"), (b"PRIVATE KEY-----",)),
    Look(
        "authorization header",
        re.compile(rb"(?i)authorization[\"']?\s*[:=]\s*[\"']?bearer\s+[A-Za-z0-9._~+/-]{16,}"),
        (b"authorization",),
        "lower",
    ),
    Look(
        "password in an address",
        re.compile(
            rb"(?i)\b[a-z][a-z0-9+.-]{1,20}://[^\s/:@\"'<>]{0,64}:[^\s/:@\"'<>]{3,256}@"
            # without a scheme a port tells an address from `mailto:ann@example.org` and other words before a colon
            rb"|(?<![\w.:/@-])[a-z0-9._-]{1,64}:[^\s/:@\"'<>]{3,256}@[a-z0-9.-]{1,253}:\d{2,5}(?!\w)"
        ),
        (b"@",),
    ),
    Look(
        "key in an address",
        re.compile(
            rb"(?i)(?:(?<![a-z0-9])(?:api[_-]?key|access[_-]?token|auth[_-]?token|client[_-]?secret)"
            rb"|[?&;](?:[a-z]+[_-]){0,2}(?:key|token|secret|password|signature))=[a-z0-9._~%+/-]{8,}"
        ),
        (b"key=", b"token=", b"secret=", b"password=", b"signature="),
        "lower",
        lambda found: _is_random(found.partition(b"=")[2]),
    ),
)
"""Never published."""

PERSONAL: tuple[Look, ...] = (
    Look(
        "e-mail address",
        re.compile(rb"(?<![A-Za-z0-9._%+-])[A-Za-z0-9._%+-]{1,64}@(?:[A-Za-z0-9-]{1,63}\.)+[A-Za-z]{2,24}\b"),
        (b"@",),
    ),
    Look(
        "phone number",
        re.compile(
            rb"(?<![\w+])\+(?:\(?\d{1,4}\)?[ .\-/]?){2,6}\d{2,4}(?![\w])"  # +49 30 1234567
            rb"|(?<![\w+])\(\d{3}\) ?\d{3}[ .\-]\d{4}(?!\w)|(?<![\w+.\-])\d{3}([.\-])\d{3}\1\d{4}(?![\w.\-])"
        ),
        (b"+0", b"+(0", b"(000)", b"000-000-0000", b"000.000.0000"),
        "shape",
        lambda number: 8 <= sum(48 <= byte <= 57 for byte in number) <= 15,  # noqa: PLR2004 - digits of E.164
    ),
    Look(
        "bank account (IBAN)",
        re.compile(rb"(?<![A-Za-z0-9])[A-Z]{2}\d{2}(?: ?[A-Z0-9]){11,30}(?![a-z0-9])"),
        (b"AA00",),
        "bare",
        _iban,
    ),
    Look(
        "payment card number",
        re.compile(rb"(?<![\w.,\-])[2-6]\d{3}(?:[ -]?\d){9,15}(?![\w\-]|[.,]\d)"),
        (b"0" * 13,),
        "bare",
        _luhn,
    ),
)
"""Personal data."""

_BINARY = frozenset({".safetensors", ".png", ".webp", ".jpg"})
"""Weights and images: any bytes may occur by chance, and no text is written into them."""
_ROWS = 1000  # of a Parquet file looked at together


@dataclass(frozen=True, slots=True)
class Leak:
    """A place that looks like a secret or personal data.

    Attributes:
        file: Path within the folder.
        line: Line or row, counted from 1; None in a file without lines.
        kind: What it looks like.
    """

    file: str
    line: int | None
    kind: str


def find(folder: Path, looks: Sequence[Look] = SECRETS, pattern: str = "**/*") -> Iterator[Leak]:
    """Search the files of a folder; Parquet files are decoded, because they are compressed."""
    for path in sorted(folder.glob(pattern)):
        if not path.is_file():
            continue
        name = path.relative_to(folder).as_posix()
        if path.suffix == ".parquet":
            yield from _find_in_parquet(path, name, looks)
        elif path.suffix == ".safetensors":
            yield from _find_in_lines(_safetensors_header(path), name, looks, numbered=False)
        elif path.suffix not in _BINARY:
            yield from _find_in_lines(path.read_bytes(), name, looks, numbered=True)


def refuse(folder: Path) -> None:
    """Stop if a file of the folder contains something that looks like a secret.

    Raises:
        InputError: Names file, line or row, and kind.
    """
    for leak in find(folder):
        raise InputError(
            f"this looks like a secret ({leak.kind}); nothing was pushed.",
            file=f"{folder.name}/{leak.file}",
            row=leak.line,
            hint="Remove it from its source and run again; if it is real, revoke it.",
        )


def _find_in_lines(data: bytes, name: str, looks: Sequence[Look], *, numbered: bool) -> Iterator[Leak]:
    if not (near := _likely(data, looks)):
        return
    for number, line in enumerate(data.splitlines(), start=1):
        yield from (Leak(name, number if numbered else None, look.kind) for look in near if look.found(line))


def _find_in_parquet(path: Path, name: str, looks: Sequence[Look]) -> Iterator[Leak]:
    import pyarrow.parquet as pq

    first = 1
    for batch in pq.ParquetFile(path).iter_batches(batch_size=_ROWS):
        if near := _likely(b"\n".join(_text_of(batch.columns)), looks):
            for number, row in enumerate(batch.to_pylist(), start=first):
                text = "\n".join(_texts_in(row)).encode("utf-8", "replace")
                yield from (Leak(name, number, look.kind) for look in near if look.found(text))
        first += batch.num_rows


def _likely(data: bytes, looks: Sequence[Look]) -> list[Look]:
    """The patterns that may match a text, by their `near` strings."""
    shape = data.translate(_SHAPE)
    forms = {"text": data, "lower": data.lower(), "shape": shape, "bare": shape.translate(None, b" -")}
    return [look for look in looks if any(string in forms[look.seen_in] for string in look.near)]


def _text_of(columns: Iterable[Any]) -> Iterator[bytes]:
    """All text of Arrow arrays, rows not kept apart."""
    import pyarrow as pa

    for column in columns:
        if pa.types.is_dictionary(column.type):
            yield from _text_of([column.dictionary])
        elif pa.types.is_struct(column.type):
            yield from _text_of(column.flatten())
        elif pa.types.is_nested(column.type):
            yield from _text_of([column.values])
        elif hasattr(column, "buffers") and len(column.buffers()) == 3 and column.buffers()[2]:  # noqa: PLR2004 - text has an offsets buffer too
            yield column.buffers()[2].to_pybytes()


def _texts_in(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, bytes):
        yield value.decode("utf-8", "replace")
    elif isinstance(value, dict):
        for item in value.values():
            yield from _texts_in(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts_in(item)


def _safetensors_header(path: Path) -> bytes:
    with path.open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
        return file.read(min(size, 10_000_000))  # bytes; a header is far smaller
