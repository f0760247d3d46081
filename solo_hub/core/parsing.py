"""YAML and JSON that strangers wrote: plain data, with an end to what a few lines can unfold to."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import yaml

MOST_PARTS = 1_000_000  # of a YAML document with what it repeats by name written out: a dozen lines can be gigabytes
LONGEST = 1 << 22  # characters of a YAML document; a run's settings take thousands
_BOUNDED = (0, 2, 6)  # the first libyaml that ends nesting itself; an older one would overflow the stack

if TYPE_CHECKING:
    _Loader = yaml.SafeLoader
elif hasattr(yaml, "CSafeLoader") and yaml._yaml.get_version() >= _BOUNDED:  # noqa: SLF001 - there is no public name
    _Loader = yaml.CSafeLoader  # ten times as fast
else:
    _Loader = yaml.SafeLoader


class PlainLoader(_Loader):
    """Plain data only, with an end to what is repeated by name (`*name`)."""

    def get_single_node(self) -> yaml.Node | None:
        """The document, unless it unfolds to too much or holds itself."""
        node: yaml.Node | None = super().get_single_node()
        if node is not None and _parts_of(node, {}) > MOST_PARTS:
            problem = f"what it repeats by name is more than {MOST_PARTS:,} parts"
            raise yaml.composer.ComposerError(None, None, problem, node.start_mark)
        return node


def _parts_of(node: yaml.Node, known: dict[int, float]) -> float:
    """Scalars, lists and mappings in a node, each as often as it is named; without end where a node holds itself."""
    if id(node) not in known:
        known[id(node)] = float("inf")
        pairs = node.value if isinstance(node, yaml.CollectionNode) else ()
        inside = (part for pair in pairs for part in (pair if isinstance(pair, tuple) else (pair,)))
        known[id(node)] = 1 + sum(_parts_of(part, known) for part in inside)
    return known[id(node)]


def parse_yaml(text: str) -> Any:
    """Plain data of a YAML document.

    >>> parse_yaml("a: [1, x]")
    {'a': [1, 'x']}

    Raises:
        yaml.YAMLError: It is none, or one that is long, repeats or nests without end.
    """
    if len(text) > LONGEST:
        raise yaml.YAMLError(f"longer than {LONGEST:,} characters")
    try:
        return yaml.load(text, Loader=PlainLoader)  # noqa: S506 - a SafeLoader
    except ValueError as error:  # a date of the 45th
        raise yaml.YAMLError(str(error)) from error
    except RecursionError:
        raise yaml.YAMLError("nested too deeply") from None


def parse_json(text: str | bytes) -> Any:
    """Data of a JSON document.

    >>> parse_json('{"a": [1]}')
    {'a': [1]}

    Raises:
        ValueError: It is none, or nests without end.
    """
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None
