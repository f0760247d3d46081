"""Directory trees: immutable listings named by their content, and a mutable view to apply a commit to.

As in git, a directory is a list of entries and refers to its sub-directories by key. A commit therefore writes only
the listings on the way from a changed file up to the root, and two commits share everything else.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections import OrderedDict
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING

from solo_hub.hub.server import gitobjects
from solo_hub.hub.server.errors import bad_request, entry_not_found

if TYPE_CHECKING:
    from collections.abc import Iterator

    from solo_hub.hub.server.db import Database

_FOLDER_FIELDS = 2  # oid and key; a file has five
CACHED_ENTRIES = 200_000  # entries of parsed listings kept in memory, about 60 MB


@dataclass(frozen=True, slots=True)
class File:
    """A file of a commit.

    Attributes:
        oid: Git blob id: of the content, or of the pointer when the content is in LFS.
        sha256: Names the content in the blob store.
        size: Bytes of the content.
        lfs: Whether git would hold a pointer.
        xet: Xet hash when the file came in through Xet.
    """

    oid: str
    sha256: str
    size: int
    lfs: bool
    xet: str | None

    @property
    def etag(self) -> str:
        """What clients compare: sha256 of an LFS file, git id of a regular one."""
        return self.sha256 if self.lfs else self.oid


@dataclass(frozen=True, slots=True)
class Folder:
    """A sub-directory: its git id, and the key of its listing in the store."""

    oid: str
    key: str


Node = File | Folder
Listing = dict[str, Node]


def lfs_file(sha256: str, size: int, xet: str | None) -> File:
    """The entry of an LFS object."""
    return File(gitobjects.blob_oid(gitobjects.pointer(sha256, size)), sha256, size, lfs=True, xet=xet)


class TreeStore:
    """Reads and writes listings, with the recently used ones parsed in memory."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._cache: OrderedDict[str, Listing] = OrderedDict()
        self._cached = 0
        self._lock = Lock()

    def listing(self, key: str) -> Listing:
        """The entries of a directory by name; must not be changed by the caller."""
        with self._lock:
            if key in self._cache:
                self._cache.move_to_end(key)
                return self._cache[key]
        row = self._db.one("SELECT data FROM trees WHERE key = ?", (key,))
        if row is None:
            raise KeyError(key)
        listing: Listing = {
            name: Folder(*fields) if len(fields) == _FOLDER_FIELDS else File(*fields)
            for name, *fields in json.loads(zlib.decompress(row["data"]))
        }
        self._remember(key, listing)
        return listing

    def store(self, listing: Listing) -> Folder:
        """Write a listing (inside the caller's transaction) and return the entry that refers to it."""
        items = [
            [name, node.oid, node.key]
            if isinstance(node, Folder)
            else [name, node.oid, node.sha256, node.size, node.lfs, node.xet]
            for name, node in sorted(listing.items())
        ]
        data = json.dumps(items, separators=(",", ":"), ensure_ascii=False).encode()
        key = hashlib.sha256(data).hexdigest()
        oid = gitobjects.tree_oid((name, isinstance(node, Folder), node.oid) for name, node in listing.items())
        with self._db.write() as connection:
            # Not into the cache: if the transaction is undone, the listing was never there.
            connection.execute("INSERT OR IGNORE INTO trees (key, data) VALUES (?, ?)", (key, zlib.compress(data, 1)))
        return Folder(oid, key)

    def folder(self, key: str) -> Folder:
        """The entry that refers to a listing."""
        entries = ((name, isinstance(node, Folder), node.oid) for name, node in self.listing(key).items())
        return Folder(gitobjects.tree_oid(entries), key)

    def find(self, root: str, path: str) -> Node | None:
        """The entry at a path below a root listing."""
        key = root
        *parents, name = path.split("/")
        for part in parents:
            node = self.listing(key).get(part)
            if not isinstance(node, Folder):
                return None
            key = node.key
        return self.listing(key).get(name)

    def walk(self, root: str, prefix: str = "") -> Iterator[tuple[str, Node]]:
        """Every folder and file below a root listing, in order of their paths, folders before what they hold."""
        for name, node in self.listing(root).items():
            path = prefix + name
            yield path, node
            if isinstance(node, Folder):
                yield from self.walk(node.key, path + "/")

    def files(self, root: str) -> Iterator[tuple[str, File]]:
        """Every file below a root listing."""
        for path, node in self.walk(root):
            if isinstance(node, File):
                yield path, node

    def _remember(self, key: str, listing: Listing) -> None:
        with self._lock:
            if key in self._cache:
                return
            self._cache[key] = listing
            self._cached += len(listing) + 1
            while self._cached > CACHED_ENTRIES and len(self._cache) > 1:
                _, dropped = self._cache.popitem(last=False)
                self._cached -= len(dropped) + 1


