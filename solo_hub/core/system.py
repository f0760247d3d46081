"""Resources of this machine, and estimates of what a run needs."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

BYTES = {"float32": 4, "bfloat16": 2, "float16": 2, "float64": 8, "nf4": 0.75}
"""Bytes per weight; nf4: half a byte, plus the embeddings, which are not quantized."""

# Interpreter, libraries and activations of small batches. Measured: a run of a model of 134.5 million parameters,
# rank 16, in bfloat16 with evaluation in float32, peaked at 2.22 GB on a CPU; the formula below gives 2.25.
OVERHEAD = 1_600_000_000  # bytes
MARGIN = 1.2  # adapter, optimiser state, gradients, and the second copy while weights are converted
INDEX_SHARE = 2.0  # vectors and word index of a corpus, as a multiple of its text size
BUSY = 0.25  # share of all cores taken by others from which on threads sleep while they wait
RUN_FOLDER = 300_000_000  # bytes: labels, adapter, checkpoints, report


@dataclass(frozen=True, slots=True)
class Machine:
    """Resources of this machine.

    Attributes:
        device: `cpu`, `cuda`, `mps`, ...
        memory: Free bytes of the model's device: of the GPU, or of the machine; None if unknown.
        cores: CPU cores this process may use.
    """

    device: str
    memory: int | None
    cores: int


def version_of(package: str) -> str | None:
    """Version of an installed package."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def inspect(device: str) -> Machine:
    """Inspect this machine.

    Args:
        device: As returned by `models.loading.find_device`.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return Machine(device, _gpu_memory(device) if device.startswith("cuda") else free_memory(), cores)


def share_cores() -> None:
    """Have PyTorch's threads sleep while they wait, where other processes keep the cores busy; before it is imported.

    By default threads spin while they wait for each other: fastest on idle cores, but beside other work each of them
    keeps the very core that the thread it waits for needs (`benchmarks/threads.py`). The user's own choice is kept.
    """
    import psutil

    if "OMP_WAIT_POLICY" not in os.environ and psutil.cpu_percent(0.2) > 100 * BUSY:
        os.environ["OMP_WAIT_POLICY"] = "passive"


def free_memory() -> int | None:
    """Bytes of memory this process may use: free memory, capped by container limits and ulimit."""
    limits = [size for size in (_system_memory(), _container_memory(), _below_ulimit()) if size is not None]
    return min(limits, default=None)


def resident_memory() -> int:
    """Resident memory of this process in bytes; its peak where the system does not report it."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        return int(Path("/proc/self/statm").read_text("ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return peak_memory()


def peak_memory() -> int:
    """Peak resident memory of this process in bytes.

    On Linux from /proc: `getrusage` also counts the memory of the process that forked this one.
    """
    with contextlib.suppress(OSError, ValueError, StopIteration):
        lines = Path("/proc/self/status").read_text("ascii").splitlines()
        return int(next(line for line in lines if line.startswith("VmHWM:")).split()[1]) * 1024
    import resource

    unit = 1 if sys.platform == "darwin" else 1024  # bytes on macOS, KiB elsewhere
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def free_disk(folder: Path) -> int:
    """Free bytes on the disk of a folder, which need not exist yet."""
    return shutil.disk_usage(_existing(folder)).free


def disk_of(folder: Path) -> int:
    """Device number of the disk of a folder, which need not exist yet."""
    return _existing(folder).stat().st_dev


def _existing(folder: Path) -> Path:
    path = folder.expanduser().absolute()
    while not path.exists():
        path = path.parent
    return path


def parameters(weights: int, dtype: str | None) -> int:
    """Number of a model's parameters, estimated from the size of its files.

    Args:
        weights: Size of its safetensors files in bytes.
        dtype: Precision according to its config.json; two bytes per parameter if None.
    """
    return int(weights / BYTES.get(dtype or "", 2))


def memory_needed(count: int, dtypes: Mapping[str, str]) -> int:
    """Estimate the peak memory of a run in bytes.

    Args:
        count: Parameters of the base model.
        dtypes: Precision of each phase (`labelling`, `evaluation`); the widest counts.
    """
    width = max(BYTES.get(dtype, 4) for dtype in dtypes.values())
    return int(count * width * MARGIN) + OVERHEAD


def format_bytes(size: float) -> str:
    """A size in memory or on disk.

    >>> format_bytes(1_340_000_000), format_bytes(5_000_000), format_bytes(0)
    ('1.34 GB', '5.0 MB', '0 kB')
    """
    if size >= 1e9:  # noqa: PLR2004 - a gigabyte
        return f"{size / 1e9:.2f} GB"
    return f"{size / 1e6:.1f} MB" if size >= 1e6 else f"{size / 1e3:.0f} kB"  # noqa: PLR2004


def _system_memory() -> int | None:
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in Path("/proc/meminfo").read_text("ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    with contextlib.suppress(OSError, ValueError, AttributeError):  # no /proc: total instead of free memory
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return None


def _container_memory() -> int | None:
    root = Path("/sys/fs/cgroup")
    with contextlib.suppress(OSError, ValueError):  # `max` where there is no limit
        limit, used = (int((root / name).read_text("ascii")) for name in ("memory.max", "memory.current"))
        stat = dict(line.split() for line in (root / "memory.stat").read_text("ascii").splitlines())
        return limit - used + int(stat["inactive_file"])  # the page cache is reclaimable
    return None


def _below_ulimit() -> int | None:
    """Bytes left under the limits of this process (`ulimit -v`, `ulimit -d`); None without limits."""
    with contextlib.suppress(ImportError, OSError, ValueError, StopIteration):
        import resource

        lines = Path("/proc/self/status").read_text("ascii").splitlines()
        left = []
        for kind, name in ((resource.RLIMIT_AS, "VmSize:"), (resource.RLIMIT_DATA, "VmData:")):
            limit, _ = resource.getrlimit(kind)
            if limit != resource.RLIM_INFINITY:
                used = int(next(line for line in lines if line.startswith(name)).split()[1]) * 1024
                left.append(max(0, limit - used))
        return min(left, default=None)
    return None


def _gpu_memory(device: str) -> int | None:
    import torch

    with contextlib.suppress(RuntimeError):
        free, _ = torch.cuda.mem_get_info(device)
        return int(free)
    return None
