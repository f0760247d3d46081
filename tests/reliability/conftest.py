"""Commands in processes of their own, an undisturbed run to compare with, and counts that are printed at the end."""

from __future__ import annotations

from pathlib import Path

import counters
import pytest
from outcomes import write_config
from small_hub import WRITE
from small_run import Runner, settings_of


@pytest.fixture(scope="session")
def count():
    """Adds to what is counted: `count("kills")`, `count("inputs tried", 500)`."""
    return counters.count


@pytest.fixture(scope="session")
def runner(hub, fork_server):
    """Runs commands against the Hub in forked children."""
    return Runner(hub.endpoint, fork_server)


@pytest.fixture(scope="session")
def api(hub):
    from huggingface_hub import HfApi

    return HfApi(endpoint=hub.endpoint, token=WRITE)


@pytest.fixture(scope="session")
def undisturbed(runner, tmp_path_factory):
    """A finished, published run that nothing disturbed: (folder, how it ended). Its home lies beside it."""
    folder = tmp_path_factory.mktemp("undisturbed")
    config = write_config(folder / "config.yaml", settings_of("undisturbed", whole=True))
    done = runner.run("distill", config, "--run", folder / "run", "--push", home=folder / "home")
    assert done.code == 0, done.err
    return folder / "run", done


@pytest.fixture(scope="session")
def home(undisturbed):
    """A home with the repos pulled and the index built."""
    return undisturbed[0].parent / "home"


@pytest.fixture(scope="session")
def repos(hub, tmp_path_factory):
    """Folders of the repos that the undisturbed run reads, by their names."""
    from huggingface_hub import snapshot_download

    def pull(name, kind):
        folder = tmp_path_factory.mktemp("repos") / "files"
        return snapshot_download(name, repo_type=kind, endpoint=hub.endpoint, token=WRITE, local_dir=folder)

    kinds = {"tests/tiny": "model", "solo-hub/invented-world": "dataset", "solo-hub/invented-world-corpus": "dataset"}
    return {name: Path(pull(name, kind)) for name, kind in kinds.items()}
