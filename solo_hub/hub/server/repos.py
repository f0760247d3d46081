"""Repos: who has them, who may see and change them."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from solo_hub.hub.server import names
from solo_hub.hub.server.errors import ApiError, bad_request, conflict, forbidden, repo_not_found

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping

    from solo_hub.hub.server.accounts import Accounts, User
    from solo_hub.hub.server.db import Database

RepoType = Literal["model", "dataset", "space"]
TYPES: tuple[RepoType, ...] = ("model", "dataset", "space")
SDKS = ("gradio", "streamlit", "docker", "static")


@dataclass(frozen=True, slots=True)
class Repo:
    """One repo's row."""

    id: int
    type: RepoType
    namespace: str
    name: str
    private: bool
    gated: str | None
    sdk: str | None
    created_at: float
    updated_at: float

    @property
    def full_name(self) -> str:
        """``namespace/name``."""
        return f"{self.namespace}/{self.name}"

    @property
    def url_path(self) -> str:
        """Path of the repo's page: models at the root, the others below their type."""
        return self.full_name if self.type == "model" else f"{self.type}s/{self.full_name}"


class Repos:
    """The repos of one root."""

    def __init__(self, db: Database, accounts: Accounts) -> None:
        self._db = db
        self._accounts = accounts

    def find(self, repo_type: RepoType, namespace: str, name: str) -> Repo | None:
        """The repo at a name, or the one that moved away from there."""
        row = self._db.one(
            "SELECT * FROM repos WHERE type = ? AND namespace = ? AND name = ?", (repo_type, namespace, name)
        ) or self._db.one(
            "SELECT r.* FROM redirects d JOIN repos r ON r.id = d.repo_id"
            " WHERE d.type = ? AND d.namespace = ? AND d.name = ?",
            (repo_type, namespace, name),
        )
        return _repo(row) if row else None

    def by_id(self, repo_id: int) -> Repo | None:
        """The repo of a row id."""
        row = self._db.one("SELECT * FROM repos WHERE id = ?", (repo_id,))
        return _repo(row) if row else None

    def readable(self, repo_type: RepoType, namespace: str, name: str, user: User | None) -> Repo:
        """The repo, if the user may know of it.

        Raises:
            ApiError: RepoNotFound, in the same words whether it is missing or private.
        """
        repo = self.find(repo_type, namespace, name)
        if repo is None or not may_see(repo, user):
            raise repo_not_found(authenticated=user is not None)
        return repo

    def writable(self, repo_type: RepoType, namespace: str, name: str, user: User | None) -> Repo:
        """The repo, if the user may change it.

        Raises:
            ApiError: RepoNotFound, or 401/403 when the repo may be seen but not changed.
        """
        repo = self.readable(repo_type, namespace, name, user)
        require_write(repo.namespace, user)
        return repo

    def check_contributor(self, repo: Repo, user: User | None) -> None:
        """Let those pass who may bring files: whoever may read a repo may open a pull request to it.

        Raises:
            ApiError: No user, a token that may only read, or no access to a gated repo.
        """
        user = require_user(user)
        if user.role != "write":
            raise forbidden("You must use a token with the write role")
        if not user.belongs_to(repo.namespace):
            self.check_content_access(repo, user)

    def check_content_access(self, repo: Repo, user: User | None) -> None:
        """Refuse the files of a gated repo to those who were not let in.

        Raises:
            ApiError: GatedRepo, 401 without a token and 403 with one.
        """
        if repo.gated is None or (user is not None and user.belongs_to(repo.namespace)):
            return
        where = f"Access to {repo.type} {repo.full_name} is restricted"
        if user is None:
            message = f"{where}. You must have access to it and be authenticated to access it. Please log in."
            raise ApiError(401, message, code="GatedRepo")
        row = self._db.one("SELECT status FROM access WHERE repo_id = ? AND user_id = ?", (repo.id, user.id))
        if row is None or row["status"] != "accepted":
            message = f"{where} and you are not in the authorized list. Visit its page to ask for access."
            raise ApiError(403, message, code="GatedRepo")

    def ask_access(self, repo: Repo, user: User) -> str:
        """Ask to be let into a gated repo; with automatic approval the door opens at once.

        Returns:
            ``accepted``, ``pending`` or ``rejected``; what was decided before stays.

        Raises:
            ApiError: 400 where the repo is not gated.
        """
        if repo.gated is None:
            raise bad_request("This repository is not gated.")
        if user.belongs_to(repo.namespace):
            return "accepted"
        with self._db.write() as connection:
            connection.execute(
                "INSERT OR IGNORE INTO access (repo_id, user_id, status, created_at) VALUES (?, ?, ?, ?)",
                (repo.id, user.id, "accepted" if repo.gated == "auto" else "pending", time.time()),
            )
            row = connection.execute(
                "SELECT status FROM access WHERE repo_id = ? AND user_id = ?", (repo.id, user.id)
            ).fetchone()
        return str(row["status"])

    def set_access(self, repo: Repo, user_id: int, status: str) -> None:
        """Decide on a user's access to a gated repo."""
        with self._db.write() as connection:
            connection.execute(
                "INSERT INTO access (repo_id, user_id, status, created_at) VALUES (?, ?, ?, ?)"
                " ON CONFLICT DO UPDATE SET status = excluded.status",
                (repo.id, user_id, status, time.time()),
            )

    def create(
        self,
        connection: sqlite3.Connection,
        repo_type: RepoType,
        namespace: str,
        name: str,
        *,
        private: bool,
        sdk: str | None,
    ) -> Repo:
        """Insert the row of a new repo in the caller's transaction.

        Raises:
            ApiError: 409 when the name is taken, in whatever case.
        """
        now = time.time()
        if connection.execute(
            "SELECT 1 FROM repos WHERE type = ? AND namespace = ? AND name = ?", (repo_type, namespace, name)
        ).fetchone():
            raise conflict(f"You already created this {repo_type} repo: {namespace}/{name}")
        connection.execute(
            "DELETE FROM redirects WHERE type = ? AND namespace = ? AND name = ?", (repo_type, namespace, name)
        )
        cursor = connection.execute(
            "INSERT INTO repos (type, namespace, name, private, sdk, created_at, updated_at)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            (repo_type, namespace, name, int(private), sdk, now, now),
        )
        repo = self.by_id(int(cursor.lastrowid or 0))
        if repo is None:
            raise ApiError(409, "The repo disappeared while it was being made.")
        return repo

    def delete(self, repo: Repo) -> None:
        """Remove a repo with its history; its blobs go with the next collection."""
        with self._db.write() as connection:
            connection.execute("DELETE FROM repos WHERE id = ?", (repo.id,))

    def move(self, repo: Repo, namespace: str, name: str) -> None:
        """Rename a repo and keep the old name as a redirect."""
        with self._db.write() as connection:
            other = connection.execute(
                "SELECT id FROM repos WHERE type = ? AND namespace = ? AND name = ?", (repo.type, namespace, name)
            ).fetchone()
            if other is not None and other["id"] != repo.id:
                raise conflict(f"A {repo.type} repository called {namespace}/{name} already exists")
            connection.execute(
                "DELETE FROM redirects WHERE type = ? AND namespace = ? AND name = ?", (repo.type, namespace, name)
            )
            connection.execute("UPDATE repos SET namespace = ?, name = ? WHERE id = ?", (namespace, name, repo.id))
            if (namespace.lower(), name.lower()) != (repo.namespace.lower(), repo.name.lower()):
                connection.execute(
                    "INSERT OR REPLACE INTO redirects (type, namespace, name, repo_id) VALUES (?, ?, ?, ?)",
                    (repo.type, repo.namespace, repo.name, repo.id),
                )

    def update_settings(self, repo: Repo, settings: Mapping[str, Any]) -> None:
        """Apply the settings the official client sends: visibility and gating."""
        changes: dict[str, Any] = {}
        visibility = settings.get("visibility")
        if visibility is not None:
            changes["private"] = visibility_is_private(visibility)
        if settings.get("private") is not None:
            if not isinstance(settings["private"], bool):
                raise bad_request('"private" must be a boolean')
            changes["private"] = settings["private"]
        if "gated" in settings and settings["gated"] is not None:
            gated = settings["gated"]
            if gated not in ("auto", "manual", False):
                raise bad_request('"gated" must be one of: "auto", "manual", false')
            changes["gated"] = gated or None
        if not changes:
            return
        with self._db.write() as connection:
            for column, value in changes.items():  # column names are the literals above
                connection.execute(f"UPDATE repos SET {column} = ? WHERE id = ?", (value, repo.id))  # noqa: S608

    def namespace_for(self, user: User, organization: object) -> str:
        """The namespace a user may create in.

        Raises:
            ApiError: 403 for somebody else's, 400 for something that is no name.
        """
        if organization is None:
            return user.name
        if not isinstance(organization, str):
            raise bad_request('"organization" must be a string')
        require_write(organization, user)
        for own in (user.name, *user.orgs):
            if own.lower() == organization.lower():
                return own
        return organization


