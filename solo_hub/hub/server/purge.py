"""Taking LFS objects out of a repo's whole history."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from solo_hub.hub.server.info import time_text
from solo_hub.hub.server.trees import Folder, TreeEdit

if TYPE_CHECKING:
    from solo_hub.hub.server.core import Hub
    from solo_hub.hub.server.history import Commit
    from solo_hub.hub.server.names import RefKind
    from solo_hub.hub.server.repos import Repo


def list_lfs_files(hub: Hub, repo: Repo) -> list[dict[str, Any]]:
    """Each LFS object once, under the newest name it had, the latest pushed first."""
    found: dict[str, dict[str, Any]] = {}
    seen: set[str] = set()
    for ref in [*hub.history.refs(repo, "head"), *hub.history.refs(repo, "tag"), *hub.history.refs(repo, "pr")]:
        for commit in hub.history.log(repo, ref.oid):
            if commit.oid in seen:
                break
            seen.add(commit.oid)
            for path, file in hub.trees.files(commit.tree):
                if file.lfs:
                    entry = found.setdefault(file.sha256, {
                        "fileOid": file.sha256, "filename": path, "oid": file.sha256, "ref": ref.full,
                        "size": file.size,
                    })  # fmt: skip
                    entry["pushedAt"] = time_text(commit.created_at)  # the oldest commit that has it comes last
    return sorted(found.values(), key=lambda entry: entry["pushedAt"], reverse=True)


def delete_lfs_files(hub: Hub, repo: Repo, hashes: set[str], *, rewrite: bool) -> None:
    """Remove LFS objects from a repo.

    Args:
        hub: The Hub.
        repo: The repo.
        hashes: Which objects.
        rewrite: Whether to rewrite every commit that has them; otherwise their files stay listed and answer 404.
    """
    with hub.db.write() as connection:
        if rewrite:
            rewritten: dict[str, Commit] = {}
            kinds: tuple[RefKind, ...] = ("head", "tag", "pr")
            for kind in kinds:
                for ref in hub.history.refs(repo, kind):
                    commit = _rewrite(hub, repo, ref.oid, hashes, rewritten)
                    hub.history.point(connection, repo, ref.kind, ref.name, commit.oid)
        connection.executemany(
            "DELETE FROM repo_blobs WHERE repo_id = ? AND sha256 = ?", [(repo.id, each) for each in hashes]
        )


def _rewrite(hub: Hub, repo: Repo, oid: str, hashes: set[str], rewritten: dict[str, Commit]) -> Commit:
    """The commit and its ancestors without the objects; unchanged ones keep their id."""
    chain = []
    for commit in hub.history.log(repo, oid):
        chain.append(commit)
        if commit.oid in rewritten:
            break
    for commit in reversed(chain):
        if commit.oid in rewritten:
            continue
        parent = rewritten[commit.parent].oid if commit.parent in rewritten else commit.parent
        edit = TreeEdit(hub.trees, commit.tree)
        gone = [path for path, file in hub.trees.files(commit.tree) if file.lfs and file.sha256 in hashes]
        for path in gone:
            edit.delete_file(path)
        root = edit.store() if gone else Folder(hub.trees.folder(commit.tree).oid, commit.tree)
        if not gone and parent == commit.parent:
            rewritten[commit.oid] = commit
            continue
        with hub.db.write() as connection:
            rewritten[commit.oid] = hub.history.add_commit(
                connection,
                repo,
                parent=parent,
                root=root,
                title=commit.title,
                message=commit.message,
                author=commit.author,
            )
    return rewritten[oid]
