"""What this machine has, and what a run is estimated to need of it."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

BYTES = {"float32": 4, "bfloat16": 2, "float16": 2, "float64": 8, "nf4": 0.75}
"""Bytes of a weight; in 4 bits half a byte, and the embeddings, which stay as they are."""

# Interpreter, libraries and activations of small batches. Measured: a run of a model of 134.5 million parameters,
# rank 16, in bfloat16 with evaluation in float32, peaked at 2.22 GB on a CPU; the formula below gives 2.25.
OVERHEAD = 1_600_000_000  # bytes
MARGIN = 1.2  # adapter, its optimiser and gradients, and the larger of the two copies while weights are converted
INDEX_SHARE = 2.0  # vectors and word index of a corpus, as a multiple of its text
RUN_FOLDER = 300_000_000  # bytes: labels, adapter, checkpoints, report


@dataclass(frozen=True, slots=True)
class Machine:
    """What there is.

    Attributes:
        device: `cpu`, `cuda`, `mps`, ...
        memory: Free bytes where the model will live: of the GPU, or of the machine; None where it cannot be told.
        cores: Processor cores this process may use.
    """

    device: str
    memory: int | None
    cores: int


def inspect(device: str) -> Machine:
    """Look at this machine.

    Args:
        device: As `models.loading.find_device` returned it.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return Machine(device, _gpu_memory(device) if device.startswith("cuda") else free_memory(), cores)


def free_memory() -> int | None:
    """Bytes of memory this process may take: what the system has free, and less where a limit is set (ulimit too)."""
    known = [size for size in (_system_memory(), _container_memory(), _below_limits()) if size is not None]
    return min(known, default=None)


def resident_memory() -> int:
    """Bytes of this process in memory now; its peak where the system does not tell."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        return int(Path("/proc/self/statm").read_text("ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return peak_memory()


def peak_memory() -> int:
    """Most bytes this process has had in memory.

    On Linux from the kernel's own mark of this program: `getrusage` also counts what the process that started it held.
    """
    with contextlib.suppress(OSError, ValueError, StopIteration):
        lines = Path("/proc/self/status").read_text("ascii").splitlines()
        return int(next(line for line in lines if line.startswith("VmHWM:")).split()[1]) * 1024
    import resource

    unit = 1 if sys.platform == "darwin" else 1024  # in bytes on macOS, in KiB elsewhere
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def free_disk(folder: Path) -> int:
    """Free bytes on the disk a folder is on, or will be on."""
    return shutil.disk_usage(_existing(folder)).free


def disk_of(folder: Path) -> int:
    """Which disk a folder is on, or will be on: equal numbers, same disk."""
    return _existing(folder).stat().st_dev


def _existing(folder: Path) -> Path:
    place = folder.expanduser().absolute()
    while not place.exists():
        place = place.parent
    return place


def parameters(weights: int, dtype: str | None) -> int:
    """Number of a model's parameters.

    Args:
        weights: Bytes of its safetensors files.
        dtype: Precision they are stored in by its config.json; two bytes each where it does not tell.
    """
    return int(weights / BYTES.get(dtype or "", 2))


def memory_needed(count: int, dtypes: Mapping[str, str]) -> int:
    """Bytes a run of a model takes at its peak: an estimate.

    Args:
        count: Parameters of the base model.
        dtypes: Precision of each phase (`labelling`, `evaluation`); the widest counts.
    """
    width = max(BYTES.get(dtype, 4) for dtype in dtypes.values())
    return int(count * width * MARGIN) + OVERHEAD


def told(size: float) -> str:
    """Bytes for a reader.

    >>> told(2_240_000_000)
    '2.2 GB'
    """
    for unit, scale in (("GB", 1e9), ("MB", 1e6)):
        if size >= scale:
            return f"{size / scale:.1f} {unit}"
    return f"{size / 1e3:.0f} kB"


def _system_memory() -> int | None:
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in Path("/proc/meminfo").read_text("ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    with contextlib.suppress(OSError, ValueError, AttributeError):  # no /proc: what is built in, not what is free
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return None


def _container_memory() -> int | None:
    root = Path("/sys/fs/cgroup")
    with contextlib.suppress(OSError, ValueError):  # `max` where there is no limit
        limit, used = (int((root / name).read_text("ascii")) for name in ("memory.max", "memory.current"))
        stat = dict(line.split() for line in (root / "memory.stat").read_text("ascii").splitlines())
        return limit - used + int(stat["inactive_file"])  # cached files give way
    return None


def _below_limits() -> int | None:
    """What is left of the limits of this process (`ulimit -v`, `ulimit -d`); None where there are none."""
    with contextlib.suppress(ImportError, OSError, ValueError, StopIteration):
        import resource

        lines = Path("/proc/self/status").read_text("ascii").splitlines()
        left = []
        for kind, name in ((resource.RLIMIT_AS, "VmSize:"), (resource.RLIMIT_DATA, "VmData:")):
            limit, _ = resource.getrlimit(kind)
            if limit != resource.RLIM_INFINITY:
                held = int(next(line for line in lines if line.startswith(name)).split()[1]) * 1024
                left.append(max(0, limit - held))
        return min(left, default=None)
    return None


def _gpu_memory(device: str) -> int | None:
    import torch

    with contextlib.suppress(RuntimeError):
        free, _ = torch.cuda.mem_get_info(device)
        return int(free)
    return None
