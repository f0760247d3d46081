"""A Collection: the repos that belong together, each with a note that says at which commit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from huggingface_hub import HfApi

LONGEST_TITLE, LONGEST_DESCRIPTION, LONGEST_NOTE = 60, 150, 500  # characters; what the Hub takes


@dataclass(frozen=True, slots=True)
class Item:
    """A repo of a Collection.

    Attributes:
        repo_id: OWNER/NAME.
        type: `model`, `dataset` or `space`.
        note: What is said of it there.
    """

    repo_id: str
    type: Literal["model", "dataset", "space"]
    note: str


@dataclass(frozen=True, slots=True)
class Collected:
    """The Collection as it is now.

    Attributes:
        slug: Its name on the Hub, OWNER/TITLE-ID.
        url: Its page.
        changed: Whether anything had to be changed.
    """

    slug: str
    url: str
    changed: bool


def collect(
    api: HfApi, title: str, namespace: str, items: Sequence[Item], *, description: str, private: bool
) -> Collected:
    """Find or make the Collection of a title, and bring the given items to its front in their order.

    What else its owner has put into it stays, behind them.
    """
    from huggingface_hub.errors import HfHubHTTPError

    found = find_collection(api, title, namespace)
    changed = found is None
    if found is None:
        # Somebody may make the same one this very moment: that is as good.
        found = api.create_collection(
            title,
            namespace=namespace,
            description=description[:LONGEST_DESCRIPTION] or None,
            private=private,
            exists_ok=True,
        )
    there = {(item.item_type, item.item_id): item for item in found.items}
    for item in items:
        note = item.note[:LONGEST_NOTE]
        old = there.get((item.type, item.repo_id))
        if old is None:
            try:
                api.add_collection_item(found.slug, item.repo_id, item.type, note=note, exists_ok=True)
            except HfHubHTTPError as error:
                if error.response.status_code != 404:  # noqa: PLR2004 - not found
                    raise
                continue  # a source that was deleted, or is private: what is left belongs together all the same
            changed = True
        elif old.note != note:
            api.update_collection_item(found.slug, old.item_object_id, note=note)
            changed = True
    if _order(api, found.slug, items):
        changed = True
    return Collected(found.slug, found.url, changed)


def find_collection(api: HfApi, title: str, namespace: str) -> Any:
    """The owner's Collection of that title with all its items, or None; a listing holds four of them only."""
    for listed in api.list_collections(owner=namespace):
        if listed.title == title:
            return api.get_collection(listed.slug)
    return None


def _order(api: HfApi, slug: str, items: Sequence[Item]) -> bool:
    """Bring the items to the front in their order; returns whether one had to be moved."""
    moved = False
    place = 0
    order = [(item.item_type, item.item_id, item.item_object_id) for item in api.get_collection(slug).items]
    for item in items:
        here = next((entry for entry in order if entry[:2] == (item.type, item.repo_id)), None)
        if here is None:
            continue
        if order.index(here) != place:
            api.update_collection_item(slug, here[2], position=place)
            order.remove(here)
            order.insert(place, here)
            moved = True
        place += 1
    return moved
