"""Decodes documents: by byte order mark, by a web page's declared encoding, otherwise as UTF-8."""

from __future__ import annotations

import codecs
import re
from pathlib import Path

from solo_hub.core.errors import InputError
from solo_hub.hub.text_files import encoding_trouble, marked_encoding, read_bytes

LONGEST_FILE = 1 << 28  # bytes of one document, unpacked
_DECLARED_WITHIN = 1024  # bytes; where the HTML Standard looks for a declaration
_DECLARED = re.compile(
    rb"""<meta[^>]{0,200}?charset\s*=\s*["']?\s*([\w.:-]+)|<\?xml[^>]{0,100}?encoding\s*=\s*["']([\w.:-]+)""",
    re.IGNORECASE,
)
# Labels that browsers read as a larger encoding than the one they name (WHATWG Encoding Standard).
_AS_BROWSERS_DO = {
    "ascii": "cp1252",
    "iso8859-1": "cp1252",
    "iso8859-9": "cp1254",
    "tis-620": "cp874",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "shift_jis": "cp932",
    "euc_kr": "cp949",
    "big5": "big5hkscs",
    "utf-16": "utf-8",
    "utf-16-le": "utf-8",
    "utf-16-be": "utf-8",
}
_UNKNOWN_TO_PYTHON = {"x-sjis": "cp932", "windows-31j": "cp932", "x-gbk": "gb18030", "x-user-defined": "cp1252"}


def decode_text(file: Path) -> str:
    """The text of a file: UTF-8, or as its byte order mark says.

    Raises:
        InputError: It cannot be read, or is in another encoding.
    """
    data = read_bytes(file, LONGEST_FILE)
    return _decode(data, marked_encoding(data) or "utf-8", file)


def decode_html(file: Path) -> str:
    """The text of a web page: as its byte order mark says, else as it declares, else UTF-8.

    Raises:
        InputError: It cannot be read, declares an unknown encoding, or is not in the one it declares.
    """
    data = read_bytes(file, LONGEST_FILE)
    encoding = marked_encoding(data)
    if encoding is None:
        match = _DECLARED.search(data, 0, _DECLARED_WITHIN)
        encoding = "utf-8" if match is None else _codec((match[1] or match[2]).decode("ascii", "replace"), file)
    return _decode(data, encoding, file)


def _codec(label: str, file: Path) -> str:
    label = _UNKNOWN_TO_PYTHON.get(label.lower(), label)
    try:
        info = codecs.lookup(label)
        "".encode(info.name)  # refuses the codecs that are no text encodings
    except (LookupError, UnicodeError, TypeError, AttributeError):
        raise InputError(
            f"declares the unknown encoding '{label}'.", file=str(file), hint="Save it as UTF-8 and declare that."
        ) from None
    return _AS_BROWSERS_DO.get(info.name, info.name)


def _decode(data: bytes, encoding: str, file: Path) -> str:
    try:
        text = data.decode(encoding).removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        reason, hint = encoding_trouble(error, data[:4])
        if encoding.lower() not in ("utf-8", "utf-8-sig"):
            reason, hint = f"is not valid {encoding}, its declared encoding.", "Save it as UTF-8 and declare that."
        raise InputError(reason, file=str(file), hint=hint) from None
    if "\0" in text:
        raise InputError(
            "contains NUL characters: UTF-16 text without a byte order mark, or not text at all.",
            file=str(file),
            hint="Save it as UTF-8.",
        )
    return text
