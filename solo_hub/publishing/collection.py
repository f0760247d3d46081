"""What the Collection of a run holds: what was published and what it was made from, each at its commit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from solo_hub.hub.collecting import Item
from solo_hub.publishing.naming import is_repo_id
from solo_hub.run.references import is_teacher

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
IMPORTED = {
    "adapter": ("model", "The student: the base with this adapter"),
    "dataset": ("dataset", "The labels it learned from, as they were selected"),
    "space": ("space", "Base and student side by side"),
    "base": ("model", "Base model of the student"),
    "labels": ("dataset", "The imported labels"),
    "knowledge": ("dataset", "The knowledge base of the run"),
}
"""Notes for imported labels, where there was no teacher."""


def description(repos: Mapping[str, Any]) -> str:
    """What a new Collection says of itself.

    Args:
        repos: `resolved.repos` of the run.
    """
    if "labels" in repos:
        return "A model trained on imported labels: labels, adapter, comparison, and their sources."
    made = "pseudo-labels, adapter, comparison, and their sources"
    taught = "learned from another" if any(map(is_teacher, repos)) else "taught itself"
    return f"A model {taught} a body of knowledge, without labels: {made}."


def items(published: Mapping[str, Any], repos: Mapping[str, Any]) -> list[Item]:
    """The repos in the order a reader wants them, each once, with the commit in its note.

    Args:
        published: `7-published.json`.
        repos: `resolved.repos` of the run; local files have no place on the Hub.
    """
    found: dict[tuple[str, str], Item] = {}
    ours, sources = PUBLISHED, SOURCES
    if "labels" in repos:
        ours = {role: known if role == "knowledge" else IMPORTED[role] for role, known in PUBLISHED.items()}
        sources = {role: IMPORTED.get(role, known) for role, known in {**SOURCES, "labels": IMPORTED["labels"]}.items()}
    if teachers := [role for role in repos if is_teacher(role)]:
        sources = {**dict.fromkeys(teachers, ("model", "Teacher: its answers were learned")), **sources}
        sources["base"] = ("model", "Base model of the student")
    for item in (*_items(ours, published), *_items(sources, repos)):
        found.setdefault((item.type, item.repo_id), item)
    return list(found.values())


def _items(known: Mapping[str, tuple[Any, str]], entries: Mapping[str, Any]) -> Iterator[Item]:
    for role, (kind, text) in known.items():
        entry = entries.get(role)
        if not isinstance(entry, Mapping) or not is_repo_id(str(entry.get("repo_id", ""))) or not entry.get("commit"):
            continue
        version = f"version {entry['tag']}, " if entry.get("tag") else ""
        yield Item(str(entry["repo_id"]), kind, f"{text}; {version}commit {entry['commit']}.")
