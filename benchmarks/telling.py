"""What benchmarks have in common: progress, settings from the command line, and one document as the outcome."""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


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


def add_settings(parser: argparse.ArgumentParser, setup: type[Any], names: str) -> None:
    """Options for these fields of a dataclass of settings, of the fields' types.

    Args:
        parser: Gets them.
        setup: The dataclass.
        names: The fields, apart by blanks.
    """
    for name in names.split():
        kind = float if setup.__dataclass_fields__[name].type == "float" else int
        parser.add_argument(f"--{name.replace('_', '-')}", type=kind)
    parser.add_argument("--dtype", choices=("auto", "float32", "bfloat16"))


def settings_from(setup: type[Any], options: argparse.Namespace) -> dict[str, Any]:
    """Those fields of a dataclass of settings that the command line names."""
    found = {name: getattr(options, name, None) for name in setup.__dataclass_fields__}
    return {name: value for name, value in found.items() if value is not None}


def alone(measure: Callable[P, R], *arguments: P.args, **named: P.kwargs) -> R:
    """What a function returns in a process of its own: memory that another has freed is not counted as its own."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(measure, *arguments, **named).result()


def tell(made: dict[str, Any], form: str, show: Callable[[dict[str, Any]], None]) -> None:
    """Print the outcome: as one JSON document {claim, value, unit, goal, conditions, table}, or as `show` does."""
    if form == "json":
        print(json.dumps(made, indent=2, allow_nan=False))
    else:
        show(made)
