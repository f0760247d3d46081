"""Settings of a run that takes seconds, and two ways to do it: in this process, and by a command in one of its own."""

from __future__ import annotations

import shutil

import pytest
import yaml
from fork_server import ALL_FORKED
from small_hub import WRITE, small_settings


@pytest.fixture
def settings():
    return small_settings()


@pytest.fixture(scope="session")
def home(tmp_path_factory):
    """A home that tests share which do not ask what is downloaded or built there."""
    return tmp_path_factory.mktemp("home")


def open_context(hub, home, settings, folder, *, token=WRITE, update=False):
    from solo_hub.core.config import build
    from solo_hub.core.console import Console
    from solo_hub.hub.connection import Connection
    from solo_hub.run.context import RunContext
    from solo_hub.run.folder import RunFolder

    run = RunFolder(folder)
    run.create()
    connection = Connection(hub.endpoint, token, home / "cache" / "hub")
    return RunContext(build(settings), run, lambda needs: connection, Console("quiet"), update=update)


@pytest.fixture
def context(hub, home, tmp_path):
    """Makes a run_context for settings: `context(settings, folder)`."""

    def make(settings, folder=None, **more):
        return open_context(hub, home, settings, folder or tmp_path / "run", **more)

    return make


@pytest.fixture(scope="session")
def finished_once(hub, home, tmp_path_factory):
    """A finished run of the small settings: the folder all tests copy."""
    from solo_hub import pipeline

    folder = tmp_path_factory.mktemp("finished") / "run"
    pipeline.distill(open_context(hub, home, small_settings(), folder))
    return folder


@pytest.fixture
def finished_copy(finished_once, tmp_path):
    """A copy of that run in the place of the test's own; `settings` are its own."""
    return shutil.copytree(finished_once, tmp_path / "run")


@pytest.fixture
def command(hub, fork_server, tmp_path):
    """Runs `solo-hub` in a forked process against the Hub; a job's processes are forked, too."""

    def run(*arguments, wait=True, home=None, env=None, setup=ALL_FORKED, **settings):
        config = tmp_path / "config.yaml"
        if settings:
            config.write_text(yaml.safe_dump(settings))
            arguments = (arguments[0], config, *arguments[1:])
        begin = fork_server.run if wait else fork_server.start
        where = {"SOLO_HUB_HOME": str(home or tmp_path / "home"), **(env or {})}
        return begin(*arguments, "--hub", hub.endpoint, env=where, setup=setup)

    return run
