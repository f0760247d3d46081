"""Peak memory of training."""

from __future__ import annotations

import contextlib
from pathlib import Path

from solo_hub.core.system import peak_memory


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
    return peak_memory()
