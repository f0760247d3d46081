"""Ensures a writable folder for the Xet library's cache and log."""

from __future__ import annotations

import atexit
import contextlib
import os
import shutil
import tempfile
from pathlib import Path

PLACE = "HF_XET_CACHE"


def may_write(folder: Path) -> bool:
    """Whether a folder is writable, or can be created; free space is not checked."""
    path = folder.expanduser().absolute()
    while not path.exists():
        path = path.parent
    return os.access(path, os.W_OK | os.X_OK)


def ensure_xet_cache_writable() -> None:
    """Give the Xet library a temporary folder if the user's is not writable.

    Without one, downloads and uploads fail and its log goes to stdout; read-only home folders are common on clusters
    and in containers. It reads the variable when it is imported, at the first transfer.
    """
    from huggingface_hub import constants

    if may_write(Path(os.environ.get(PLACE) or constants.HF_XET_CACHE)):
        return
    with contextlib.suppress(OSError):  # no writable folder at all: the transfer reports it
        folder = tempfile.mkdtemp(prefix="solo-hub-xet-")
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        os.environ[PLACE] = folder
