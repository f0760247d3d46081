"""What the Collection of a run holds: what was published and what it was made from, each at its commit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from solo_hub.hub.collecting import Item
from solo_hub.publishing.naming import is_repo_id

DESCRIPTION = (
    "A model taught itself a body of knowledge, without labels: pseudo-labels, adapter, comparison, and their sources."
)
PUBLISHED = {
    "adapter": ("model", "The student: the base with this adapter answers without passages"),
    "dataset": ("dataset", "The pseudo-labels it learned from"),
    "space": ("space", "Base, teacher and student side by side"),
    "knowledge": ("dataset", "The knowledge base, embedded and ready to search"),
}
SOURCES = {
    "base": ("model", "Base model: teacher and student are both this model"),
    "knowledge": ("dataset", "What the teacher looked things up in"),
    "questions": ("dataset", "The questions, without their answers"),
    "evaluation_questions": ("dataset", "The held-out questions"),
    "embedder": ("model", "Embedder of the retrieval"),
}


def items(published: Mapping[str, Any], repos: Mapping[str, Any]) -> list[Item]:
    """The repos in the order a reader wants them, each once, with the commit in its note.

    Args:
        published: `7-published.json`.
        repos: `resolved.repos` of the run; local files have no place on the Hub.
    """
    found: dict[tuple[str, str], Item] = {}
    for item in (*_items(PUBLISHED, published), *_items(SOURCES, repos)):
        found.setdefault((item.type, item.repo_id), item)
    return list(found.values())


def _items(known: Mapping[str, tuple[Any, str]], entries: Mapping[str, Any]) -> Iterator[Item]:
    for role, (kind, text) in known.items():
        entry = entries.get(role)
        if not isinstance(entry, Mapping) or not is_repo_id(str(entry.get("repo_id", ""))) or not entry.get("commit"):
            continue
        version = f"version {entry['tag']}, " if entry.get("tag") else ""
        yield Item(str(entry["repo_id"]), kind, f"{text}; {version}commit {entry['commit']}.")
