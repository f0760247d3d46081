"""Obsolete results after a change of settings: kept until their replacements are complete.

They are moved aside in one transaction with the new `config.yaml`, so that the files of a run folder always match its
settings. Changes form a stack: returning to earlier settings before the new results are complete restores the earlier
results instead of computing them again.

    .replaced/1/was.json      the previous settings, and the inputs of the results
    .replaced/1/5-adapter     ...
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from solo_hub.core.parsing import parse_json, parse_yaml
from solo_hub.hub import tables
from solo_hub.run import transaction
from solo_hub.run.folder import LAYOUT, REPLACED, STEPS, RunFolder

FOLDER = REPLACED
_WAS = "was.json"
LABELS = next(item.path for item in LAYOUT if item.name == "labels")
_SHARES = ".3-labels.*.jsonl"
_SIGNS = {
    "questions": ("questions",),
    "passages": ("passages",),
    "selection": ("selected", "dropped"),
    "adapter": ("adapter",),
    "report": ("report",),
}
"""The files that mark a step as complete. Labels are never moved; published results are on the Hub."""


@dataclass(frozen=True, slots=True)
class Earlier:
    """Earlier results that can be restored.

    Attributes:
        resolved: Their resolved settings.
        moves: The moves that restore them.
        sums: Hashes of their JSON documents, by name.
    """

    resolved: dict[str, Any]
    moves: list[tuple[str, str]]
    sums: dict[str, list[str]]


def touched(run: RunFolder, step: str) -> bool:
    """Whether a run has results, labels, or partial results of a step or a later one."""
    late = STEPS[STEPS.index(step) :]
    labels = "labels" in late and any(run.path.glob(_SHARES))
    return labels or any(path.exists() for path, of in _items(run) if of in late)


def set_aside(run: RunFolder, step: str, config: str, *, known: bool) -> None:
    """Write a new `config.yaml` and move the results of a step and all later ones aside.

    Labels stay: their keys show which of them are still valid.

    Args:
        run: The run, locked.
        step: The first step affected by the new settings.
        config: The new `config.yaml`.
        known: Whether the present `config.yaml` has the settings of the results; after manual edits it does not, and
            they cannot be restored.
    """
    late = STEPS[STEPS.index(step) :]
    going = [path for path, of in _items(run) if of in late and path.name != LABELS and path.exists()]
    number = max(_numbers(run), default=0) + 1
    place = f"{FOLDER}/{number}"
    was = {
        "step": step,
        "config": run.file("config").read_text("utf-8") if known else None,
        "rests_on": {path.name: _hash(path) for path, of in _items(run) if of not in late or path.name == LABELS},
        "sums": {name: run.sums(name) for name in ("report", "published")},
        "moved": [path.name for path in going],
    }
    moves = [(path.name, f"{place}/{path.name}") for path in going]
    texts = {"config.yaml": config}
    if moves:
        texts[f"{place}/{_WAS}"] = json.dumps(was, ensure_ascii=False, indent=1) + "\n"
    transaction.commit(run.path, moves, texts)


def find(
    run: RunFolder, settings: Mapping[str, Any], complete: Callable[[Mapping[str, Any]], Mapping[str, Any] | None]
) -> Earlier | None:
    """Earlier results with the given settings; None if there are none, or they are no longer valid.

    Args:
        run: The run.
        settings: The current settings, as JSON types.
        complete: Adds defaults to earlier settings, to make them comparable.
    """
    # walk back through the changes, tracking the folder's content before each
    places: dict[str, str] = {}
    first = len(STEPS)
    stack = sorted(_numbers(run), reverse=True)
    for number in stack:
        was = _read(run, number)
        if was is None:
            return None  # the older states are unknown
        first = min(first, STEPS.index(was["step"]))
        late = {path.name for path, of in _items(run) if STEPS.index(of) >= STEPS.index(was["step"])}
        places = {name: place for name, place in places.items() if name not in late}
        places |= {name: f"{FOLDER}/{number}/{name}" for name in was["moved"]}
        document = parse_yaml(was["config"]) if was["config"] else None
        if document is not None and complete(document["settings"]) == settings and _inputs_unchanged(run, was, places):
            going = [path.name for path, of in _items(run) if STEPS.index(of) >= first and path.name != LABELS]
            moves = [(name, f"{transaction.DISCARDED}/{name}") for name in going if (run.path / name).exists()]
            moves += [(place, name) for name, place in places.items()]
            moves += [(f"{FOLDER}/{n}", f"{transaction.DISCARDED}/{FOLDER}-{n}") for n in stack if n >= number]
            return Earlier(document["resolved"], moves, was["sums"])
    return None


def take_back(run: RunFolder, earlier: Earlier, config: str) -> None:
    """Restore earlier results with their `config.yaml`; newer ones are removed."""
    run.add_hashes(earlier.sums)
    transaction.commit(run.path, earlier.moves, {"config.yaml": config})


def sweep(run: RunFolder) -> None:
    """Remove replaced results when their replacements are complete."""
    if not (run.path / FOLDER).is_dir():
        return
    known = [_read(run, number) for number in _numbers(run)]
    gone = {name for was in known if was is not None for name in was["moved"]}
    steps = {of for path, of in _items(run) if path.name in gone}
    if None not in known and all(run.has(*_SIGNS.get(step, ())) for step in steps):
        transaction.remove(run.path, run.path / FOLDER)


def _items(run: RunFolder) -> Iterable[tuple[Path, str]]:
    """Every file and folder of the steps, with the step."""
    yield from ((run.path / item.path, item.step) for item in LAYOUT if item.step)
    yield run.training, "adapter"


def _numbers(run: RunFolder) -> list[int]:
    return [int(path.name) for path in (run.path / FOLDER).glob("*") if path.name.isdecimal()]


def _read(run: RunFolder, number: int) -> dict[str, Any] | None:
    """The record of a change; None if it is invalid."""
    try:
        was = parse_json((run.path / FOLDER / str(number) / _WAS).read_bytes())
        config = parse_yaml(was["config"]) if was["config"] else None
        valid = (
            was["step"] in STEPS
            and all(isinstance(was[name], dict) for name in ("rests_on", "sums"))
            and {*was["moved"]} <= {path.name for path, _ in _items(run)}
            and (config is None or all(isinstance(config[name], dict) for name in ("settings", "resolved")))
        )
    except (OSError, ValueError, KeyError, TypeError, yaml.YAMLError):
        return None
    return dict(was) if valid else None


def _inputs_unchanged(run: RunFolder, was: Mapping[str, Any], there: Mapping[str, str]) -> bool:
    """Whether the inputs of earlier results are unchanged, once these are restored."""
    places = {name: run.path / there.get(name, name) for name in was["rests_on"]}
    return all((run.path / place).exists() for place in there.values()) and all(
        _hash(place) == was["rests_on"][name] for name, place in places.items()
    )


def _hash(path: Path) -> str | None:
    """Hash of a file, or of a folder's content; None if it does not exist."""
    if path.is_file():
        return tables.sha256_of(path)
    if not path.is_dir():
        return None
    digest = hashlib.sha256()
    for file in sorted(path.rglob("*")):
        if file.is_file():
            digest.update(f"{file.relative_to(path).as_posix()}\0{tables.sha256_of(file)}\n".encode())
    return digest.hexdigest()
