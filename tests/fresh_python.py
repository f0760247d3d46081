"""An interpreter of its own with nothing of ours around it; needs the package registry, so only long tests use it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

CONSTRAINTS = Path(__file__).parents[1] / "constraints.txt"


def fresh_python(place, *wanted):
    """Make a virtual environment and let pip install into it, at the versions of `constraints.txt`.

    Args:
        place: Folder for it.
        wanted: pip's arguments: packages, or `-r` and a file.
    """
    subprocess.run([sys.executable, "-m", "venv", place], check=True)
    # tests have no network; their guard and the proxy that is not there stay behind
    clean = {name: value for name, value in os.environ.items() if "proxy" not in name.lower() and name != "PYTHONPATH"}
    line = [place / "bin/pip", "install", "--quiet", "-c", CONSTRAINTS, *wanted]
    subprocess.run(line, check=True, env=clean)
    return place / "bin/python"
