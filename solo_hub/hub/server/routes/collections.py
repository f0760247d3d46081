"""Collections: named lists of repos."""

from __future__ import annotations

import json
import re
import secrets
import time
from typing import TYPE_CHECKING, Any

from starlette.responses import JSONResponse, Response

from solo_hub.hub.server.commits import clean
from solo_hub.hub.server.errors import ApiError, bad_request, conflict
from solo_hub.hub.server.http import ok
from solo_hub.hub.server.info import author_id, head_commit, repo_info, time_text
from solo_hub.hub.server.repos import may_see, require_user, require_write

if TYPE_CHECKING:
    from solo_hub.hub.server.http import Call, Router

MAX_ITEMS = 1000
MAX_TITLE, MAX_DESCRIPTION, MAX_NOTE = 60, 150, 500
_TYPES = ("model", "dataset", "space", "collection")
_CHANGEABLE = ("title", "description", "position", "private", "theme")


def add_routes(router: Router) -> None:
    """Register the routes of this module."""
    router.add("GET", "/api/collections")(list_all)
    router.add("POST", "/api/collections")(create)
    router.add("GET", "/api/collections/{owner}/{slug}")(get)
    router.add("PATCH", "/api/collections/{owner}/{slug}")(update)
    router.add("DELETE", "/api/collections/{owner}/{slug}")(delete)
    router.add("POST", "/api/collections/{owner}/{slug}/item")(add_item)
    router.add("POST", "/api/collections/{owner}/{slug}/items")(add_item)
    router.add("PATCH", "/api/collections/{owner}/{slug}/items/{item}")(update_item)
    router.add("DELETE", "/api/collections/{owner}/{slug}/items/{item}")(delete_item)


def list_all(call: Call) -> Response:
    """Collections the caller may see, by owner or by an item."""
    owners, items = call.params("owner"), call.params("item")
    found = []
    for row in call.hub.db.all("SELECT data FROM collections ORDER BY updated_at DESC LIMIT 1000"):
        data = json.loads(row["data"])
        refs = {f"{item['type']}s/{item['id']}" for item in data["items"]}
        if _visible(call, data) and (not owners or data["owner"] in owners) and (not items or refs & set(items)):
            # in a list the place is the list's own; clients number it themselves and refuse a second number
            found.append({name: value for name, value in _show(call, data).items() if name != "position"})
    return JSONResponse(found)


def create(call: Call) -> Response:
    """Make a collection."""
    body = call.json()
    user = require_user(call.user)
    title = _text(body.get("title"), "title", MAX_TITLE)
    owner = call.hub.repos.namespace_for(user, body.get("namespace"))
    require_write(owner, user)
    for row in call.hub.db.all("SELECT data FROM collections WHERE owner = ?", (owner,)):
        other = json.loads(row["data"])
        if other["title"] == title:
            raise conflict("A collection with this title exists already", slug=_slug(other))
    data: dict[str, Any] = {
        "id": secrets.token_hex(12), "title": title, "owner": owner,
        "description": _text(body.get("description") or "", "description", MAX_DESCRIPTION, empty=True) or None,
        "private": bool(body.get("private", False)), "theme": "orange", "position": 0, "items": [],
    }  # fmt: skip
    _save(call, data)
    return JSONResponse(_show(call, data))


def get(call: Call, owner: str, slug: str) -> Response:
    """One collection."""
    return JSONResponse(_show(call, _load(call, owner, slug)))


def update(call: Call, owner: str, slug: str) -> Response:
    """Change a collection's title, description, place or visibility."""
    body = call.json()
    with call.hub.db.write():
        data = _load(call, owner, slug, write=True)
        if "title" in body:
            data["title"] = _text(body["title"], "title", MAX_TITLE)
        if "description" in body:
            data["description"] = _text(body["description"], "description", MAX_DESCRIPTION, empty=True)
        for name, kind in (("private", bool), ("position", int), ("theme", str)):
            if name in body:
                if not isinstance(body[name], kind):
                    raise bad_request(f'"{name}" has the wrong type')
                data[name] = body[name]
        _save(call, data)
    return JSONResponse({"success": True, "data": _show(call, data)})


def delete(call: Call, owner: str, slug: str) -> Response:
    """Remove a collection."""
    data = _load(call, owner, slug, write=True)
    with call.hub.db.write() as connection:
        connection.execute("DELETE FROM collections WHERE id = ?", (data["id"],))
    return ok()


def add_item(call: Call, owner: str, slug: str) -> Response:
    """Add a repo to a collection."""
    body = call.json()
    item = body.get("item")
    if not isinstance(item, dict) or item.get("type") not in _TYPES or not isinstance(item.get("id"), str):
        raise bad_request('"item" must be an object with "type" (model, dataset, space or collection) and "id"')
    with call.hub.db.write():
        data = _load(call, owner, slug, write=True)
        name = _existing(call, item["type"], item["id"])
        if any((each["type"], each["id"]) == (item["type"], name) for each in data["items"]):
            raise conflict("This item is already in the collection")
        if len(data["items"]) >= MAX_ITEMS:
            raise bad_request(f"A collection holds at most {MAX_ITEMS} items")
        data["items"].append(
            {"_id": secrets.token_hex(12), "type": item["type"], "id": name, "note": _note(body.get("note"))}
        )
        _save(call, data)
    return JSONResponse(_show(call, data))


