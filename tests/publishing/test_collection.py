from __future__ import annotations

from publishing.conftest import BASE_COMMIT, KNOWLEDGE_COMMIT, QUESTIONS_COMMIT, make_config
from solo_hub.publishing.collection import description, items

PUBLISHED = {
    "dataset": {"repo_id": "ada/town-labels", "type": "dataset", "commit": "1" * 40, "tag": "v2", "url": "x"},
    "adapter": {"repo_id": "ada/town-adapter", "type": "model", "commit": "2" * 40, "tag": "v3", "url": "x"},
    "space": {"repo_id": "ada/town-space", "type": "space", "commit": "3" * 40, "tag": "v3", "url": "x"},
    "collection": {"title": "Town", "slug": "ada/town-1", "url": "x"},
}


def test_what_was_published_comes_before_its_sources_each_with_its_commit():
    found = items(PUBLISHED, make_config()["resolved"]["repos"])
    assert [(item.repo_id, item.type) for item in found] == [
        ("ada/town-adapter", "model"), ("ada/town-labels", "dataset"), ("ada/town-space", "space"),
        ("acme/tiny-instruct", "model"), ("acme/town-facts", "dataset"), ("acme/town", "dataset"),
        ("acme/embedder", "model")]  # fmt: skip
    notes = {item.repo_id: item.note for item in found}
    assert notes["ada/town-adapter"].endswith(f"; version v3, commit {'2' * 40}.")
    assert notes["acme/tiny-instruct"].endswith(f"; commit {BASE_COMMIT}.")
    assert KNOWLEDGE_COMMIT in notes["acme/town-facts"]
    assert QUESTIONS_COMMIT in notes["acme/town"]
    assert all(len(note) <= 500 for note in notes.values())


def test_a_repo_with_two_roles_is_there_once_and_a_file_not_at_all():
    repos = make_config(knowledge={"file": "/home/me/facts.txt", "sha256": "f" * 64})["resolved"]["repos"]
    repos["evaluation_questions"] = repos["questions"]
    assert [item.repo_id for item in items({}, repos)] == ["acme/tiny-instruct", "acme/town", "acme/embedder"]


def test_where_labels_were_brought_along_they_are_there_and_no_teacher():
    repos = make_config()["resolved"]["repos"]
    brought = {**repos, "labels": {"repo_id": "acme/votes", "type": "dataset", "commit": "4" * 40}}
    notes = {item.repo_id: item.note for item in items(PUBLISHED, brought)}
    assert notes["acme/votes"] == f"The imported labels; commit {'4' * 40}."
    assert set(notes) == {item.repo_id for item in items(PUBLISHED, repos)} | {"acme/votes"}
    assert "eacher" not in " ".join(notes.values()) + description(brought)
    assert "eacher" in " ".join(item.note for item in items(PUBLISHED, repos))
    assert "taught itself" not in description(brought)
    assert "taught itself" in description(repos)


def test_nothing_published_from_files_alone_empty():
    assert items({}, {"base": {"file": "/models/mine", "sha256": "0" * 64}}) == []
