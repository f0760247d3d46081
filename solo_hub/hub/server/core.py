"""The parts of one embedded Hub, put together: what every route is handed."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from solo_hub.hub.server import attributes
from solo_hub.hub.server.accounts import Accounts, Signer
from solo_hub.hub.server.content import ContentStore
from solo_hub.hub.server.db import Database
from solo_hub.hub.server.gitobjects import blob_oid
from solo_hub.hub.server.history import DEFAULT_BRANCH, History
from solo_hub.hub.server.repos import Repos
from solo_hub.hub.server.trees import File, TreeEdit, TreeStore
from solo_hub.hub.server.xet.store import XetStore

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping
    from pathlib import Path

    from solo_hub.hub.server.repos import Repo, RepoType

_SPACE_CARD = """---
title: {name}
emoji: 📚
colorFrom: blue
colorTo: indigo
sdk: {sdk}
pinned: false
---
"""


class Hub:
    """All state of one root folder; safe to use from many threads and from several processes at once.

    Args:
        root: Folder that holds everything; made if missing, readable by its owner only.
    """

    def __init__(self, root: Path) -> None:
        root.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.root = root
        self.db = Database(root / "hub.sqlite3")
        self.accounts = Accounts(self.db)
        self.signer = Signer(bytes.fromhex(self._meta("signing_key", secrets.token_hex(32))))
        self.root_id = self._meta("root_id", secrets.token_hex(8))
        self.xet = XetStore(root, self.db)
        self.content = ContentStore(root, self.db, self.xet)
        self.trees = TreeStore(self.db)
        self.repos = Repos(self.db, self.accounts)
        self.history = History(self.db)
        self.cards: dict[str, str] = {}  # metadata of cards as JSON, by the sha256 of the card

    def _meta(self, key: str, value: str) -> str:
        with self.db.write() as connection:
            connection.execute("INSERT OR IGNORE INTO meta (key, value) VALUES (?, ?)", (key, value))
            row = connection.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return str(row["value"])

    @property
    def xet_space(self) -> str:
        """Names the set of xorbs here; clients keep what they know of a server's xorbs under its URL.

        A collection changes it, or a client would refer to xorbs that are gone, and so would one that finds another
        root behind a port it has seen before.
        """
        row = self.db.one("SELECT value FROM meta WHERE key = 'collections_done'")
        return f"{self.root_id}-{row['value'] if row else 0}"

    def create_repo(
        self,
        repo_type: RepoType,
        namespace: str,
        name: str,
        *,
        private: bool,
        sdk: str | None,
        author: str,
        files: Mapping[str, bytes] | None = None,
    ) -> Repo:
        """Make a repo with its first commit, in one transaction; ``files`` are small ones to start with."""
        with self.db.write() as connection:
            repo = self.repos.create(connection, repo_type, namespace, name, private=private, sdk=sdk)
            first = {".gitattributes": attributes.initial(repo_type).encode()}
            if repo_type == "space":
                first["README.md"] = _SPACE_CARD.format(name=name, sdk=sdk or "gradio").encode()
            edit = TreeEdit(self.trees, None)
            for path, data in {**first, **(files or {})}.items():
                edit.put(path, self.small_file(connection, repo, data))
            commit = self.history.add_commit(
                connection, repo, parent=None, root=edit.store(), title="initial commit", message="", author=author
            )
            self.history.point(connection, repo, "head", DEFAULT_BRANCH, commit.oid)
        return repo

    def duplicate_repo(self, source: Repo, namespace: str, name: str, *, private: bool, author: str) -> Repo:
        """Make a repo that holds the files of another one's default branch, in one commit; no byte is copied."""
        with self.db.write() as connection:
            ref = self.history.ref(source, "head", DEFAULT_BRANCH)
            head = self.history.commit(source, ref.oid) if ref else None
            root = self.trees.folder(head.tree) if head else TreeEdit(self.trees, None).store()
            repo = self.repos.create(connection, source.type, namespace, name, private=private, sdk=source.sdk)
            for _, file in self.trees.files(root.key):
                self.content.link(connection, repo.id, file.sha256)
            commit = self.history.add_commit(
                connection, repo, parent=None, root=root, title=f"Duplicate from {source.full_name}", message="",
                author=author,
            )  # fmt: skip
            self.history.point(connection, repo, "head", DEFAULT_BRANCH, commit.oid)
        return repo

    def small_file(self, connection: sqlite3.Connection, repo: Repo, data: bytes) -> File:
        """Store a short text in the caller's transaction and give its tree entry."""
        sha256 = self.content.add_small(connection, data)
        self.content.link(connection, repo.id, sha256)
        return File(blob_oid(data), sha256, len(data), lfs=False, xet=None)

    def read_text(self, tree: str, path: str, *, limit: int) -> str | None:
        """A text file of a tree, None when it is missing, too long or not UTF-8."""
        node = self.trees.find(tree, path)
        if not isinstance(node, File) or node.size > limit:
            return None
        data = self.content.read_all(node.sha256, limit=limit)
        if data is None:
            return None
        try:
            return data.decode()
        except UnicodeDecodeError:
            return None

    def close(self) -> None:
        """Close the database."""
        self.db.close()