def update_item(call: Call, owner: str, slug: str, item: str) -> Response:
    """Change an item's note or place."""
    body = call.json()
    with call.hub.db.write():
        data = _load(call, owner, slug, write=True)
        found = _find(data, item)
        if "note" in body:
            found["note"] = _note(body["note"])
        position = body.get("position")
        if isinstance(position, int) and not isinstance(position, bool):
            data["items"].remove(found)
            data["items"].insert(max(0, min(position, len(data["items"]))), found)
        elif position is not None:
            raise bad_request('"position" must be an integer')
        _save(call, data)
    return ok()


def delete_item(call: Call, owner: str, slug: str, item: str) -> Response:
    """Take a repo out of a collection."""
    with call.hub.db.write():
        data = _load(call, owner, slug, write=True)
        data["items"].remove(_find(data, item))
        _save(call, data)
    return ok()


def _load(call: Call, owner: str, slug: str, *, write: bool = False) -> dict[str, Any]:
    data = _by_slug(call, f"{owner}/{slug}")
    if data is None:
        raise ApiError(404, "Collection not found")
    if write:
        require_write(data["owner"], call.user)
    return data


def _slug(data: dict[str, Any]) -> str:
    """Owner, title and id; after a change of title the old slug still leads here, by its id."""
    words = re.sub(r"[^a-z0-9]+", "-", data["title"].lower()).strip("-")[:80] or "collection"
    return f"{data['owner']}/{words}-{data['id']}"


def _by_slug(call: Call, slug: str) -> dict[str, Any] | None:
    owner = slug.partition("/")[0]
    row = call.hub.db.one("SELECT data FROM collections WHERE id = ? AND owner = ?", (slug.rsplit("-", 1)[-1], owner))
    data: dict[str, Any] | None = json.loads(row["data"]) if row else None
    return data if data is not None and _visible(call, data) else None


def _save(call: Call, data: dict[str, Any]) -> None:
    with call.hub.db.write() as connection:
        connection.execute(
            "INSERT OR REPLACE INTO collections (id, owner, data, updated_at) VALUES (?, ?, ?, ?)",
            (data["id"], data["owner"], json.dumps(data), time.time()),
        )


def _visible(call: Call, data: dict[str, Any]) -> bool:
    return not data["private"] or (call.user is not None and call.user.belongs_to(data["owner"]))


def _show(call: Call, data: dict[str, Any]) -> dict[str, Any]:
    row = call.hub.db.one("SELECT updated_at FROM collections WHERE id = ?", (data["id"],))
    items: list[dict[str, Any]] = []
    for item in data["items"]:
        note = {"note": {"text": item["note"], "html": ""}} if item["note"] else {}
        place = {"_id": item["_id"], "type": item["type"], "position": len(items), **note}
        if item["type"] == "collection":
            nested = _by_slug(call, item["id"])
            if nested is not None:
                items.append({**place, "id": nested["id"], "slug": _slug(nested), "title": nested["title"]})
            continue
        namespace, _, name = item["id"].partition("/")
        repo = call.hub.repos.find(item["type"], namespace, name)
        if repo is None or not may_see(repo, call.user):
            continue
        info = repo_info(call.hub, repo, head_commit(call.hub, repo), expand=["author", "lastModified", "private"])
        items.append({**info, **place, "repoType": item["type"]})
    owner = data["owner"]
    return {
        **{name: data[name] for name in _CHANGEABLE}, "slug": _slug(data), "items": items, "upvotes": 0,
        "lastUpdated": time_text(row["updated_at"] if row else time.time()), "gating": False,
        "owner": {"_id": author_id(owner), "name": owner, "fullname": owner, "type": "user", "isHf": False,
                  "avatarUrl": ""},
    }  # fmt: skip


def _existing(call: Call, kind: Any, item: str) -> str:
    """The name under which something to collect is known.

    Raises:
        ApiError: 404 when the caller cannot see any such thing.
    """
    if kind == "collection":
        nested = _by_slug(call, item)
        if nested is not None:
            return _slug(nested)
        raise ApiError(404, "The item does not exist")
    namespace, _, name = item.partition("/")
    repo = call.hub.repos.find(kind, namespace, name)
    if repo is None or not may_see(repo, call.user):
        raise ApiError(404, "The item does not exist")
    return repo.full_name


def _find(data: dict[str, Any], item: str) -> dict[str, Any]:
    found: dict[str, Any] | None = next((each for each in data["items"] if each["_id"] == item), None)
    if found is None:
        raise ApiError(404, "Item not found")
    return found


def _note(value: object) -> str | None:
    return None if value is None else _text(value, "note", MAX_NOTE, empty=True)


def _text(value: object, name: str, most: int, *, empty: bool = False) -> str:
    if not isinstance(value, str) or len(value) > most or not (empty or value.strip()):
        raise bad_request(f'"{name}" must be a string of at most {most} characters')
    return clean(value)
