"""Discussions and pull requests, as far as the client's ``create_pr=True`` and its discussion calls need them."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from solo_hub.hub.server import commits, limits
from solo_hub.hub.server.errors import ApiError, bad_request, conflict, forbidden
from solo_hub.hub.server.history import DEFAULT_BRANCH
from solo_hub.hub.server.info import author_id, object_id, time_text
from solo_hub.hub.server.repos import require_write
from solo_hub.hub.server.trees import File, TreeEdit

if TYPE_CHECKING:
    import sqlite3

    from solo_hub.hub.server.accounts import User
    from solo_hub.hub.server.core import Hub
    from solo_hub.hub.server.history import Commit
    from solo_hub.hub.server.repos import Repo

MIN_TITLE, MAX_TITLE = 3, 200
MAX_COMMENT = 65_536
PAGE = 20


@dataclass(frozen=True, slots=True)
class Discussion:
    """A discussion's row; ``base`` is the commit a pull request started from."""

    num: int
    title: str
    author: str
    status: str
    is_pr: bool
    target: str
    base: str | None
    merge_oid: str | None
    created_at: float


class Discussions:
    """Discussions of one Hub."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    def find(self, repo: Repo, num: int) -> Discussion:
        """One discussion.

        Raises:
            ApiError: 404.
        """
        row = self._hub.db.one("SELECT * FROM discussions WHERE repo_id = ? AND num = ?", (repo.id, num))
        if row is None:
            raise ApiError(404, "Discussion not found")
        return _discussion(row)

    def list(self, repo: Repo, *, kind: str | None, status: str | None, author: str | None) -> list[Discussion]:
        """Discussions of a repo, newest first."""
        rows = self._hub.db.all("SELECT * FROM discussions WHERE repo_id = ? ORDER BY num DESC", (repo.id,))
        found = [_discussion(row) for row in rows]
        if kind in ("discussion", "pull_request"):
            found = [each for each in found if each.is_pr == (kind == "pull_request")]
        if status in ("open", "closed"):
            # To the Hub a draft is open and a merged pull request is closed.
            found = [each for each in found if (each.status in ("open", "draft")) == (status == "open")]
        if author:
            found = [each for each in found if each.author.lower() == author.lower()]
        return found

    def open(self, repo: Repo, user: User, title: object, description: object, *, pull_request: bool) -> int:
        """Open a discussion, or a draft pull request without changes yet."""
        with self._hub.db.write() as connection:
            base = self._hub.history.resolve(repo, DEFAULT_BRANCH) if pull_request else None
            num = self._insert(
                connection,
                repo,
                user,
                _title(title),
                description=_comment(description),
                status="draft" if base else "open",
                target=DEFAULT_BRANCH,
                base=base,
            )
            if base:
                self._hub.history.point(connection, repo, "pr", str(num), base.oid)
        return num

    def open_with_commit(
        self, repo: Repo, user: User, base: Commit, target: str, request: commits.Request
    ) -> tuple[int, Commit]:
        """Open a pull request that holds a commit already."""
        with self._hub.db.write() as connection:
            made = commits.apply(self._hub, repo, request, user, ref=None, base=base)
            num = self._insert(
                connection,
                repo,
                user,
                request.title[:MAX_TITLE],
                description=request.message or None,
                status="open",
                target=target,
                base=base,
            )
            self._hub.history.point(connection, repo, "pr", str(num), made.oid)
            self._event(connection, repo, num, user.name, kind="commit", data={"subject": made.title, "oid": made.oid})
        return num, made

    def check_may_push(self, repo: Repo, num: int, user: User) -> None:
        """Refuse commits to a pull request that is closed or another's."""
        discussion = self.find(repo, num)
        if discussion.status in ("closed", "merged"):
            raise forbidden("Pull request is closed")
        if user.role != "write":
            raise forbidden("You must use a token with the write role")
        if not user.belongs_to(repo.namespace) and discussion.author != user.name:
            raise forbidden("You don't have the rights to push to this pull request")

    def note_commit(self, repo: Repo, num: int, user: User, commit: Commit) -> None:
        """Add a commit to a pull request's events."""
        with self._hub.db.write() as connection:
            self._event(
                connection, repo, num, user.name, kind="commit", data={"subject": commit.title, "oid": commit.oid}
            )

    def comment(self, repo: Repo, num: int, user: User, text: object) -> dict[str, Any]:
        """Add a comment."""
        body = _comment(text)
        if not body:
            raise bad_request('"comment" must be a non-empty string')
        self.find(repo, num)
        with self._hub.db.write() as connection:
            return self._say(connection, repo, num, user, body)

    def rename(self, repo: Repo, num: int, user: User, title: object) -> dict[str, Any]:
        """Change the title."""
        new = _title(title)
        with self._hub.db.write() as connection:
            old = self._mine(repo, num, user)
            connection.execute("UPDATE discussions SET title = ? WHERE repo_id = ? AND num = ?", (new, repo.id, num))
            return self._event(
                connection, repo, num, user.name, kind="title-change", data={"from": old.title, "to": new}
            )

    def set_status(self, repo: Repo, num: int, user: User, status: object, comment: object) -> dict[str, Any]:
        """Open or close."""
        if status not in ("open", "closed"):
            raise bad_request('"status" must be one of: "open", "closed"')
        with self._hub.db.write() as connection:
            current = self._mine(repo, num, user)
            if current.status == "merged":
                raise bad_request("A merged pull request cannot be opened or closed")
            if comment:
                self._say(connection, repo, num, user, _comment(comment) or "")
            connection.execute(
                "UPDATE discussions SET status = ? WHERE repo_id = ? AND num = ?", (status, repo.id, num)
            )
            return self._event(connection, repo, num, user.name, kind="status-change", data={"status": status})

    def edit_comment(self, repo: Repo, num: int, event_id: str, user: User, text: object) -> dict[str, Any]:
        """Replace a comment's text and keep the old one in its history."""
        body = _comment(text)
        if not body:
            raise bad_request('"content" must be a non-empty string')
        return self._change_comment(repo, num, event_id, user, body)

    def hide_comment(self, repo: Repo, num: int, event_id: str, user: User) -> dict[str, Any]:
        """Hide a comment for good."""
        return self._change_comment(repo, num, event_id, user, None)

    def merge(self, repo: Repo, num: int, user: User, comment: object) -> str:
        """Merge a pull request into its target, as one commit on top of it.

        Raises:
            ApiError: 403 for a draft or closed one, 409 when both sides changed a file.
        """
        require_write(repo.namespace, user)
        with self._hub.db.write() as connection:
            current = self.find(repo, num)
            if not current.is_pr:
                raise bad_request("Only pull requests can be merged")
            if current.status != "open":
                raise forbidden(f"A pull request that is {current.status} cannot be merged")
            ours = self._hub.history.resolve(repo, current.target)
            theirs = self._hub.history.resolve(repo, f"refs/pr/{num}")
            base = self._hub.history.commit(repo, current.base or "")
            files = self._merged(base, ours, theirs)
            if files is None:
                raise conflict("The pull request conflicts with its target branch")
            edit = TreeEdit(self._hub.trees, ours.tree)
            for path, file in files.items():
                if file is None:
                    edit.delete_file(path)
                else:
                    edit.put(path, file)
            made = self._hub.history.add_commit(
                connection,
                repo,
                parent=ours.oid,
                root=edit.store(),
                title=f"{current.title} (#{num})",
                message="",
                author=user.name,
            )
            self._hub.history.point(connection, repo, "head", current.target, made.oid)
            connection.execute(
                "UPDATE discussions SET status = 'merged', merge_oid = ? WHERE repo_id = ? AND num = ?",
                (made.oid, repo.id, num),
            )
            if comment:
                self._say(connection, repo, num, user, _comment(comment) or "")
            self._event(connection, repo, num, user.name, kind="status-change", data={"status": "merged"})
        return made.oid

    def show(self, repo: Repo, each: Discussion) -> dict[str, Any]:
        """A discussion as lists give it."""
        return {
            "num": each.num,
            "author": {"_id": author_id(each.author), "name": each.author, "fullname": each.author, "type": "user",
                       "isHf": False, "isMod": False, "avatarUrl": ""},
            "repo": {"name": repo.full_name, "type": repo.type},
            "title": each.title,
            "status": each.status,
            "createdAt": time_text(each.created_at),
            "isPullRequest": each.is_pr,
            "numComments": 0,
            "pinned": False,
        }  # fmt: skip

    def details(self, repo: Repo, each: Discussion) -> dict[str, Any]:
        """A discussion with its events and, for a pull request, its changes."""
        rows = self._hub.db.all(
            "SELECT * FROM discussion_events WHERE repo_id = ? AND num = ? ORDER BY id", (repo.id, each.num)
        )
        shown = self.show(repo, each) | {"events": [_show_event(row) for row in rows]}
        if not each.is_pr:
            return shown
        ours = self._hub.history.resolve(repo, each.target)
        ref = self._hub.history.ref(repo, "pr", str(each.num))
        theirs = self._hub.history.commit(repo, ref.oid) if ref else None
        base = self._hub.history.commit(repo, each.base or "")
        clashes = each.status in ("open", "draft") and theirs and self._merged(base, ours, theirs) is None
        shown["filesWithConflicts"] = True if clashes else []
        shown["changes"] = {"base": each.target}
        if each.merge_oid:
            shown["changes"]["mergeCommitId"] = each.merge_oid
        shown["diff"] = self._diff(base, theirs) if theirs else ""
        return shown

    def _merged(self, base: Commit | None, ours: Commit, theirs: Commit) -> dict[str, File | None] | None:
        """What to change in ours to bring in theirs, None on a conflict."""
        before = dict(self._hub.trees.files(base.tree)) if base else {}
        here, there = dict(self._hub.trees.files(ours.tree)), dict(self._hub.trees.files(theirs.tree))
        changes: dict[str, File | None] = {}
        for path in before.keys() | there.keys():
            if there.get(path) == before.get(path) or here.get(path) == there.get(path):
                continue
            if here.get(path) != before.get(path):
                return None
            changes[path] = there.get(path)
        return changes

    def _diff(self, base: Commit | None, theirs: Commit) -> str:
        from solo_hub.hub.server.diff import unified

        return unified(self._hub, base, theirs)

    def _mine(self, repo: Repo, num: int, user: User) -> Discussion:
        discussion = self.find(repo, num)
        if discussion.author != user.name:
            require_write(repo.namespace, user)
        return discussion

    def _insert(
        self,
        connection: sqlite3.Connection,
        repo: Repo,
        user: User,
        title: str,
        *,
        description: str | None,
        status: str,
        target: str,
        base: Commit | None,
    ) -> int:
        row = connection.execute(
            "SELECT COALESCE(MAX(num), 0) + 1 AS n FROM discussions WHERE repo_id = ?", (repo.id,)
        ).fetchone()
        num = int(row["n"])
        connection.execute(
            "INSERT INTO discussions (repo_id, num, title, author, status, is_pr, target, base, created_at)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (repo.id, num, title, user.name, status, int(base is not None), target, base.oid if base else None,
             time.time()),
        )  # fmt: skip
        if description:
            self._say(connection, repo, num, user, description)
        return num

    def _event(
        self, connection: sqlite3.Connection, repo: Repo, num: int, author: str, *, kind: str, data: dict[str, Any]
    ) -> dict[str, Any]:
        cursor = connection.execute(
            "INSERT INTO discussion_events (repo_id, num, type, author, created_at, data) VALUES (?, ?, ?, ?, ?, ?)",
            (repo.id, num, kind, author, time.time(), json.dumps(data)),
        )
        row = connection.execute("SELECT * FROM discussion_events WHERE id = ?", (cursor.lastrowid,)).fetchone()
        return _show_event(row)

    def _say(self, connection: sqlite3.Connection, repo: Repo, num: int, user: User, text: str) -> dict[str, Any]:
        return self._event(connection, repo, num, user.name, kind="comment", data=_comment_data(text, user.name))

    def _change_comment(self, repo: Repo, num: int, event_id: str, user: User, text: str | None) -> dict[str, Any]:
        with self._hub.db.write() as connection:
            rows = connection.execute(
                "SELECT * FROM discussion_events WHERE repo_id = ? AND num = ? AND type = 'comment'", (repo.id, num)
            ).fetchall()
            row = next((row for row in rows if object_id("event", row["id"]) == event_id), None)
            if row is None:
                raise ApiError(404, "Comment not found")
            if row["author"] != user.name:
                require_write(repo.namespace, user)
            data = json.loads(row["data"])
            if data["hidden"]:
                raise forbidden("A hidden comment cannot be changed")
            if text is None:
                data |= {"hidden": True, "hiddenBy": user.name}
            else:
                data["history"].insert(0, data["latest"])
                data |= {"edited": True, "latest": _comment_data(text, user.name)["latest"]}
            connection.execute("UPDATE discussion_events SET data = ? WHERE id = ?", (json.dumps(data), row["id"]))
            row = connection.execute("SELECT * FROM discussion_events WHERE id = ?", (row["id"],)).fetchone()
        return _show_event(row)


