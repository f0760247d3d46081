"""Whether this process is one of several that a launcher started for one run.

Schedulers of clusters leave `WORLD_SIZE` and `RANK` in the environment of every command, also of those that nobody
launched several times; waiting for the others would then never end. Only what torchrun has started counts (`accelerate
launch` starts it), and what accelerate has started without it.
"""

from __future__ import annotations

import os

_LAUNCHERS = ("TORCHELASTIC_RUN_ID", "ACCELERATE_MIXED_PRECISION")


def launched() -> bool:
    """Whether a launcher has started this process."""
    return any(name in os.environ for name in _LAUNCHERS)


def count() -> int:
    """How many processes were started together; 1 without a launcher."""
    return int(os.environ.get("WORLD_SIZE", "1")) if launched() else 1


def rank() -> int:
    """The number of this process among them, from 0."""
    return int(os.environ.get("RANK", "0")) if launched() else 0


def local_rank() -> str | None:
    """The number of this process among those on this machine, None without a launcher."""
    return os.environ.get("LOCAL_RANK") if launched() else None
