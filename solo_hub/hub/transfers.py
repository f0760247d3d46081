"""Where the Xet library keeps its cache and its log while it transfers: a folder that can be written."""

from __future__ import annotations

import atexit
import contextlib
import os
import shutil
import tempfile
from pathlib import Path

PLACE = "HF_XET_CACHE"


def may_write(folder: Path) -> bool:
    """Whether files may be put into a folder, which is made when it is missing; the disk's room does not matter."""
    place = folder.expanduser().absolute()
    while not place.exists():
        place = place.parent
    return os.access(place, os.W_OK | os.X_OK)


def ensure_xet_cache_writable() -> None:
    """Give the Xet library a folder of this process's own where the user's cannot be written.

    It fails without one, downloads and uploads alike, and writes its log to stdout; a home that may only be read is
    usual on clusters and in containers. It reads the variable when it is imported, which is at the first transfer.
    """
    from huggingface_hub import constants

    if may_write(Path(os.environ.get(PLACE) or constants.HF_XET_CACHE)):
        return
    with contextlib.suppress(OSError):  # nowhere at all: the transfer says so
        folder = tempfile.mkdtemp(prefix="solo-hub-xet-")
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        os.environ[PLACE] = folder
