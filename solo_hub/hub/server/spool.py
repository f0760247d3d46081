"""Temporary files that requests are written to, and how a finished one is made to last."""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING

from solo_hub.hub.server.errors import too_large

if TYPE_CHECKING:
    from pathlib import Path


class Spool:
    """A temporary file being filled from a request, hashed on the way.

    Args:
        path: Where to write; removed by `discard`.
        limit: Most bytes taken.
        hashed: Whether to compute the sha256 while writing.
    """

    def __init__(self, path: Path, *, limit: int, hashed: bool = True) -> None:
        self.path = path
        self.size = 0
        self._limit = limit
        self._hasher = hashlib.sha256() if hashed else None
        self._file = path.open("xb")

    def write(self, data: bytes) -> None:
        """Append bytes.

        Raises:
            ApiError: 413 beyond the limit.
        """
        self.size += len(data)
        if self.size > self._limit:
            raise too_large(f"More than {self._limit} bytes sent.")
        if self._hasher is not None:
            self._hasher.update(data)
        self._file.write(data)

    @property
    def sha256(self) -> str:
        """Hash of what was written so far."""
        return self._hasher.hexdigest() if self._hasher else ""

    def flush(self) -> None:
        """Put everything on the disk itself and close the file."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()

    def close(self) -> None:
        """Close without forcing the bytes to the disk, for data that is parsed and thrown away."""
        self._file.close()

    def discard(self) -> None:
        """Close and remove; a second call, or one after the file was moved away, does nothing."""
        self._file.close()
        self.path.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Make a rename in the folder survive a power cut."""
    if os.name == "nt":  # folders cannot be opened there; NTFS journals the rename itself
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
