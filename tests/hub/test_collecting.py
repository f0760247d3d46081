"""A Collection of repos on the embedded Hub: made once, mended where it differs, otherwise left alone."""

from __future__ import annotations

import pytest
from hub_helpers import CARD, WRITE, fill
from huggingface_hub import HfApi

from solo_hub.core.errors import NotAllowedError
from solo_hub.hub import HubClient
from solo_hub.hub.collecting import Item


@pytest.fixture
def repos(door, name, tmp_path):
    made = []
    for kind in ("model", "dataset", "space"):
        folder = fill(tmp_path / kind, {"README.md": "---\nlicense: mit\nsdk: static\n---\n# x\n"})
        repo_id = f"{name}-{kind}"
        made.append(Item(repo_id, kind, f"{kind} at {door.push(folder, repo_id, kind, message='m').commit}"))
    return made


def held(hub, collected):
    items = HfApi(endpoint=hub.endpoint, token=WRITE).get_collection(collected.slug).items
    return [(item.item_id, item.item_type, item.note) for item in items]


def told(items):
    return [(item.repo_id, item.type, item.note) for item in items]


def test_a_collection_is_made_once_and_the_same_again_changes_nothing(hub, door, repos, name):
    title = name[-30:]
    first = door.collect(title, "ann", repos, description="All of it.")
    assert first.changed
    assert held(hub, first) == told(repos)
    again = door.collect(title, "ann", repos, description="All of it.")
    assert (again.slug, again.changed) == (first.slug, False)
    assert door.collection_items("ann", title) == [(item.type, item.repo_id) for item in repos]


def test_new_notes_new_items_and_another_order_are_mended_and_what_others_put_in_stays(hub, door, repos, name):
    title, api = name[-30:], HfApi(endpoint=hub.endpoint, token=WRITE)
    model, dataset, space = repos
    first = door.collect(title, "ann", [dataset])
    api.add_collection_item(first.slug, space.repo_id, "space", note="by hand")
    moved = Item(model.repo_id, "model", "version v2")
    second = door.collect(title, "ann", [moved, dataset])
    assert second.changed
    assert held(hub, second) == [*told([moved, dataset]), (space.repo_id, "space", "by hand")]
    assert not door.collect(title, "ann", [moved, dataset]).changed


def test_a_repo_that_is_gone_is_left_out(hub, door, repos, name):
    gone = Item("nobody/nothing", "dataset", "a source that was deleted")
    assert held(hub, door.collect(name[-30:], "ann", [gone, *repos])) == told(repos)


def test_of_somebody_else_and_where_there_is_none_empty(hub, door, tmp_path):
    with pytest.raises(NotAllowedError):
        door.collect("Mine now", "oda", [])
    assert door.collection_items("ann", "There is none") is None
    assert HubClient(hub.endpoint, "", tmp_path / "c").collection_items("ann", "There is none") is None


def test_a_tag_of_ones_own_is_set_once(hub, door, name, tmp_path):
    """A Space is tagged like the adapter it shows; when it changes for the same adapter the tag stays where it is."""
    options = {"message": "m", "next_version_tag": False, "tag": "v3"}
    first = door.push(fill(tmp_path / "1", {"README.md": CARD}), name, "model", **options)
    assert (first.tag, first.changed) == ("v3", True)
    assert not door.push(tmp_path / "1", name, "model", **options).changed
    second = door.push(fill(tmp_path / "2", {"README.md": CARD + "two"}), name, "model", **options)
    assert second.commit != first.commit
    assert door.pin(f"{name}@v3", "model").commit == first.commit
