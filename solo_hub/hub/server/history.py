"""Commits and the names that point at them."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from solo_hub.hub.server import gitobjects, names
from solo_hub.hub.server.errors import ApiError, bad_request, conflict, forbidden, revision_not_found

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator

    from solo_hub.hub.server.db import Database
    from solo_hub.hub.server.names import RefKind
    from solo_hub.hub.server.repos import Repo
    from solo_hub.hub.server.trees import Folder

DEFAULT_BRANCH = "main"


@dataclass(frozen=True, slots=True)
class Commit:
    """A commit; ``tree`` is the key of its root listing."""

    oid: str
    parent: str | None
    tree: str
    title: str
    message: str
    author: str
    created_at: float


@dataclass(frozen=True, slots=True)
class Ref:
    """A branch, tag or pull request and the commit it points at."""

    kind: RefKind
    name: str
    oid: str

    @property
    def full(self) -> str:
        """The ref as git writes it."""
        return {"head": "refs/heads/", "tag": "refs/tags/", "pr": "refs/pr/"}[self.kind] + self.name


class History:
    """Commits and refs of one root."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def ref(self, repo: Repo, kind: RefKind, name: str) -> Ref | None:
        """One ref, or None."""
        row = self._db.one(
            "SELECT kind, name, oid FROM refs WHERE repo_id = ? AND kind = ? AND name = ?", (repo.id, kind, name)
        )
        return Ref(row["kind"], row["name"], row["oid"]) if row else None

    def refs(self, repo: Repo, kind: RefKind) -> list[Ref]:
        """All refs of a kind, ``main`` first, then the newest first."""
        rows = self._db.all(
            "SELECT kind, name, oid FROM refs WHERE repo_id = ? AND kind = ?"
            " ORDER BY (name = 'main') DESC, created_at DESC, name",
            (repo.id, kind),
        )
        return [Ref(row["kind"], row["name"], row["oid"]) for row in rows]

    def branch(self, repo: Repo, revision: str) -> Ref | None:
        """The branch or pull request a revision names: what one can commit to."""
        kind, name = _split(revision)
        if kind is None:
            return self.ref(repo, "head", name)
        return self.ref(repo, kind, name) if kind in ("head", "pr") else None

    def resolve(self, repo: Repo, revision: str) -> Commit:
        """The commit of a branch, tag, full ref, commit id or unambiguous start of one; ``HEAD`` is the default branch.

        Raises:
            ApiError: RevisionNotFound.
        """
        kind, name = _split(revision)
        kinds: tuple[RefKind, ...] = (kind,) if kind else ("head", "tag")
        for each in kinds:
            found = self.ref(repo, each, name)
            if found:
                commit = self.commit(repo, found.oid)
                if commit:
                    return commit
        commit = self.commit(repo, revision) or self._by_prefix(repo, revision)
        if commit is None:
            raise revision_not_found(revision)
        return commit

    def commit(self, repo: Repo, oid: str) -> Commit | None:
        """A commit by its full id."""
        if not names.is_oid(oid):
            return None
        row = self._db.one("SELECT * FROM commits WHERE repo_id = ? AND oid = ?", (repo.id, oid))
        return _commit(row) if row else None

    def _by_prefix(self, repo: Repo, start: str) -> Commit | None:
        if not 7 <= len(start) < 40 or not set(start) <= set("0123456789abcdef"):  # noqa: PLR2004  7: git's own minimum
            return None
        rows = self._db.all(
            "SELECT * FROM commits WHERE repo_id = ? AND oid >= ? AND oid < ? LIMIT 2", (repo.id, start, start + "g")
        )
        return _commit(rows[0]) if len(rows) == 1 else None

    def log(self, repo: Repo, oid: str | None) -> Iterator[Commit]:
        """A commit and its ancestors, newest first."""
        while oid is not None:
            commit = self.commit(repo, oid)
            if commit is None:
                return
            yield commit
            oid = commit.parent

    def add_commit(
        self,
        connection: sqlite3.Connection,
        repo: Repo,
        *,
        parent: str | None,
        root: Folder,
        title: str,
        message: str,
        author: str,
    ) -> Commit:
        """Write a commit in the caller's transaction; no ref points at it yet."""
        now = time.time()
        oid = gitobjects.commit_oid(
            tree=root.oid, parent=parent, author=author, seconds=now, message=f"{title}\n\n{message}"
        )
        connection.execute(
            "INSERT OR IGNORE INTO commits (repo_id, oid, parent, tree, title, message, author, created_at)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (repo.id, oid, parent, root.key, title, message, author, now),
        )
        return Commit(oid, parent, root.key, title, message, author, now)

    def point(
        self,
        connection: sqlite3.Connection,
        repo: Repo,
        kind: RefKind,
        name: str,
        oid: str,
        *,
        message: str | None = None,
    ) -> None:
        """Make a ref point at a commit, in the caller's transaction."""
        now = time.time()
        connection.execute(
            "INSERT INTO refs (repo_id, kind, name, oid, message, created_at) VALUES (?, ?, ?, ?, ?, ?)"
            " ON CONFLICT DO UPDATE SET oid = excluded.oid",
            (repo.id, kind, name, oid, message, now),
        )
        connection.execute("UPDATE repos SET updated_at = ? WHERE id = ?", (now, repo.id))

    def create_branch(self, repo: Repo, name: str, starting_point: str | None, *, overwrite: bool = False) -> Ref:
        """Make a branch; with ``overwrite`` move one that exists to the starting point, if there is one.

        Raises:
            ApiError: 409 when it exists, RevisionNotFound for an unknown starting point.
        """
        names.check_ref_name(name)
        with self._db.write() as connection:
            existing = self.ref(repo, "head", name)
            if existing and not overwrite:
                raise conflict(f"Reference refs/heads/{name} already exists")
            if existing and starting_point is None:
                return existing
            commit = self.resolve(repo, starting_point or DEFAULT_BRANCH)
            self.point(connection, repo, "head", name, commit.oid)
        return Ref("head", name, commit.oid)

    def delete_branch(self, repo: Repo, name: str) -> None:
        """Remove a branch; the default one stays."""
        if name == DEFAULT_BRANCH:
            raise forbidden("Cannot delete refs/heads/main")
        self._delete(repo, "head", name)

    def create_tag(self, repo: Repo, name: object, revision: str, message: object) -> Ref:
        """Tag a revision.

        Raises:
            ApiError: 409 when the tag exists, RevisionNotFound for an unknown revision.
        """
        if message is not None and not isinstance(message, str):
            raise bad_request('"message" must be a string')
        with self._db.write() as connection:
            commit = self.resolve(repo, revision)
            tag = names.check_ref_name(name)
            if self.ref(repo, "tag", tag):
                raise conflict(f"Reference refs/tags/{tag} already exists")
            self.point(connection, repo, "tag", tag, commit.oid, message=message)
        return Ref("tag", tag, commit.oid)

    def delete_tag(self, repo: Repo, name: str) -> None:
        """Remove a tag."""
        self._delete(repo, "tag", name)

    def squash(self, repo: Repo, branch: Ref, message: str, author: str, root: Folder) -> Commit:
        """Make a branch a single commit without ancestors."""
        with self._db.write() as connection:
            ref = self.ref(repo, branch.kind, branch.name)
            if ref is None:
                raise revision_not_found(branch.name)
            current = self.commit(repo, ref.oid)
            if current is None or current.tree != root.key:
                raise ApiError(409, "The branch moved while it was being squashed.")
            commit = self.add_commit(connection, repo, parent=None, root=root, title=message, message="", author=author)
            self.point(connection, repo, ref.kind, ref.name, commit.oid)
        return commit

    def _delete(self, repo: Repo, kind: RefKind, name: str) -> None:
        with self._db.write() as connection:
            cursor = connection.execute(
                "DELETE FROM refs WHERE repo_id = ? AND kind = ? AND name = ?", (repo.id, kind, name)
            )
            if cursor.rowcount == 0:
                raise revision_not_found(name)


def _split(revision: str) -> tuple[RefKind | None, str]:
    return ("head", DEFAULT_BRANCH) if revision == "HEAD" else names.split_ref(revision)


def _commit(row: sqlite3.Row) -> Commit:
    return Commit(
        row["oid"], row["parent"], row["tree"], row["title"], row["message"], row["author"], row["created_at"]
    )