def visibility_is_private(visibility: object) -> bool:
    """Whether a visibility means private; ``protected`` hides less than private and is taken as private."""
    if visibility not in ("public", "private", "protected"):
        raise bad_request('"visibility" must be one of: "public", "private", "protected"')
    return visibility != "public"


def may_see(repo: Repo, user: User | None) -> bool:
    """Whether the repo exists for this user."""
    return not repo.private or (user is not None and user.belongs_to(repo.namespace))


def require_user(user: User | None) -> User:
    """The user, or a 401."""
    if user is None:
        raise ApiError(401, "Invalid username or password.")
    return user


def require_write(namespace: str, user: User | None) -> User:
    """The user, if they may write in the namespace."""
    user = require_user(user)
    if not user.belongs_to(namespace):
        raise forbidden(f'You don\'t have the rights to write in the namespace "{namespace}"')
    if user.role != "write":
        raise forbidden("You must use a token with the write role")
    return user


def parse_type(value: object, default: RepoType = "model") -> RepoType:
    """A repo type of a JSON body."""
    if value is None:
        return default
    if value not in TYPES:
        raise bad_request('"type" must be one of: "model", "dataset", "space"')
    return value


def split_id(value: object) -> tuple[str, str]:
    """``namespace/name`` of a JSON body."""
    if not isinstance(value, str) or value.count("/") != 1:
        raise bad_request("Invalid repo id: 'namespace/name' expected.")
    namespace, name = value.split("/")
    return names.check_repo_part(namespace, "namespace"), names.check_repo_part(name)


def _repo(row: sqlite3.Row) -> Repo:
    return Repo(
        row["id"],
        row["type"],
        row["namespace"],
        row["name"],
        bool(row["private"]),
        row["gated"],
        row["sdk"],
        row["created_at"],
        row["updated_at"],
    )
