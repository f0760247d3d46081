"""Collections: related repos, each with a note that names its commit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from huggingface_hub import HfApi

LONGEST_TITLE, LONGEST_DESCRIPTION, LONGEST_NOTE = 60, 150, 500  # characters, the Hub's limits


@dataclass(frozen=True, slots=True)
class Item:
    """A repo in a Collection.

    Attributes:
        repo_id: OWNER/NAME.
        type: `model`, `dataset` or `space`.
        note: Its note in the Collection.
    """

    repo_id: str
    type: Literal["model", "dataset", "space"]
    note: str


@dataclass(frozen=True, slots=True)
class Collected:
    """The Collection after the update.

    Attributes:
        slug: Its id on the Hub, OWNER/TITLE-ID.
        url: Its page.
        changed: Whether anything was changed.
    """

    slug: str
    url: str
    changed: bool


def collect(
    api: HfApi, title: str, namespace: str, items: Sequence[Item], *, description: str, private: bool
) -> Collected:
    """Find or create the Collection with a title, and move the given items to its front, in order.

    Other items are kept, behind them.
    """
    from huggingface_hub.errors import HfHubHTTPError

    collection = find_collection(api, title, namespace)
    changed = collection is None
    if collection is None:
        # exists_ok: it may be created concurrently
        collection = api.create_collection(
            title,
            namespace=namespace,
            description=description[:LONGEST_DESCRIPTION] or None,
            private=private,
            exists_ok=True,
        )
    existing = {(item.item_type, item.item_id): item for item in collection.items}
    for item in items:
        note = item.note[:LONGEST_NOTE]
        old = existing.get((item.type, item.repo_id))
        if old is None:
            try:
                api.add_collection_item(collection.slug, item.repo_id, item.type, note=note, exists_ok=True)
            except HfHubHTTPError as error:
                if error.response.status_code != 404:  # noqa: PLR2004 - not found
                    raise
                continue  # a source that was deleted or is private: leave it out
            changed = True
        elif old.note != note:
            api.update_collection_item(collection.slug, old.item_object_id, note=note)
            changed = True
    if _order(api, collection.slug, items):
        changed = True
    return Collected(collection.slug, collection.url, changed)


def find_collection(api: HfApi, title: str, namespace: str) -> Any:
    """The owner's Collection with that title and all its items, or None; a listing has only four items each."""
    for listed in api.list_collections(owner=namespace):
        if listed.title == title:
            return api.get_collection(listed.slug)
    return None


def _order(api: HfApi, slug: str, items: Sequence[Item]) -> bool:
    """Move the items to the front, in order; returns whether any was moved."""
    moved = False
    position = 0
    order = [(item.item_type, item.item_id, item.item_object_id) for item in api.get_collection(slug).items]
    for item in items:
        entry = next((other for other in order if other[:2] == (item.type, item.repo_id)), None)
        if entry is None:
            continue
        if order.index(entry) != position:
            api.update_collection_item(slug, entry[2], position=position)
            order.remove(entry)
            order.insert(position, entry)
            moved = True
        position += 1
    return moved
