"""Disks of a few megabytes that can be filled, and folders that nobody can write to: real mounts, for root alone."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True)
class SmallDisk:
    """A file system in memory.

    Attributes:
        path: Where it is mounted.
    """

    path: Path

    @property
    def free(self) -> int:
        """Bytes that can still be written."""
        return os.statvfs(self.path).f_bavail * os.statvfs(self.path).f_frsize

    def leave(self, size: int) -> None:
        """Fill it up to so many bytes, rounded up to whole pages."""
        self.clear()
        with (self.path / "ballast").open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, self.free - size)

    def clear(self) -> None:
        """Take out what `leave` filled it with."""
        (self.path / "ballast").unlink(missing_ok=True)


@contextlib.contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[SmallDisk]:
    """Mount a file system of that size on a folder, which is made."""
    with _mounted(folder, f"mount -t tmpfs -o size={megabytes}m,mode=755 tmpfs"):
        yield SmallDisk(folder)


@contextlib.contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Mount a folder on itself so that not even root can write to it."""
    with _mounted(folder, 'mount --bind "$0" "$0" && mount -o remount,ro,bind'):
        yield


@contextlib.contextmanager
def _mounted(folder: Path, command: str) -> Iterator[None]:
    """Mount, in a process that unmounts when its input ends: also when the tests are killed."""
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("only root may mount")
    folder.mkdir(parents=True, exist_ok=True)
    script = f'{command} "$0" && echo mounted && cat; umount --lazy "$0"'
    with subprocess.Popen(
        ["sh", "-c", script, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # Ctrl-C is for the tests
    ) as holder:
        if holder.stdout.readline() != b"mounted\n":
            pytest.skip("this machine lets nobody mount")
        try:
            yield
        finally:
            holder.stdin.close()
            holder.wait()
