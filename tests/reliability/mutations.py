"""Spoilt versions of good files: what people and half-finished programs write."""

from __future__ import annotations

import copy
import json
import random
from typing import Any

JUNK: tuple[Any, ...] = (
    None, True, False, 0, -1, 7, 1e308, -0.0, 2**63, 10**40, "", " ", "x", "null", "NaN", "../../etc/passwd", "/",
    "~",
    "\u0000", "\ud800", "\u202eabc", "é" * 300, "a" * 30_000, [], [[]], [None], ["a", "a"], {}, {"a": {"b": {}}},
    [1, "2"],
    "{{ 7*7 }}", "{% for x in y %}", "<script>alert(1)</script>", "!!python/object/apply:os.system ['true']",
    "2024-13-45",
    "a\nb\r\nc", "\ufeff", "OWNER/NAME", "a/b/c", "--help", "%s%n", "\\", '"', "'",
    "a=b", "@", 3.5,
)  # fmt: skip
"""Values in the wrong place."""
BYTES = (
    b"\x00", b"\xff\xfe", b"\n", b"\r", b"{", b"}", b'"', b"]", b",", b"\xed\xa0\x80", b"- ", b": ", b"\t", b"&a *a ",
    b"!!",
)  # fmt: skip


def spots(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Paths of every value within nested lists and mappings, the root left out."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    found = []
    for key, item in items:
        found += [(*path, key), *spots(item, (*path, key))]
    return found


def spoil_value(value: Any, chance: random.Random) -> Any:
    """A copy with one to three places changed, taken out, added, renamed or doubled."""
    changed = copy.deepcopy(value)
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        places = spots(changed)
        if not places:
            return chance.choice(JUNK)
        *way, last = chance.choice(places)
        owner = changed
        for key in way:
            owner = owner[key]
        act = chance.randrange(6)
        if act <= 2:
            owner[last] = copy.deepcopy(chance.choice(JUNK))
        elif act == 3:
            del owner[last]
        elif isinstance(owner, list):
            owner.insert(last, copy.deepcopy(chance.choice((owner[last], *JUNK))))
        elif act == 4:
            owner[str(last) + chance.choice(("s", " ", "_", "X"))] = owner.pop(last)
        else:
            owner[chance.choice(("extra", "", "id", "__class__", "weights"))] = copy.deepcopy(chance.choice(JUNK))
    return changed


def spoil_bytes(data: bytes, chance: random.Random) -> bytes:
    """A copy cut off, or with some bytes changed, inserted, taken out or doubled."""
    for _ in range(chance.choice((1, 1, 2, 5))):
        at = chance.randrange(len(data) + 1)
        act = chance.randrange(6)
        if act == 0:
            data = data[:at]
        elif act == 1 and at < len(data):
            data = data[:at] + bytes([data[at] ^ (1 << chance.randrange(8))]) + data[at + 1 :]
        elif act == 2:
            data = data[:at] + chance.choice(BYTES) + data[at:]
        elif act == 3:
            data = data[:at] + data[at + chance.randrange(1, 40) :]
        elif act == 4:
            data = data[:at] + data[max(0, at - chance.randrange(1, 200)) :]
        else:
            data = data[:at] + b"\x00" * chance.randrange(1, 600) + data[at:]
    return data


def spoil_jsonl(data: bytes, chance: random.Random) -> tuple[bytes, int | None]:
    """Spoil one row of a JSONL file, or its bytes.

    Returns:
        The file, and the number of the row, from 1; None where the bytes were spoilt.
    """
    lines = data.splitlines()
    if chance.random() < 0.3 or not lines:
        return spoil_bytes(data, chance), None
    at = chance.randrange(len(lines))
    lines[at] = json.dumps(spoil_value(json.loads(lines[at]), chance)).encode()
    return b"\n".join(lines) + b"\n", at + 1
