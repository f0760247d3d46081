"""An embedded Hub with everything a run needs, small: a random model, the real embedder, a world of a few facts."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

WRITE, READ = "hf_reliabilityPLANTEDsecretTOKEN01", "hf_piperunREADtoken"
"""Long enough for every pattern of a token: wherever the first is found in a file, it has leaked."""


@contextmanager
def seeded_hub(make_folder: Any, model: Path, **size: int) -> Iterator[Any]:
    """Start it and push what a run pulls.

    Args:
        make_folder: Makes a new folder from a name, as pytest's `tmp_path_factory.mktemp`.
        model: Folder of the tiny model.
        size: How large the world is, as `build_world` takes it.
    """
    from solo_hub.hub import HubClient
    from solo_hub.hub.seeds import seeding
    from solo_hub.hub.seeds.world.world import build_world, write_world
    from solo_hub.hub.server import EmbeddedHub

    orgs = ["tests", "solo-hub", "sentence-transformers"]
    users = [
        {"name": "ann", "token": WRITE, "orgs": orgs},
        {"name": "rob", "token": READ, "role": "read", "orgs": orgs},
    ]
    folder = make_folder("seeds")
    small = {"kinds": 1, "bridges": 9, "entities_per_bridge": 2, "training_phrasings": 3, "validation_phrasings": 2}
    world = build_world(0, **{**small, **size})
    write_world(world, folder)
    copy = folder / "models" / "tests" / "tiny"
    copy.mkdir(parents=True)
    for file in model.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    (copy / "README.md").write_text("---\nlicense: apache-2.0\n---\nA random model.\n")
    with EmbeddedHub(make_folder("hub"), users=users, remember=False) as server:
        door = HubClient(server.endpoint, WRITE, make_folder("seed-cache"))
        seeding.seed_folder(door, folder)
        seeding.seed_models(door, only=["sentence-transformers/all-MiniLM-L6-v2"])
        yield server


def small_settings(*, whole: bool = False) -> dict[str, Any]:
    """Settings of a run that takes seconds.

    Args:
        whole: As a user's run does, the style is chosen, confidences are calibrated, further arms are asked, all arms
            write, and a Space and a Collection are published: half of all its work.
    """
    return {
        "name": "small",
        "base": "tests/tiny",
        "task": {"name": "qasc", "questions": "solo-hub/invented-world", "train_limit": 24, "evaluation_limit": 12},
        "knowledge": {"source": "solo-hub/invented-world-corpus", "passages": 4},
        "teacher": {
            "style_sample": 8, "batch_size": 8, "explain": "never",
            **({} if whole else {"style": "text", "calibrate": False}),
        },
        "student": {"epochs": 2, "batch_size": 8, "rank": 4, "learning_rate": 0.01, "checkpoint_every": 2},
        "evaluation": {
            "resamples": 200, "max_new_tokens": 4, "forgetting": False, "cost_questions": 0, "map": "off",
            **({} if whole else {"arms": [], "generate": False}),
        },
        "publish": {"allow_no_gain": True, **({} if whole else {"space": False, "collection": False})},
    }  # fmt: skip


def run_here(
    hub: Any, monkeypatch: Any, capture: Any, *arguments: Any, home: Path, token: str = WRITE
) -> tuple[int, str, str]:
    """Run a command of `solo-hub` in this process.

    Args:
        hub: The embedded Hub, or an address.
        monkeypatch: pytest's.
        capture: `capfd` or `capsys`.
        arguments: Command and options.
        home: SOLO_HUB_HOME.
        token: Who asks.

    Returns:
        Exit code, stdout, and stderr on one line.
    """
    from solo_hub.cli import main

    monkeypatch.setenv("HF_TOKEN", token)
    monkeypatch.setenv("SOLO_HUB_HOME", str(home))
    code = main.run([*map(str, arguments), "--hub", getattr(hub, "endpoint", hub)])
    out, err = capture.readouterr()
    assert "Traceback" not in err
    assert not token or token not in out + err
    return code, out, " ".join(err.split())


def write_rows(path: Path | str, made: Iterable[dict[str, Any]]) -> str:
    """Write a JSONL file, and the folder it lies in; returns its path as settings name it."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in made), "utf-8")
    return str(path)


def texts_of_classes(folder: Path, classes: list[str], *, questions: int, held_out: list[int]) -> dict[str, Any]:
    """Settings of a run over a few texts without a knowledge base, for a test that takes seconds.

    Args:
        folder: Where the texts go.
        classes: Names of the classes.
        questions: How many texts have no label.
        held_out: The class of each held-out text.
    """
    asked = [{"id": f"t{n}", "text": f"the river {n}"} for n in range(questions)]
    known = [{"id": f"h{n}", "text": f"the bear {n} in winter", "label": label} for n, label in enumerate(held_out)]
    return {
        "task": {
            "name": "text_classification",
            "questions": write_rows(folder / "q.jsonl", asked),
            "evaluation_questions": write_rows(folder / "held-out.jsonl", known),
            "classes": classes,
            "template": "{text}",
        },
        "knowledge": {"passages": 0},
        "evaluation": {"resamples": 200, "cost_questions": 0, "map": "off", "forgetting": False},
    }


def rows(path: Path | str) -> list[dict[str, Any]]:
    """Rows of a JSONL file of a run."""
    return [json.loads(line) for line in Path(path).read_text("utf-8").splitlines()]
