"""A Hub with everything a run needs, small: a random model, the real embedder, a world of a few facts."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import yaml
from small_hub import WRITE, small_fixtures

hub, settings = small_fixtures()


@pytest.fixture
def context(hub, tmp_path):
    """Makes a run_context for settings: `context(settings, folder)`."""
    from solo_hub.core.config import build
    from solo_hub.core.console import Console
    from solo_hub.hub.connection import Connection
    from solo_hub.run.context import RunContext
    from solo_hub.run.folder import RunFolder

    def make(settings, folder=None, *, token=WRITE, update=False):
        run = RunFolder(folder or tmp_path / "run")
        run.create()
        connection = Connection(hub.endpoint, token, tmp_path / "cache")
        return RunContext(build(settings), run, lambda needs: connection, Console("quiet"), update=update)

    return make


@pytest.fixture
def command(hub, tmp_path):
    """Runs `solo-hub` in a process of its own against the Hub."""

    def run(*arguments, token=WRITE, wait=True, home=None, **settings):
        config = tmp_path / "config.yaml"
        if settings:
            config.write_text(yaml.safe_dump(settings))
            arguments = (arguments[0], str(config), *arguments[1:])
        environment = os.environ | {
            "HF_TOKEN": token,
            "SOLO_HUB_HOME": str(home or tmp_path / "home"),
            "OMP_NUM_THREADS": "1",
        }
        line = [sys.executable, "-m", "solo_hub.cli.main", *map(str, arguments), "--hub", hub.endpoint]
        if not wait:
            return subprocess.Popen(line, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        return subprocess.run(line, env=environment, capture_output=True, text=True, timeout=240, check=False)

    return run
