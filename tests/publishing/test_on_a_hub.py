from __future__ import annotations

import dataclasses
import subprocess
import sys

import pytest

from solo_hub.checks.repo_contents import verify
from solo_hub.hub.client import HubClient
from solo_hub.publishing.naming import repo_names
from solo_hub.publishing.publication import Folders, publish

STRANGER = """
from datasets import load_dataset
for version in ("v1", "v2"):
    kept = load_dataset(NAME, revision=version, split="train")
    everything = load_dataset(NAME, "all", revision=version, split="train")
    print(version, len(kept), len(everything), kept[0]["text"])
"""


def test_two_versions_published_by_the_door_load_for_a_stranger_and_verify(documents, tmp_path):
    """The whole of publishing against a real server, with the official clients and nothing faked."""
    embedded = pytest.importorskip("solo_hub.hub.server.server")
    pytest.importorskip("datasets")
    with embedded.EmbeddedHub(tmp_path / "hub", remember=False) as hub:
        door = HubClient(hub.endpoint, hub.token, tmp_path / "cache")
        names = repo_names(hub.user, "town", "acme/tiny-instruct")
        folders = Folders(tmp_path / "7-dataset", tmp_path / "7-adapter")

        def push(run):
            return publish(run, folders, names, door.push, latest=door.latest, message="by test")

        first = push(documents)
        assert push(documents) == first
        label, *others = documents.labels
        second = push(dataclasses.replace(documents, labels=(dataclasses.replace(label, text="rain"), *others)))
        assert [entry["tag"] for entry in (*first.values(), *second.values())] == ["v1", "v1", "v2", "v2"]

        def exists(repo_id, kind, revision):
            return repo_id.startswith("acme/") or door.pin(f"{repo_id}@{revision}", kind).commit != ""

        for repo_id, kind in ((names.dataset, "dataset"), (names.adapter, "model")):
            folder = door.latest(repo_id, kind).folder
            assert [check for check in verify(folder, exists=exists) if check.state == "fail"] == []

        script = STRANGER.replace("NAME", repr(names.dataset))
        environment = {"HF_ENDPOINT": hub.endpoint, "HF_HOME": str(tmp_path / "home"), "PATH": "/usr/bin:/bin"}
        loaded = subprocess.run(
            [sys.executable, "-c", script], env=environment, cwd=tmp_path, capture_output=True, text=True, check=False
        )
    assert loaded.stdout.splitlines() == ["v1 3 4 the tide", "v2 3 4 rain"], loaded.stderr
