"""Runs of the whole path in processes of their own, against a small Hub; what was tried is counted."""

from __future__ import annotations

from pathlib import Path

import pytest
import tally
from harness import WRITE, Nursery
from outcomes import write_config
from small_hub import small_fixtures, small_settings

hub, settings = small_fixtures()


@pytest.fixture(scope="session")
def counts():
    """What was tried: kills, faults, inputs tried, rows lost, secrets found."""
    return tally.COUNTS


@pytest.fixture(scope="session")
def nursery(tmp_path_factory):
    pytest.importorskip("peft", reason="the extra 'train' is not installed")
    made = Nursery(tmp_path_factory.mktemp("said"))
    yield made
    made.close()


@pytest.fixture(scope="session")
def api(hub):
    from huggingface_hub import HfApi

    return HfApi(endpoint=hub.endpoint, token=WRITE)


@pytest.fixture(scope="session")
def home(tmp_path_factory):
    """A home with the repos pulled and the index built: most runs here share it."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="session")
def calm(hub, nursery, home, tmp_path_factory):
    """The run folder of a run that was left alone, published, and the log of its moments."""
    folder = tmp_path_factory.mktemp("calm")
    names = {"dataset": "ann/calm-data", "adapter": "ann/calm-adapter", "collection": "Collection calm"}
    config = write_config(folder / "calm.yaml", small_settings(), **names)
    run = folder / "run"
    log = folder / "moments.log"
    plan = {"moments": {"folders": [str(run), str(home)], "log": str(log)}}
    done = nursery.start(
        "distill", config, "--run", run, "--push", "--hub", hub.endpoint, plan=plan, SOLO_HUB_HOME=str(home)
    )
    assert done.wait() == 0, done.said[-2000:]
    return run


@pytest.fixture(scope="session")
def repos(hub, tmp_path_factory):
    """Folders of the repos that the calm run reads, by their names."""
    from huggingface_hub import snapshot_download

    def pull(name, kind):
        folder = tmp_path_factory.mktemp("repos") / "files"
        return snapshot_download(name, repo_type=kind, endpoint=hub.endpoint, token=WRITE, local_dir=folder)

    kinds = {"tests/tiny": "model", "solo-hub/invented-world": "dataset", "solo-hub/invented-world-corpus": "dataset"}
    return {name: Path(pull(name, kind)) for name, kind in kinds.items()}