def _title(value: object) -> str:
    if not isinstance(value, str) or not MIN_TITLE <= len(value.strip()) <= MAX_TITLE:
        raise bad_request(f'"title" must be a string of {MIN_TITLE} to {MAX_TITLE} characters')
    return commits.clean(value.strip())


def _comment(value: object) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str) or len(value) > min(MAX_COMMENT, limits.MAX_MESSAGE):
        raise bad_request(f"A comment must be a string of at most {MAX_COMMENT} characters")
    return commits.clean(value)


def _comment_data(text: str, author: str) -> dict[str, Any]:
    from solo_hub.hub.server.markdown import render

    latest = {"raw": text, "html": render(text), "updatedAt": time_text(time.time()), "author": {"name": author}}
    return {"edited": False, "hidden": False, "latest": latest, "history": []}


def _show_event(row: sqlite3.Row) -> dict[str, Any]:
    return {
        "id": object_id("event", row["id"]),
        "author": {"_id": author_id(row["author"]), "name": row["author"], "type": "user"},
        "createdAt": time_text(row["created_at"]),
        "type": row["type"],
        "data": json.loads(row["data"]),
    }


def _discussion(row: sqlite3.Row) -> Discussion:
    return Discussion(
        row["num"],
        row["title"],
        row["author"],
        row["status"],
        bool(row["is_pr"]),
        row["target"],
        row["base"],
        row["merge_oid"],
        row["created_at"],
    )
