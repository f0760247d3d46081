"""Parsing of untrusted YAML and JSON: plain data only, of whole characters, with limits on size and expansion."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

MOST_PARTS = 1_000_000  # nodes of a YAML document with aliases expanded: a dozen lines can expand to gigabytes
LONGEST = 1 << 22  # characters of a YAML document; a run's settings have thousands
_BOUNDED = (0, 2, 6)  # first libyaml that limits nesting; older ones overflow the stack

if TYPE_CHECKING:
    _Loader = yaml.SafeLoader
elif hasattr(yaml, "CSafeLoader") and yaml._yaml.get_version() >= _BOUNDED:  # noqa: SLF001 - no public API
    _Loader = yaml.CSafeLoader  # ten times as fast
else:
    _Loader = yaml.SafeLoader


_BOOL, _INT, _FLOAT = (f"tag:yaml.org,2002:{name}" for name in ("bool", "int", "float"))
_WRITTEN = (
    (_BOOL, r"(?:true|True|TRUE|false|False|FALSE)$", "tTfF"),
    (_INT, r"[-+]?(?:0[0-7_]*|[1-9][0-9_]*|0x[0-9a-fA-F_]+)$", "-+0123456789"),
    (_FLOAT, r"[-+]?[0-9][0-9_]*\.[0-9_]*(?:[eE][-+][0-9]+)?$", "-+0123456789"),
    (_FLOAT, r"\.[0-9][0-9_]*(?:[eE][-+][0-9]+)?$", "."),
    (_FLOAT, r"(?:[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$", "-+."),
)
"""Kinds of plain words, how they are written, and what they begin with. All are such words in YAML 1.1, too, so what
PyYAML writes as a text, in quotes where it must, is read as a text."""


class PlainLoader(_Loader):
    """Loads plain data only, and limits what aliases (`*name`) expand to.

    As in YAML 1.2, `yes`, `no`, `on`, `off` and `1:30` are texts (answers, classes and columns are named so), and `010`
    is ten.
    """

    yaml_implicit_resolvers = {  # noqa: RUF012 - a class attribute of the library
        first: [resolver for resolver in resolvers if resolver[0] not in (_BOOL, _INT, _FLOAT)]
        for first, resolvers in _Loader.yaml_implicit_resolvers.items()
    }

    def get_single_node(self) -> yaml.Node | None:
        """The document, unless it expands to too many nodes or contains itself."""
        node: yaml.Node | None = super().get_single_node()
        if node is not None and _count_nodes(node, {}) > MOST_PARTS:
            problem = f"its aliases expand to more than {MOST_PARTS:,} nodes"
            raise yaml.composer.ComposerError(None, None, problem, node.start_mark)
        return node


def _whole_number(loader: yaml.Loader, node: yaml.ScalarNode) -> int:
    text = loader.construct_scalar(node).replace("_", "")
    return int(text, 16 if "x" in text else 10)


for _kind, _written, _first in _WRITTEN:
    PlainLoader.add_implicit_resolver(_kind, re.compile(_written), list(_first))
PlainLoader.add_constructor(_INT, _whole_number)


class DuplicateKeyError(yaml.composer.ComposerError):
    """A mapping has a key twice."""


class _UniqueKeys(PlainLoader):
    """A `PlainLoader` that refuses a key written twice, of which the first would be lost."""

    def get_single_node(self) -> yaml.Node | None:
        """The document, unless a mapping has a key twice."""
        node = super().get_single_node()
        if node is not None:
            _refuse_repeated_keys(node, set())
        return node


def _refuse_repeated_keys(node: yaml.Node, done: set[int]) -> None:
    if not isinstance(node, yaml.CollectionNode) or id(node) in done:
        return
    done.add(id(node))
    seen: set[str] = set()
    for part in node.value:
        key, value = part if isinstance(part, tuple) else (None, part)
        if isinstance(key, yaml.ScalarNode):
            if key.value in seen:
                raise DuplicateKeyError(None, None, f"duplicate key '{key.value}'", key.start_mark)
            seen.add(key.value)
        _refuse_repeated_keys(value, done)


def _count_nodes(node: yaml.Node, known: dict[int, float]) -> float:
    """Number of scalars, lists and mappings in a node, aliases expanded; infinite if a node contains itself."""
    if id(node) not in known:
        known[id(node)] = float("inf")
        pairs = node.value if isinstance(node, yaml.CollectionNode) else ()
        inside = (part for pair in pairs for part in (pair if isinstance(pair, tuple) else (pair,)))
        known[id(node)] = 1 + sum(_count_nodes(part, known) for part in inside)
    return known[id(node)]


def parse_yaml(text: str, *, unique_keys: bool = False) -> Any:
    """Parse a YAML document to plain data.

    >>> parse_yaml("a: [1, x]")
    {'a': [1, 'x']}
    >>> parse_yaml("answers: [yes, no, off, true, True love, 010, 1:30]")
    {'answers': ['yes', 'no', 'off', True, 'True love', 10, '1:30']}

    Args:
        text: The document.
        unique_keys: Refuse a key that a mapping has twice; else the last one counts.

    Raises:
        yaml.YAMLError: It is invalid, too long, too deeply nested, or expands to too much.
    """
    if len(text) > LONGEST:
        raise yaml.YAMLError(f"longer than {LONGEST:,} characters")
    try:
        data = yaml.load(text, Loader=_UniqueKeys if unique_keys else PlainLoader)  # noqa: S506 - a SafeLoader
        check_writable(data)
    except ValueError as error:  # a date of the 45th
        raise yaml.YAMLError(str(error)) from error
    except RecursionError:
        raise yaml.YAMLError("nested too deeply") from None
    return data


def read_object(path: Path) -> dict[str, Any]:
    """The JSON object in a file; empty if it cannot be read, or is no object."""
    try:
        document = parse_json(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return document if isinstance(document, dict) else {}


def parse_json(text: str | bytes, *, parse_constant: Callable[[str], Any] | None = None) -> Any:
    """Parse a JSON document.

    >>> parse_json('{"a": [1]}')
    {'a': [1]}

    Args:
        text: The document.
        parse_constant: Called for NaN and Infinity, which JSON does not have.

    Raises:
        ValueError: It is invalid or too deeply nested.
    """
    try:
        data = json.loads(text, parse_constant=parse_constant)
        escapes = (b"\\ud", b"\\uD") if isinstance(text, bytes) else ("\\ud", "\\uD")
        if any(escape in text for escape in escapes):  # type: ignore[operator]
            check_writable(data)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    return data


def check_writable(value: Any) -> None:
    """Reject text that cannot be encoded: escapes of JSON and YAML may give one half of a character (a surrogate).

    Raises:
        ValueError: It contains a lone surrogate.
    """
    try:
        json.dumps(value, ensure_ascii=False, default=str, skipkeys=True).encode()
    except UnicodeEncodeError:
        raise ValueError("a lone surrogate, which cannot be encoded as UTF-8") from None
