"""What a push asks of the Hub, seen by a recording fake of its client."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from types import SimpleNamespace

import httpx2
import pytest
from hub_helpers import fill
from huggingface_hub import CommitOperationAdd
from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError
from huggingface_hub.hf_api import RepoFile

from solo_hub.core.errors import ConflictError, HubError, InputError
from solo_hub.hub import HubClient
from solo_hub.hub.uploads import files_of, same, space_sdk


def refused(status, kind=HfHubHTTPError):
    return kind("refused", response=httpx2.Response(status, request=httpx2.Request("POST", "http://h/api")))


def remote(path, content, *, lfs=False):
    """A file as the Hub lists it."""
    oid = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
    large = {"oid": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 100} if lfs else None
    return RepoFile(path=path, size=len(content), oid=oid, lfs=large)


@dataclass
class FakeApi:
    """One repo as a list of commits; every call is noted."""

    commits: list[dict[str, bytes]] = field(default_factory=list)
    tags: dict[str, str] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    fail: dict[str, list[Exception | None]] = field(default_factory=dict)
    on_conflict: object = None
    forget: str = ""

    def note(self, call):
        self.calls.append(call)
        queue = self.fail.get(call)
        if queue and (error := queue.pop(0)):
            raise error

    def repo_info(self, repo_id, **_):
        self.note("repo_info")
        return SimpleNamespace(sha=f"c{len(self.commits)}" if self.commits else None)

    def create_repo(self, repo_id, **kwargs):
        self.note("create_repo")
        assert kwargs["exist_ok"] is True

    def list_repo_tree(self, repo_id, *, revision, **_):
        self.note("list_repo_tree")
        return [remote(path, content) for path, content in self.commits[int(revision[1:]) - 1].items()]

    def create_commit(self, repo_id, operations, *, parent_commit, **_):
        assert parent_commit == (f"c{len(self.commits)}" if self.commits else None)
        try:
            self.note("create_commit")
        except HfHubHTTPError:
            if self.on_conflict is not None:
                self.commits.append(self.on_conflict)
            raise
        new = dict(self.commits[-1]) if self.commits else {}
        for operation in operations:
            if isinstance(operation, CommitOperationAdd):
                with operation.as_file() as file:
                    new[operation.path_in_repo] = file.read()
            else:
                del new[operation.path_in_repo]
        new.pop(self.forget, None)
        self.commits.append(new)
        return SimpleNamespace(oid=f"c{len(self.commits)}")

    def list_repo_refs(self, repo_id, **_):
        return SimpleNamespace(tags=[SimpleNamespace(name=n, target_commit=c) for n, c in self.tags.items()])

    def create_tag(self, repo_id, *, tag, revision, **_):
        self.note("create_tag")
        self.tags[tag] = revision


@pytest.fixture
def api():
    return FakeApi()


@pytest.fixture
def fake(api):
    door = HubClient("http://127.0.0.1:9", "hf_x", None)
    door.__dict__["_api"] = api  # in place of the client the cached property would make
    return door


def push(door, folder):
    return door.push(folder, "ann/x", "dataset", message="m")


def test_a_new_repo_gets_one_commit_and_then_its_tag(fake, api, folder):
    api.fail["repo_info"] = [refused(404, RepositoryNotFoundError)]
    pushed = push(fake, folder)
    assert [c for c in api.calls if c.startswith("create")] == ["create_repo", "create_commit", "create_tag"]
    assert (pushed.commit, pushed.tag, pushed.changed) == ("c1", "v1", True)
    assert pushed.url == "http://127.0.0.1:9/datasets/ann/x"
    assert set(api.commits[0]) == {"README.md", "data/train.jsonl"}


def test_the_same_folder_again_pushes_nothing(fake, api, folder):
    first = push(fake, folder)
    api.calls.clear()
    again = push(fake, folder)
    assert (again.commit, again.tag, again.changed) == (first.commit, "v1", False)
    assert not [call for call in api.calls if call.startswith("create")]


def test_changes_and_deletions_are_one_commit_and_the_next_version(fake, api, folder):
    push(fake, folder)
    (folder / "data/train.jsonl").rename(folder / "data/test.jsonl")
    pushed = push(fake, folder)
    assert (pushed.commit, pushed.tag) == ("c2", "v2")
    assert set(api.commits[1]) == {"README.md", "data/test.jsonl"}


def test_gitattributes_of_the_hub_stays(fake, api, folder):
    api.commits.append({".gitattributes": b"*.parquet lfs"})
    push(fake, folder)
    assert ".gitattributes" in api.commits[-1]


def test_a_push_killed_between_commit_and_tag_is_completed(fake, api, folder):
    api.fail["create_tag"] = [KeyboardInterrupt()]
    with pytest.raises(KeyboardInterrupt):
        push(fake, folder)
    assert (len(api.commits), api.tags) == (1, {})
    pushed = push(fake, folder)
    assert (len(api.commits), api.tags, pushed.changed) == (1, {"v1": "c1"}, True)


def test_the_next_version_is_above_all_others_and_other_tags_do_not_count(fake, api, folder):
    api.commits.append({"old": b""})
    api.tags = {"v2": "c1", "v10": "c1", "v03": "c1", "v1.5": "c1", "version9": "c1"}
    assert push(fake, folder).tag == "v11"


def test_a_number_taken_this_moment_is_skipped(fake, api, folder):
    api.commits.append({"old": b""})
    api.fail["create_tag"] = [refused(409)]
    real = api.list_repo_refs

    def refs(repo_id, **kwargs):
        found = real(repo_id, **kwargs)
        api.tags.setdefault("v1", "c1")  # somebody else's, right after we looked
        return found

    api.list_repo_refs = refs
    assert push(fake, folder).tag == "v2"


def test_numbers_taken_for_ever_end_in_a_sentence(fake, api, folder):
    api.fail["create_tag"] = [refused(409)] * 50
    with pytest.raises(ConflictError, match="pushed but not tagged"):
        push(fake, folder)


def test_somebody_else_was_faster(fake, api, folder):
    api.commits.append({"old": b""})
    api.fail["create_commit"] = [refused(412)]
    api.on_conflict = {"theirs": b"1"}
    with pytest.raises(ConflictError, match=r"nothing was published. Run the same command again"):
        push(fake, folder)
    assert push(fake, folder).commit == "c3"


def test_somebody_else_was_faster_with_the_same_content(fake, api, folder):
    api.fail["create_commit"] = [refused(412)]
    api.on_conflict = {path: file.read_bytes() for path, file in files_of(folder).items()}
    pushed = push(fake, folder)
    assert (pushed.commit, pushed.tag, len(api.commits)) == ("c1", "v1", 1)


def test_a_file_the_hub_left_out_is_noticed(fake, api, folder):
    api.forget = "data/train.jsonl"
    with pytest.raises(HubError, match=r"data/train\.jsonl.*gitignore"):
        push(fake, folder)
    assert not api.tags


def test_without_a_tag(fake, api, folder):
    pushed = fake.push(folder, "ann/x", "model", message="m", next_version_tag=False)
    assert (pushed.tag, api.tags) == (None, {})


def test_nothing_to_push_empty(fake, api, tmp_path):
    (tmp_path / "none").mkdir()
    with pytest.raises(InputError, match="holds no files"):
        push(fake, tmp_path / "none")
    with pytest.raises(InputError, match="not a folder"):
        push(fake, tmp_path / "missing")
    assert not api.calls


def test_folders_of_tools_are_not_pushed(tmp_path):
    files = {".git/config": "", ".cache/huggingface/x": "", "a/.git/y": "", ".eval_results/r.yaml": "", "x": ""}
    assert set(files_of(fill(tmp_path / "f", files))) == {".eval_results/r.yaml", "x"}


@pytest.mark.parametrize("lfs", [False, True])
def test_same_compares_by_the_hash_the_hub_keeps(tmp_path, lfs):
    file = fill(tmp_path, {"x": b"hello"}) / "x"
    assert same(file, remote("x", b"hello", lfs=lfs))
    assert not same(file, remote("x", b"jello", lfs=lfs))
    assert not same(file, remote("x", b"hello!", lfs=lfs))


def test_a_space_is_made_with_the_sdk_of_its_card(tmp_path):
    assert space_sdk(files_of(fill(tmp_path / "a", {"README.md": "---\nsdk: gradio\n---\n"}))) == "gradio"
    with pytest.raises(InputError, match="sdk"):
        space_sdk(files_of(fill(tmp_path / "b", {"README.md": "# nothing"})))
    with pytest.raises(InputError, match="sdk"):
        space_sdk({})
