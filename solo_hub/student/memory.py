"""How much memory training takes at most."""

from __future__ import annotations

import contextlib
import re
import resource
import sys
from pathlib import Path


def forget_peak() -> None:
    """Begin to measure anew, so that what came before training is not counted; not every system can."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
        return
    with contextlib.suppress(OSError):  # Linux alone has it, and not every container may write it
        Path("/proc/self/clear_refs").write_text("5", "utf-8")


def peak() -> int:
    """Bytes at the peak: of the accelerator where there is one, else resident memory of the process."""
    import torch

    if torch.cuda.is_available():
        return int(torch.cuda.max_memory_allocated())
    with contextlib.suppress(OSError):
        found = re.search(r"^VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text("utf-8"), re.MULTILINE)
        if found:
            return int(found[1]) * 1024
    unit = 1 if sys.platform == "darwin" else 1024  # ru_maxrss is in bytes on macOS, in KiB on Linux
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
