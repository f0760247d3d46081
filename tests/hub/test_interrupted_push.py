"""A push cut off at every one of its requests in turn: the repo is at the old or the new version, never between.

One fault at a time, before the Hub saw the request and after it; once that request alone (the client's own retry may
get through), once it and all that follow (the network is gone).
"""

from __future__ import annotations

import itertools
from concurrent.futures import ThreadPoolExecutor

import pytest
from fault_proxy import FaultProxy, corrupted, every, reset, slow, status, timeout, truncated
from hub_helpers import CARD, WRITE, fill
from huggingface_hub import HfApi
from huggingface_hub.utils import _http

from solo_hub.core.errors import ConflictError, HubError
from solo_hub.hub import HubClient, transport

OLD = {"README.md": CARD, "data/train.parquet": b"old" * 5000, "gone.txt": "x"}
NEW = {"README.md": CARD + "new\n", "data/train.parquet": b"new!" * 4000, "more/weights.safetensors": b"w" * 9000}
MOST = 60  # requests of one push


@pytest.fixture
def proxy(hub, no_waiting, monkeypatch):
    # the client waits two minutes for an answer
    monkeypatch.setattr(transport, "_READ", 0.4)
    monkeypatch.setattr(_http, "_GLOBAL_CLIENT_FACTORY", _http.default_client_factory)
    _http.close_session()
    with FaultProxy(hub.endpoint) as made:
        yield made
    _http.close_session()


class Repo:
    """One repo, looked at without the proxy."""

    def __init__(self, hub, name):
        self.api, self.name = HfApi(endpoint=hub.endpoint, token=WRITE), name

    def files(self, revision):
        names = self.api.list_repo_files(self.name, repo_type="dataset", revision=revision)
        info = self.api.get_paths_info(self.name, names, repo_type="dataset", revision=revision)
        return {item.path: item.size for item in info if item.path != ".gitattributes"}

    def tags(self):
        return {ref.name: ref.target_commit for ref in self.api.list_repo_refs(self.name, repo_type="dataset").tags}

    def commits(self):
        return len(self.api.list_repo_commits(self.name, repo_type="dataset"))


def sizes(files):
    return {path: len(content) for path, content in files.items()}


def states(repo, old):
    """What may be seen after a push that failed: the old files or the new ones, and tags on whole versions only."""
    if not repo.api.repo_exists(repo.name, repo_type="dataset"):
        assert not old
        return
    seen = repo.files("main")
    assert seen in ([sizes(old)] if old else [{}]) + [sizes(NEW)]
    number = 1 if old else 0
    wanted = {f"v{n}": sizes(files) for n, files in ((number, old), (number + 1, NEW)) if n}
    tags = repo.tags()
    assert {name: repo.files(name) for name in tags} == {name: wanted[name] for name in tags}
    assert not old or "v1" in tags


def interrupt_everywhere(hub, proxy, name, tmp_path, fault, onwards, old):
    """Push `old`, then `NEW` with the fault at request 0, 1, 2, ... until there is none of that number."""
    direct, through = HubClient(hub.endpoint, WRITE, tmp_path / "c"), HubClient(proxy.url, WRITE, tmp_path / "c")
    old_folder, new_folder = fill(tmp_path / "old", old), fill(tmp_path / "new", NEW)
    failed = 0
    for k in itertools.count():
        assert k < MOST
        repo = Repo(hub, f"{name}-{k}")
        if old:
            direct.push(old_folder, repo.name, "dataset", message="old")
        before = repo.commits() if old else 0
        proxy.clear()
        (proxy.fail_from if onwards else proxy.fail_at)(k, fault)
        try:
            pushed = through.push(new_folder, repo.name, "dataset", message="new")
        except HubError as error:
            failed += bool(error.hint)
        else:
            assert repo.files(pushed.tag) == sizes(NEW)
        if not any(seen.fault for seen in proxy.requests):
            break
        states(repo, old)
        proxy.clear()
        pushed = through.push(new_folder, repo.name, "dataset", message="new")
        last = "v2" if old else "v1"
        assert pushed.tag == last, proxy.requests
        assert set(repo.tags()) == {"v1", last}
        assert repo.files("main") == repo.files(last) == sizes(NEW)
        assert repo.commits() == (before + 1 if old else 2)  # one commit for the version; the first is the Hub's own
    assert k > 8
    return failed


