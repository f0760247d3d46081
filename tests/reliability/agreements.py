"""What runs must agree in after something was done to them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from small_hub import rows


def no_row_twice_or_missing(folder: Path) -> None:
    """Every question has one label and one verdict."""
    asked = [row["id"] for row in rows(folder / "1-questions.jsonl")]
    assert [row["question_id"] for row in rows(folder / "3-labels.jsonl")] == asked
    judged = [row["question_id"] for name in ("selected", "dropped") for row in rows(folder / f"4-{name}.jsonl")]
    assert sorted(judged) == sorted(asked)


def one_version(api: Any, published: dict[str, Any]) -> None:
    """All repos have one version tag, at the commit that the run folder names; one Collection holds them and no other.

    Args:
        api: Of the owner.
        published: `7-published.json` of a run whose Collection has a title of its own.
    """
    for key, kind in (("dataset", "dataset"), ("adapter", "model"), ("space", "space")):
        entry = published[key]
        refs = api.list_repo_refs(entry["repo_id"], repo_type=kind)
        assert {tag.name: tag.target_commit for tag in refs.tags} == {"v1": entry["commit"]}, key
        assert refs.branches[0].target_commit == entry["commit"], key
        assert len(api.list_repo_commits(entry["repo_id"], repo_type=kind)) == 2, key  # made, and filled once
    title, owner = published["collection"]["title"], published["adapter"]["repo_id"].split("/")[0]
    [found] = [found for found in api.list_collections(owner=owner, limit=1000) if found.title == title]
    assert found.slug == published["collection"]["slug"]
    items = api.get_collection(found.slug).items
    assert [(item.item_type, item.item_id) for item in items] == [
        ("model", published["adapter"]["repo_id"]), ("dataset", published["dataset"]["repo_id"]),
        ("space", published["space"]["repo_id"]), ("model", "tests/tiny"),
        ("dataset", "solo-hub/invented-world-corpus"), ("dataset", "solo-hub/invented-world"),
        ("model", "sentence-transformers/all-MiniLM-L6-v2"),
    ]  # fmt: skip
    for item, key in zip(items, ("adapter", "dataset", "space"), strict=False):
        assert published[key]["commit"] in item.note, key
