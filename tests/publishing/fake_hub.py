"""A Hub without a server, for what publishes."""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import dataclass
from pathlib import Path

from publishing.conftest import folder_bytes
from solo_hub.core.errors import HubError
from solo_hub.hub.repos import Version


@dataclass
class Pushed:
    repo_id: str
    type: str
    commit: str
    tag: str | None
    url: str
    changed: bool


class FakeHub:
    """Repos in a folder; a commit is the hash of a folder's files, pushing the same files again changes nothing."""

    def __init__(self, root: Path):
        self.root, self.pushes, self.tags, self.head, self.fail_on = root, [], {}, {}, None

    def push(self, folder, repo_id, kind, *, message, private, parent):
        if self.fail_on == kind:
            raise HubError("the Hub went away.")
        assert parent == self.head.get(repo_id, "")
        files = folder_bytes(folder)
        digest = hashlib.sha1(repr((repo_id, sorted(files.items()))).encode()).hexdigest()
        changed = self.head.get(repo_id) != digest
        if changed:
            self.pushes.append((repo_id, kind, message, private))
            shutil.copytree(folder, self.root / digest, dirs_exist_ok=True)
            (self.root / digest / ".gitattributes").write_text("made by the Hub\n")
            self.head[repo_id] = digest
            self.tags.setdefault(repo_id, []).append(digest)
        return Pushed(repo_id, kind, digest, f"v{len(self.tags[repo_id])}", f"https://hub.example/{repo_id}", changed)

    def tag(self, repo_id, kind, commit):
        """Tag a commit that a push left untagged."""
        if commit not in self.tags[repo_id]:
            self.tags[repo_id].append(commit)
        return f"v{self.tags[repo_id].index(commit) + 1}"

    def latest(self, repo_id, kind):
        if repo_id not in self.head:
            return None
        return Version(self.head[repo_id], self.root / self.head[repo_id], f"v{len(self.tags[repo_id])}")