FEW = [
    (reset(), True),
    (reset(delivered=True), False),
    (status(503, delivered=True), False),
    (truncated(), False),
    (corrupted(), False),
]


@pytest.mark.parametrize(("fault", "onwards"), FEW, ids=str)
def test_the_next_version_is_whole_or_not_there(hub, proxy, name, tmp_path, fault, onwards):
    assert interrupt_everywhere(hub, proxy, name, tmp_path, fault, onwards, OLD) > 0


@pytest.mark.parametrize("delivered", [False, True])
def test_the_first_version_is_whole_or_not_there(hub, proxy, name, tmp_path, delivered):
    assert interrupt_everywhere(hub, proxy, name, tmp_path, reset(delivered=delivered), False, {}) > 0


ALL = every(
    status(429, retry_after=0),
    status(500),
    status(502),
    status(503),
    reset(),
    timeout(seconds=1.0),
    truncated(),
    corrupted(),
)


@pytest.mark.soak
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("old", [{}, OLD], ids=["first", "next"])
@pytest.mark.parametrize("onwards", [False, True], ids=["once", "onwards"])
@pytest.mark.parametrize("fault", ALL, ids=str)
def test_every_fault_at_every_request(hub, proxy, name, tmp_path, fault, onwards, old):
    assert interrupt_everywhere(hub, proxy, name, tmp_path, fault, onwards, old) > 0


def test_a_slow_hub_is_no_fault(hub, proxy, name, tmp_path):
    assert interrupt_everywhere(hub, proxy, name, tmp_path, slow(rate=20_000), False, OLD) == 0


def test_a_folder_made_for_another_commit_is_not_pushed_over_it(hub, name, tmp_path):
    """Between looking at the repo and pushing somebody else published: their version stays on top."""
    door = HubClient(hub.endpoint, WRITE, tmp_path / "c")
    seen = door.push(fill(tmp_path / "1", OLD), name, "dataset", message="seen", parent="")
    theirs = door.push(fill(tmp_path / "2", NEW), name, "dataset", message="theirs", parent=seen.commit)
    mine = fill(tmp_path / "3", {**OLD, "README.md": CARD + "mine\n"})
    for parent in (seen.commit, ""):
        with pytest.raises(ConflictError, match=r"nothing was published.*again"):
            door.push(mine, name, "dataset", message="mine", parent=parent)
    assert door.newest(name, "dataset") == theirs.commit
    # the same content again is no conflict, whoever pushed it
    assert door.push(tmp_path / "2", name, "dataset", message="again", parent=seen.commit).tag == "v2"
    assert door.push(mine, name, "dataset", message="mine", parent=theirs.commit).tag == "v3"


def test_pushers_at_once_who_have_seen_the_same_version(hub, name, tmp_path):
    """Of six only one follows the version that all have seen; the others are told so and lose nothing of his."""
    first = HubClient(hub.endpoint, WRITE, tmp_path / "c").push(fill(tmp_path / "0", OLD), name, "dataset", message="0")

    def push(number):
        door = HubClient(hub.endpoint, WRITE, tmp_path / "c")
        mine = fill(tmp_path / f"m{number}", {**OLD, "mine.txt": str(number)})
        try:
            return door.push(mine, name, "dataset", message=str(number), parent=first.commit).tag
        except ConflictError:
            return None

    with ThreadPoolExecutor(6) as pool:
        tags = list(pool.map(push, range(6)))
    assert sorted(tag for tag in tags if tag) == ["v2"]
    assert Repo(hub, name).commits() == 3
