"""A Hub with a tiny model, a town's questions and facts: what commands before and after a run need."""

from __future__ import annotations

import dataclasses

import pytest
from publishing.conftest import documents, make_config  # noqa: F401 - the fixture of the run made by hand
from sample_data import FACTS, OTHER, READ, ROWS, WRITE
from small_hub import run_here, write_rows


@pytest.fixture(scope="session")
def hub(tmp_path_factory, tiny_model):
    from solo_hub.hub import HubClient
    from solo_hub.hub.seeds import seeding
    from solo_hub.hub.server import EmbeddedHub

    users = [
        {"name": "ann", "token": WRITE, "orgs": ["tests"]},
        {"name": "rob", "token": READ, "role": "read", "orgs": ["tests"]},
        {"name": "eve", "token": OTHER},
    ]
    folder = tmp_path_factory.mktemp("seeds")
    model = folder / "models" / "tests" / "tiny"
    model.mkdir(parents=True)
    for file in tiny_model.iterdir():
        (model / file.name).write_bytes(file.read_bytes())
    (model / "README.md").write_text("---\nlicense: apache-2.0\n---\nA random model.\n")
    town, facts = (folder / "datasets" / "tests" / name for name in ("town", "town-facts"))
    write_rows(town / "train.jsonl", ROWS[:4])
    write_rows(town / "validation.jsonl", ROWS[4:])
    write_rows(facts / "train.jsonl", FACTS)
    for path in (town, facts):
        (path / "README.md").write_text("---\nlicense: mit\n---\nOf an invented town.\n")
    with EmbeddedHub(tmp_path_factory.mktemp("hub"), users=users, remember=False) as server:
        seeding.seed_folder(HubClient(server.endpoint, WRITE, tmp_path_factory.mktemp("seed-cache")), folder)
        yield server


@pytest.fixture
def door(hub, tmp_path):
    from solo_hub.hub import HubClient

    return HubClient(hub.endpoint, WRITE, tmp_path / "door-cache")


@pytest.fixture
def command(hub, tmp_path, monkeypatch, capfd):
    """Runs a command in this process against the Hub; returns exit code, stdout and stderr on one line."""

    def run(*arguments, token=WRITE, hub=hub.endpoint):
        return run_here(hub, monkeypatch, capfd, *arguments, home=tmp_path / "home", token=token)

    return run


@pytest.fixture(scope="session")
def trained(hub, tiny_model, tmp_path_factory):
    """An adapter on the tiny model that changes its answers, as training would leave it."""
    from tiny import load_engine, move_adapter

    from solo_hub.core.settings import StudentSettings
    from solo_hub.hub import HubClient
    from solo_hub.models import adapters

    engine, folder = load_engine(tiny_model), tmp_path_factory.mktemp("trained")
    adapters.attach(engine, StudentSettings(rank=4))
    move_adapter(engine, 0.2)
    commit = HubClient(hub.endpoint, WRITE, folder / "cache").pin("tests/tiny", "model").commit
    adapters.save(engine, folder / "adapter", base="tests/tiny", commit=commit)
    return folder / "adapter"


@pytest.fixture
def published(door, documents, trained, tmp_path):  # noqa: F811 - the fixture imported above
    """Dataset and adapter of a run, published; their folders, which hold what was pushed."""
    from solo_hub.publishing.naming import repo_names
    from solo_hub.publishing.publication import Folders, publish

    repos = {
        role: door.pin(name, kind).to_row()
        for role, name, kind in (
            ("base", "tests/tiny", "model"),
            ("questions", "tests/town", "dataset"),
            ("knowledge", "tests/town-facts", "dataset"),
            ("embedder", "tests/tiny", "model"),
        )
    }
    config = make_config(**repos)
    config["settings"]["base"] = "tests/tiny"
    run = dataclasses.replace(documents, config=config, adapter=trained)
    folders = Folders(tmp_path / "7-dataset", tmp_path / "7-adapter")
    publish(run, folders, repo_names("tests", "town", "tests/tiny"), door.push, latest=door.latest, message="by test")
    return folders
