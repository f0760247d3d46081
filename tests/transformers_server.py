"""The server of the installed transformers (`transformers serve`), in a process of its own."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def transformers_server(model: Path, log: Path) -> Iterator[str]:
    """Serve a model's folder; the address of the API.

    Args:
        model: The folder, which is also the model's name on the server.
        log: File for what the server prints.
    """
    pytest.importorskip("openai", reason="`transformers serve` needs its types")
    pytest.importorskip("fastapi")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "transformers.cli.transformers", "serve", str(model), "--host", "127.0.0.1"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with log.open("w+") as printed:
        process = subprocess.Popen(
            [*command, "--port", str(port), "--device", "cpu"], stdout=printed, stderr=printed, env=environment
        )
        try:
            end = time.monotonic() + 120
            while time.monotonic() < end and process.poll() is None:
                with socket.socket() as probe:
                    if probe.connect_ex(("127.0.0.1", port)) == 0:
                        break
                time.sleep(0.2)
            assert process.poll() is None, log.read_text()[-2000:]
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            process.terminate()
            process.wait(30)
