"""A small Hub, a runner of commands, and the counts that are printed at the end."""

from __future__ import annotations

import pytest
import tally
from small_hub import small_fixtures
from small_run import TOKEN, Runner

hub, _ = small_fixtures(write=TOKEN, bridges=8, training_phrasings=2, validation_phrasings=1)


@pytest.fixture(scope="session")
def count():
    """Adds to what is counted: `count("kills")`, `count("inputs tried", 500)`."""
    return tally.count


@pytest.fixture(scope="session")
def runner(hub, tmp_path_factory):
    """Runs commands in forked children."""
    with Runner(hub.endpoint, tmp_path_factory.mktemp("runner")) as made:
        yield made


@pytest.fixture(scope="session")
def calm(runner, tmp_path_factory):
    """A finished, published run that nothing disturbed: (folder, how it ended, how one ends that need not download)."""
    from outcomes import write_config
    from small_run import settings_of

    folder = tmp_path_factory.mktemp("calm")
    config = write_config(folder / "config.yaml", settings_of("calm"))
    done = runner.run("distill", config, "--run", folder / "run", "--push", home=folder / "home")
    assert done.code == 0, done.err
    config = write_config(folder / "again.yaml", settings_of("again"))
    again = runner.run("distill", config, "--run", folder / "again", "--push", home=folder / "home")
    assert again.code == 0, again.err
    return folder / "run", done, again