class _Draft:
    """A directory being changed: entries are nodes of the store or drafts."""

    __slots__ = ("entries",)

    def __init__(self, entries: Listing | None = None) -> None:
        self.entries: dict[str, Node | _Draft] = dict(entries or {})


class TreeEdit:
    """A tree under change: operations in order, then one `store`."""

    def __init__(self, trees: TreeStore, root: str | None) -> None:
        self._trees = trees
        self._root = _Draft(trees.listing(root) if root else None)

    def put(self, path: str, file: File) -> None:
        """Add or replace a file; parent folders appear as needed.

        Raises:
            ApiError: 400 when a parent is a file or the path is a folder.
        """
        *parents, name = path.split("/")
        draft = self._root
        for part in parents:
            child = self._open(draft, part)
            if child is None:
                if part in draft.entries:
                    raise bad_request(f"Invalid path: '{part}' in '{path}' is a file, not a folder.")
                child = draft.entries[part] = _Draft()
            draft = child
        existing = draft.entries.get(name)
        if isinstance(existing, (Folder, _Draft)):
            raise bad_request(f"Invalid path: '{path}' is a folder.")
        draft.entries[name] = file

    def get(self, path: str) -> File | None:
        """The file at a path, as changed so far."""
        *parents, name = path.split("/")
        draft: _Draft | None = self._root
        for part in parents:
            draft = self._open(draft, part) if draft else None
        node = draft.entries.get(name) if draft else None
        return node if isinstance(node, File) else None

    def delete_file(self, path: str) -> None:
        """Remove a file, or a folder under that name, since clients may not know which it is.

        Raises:
            ApiError: 404 EntryNotFound when there is neither.
        """
        if self.get(path) is None and self._folder(path) is None:
            raise entry_not_found("A file with this name doesn't exist")
        self._remove(path)

    def delete_folder(self, path: str) -> None:
        """Remove a folder with all it holds.

        Raises:
            ApiError: 404 EntryNotFound when there is none.
        """
        if self._folder(path) is None:
            raise entry_not_found("A folder with this name doesn't exist")
        self._remove(path)

    def store(self) -> Folder:
        """Write every changed listing."""
        return self._store(self._root)

    def _store(self, draft: _Draft) -> Folder:
        listing: Listing = {}
        for name, node in draft.entries.items():
            listing[name] = self._store(node) if isinstance(node, _Draft) else node
        return self._trees.store(listing)

    def _open(self, draft: _Draft, name: str) -> _Draft | None:
        node = draft.entries.get(name)
        if isinstance(node, Folder):
            node = draft.entries[name] = _Draft(self._trees.listing(node.key))
        return node if isinstance(node, _Draft) else None

    def _folder(self, path: str) -> _Draft | None:
        draft: _Draft | None = self._root
        for part in path.split("/"):
            draft = self._open(draft, part) if draft else None
        return draft

    def _remove(self, path: str) -> None:
        *parents, name = path.split("/")
        way = [self._root]
        for part in parents:
            child = self._open(way[-1], part)
            if child is None:
                return
            way.append(child)
        way[-1].entries.pop(name, None)
        # A folder left empty is gone at once, as in git: a later operation may put a file in its place.
        for draft, part in zip(reversed(way[:-1]), reversed(parents), strict=True):
            emptied = draft.entries[part]
            if not isinstance(emptied, _Draft) or emptied.entries:
                break
            del draft.entries[part]
