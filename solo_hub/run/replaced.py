"""Results of a run that changed settings put out of date: they stay until their replacements are whole.

They are moved aside in one change together with the new `config.yaml`, so that no file of a run folder is ever of other
settings than those that stand there. Changes stack up, and whoever goes back to earlier settings before the new results
are whole gets the earlier ones back instead of waiting for them again.

    .replaced/1/was.json      the settings of before, and what the results rest on
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
"""The files that show a step to be complete. Labels never go aside; what was published is on the Hub."""


@dataclass(frozen=True, slots=True)
class Earlier:
    """Results that can be had back.

    Attributes:
        resolved: What their settings stood for.
        moves: What goes where.
        sums: Hashes of their JSON documents, by name.
    """

    resolved: dict[str, Any]
    moves: list[tuple[str, str]]
    sums: dict[str, list[str]]


def touched(run: RunFolder, step: str) -> bool:
    """Whether a run has anything of a step or a later one: results, labels, or what an interrupted step has left."""
    late = STEPS[STEPS.index(step) :]
    labels = "labels" in late and any(run.path.glob(_SHARES))
    return labels or any(path.exists() for path, of in _items(run) if of in late)


def set_aside(run: RunFolder, step: str, config: str, *, known: bool) -> None:
    """Give a run another `config.yaml` and move aside what a step and all after it have made.

    Labels stay: their keys tell which of them are still good.

    Args:
        run: The run, locked.
        step: The first step that the new settings touch.
        config: The new `config.yaml`.
        known: Whether the present `config.yaml` holds the settings the results were made with; where it was edited by
            hand nobody can go back to them.
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
    """The results of before that were made with these settings; None where there are none, or they fit no more.

    Args:
        run: The run.
        settings: The settings of now, as JSON types.
        complete: Makes settings of an earlier time comparable: what came later has its default.
    """
    # walking back from change to change, what stood in the folder before each of them
    there: dict[str, str] = {}
    first = len(STEPS)
    stack = sorted(_numbers(run), reverse=True)
    for number in stack:
        was = _read(run, number)
        if was is None:
            return None  # nobody knows the way back any further
        first = min(first, STEPS.index(was["step"]))
        late = {path.name for path, of in _items(run) if STEPS.index(of) >= STEPS.index(was["step"])}
        there = {name: place for name, place in there.items() if name not in late}
        there |= {name: f"{FOLDER}/{number}/{name}" for name in was["moved"]}
        document = parse_yaml(was["config"]) if was["config"] else None
        if document is not None and complete(document["settings"]) == settings and _rests(run, was, there):
            going = [path.name for path, of in _items(run) if STEPS.index(of) >= first and path.name != LABELS]
            moves = [(name, f"{transaction.DISCARDED}/{name}") for name in going if (run.path / name).exists()]
            moves += [(place, name) for name, place in there.items()]
            moves += [(f"{FOLDER}/{n}", f"{transaction.DISCARDED}/{FOLDER}-{n}") for n in stack if n >= number]
            return Earlier(document["resolved"], moves, was["sums"])
    return None


def take_back(run: RunFolder, earlier: Earlier, config: str) -> None:
    """Put results of before in their places again, with their `config.yaml`; what came after them is removed."""
    run.recall(earlier.sums)
    transaction.commit(run.path, earlier.moves, {"config.yaml": config})


def sweep(run: RunFolder) -> None:
    """Remove what was replaced when all that replaces it is whole."""
    if not (run.path / FOLDER).is_dir():
        return
    known = [_read(run, number) for number in _numbers(run)]
    gone = {name for was in known if was is not None for name in was["moved"]}
    steps = {of for path, of in _items(run) if path.name in gone}
    if None not in known and all(run.has(*_SIGNS.get(step, ())) for step in steps):
        transaction.remove(run.path, run.path / FOLDER)


def _items(run: RunFolder) -> Iterable[tuple[Path, str]]:
    """Every file and folder that steps make, with the step."""
    yield from ((run.path / item.path, item.step) for item in LAYOUT if item.step)
    yield run.training, "adapter"


def _numbers(run: RunFolder) -> list[int]:
    return [int(path.name) for path in (run.path / FOLDER).glob("*") if path.name.isdecimal()]


def _read(run: RunFolder, number: int) -> dict[str, Any] | None:
    """What is known of a change; None where somebody has changed that."""
    try:
        was = parse_json((run.path / FOLDER / str(number) / _WAS).read_bytes())
        config = parse_yaml(was["config"]) if was["config"] else None
        fine = (
            was["step"] in STEPS
            and all(isinstance(was[name], dict) for name in ("rests_on", "sums"))
            and {*was["moved"]} <= {path.name for path, _ in _items(run)}
            and (config is None or all(isinstance(config[name], dict) for name in ("settings", "resolved")))
        )
    except (OSError, ValueError, KeyError, TypeError, yaml.YAMLError):
        return None
    return dict(was) if fine else None


def _rests(run: RunFolder, was: Mapping[str, Any], there: Mapping[str, str]) -> bool:
    """Whether everything that results were made from is what it was, once they are back in their places."""
    places = {name: run.path / there.get(name, name) for name in was["rests_on"]}
    return all((run.path / place).exists() for place in there.values()) and all(
        _hash(place) == was["rests_on"][name] for name, place in places.items()
    )


def _hash(path: Path) -> str | None:
    """Of a file, or of what is in a folder; None where there is nothing."""
    if path.is_file():
        return tables.sha256_of(path)
    if not path.is_dir():
        return None
    digest = hashlib.sha256()
    for file in sorted(path.rglob("*")):
        if file.is_file():
            digest.update(f"{file.relative_to(path).as_posix()}\0{tables.sha256_of(file)}\n".encode())
    return digest.hexdigest()
