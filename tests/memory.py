"""How much memory a call takes at its highest."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable


def peak_of(call: Callable[[], object], tries: int = 3) -> int:
    """Most bytes that Python holds at once while this is called: the lowest of a few calls.

    Whatever a thread of an earlier test allocates meanwhile is counted too; it does not come back every time.
    """
    peaks = []
    for _ in range(tries):
        tracemalloc.start()
        try:
            call()
            peaks.append(tracemalloc.get_traced_memory()[1])
        finally:
            tracemalloc.stop()
    return min(peaks)
