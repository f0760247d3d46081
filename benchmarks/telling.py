"""What benchmarks have in common: progress, settings from the command line, and one document as the outcome."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from typing import Any


def say(text: str) -> None:
    """Progress to stderr."""
    print(text, file=sys.stderr, flush=True)


def options_of(doc: str, quick: str) -> argparse.ArgumentParser:
    """A parser with the two options that every benchmark has.

    Args:
        doc: The script's docstring; its first line is the description.
        quick: What `--quick` measures.
    """
    parser = argparse.ArgumentParser(description=doc.split("\n", maxsplit=1)[0])
    parser.add_argument("--quick", action="store_true", help=quick)
    parser.add_argument("--format", choices=("human", "json"), default="human")
    return parser


def settings_from(setup: type[Any], options: argparse.Namespace) -> dict[str, Any]:
    """Those fields of a dataclass of settings that the command line names."""
    found = {name: getattr(options, name, None) for name in setup.__dataclass_fields__}
    return {name: value for name, value in found.items() if value is not None}


def tell(made: dict[str, Any], form: str, show: Callable[[dict[str, Any]], None]) -> None:
    """Print the outcome: as one JSON document {claim, value, unit, goal, conditions, table}, or as `show` does."""
    if form == "json":
        print(json.dumps(made, indent=2, allow_nan=False))
    else:
        show(made)
