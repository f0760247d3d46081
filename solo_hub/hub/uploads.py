"""A push: compare a folder with the repo, commit the difference once, tag the commit.

`upload_folder` of huggingface_hub splits a push into several commits when it transfers by Xet; `create_commit` does
not, and with `parent_commit` the Hub rejects it after a concurrent push. So a repo holds either the old folder or the
new one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from solo_hub.core.errors import ConflictError, HubError, InputError
from solo_hub.hub import tables

if TYPE_CHECKING:
    from huggingface_hub import HfApi

_VERSION = re.compile(r"v([1-9]\d*)")
_NOT_PUSHED = frozenset({".git", ".cache"})  # folders of tools; the Hub rejects them
_MADE_BY_HUB = frozenset({".gitattributes"})  # created with every repo, and kept
_TAG_ATTEMPTS = 10  # concurrent pushes may take the same number
_CONFLICT = (409, 412)  # conflict; parent is no longer the latest commit
_NAMED = 5  # files named in a message


@dataclass(frozen=True, slots=True)
class Upload:
    """An upload of a folder to a repo.

    Attributes:
        api: Client with endpoint and token.
        repo_id: OWNER/NAME.
        type: `model`, `dataset` or `space`.
        files: Local files by their path in the repo.
        parent: The commit the folder is based on, empty for none; None to overwrite any.
    """

    api: HfApi
    repo_id: str
    type: str
    files: Mapping[str, Path]
    parent: str | None = None

    def head_or_new(self, *, private: bool) -> str | None:
        """Latest commit of the repo, which is created if missing; None if it has none yet."""
        from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

        try:
            return self._head()
        except GatedRepoError:
            raise
        except RepositoryNotFoundError:
            sdk = space_sdk(self.files) if self.type == "space" else None
            # exist_ok: it may be created concurrently
            self.api.create_repo(self.repo_id, repo_type=self.type, private=private, exist_ok=True, space_sdk=sdk)
        return self._head()

    def _head(self) -> str | None:
        return self.api.repo_info(self.repo_id, repo_type=self.type).sha

    def commit(self, head: str | None, message: str) -> tuple[str, bool]:
        """Commit the difference to `head`, if any.

        Returns:
            The commit with the folder's content, and whether it was created here.

        Raises:
            ConflictError: Something different was committed since `head`.
            HubError: The Hub left out some of the files.
        """
        from huggingface_hub import CommitOperationAdd, CommitOperationDelete
        from huggingface_hub.errors import HfHubHTTPError

        changed, gone = self.difference(head)
        if head and not changed and not gone:
            return head, False
        if self.parent is not None and not self._follows(head, gone, len(changed)):
            raise self._conflict()
        deletes = [CommitOperationDelete(path, is_folder=False) for path in gone]
        adds = [CommitOperationAdd(path, str(self.files[path])) for path in changed]
        try:
            made = self.api.create_commit(
                self.repo_id,
                [*deletes, *adds],
                commit_message=message,
                repo_type=self.type,
                parent_commit=head,
                num_threads=4,
            ).oid
        except HfHubHTTPError as error:
            if error.response.status_code not in _CONFLICT:
                raise
            # A concurrent push of the same content, or our own commit whose response was lost, is not a conflict.
            latest = self._head()
            if latest and self.difference(latest) == ([], []):
                return latest, False
            raise self._conflict() from error
        self._check(made)
        return made, True

    def _follows(self, head: str | None, gone: list[str], changed: int) -> bool:
        """Whether the repo is unchanged since `parent`; a new repo contains only the Hub's own files."""
        if self.parent:
            return head == self.parent
        return not gone and changed == len(self.files)

    def _conflict(self) -> ConflictError:
        return ConflictError(
            f"There was another push to the {self.type} '{self.repo_id}' meanwhile; nothing was published.",
            hint="Run the same command again to publish on top of it.",
        )

    def _check(self, commit: str) -> None:
        """Check that the Hub has all files: a .gitignore in the folder silently excludes some."""
        missing, extra = self.difference(commit)
        if missing or extra:
            names = ", ".join([*missing, *extra][:_NAMED])
            raise HubError(
                f"The {self.type} '{self.repo_id}' differs from the folder after the push: {names}.",
                hint="Remove .gitignore from the folder and push again.",
            )

    def difference(self, commit: str | None) -> tuple[list[str], list[str]]:
        """Paths that are new or different in the folder, and paths that only the commit has."""
        from huggingface_hub.hf_api import RepoFile

        if commit is None:
            return sorted(self.files), []
        tree = self.api.list_repo_tree(self.repo_id, recursive=True, revision=commit, repo_type=self.type)
        remote = {item.path: item for item in tree if isinstance(item, RepoFile)}
        changed = [
            path for path, file in sorted(self.files.items()) if path not in remote or not same(file, remote[path])
        ]
        return changed, sorted(set(remote) - set(self.files) - _MADE_BY_HUB)

    def tag(self, commit: str) -> tuple[str, bool]:
        """Find or create the version tag of a commit.

        Returns:
            The tag, and whether it was created here.

        Raises:
            ConflictError: Concurrent pushes took every version that was tried.
        """
        for _ in range(_TAG_ATTEMPTS):
            versions = self.versions()
            existing = [number for number, target in versions.items() if target == commit]
            if existing:
                return f"v{max(existing)}", False
            name = f"v{max(versions, default=0) + 1}"
            if self._create_tag(name, commit):
                return name, True
        raise ConflictError(
            f"The {self.type} '{self.repo_id}' was pushed but not tagged: concurrent pushes keep taking the next "
            "version.",
            hint="Run the same command again.",
        )

    def tag_as(self, commit: str, name: str) -> bool:
        """Tag a commit unless the tag exists; returns whether it was created."""
        tags = self.api.list_repo_refs(self.repo_id, repo_type=self.type).tags
        return not any(ref.name == name for ref in tags) and self._create_tag(name, commit)

    def _create_tag(self, name: str, commit: str) -> bool:
        """Create a tag; False where another push was faster."""
        from huggingface_hub.errors import HfHubHTTPError

        try:
            self.api.create_tag(self.repo_id, tag=name, revision=commit, repo_type=self.type)
        except HfHubHTTPError as error:
            if error.response.status_code not in _CONFLICT:
                raise
            return False
        return True

    def versions(self) -> dict[int, str]:
        """Commits by version number."""
        tags = self.api.list_repo_refs(self.repo_id, repo_type=self.type).tags
        matches = ((_VERSION.fullmatch(ref.name), ref.target_commit) for ref in tags)
        return {int(match[1]): target for match, target in matches if match}


