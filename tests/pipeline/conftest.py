"""Settings of a run that takes seconds, and two ways to do it: in this process, and by a command in one of its own."""

from __future__ import annotations

import pytest
import yaml
from small_hub import WRITE, small_settings


@pytest.fixture
def settings():
    return small_settings()


@pytest.fixture(scope="session")
def home(tmp_path_factory):
    """A home that tests share which do not ask what is downloaded or built there."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture
def context(hub, home, tmp_path):
    """Makes a run_context for settings: `context(settings, folder)`."""
    from solo_hub.core.config import build
    from solo_hub.core.console import Console
    from solo_hub.hub.connection import Connection
    from solo_hub.run.context import RunContext
    from solo_hub.run.folder import RunFolder

    def make(settings, folder=None, *, token=WRITE, update=False):
        run = RunFolder(folder or tmp_path / "run")
        run.create()
        connection = Connection(hub.endpoint, token, home / "cache" / "hub")
        return RunContext(build(settings), run, lambda needs: connection, Console("quiet"), update=update)

    return make


@pytest.fixture
def command(hub, fork_server, tmp_path):
    """Runs `solo-hub` in a forked process against the Hub."""

    def run(*arguments, wait=True, home=None, env=None, setup=None, **settings):
        config = tmp_path / "config.yaml"
        if settings:
            config.write_text(yaml.safe_dump(settings))
            arguments = (arguments[0], config, *arguments[1:])
        begin = fork_server.run if wait else fork_server.start
        where = {"SOLO_HUB_HOME": str(home or tmp_path / "home"), **(env or {})}
        return begin(*arguments, "--hub", hub.endpoint, env=where, **({"setup": setup} if setup else {}))

    return run
