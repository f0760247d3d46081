"""Peak memory of training."""

from __future__ import annotations

import contextlib
import re
import resource
import sys
from pathlib import Path


def forget_peak(device: str) -> None:
    """Reset the peak of a model's device, so that earlier use is not counted; not supported on every system."""
    import torch

    if device.startswith("cuda"):
        torch.cuda.reset_peak_memory_stats(device)
        return
    with contextlib.suppress(OSError):  # Linux only, and not writable in every container
        Path("/proc/self/clear_refs").write_text("5", "utf-8")


def peak(device: str) -> int:
    """Bytes at the peak: of the GPU if the model is on one, else resident memory of the process."""
    import torch

    if device.startswith("cuda"):
        return int(torch.cuda.max_memory_allocated(device))
    with contextlib.suppress(OSError):
        found = re.search(r"^VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text("utf-8"), re.MULTILINE)
        if found:
            return int(found[1]) * 1024
    unit = 1 if sys.platform == "darwin" else 1024  # ru_maxrss is in bytes on macOS, in KiB on Linux
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
