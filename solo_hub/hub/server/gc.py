"""Collecting what no commit needs: blobs of abandoned uploads, deleted repos and rewritten histories.

Rows go first, in one transaction; files follow, each only after another look, under the write lock, that no row has
come back for it. A crash in between leaves files without a row, which the next collection finds.
"""

from __future__ import annotations

import os
import shutil
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from solo_hub.hub.server.trees import File, Folder

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from solo_hub.hub.server.core import Hub
    from solo_hub.hub.server.repos import Repo

DEFAULT_HOURS = 24.0


@dataclass(slots=True)
class Report:
    """What a collection removed."""

    commits: int = 0
    trees: int = 0
    blobs: int = 0
    xorbs: int = 0
    temporary_files: int = 0
    freed_bytes: int = 0


def collect(hub: Hub, *, older_than: float = DEFAULT_HOURS * 3600) -> Report:
    """Remove what nothing refers to.

    Args:
        hub: The Hub; it may be serving meanwhile.
        older_than: Seconds that must have passed since something arrived; what is younger may belong to a push that
            has not committed yet.
    """
    before = time.time() - older_than
    report = Report()
    with hub.db.write() as connection:
        live_trees: set[str] = set()
        for row in connection.execute("SELECT id FROM repos").fetchall():
            repo = hub.repos.by_id(row["id"])
            if repo is not None:
                _collect_repo(hub, connection, repo, before, live_trees=live_trees, report=report)
        dead = [row["key"] for row in connection.execute("SELECT key FROM trees") if row["key"] not in live_trees]
        connection.executemany("DELETE FROM trees WHERE key = ?", [(key,) for key in dead])
        report.trees = len(dead)
        _collect_blobs(connection, before, report)
        _collect_xorbs(connection, before, report)
    hub.xet.forget_tables()
    _remove_files(hub, hub.content.blobs_dir, before, report, _blob_is_known)
    _remove_files(hub, hub.xet.xorbs_dir, before, report, _xorb_is_known)
    _remove_temporary(hub.content.tmp_dir, before, report)
    with hub.db.write() as connection:
        connection.execute("PRAGMA incremental_vacuum")
    return report


def _collect_repo(
    hub: Hub, connection: sqlite3.Connection, repo: Repo, before: float, *, live_trees: set[str], report: Report
) -> None:
    roots = [row["oid"] for row in connection.execute("SELECT oid FROM refs WHERE repo_id = ?", (repo.id,))]
    for row in connection.execute("SELECT base, merge_oid FROM discussions WHERE repo_id = ?", (repo.id,)):
        roots += [oid for oid in (row["base"], row["merge_oid"]) if oid]
    for row in connection.execute(
        "SELECT oid FROM commits WHERE repo_id = ? AND created_at >= ?", (repo.id, before)
    ).fetchall():
        roots.append(row["oid"])
    live: set[str] = set()
    blobs: set[str] = set()
    for root in roots:
        for commit in hub.history.log(repo, root):
            if commit.oid in live:
                break
            live.add(commit.oid)
            _walk(hub, commit.tree, live_trees, blobs)
    every = connection.execute("SELECT oid FROM commits WHERE repo_id = ?", (repo.id,)).fetchall()
    dead = [(repo.id, row["oid"]) for row in every if row["oid"] not in live]
    connection.executemany("DELETE FROM commits WHERE repo_id = ? AND oid = ?", dead)
    report.commits += len(dead)
    linked = connection.execute(
        "SELECT sha256 FROM repo_blobs WHERE repo_id = ? AND created_at < ?", (repo.id, before)
    ).fetchall()
    connection.executemany(
        "DELETE FROM repo_blobs WHERE repo_id = ? AND sha256 = ?",
        [(repo.id, row["sha256"]) for row in linked if row["sha256"] not in blobs],
    )


def _walk(hub: Hub, tree: str, live_trees: set[str], blobs: set[str]) -> None:
    """Note a tree's listings and blobs; the blobs also of a listing another repo brought here already."""
    live_trees.add(tree)
    for node in hub.trees.listing(tree).values():
        if isinstance(node, Folder):
            _walk(hub, node.key, live_trees, blobs)
        elif isinstance(node, File):
            blobs.add(node.sha256)


def _collect_blobs(connection: sqlite3.Connection, before: float, report: Report) -> None:
    dead = connection.execute(
        "SELECT sha256, size, place FROM blobs b WHERE created_at < ?"
        " AND NOT EXISTS (SELECT 1 FROM repo_blobs r WHERE r.sha256 = b.sha256)",
        (before,),
    ).fetchall()
    connection.executemany("DELETE FROM blobs WHERE sha256 = ?", [(row["sha256"],) for row in dead])
    report.blobs += len(dead)
    report.freed_bytes += sum(row["size"] for row in dead if row["place"] == "db")


def _collect_xorbs(connection: sqlite3.Connection, before: float, report: Report) -> None:
    connection.execute(
        "DELETE FROM xet_files WHERE sha256 NOT IN (SELECT sha256 FROM blobs) AND created_at < ?", (before,)
    )
    cursor = connection.execute(
        "DELETE FROM xorbs WHERE created_at < ?"
        " AND NOT EXISTS (SELECT 1 FROM xet_file_xorbs f WHERE f.xorb_hash = xorbs.hash)",
        (before,),
    )
    report.xorbs += cursor.rowcount
    if cursor.rowcount:  # clients must forget what they know of the xorbs here
        connection.execute(
            "INSERT INTO meta (key, value) VALUES ('collections_done', '1')"
            " ON CONFLICT DO UPDATE SET value = CAST(value AS INTEGER) + 1"
        )


def _blob_is_known(connection: sqlite3.Connection, name: str) -> bool:
    return connection.execute("SELECT 1 FROM blobs WHERE sha256 = ? AND place = 'disk'", (name,)).fetchone() is not None


def _xorb_is_known(connection: sqlite3.Connection, name: str) -> bool:
    return connection.execute("SELECT 1 FROM xorbs WHERE hash = ?", (name,)).fetchone() is not None


def _remove_files(
    hub: Hub, folder: Path, before: float, report: Report, known: Callable[[sqlite3.Connection, str], bool]
) -> None:
    for path in list(_files(folder)):
        with hub.db.write() as connection:  # nobody can bring the file back between the look and the unlink
            if known(connection, path.name):
                continue
            status = path.stat()
            if status.st_mtime < before:
                path.unlink()
                report.freed_bytes += status.st_size


def _remove_temporary(folder: Path, before: float, report: Report) -> None:
    for path in folder.iterdir():
        try:
            if path.stat().st_mtime >= before:
                continue
            if path.is_dir():
                shutil.rmtree(path)
            else:
                report.freed_bytes += path.stat().st_size
                path.unlink()
        except FileNotFoundError:  # its upload has just ended
            continue
        report.temporary_files += 1


def _files(folder: Path) -> Iterator[Path]:
    for parent in sorted(folder.iterdir()):
        if parent.is_dir():
            with os.scandir(parent) as entries:
                yield from (parent / entry.name for entry in entries)
