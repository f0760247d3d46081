"""Versions of a published knowledge base: counted as those of a run are, and only a whole one gets a missing tag."""

from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from publishing.fake_hub import FakeHub
from solo_hub.core.errors import ConflictError
from solo_hub.publishing.knowledge import KnowledgeBase, publish_knowledge
from solo_hub.run.resolved import LocalFile, PinnedRepo

REPO = "ann/town-knowledge-base"


@pytest.fixture
def hub(tmp_path):
    return FakeHub(tmp_path / "hub")


@pytest.fixture
def publish(hub, tmp_path):
    """Publish a knowledge base of these texts."""
    source = LocalFile(file="facts.txt", sha256="1" * 64)
    embedder = PinnedRepo(repo_id="acme/embedder", type="model", commit="2" * 40)

    def call(*texts):
        def fill(folder):
            (folder / "data").mkdir(parents=True)
            rows = [{"id": f"f{n}", "text": text} for n, text in enumerate(texts)]
            pq.write_table(pa.Table.from_pylist(rows), folder / "data" / "train-00000.parquet")
            return {"documents": len(texts), "dimension": 2, "words": 5, "embedder": "acme/embedder@2", "chunking": {}}

        base = KnowledgeBase(REPO, (source,), embedder)
        return publish_knowledge(base, tmp_path / "filled", fill, hub.push, latest=hub.latest, tag=hub.tag)

    return call


def history(hub):
    said = json.loads((hub.latest(REPO, "dataset").folder / "provenance.json").read_text())
    return [change["tag"] for change in said["history"]]


def test_other_texts_are_the_next_version_and_the_same_are_none(publish, hub):
    assert [publish(*texts)["tag"] for texts in (["salt"], ["salt"], ["salt", "iron"])] == ["v1", "v1", "v2"]
    assert len(hub.pushes) == 2
    assert history(hub) == ["v2", "v1"]


def test_a_version_without_its_tag_is_tagged_before_the_next(publish, hub):
    publish("salt")
    publish("iron")
    cut_off = hub.tags[REPO].pop()
    assert publish("wood")["tag"] == "v3"
    assert hub.tags[REPO][1] == cut_off
    assert history(hub) == ["v3", "v2", "v1"]


def test_a_version_without_its_tag_is_tagged_when_it_is_published_again(publish, hub):
    publish("salt")
    publish("iron")
    cut_off = hub.tags[REPO].pop()
    assert publish("iron")["tag"] == "v2"
    assert hub.tags[REPO][1] == cut_off
    assert len(hub.pushes) == 2


def test_what_somebody_changed_since_is_not_tagged_as_a_version(publish, hub):
    """The commit says it is version 2, but its card was edited: not what version 2 was."""
    publish("salt")
    publish("iron")
    changed = hub.tags[REPO].pop()
    card = hub.latest(REPO, "dataset").folder / "README.md"
    card.write_text(card.read_text() + "\nEdited by hand.\n")
    assert publish("wood")["tag"] == "v2"
    assert changed not in hub.tags[REPO]


def test_somebody_published_in_between(publish, hub, monkeypatch):
    publish("salt")
    push = hub.push

    def slow_push(*arguments, **options):
        hub.tags[REPO].append("theirs")
        return push(*arguments, **options)

    monkeypatch.setattr(hub, "push", slow_push)
    with pytest.raises(ConflictError, match="became version v3 instead of v2"):
        publish("iron")
