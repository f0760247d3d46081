"""Transactions over several files and folders of a run, which survive a killed process.

The change is first written to a journal by atomic rename, which commits it. Applying the journal is idempotent, so the
next process that opens the folder completes it. While the journal exists the folder is in an intermediate state, and
its files must not be used as results.
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
"""Folder for files that a change removes; deleted when the change is complete."""

Moves = Sequence[tuple[str, str]]
"""(source, target) pairs relative to the folder, applied in order; no target exists beforehand."""


def commit(folder: Path, moves: Moves, texts: Mapping[str, str]) -> None:
    """Move files and folders, and write files, all or nothing.

    Args:
        folder: Base of all paths; locked by the caller.
        moves: The moves; each source exists, or is created by an earlier move.
        texts: Contents of files to write, by path.

    Raises:
        RunError: Remains of an earlier change cannot be removed; nothing was changed.
    """
    shutil.rmtree(folder / DISCARDED, ignore_errors=True)
    if (folder / DISCARDED).exists():
        raise RunError(
            f"'{folder / DISCARDED}' cannot be removed.", hint="Check its permissions, and remove it by hand."
        )
    write_text(folder / JOURNAL, json.dumps({"moves": moves, "texts": texts}, ensure_ascii=False) + "\n")
    resume(folder)


def pending(folder: Path) -> bool:
    """Whether there is an incomplete change."""
    return (folder / JOURNAL).exists()


def resume(folder: Path) -> None:
    """Complete an incomplete change, if any.

    Raises:
        RunError: The journal cannot be read.
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
            f"'{journal}', the journal of an incomplete change of the run, cannot be read.",
            hint="Restore it, or choose another folder with --run DIR.",
        ) from error
    else:
        for source, target in moves:
            # an existing target means that this move is done: its source may come from a later move
            if source.exists() and not target.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                source.rename(target)
        for path, text in texts.items():
            write_text(path, text)
        journal.unlink()
    shutil.rmtree(folder / DISCARDED, ignore_errors=True)


def remove(folder: Path, path: Path) -> None:
    """Remove a folder atomically: a partly removed one is never visible under its name."""
    if path.exists():
        gone = folder / DISCARDED
        shutil.rmtree(gone, ignore_errors=True)
        path.rename(gone)
        shutil.rmtree(gone, ignore_errors=True)
