"""Serve a root until told to stop: what `find_or_start` runs as a process of its own."""

from __future__ import annotations

import signal
import sys
import threading
from pathlib import Path

from solo_hub.hub.server import processes
from solo_hub.hub.server.server import EmbeddedHub


def serve(hub: EmbeddedHub) -> None:
    """Run a started server until SIGTERM or SIGINT, known to other programs of this user meanwhile."""
    done = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: done.set())
    processes.announce(hub)
    try:
        done.wait()
    finally:
        processes.withdraw(hub.root)
        hub.stop()


if __name__ == "__main__":
    serve(EmbeddedHub(Path(sys.argv[1])).start())
