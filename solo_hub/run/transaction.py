"""Changes to several files and folders of a run that happen together, also where the process is killed half-way.

What is going to be done is written down first, as one document by atomic rename: that is the moment of the change.
Doing it is repeatable, so whoever opens the folder next finishes what was begun. While the document is there the folder
is between two states, and nothing in it may be taken as a result.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from solo_hub.core.errors import RunError
from solo_hub.core.files import write_text
from solo_hub.core.parsing import parse_json

JOURNAL = ".change.json"
DISCARDED = ".discarded"
"""Where files go that the change removes; emptied when it is done."""

Moves = Sequence[tuple[str, str]]
"""From and to, relative to the folder, done in this order; a target that is taken afterwards was not there before."""


def commit(folder: Path, moves: Moves, texts: Mapping[str, str]) -> None:
    """Move files and folders, and write files, all or nothing.

    Args:
        folder: What all paths are relative to; locked by the caller.
        moves: What goes where; each source is there now, or is made by an earlier move.
        texts: Files to write, by their paths.

    Raises:
        RunError: What an earlier change removed is still there and cannot be removed; nothing was changed.
    """
    shutil.rmtree(folder / DISCARDED, ignore_errors=True)
    if (folder / DISCARDED).exists():
        raise RunError(f"'{folder / DISCARDED}' cannot be removed.", hint="Check its rights, and remove it by hand.")
    write_text(folder / JOURNAL, json.dumps({"moves": moves, "texts": texts}, ensure_ascii=False) + "\n")
    resume(folder)


def pending(folder: Path) -> bool:
    """Whether a change was begun and not finished."""
    return (folder / JOURNAL).exists()


def resume(folder: Path) -> None:
    """Finish a change that was begun; nothing where there is none.

    Raises:
        RunError: The document that says what to do cannot be read.
    """
    journal = folder / JOURNAL
    try:
        document = parse_json(journal.read_bytes())
        moves = [(folder / source, folder / target) for source, target in document["moves"]]
        texts = {folder / path: str(text) for path, text in document["texts"].items()}
    except FileNotFoundError:
        pass
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise RunError(
            f"'{journal}', which says how a change of the run goes on, cannot be read.",
            hint="Put it back, or choose another folder with --run DIR.",
        ) from error
    else:
        for source, target in moves:
            # a target that is there shows that this move is done: its source may be what a later move has put there
            if source.exists() and not target.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                source.rename(target)
        for path, text in texts.items():
            write_text(path, text)
        journal.unlink()
    shutil.rmtree(folder / DISCARDED, ignore_errors=True)


def remove(folder: Path, path: Path) -> None:
    """Remove a folder within another so that a half-removed one is never seen under its name."""
    if path.exists():
        gone = folder / DISCARDED
        shutil.rmtree(gone, ignore_errors=True)
        path.rename(gone)
        shutil.rmtree(gone, ignore_errors=True)