def files_of(folder: Path) -> dict[str, Path]:
    """List a folder's files by their path in the repo.

    Raises:
        InputError: It is not a folder, or it is empty.
    """
    if not folder.is_dir():
        raise InputError("is not a folder.", file=str(folder), hint="Pass the folder to publish.")
    files = {}
    for path in sorted(folder.rglob("*")):
        relative = path.relative_to(folder)
        if path.is_file() and not _NOT_PUSHED.intersection(relative.parts):
            files[relative.as_posix()] = path
    if not files:
        raise InputError("holds no files.", file=str(folder), hint="Pass the folder to publish.")
    return files


def same(path: Path, remote: Any) -> bool:
    """Whether a local file equals a file on the Hub, by size and then by the Hub's hash."""
    if path.stat().st_size != remote.size:
        return False
    # The Hub has the SHA-256 of large files, and git's blob hash of small ones.
    if remote.lfs:
        return tables.sha256_of(path) == str(remote.lfs.sha256)
    return tables.git_hash_of(path) == str(remote.blob_id)


def space_sdk(files: Mapping[str, Path]) -> str:
    """Read the `sdk` from a Space's card; the Hub needs it to create the repo.

    Raises:
        InputError: There is no card, or it has no `sdk`.
    """
    if "README.md" in files:
        match = re.search(r"^sdk:\s*(\w+)\s*$", files["README.md"].read_text("utf-8", errors="replace"), re.MULTILINE)
        if match:
            return match[1]
    raise InputError(
        "the card of a Space must state its sdk.", file="README.md", hint="Add `sdk: gradio` to its metadata."
    )
