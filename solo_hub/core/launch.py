"""Whether this process is one of several that a launcher started for one run.

Cluster schedulers set `WORLD_SIZE` and `RANK` for every command, also for single processes, which would then wait for
the others forever. Only processes started by torchrun (which `accelerate launch` uses) or by accelerate itself count.
"""

from __future__ import annotations

import os

_LAUNCHERS = ("TORCHELASTIC_RUN_ID", "ACCELERATE_MIXED_PRECISION")


def launched() -> bool:
    """Whether a launcher has started this process."""
    return any(name in os.environ for name in _LAUNCHERS)


def count() -> int:
    """Number of processes started together; 1 without a launcher."""
    return int(os.environ.get("WORLD_SIZE", "1")) if launched() else 1


def rank() -> int:
    """Rank of this process, from 0."""
    return int(os.environ.get("RANK", "0")) if launched() else 0


def local_rank() -> str | None:
    """Rank of this process on this machine; None without a launcher."""
    return os.environ.get("LOCAL_RANK") if launched() else None
