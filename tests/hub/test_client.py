"""The door against a real server and the unmodified client."""

from __future__ import annotations

import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hub_helpers import CARD, OTHER, READ, WRITE, fill
from huggingface_hub import HfApi

from solo_hub.core.errors import (
    ConflictError,
    GatedError,
    HubError,
    ModelError,
    NotAllowedError,
    RepoMissingError,
    UsageError,
)
from solo_hub.hub import HubClient, Pinned, transport
from solo_hub.hub.repos import parse_reference
from solo_hub.hub.uploads import files_of

TINY_MODEL = {
    "README.md": "---\nlicense: apache-2.0\n---\n",
    "model.safetensors": b"\x02\0\0\0\0\0\0\0{}",
    "config.json": "{}",
    "1_Pooling/config.json": "{}",
    "vocab.txt": "a",
    "chat_template.jinja": "x",
    "pytorch_model.bin": b"pickle",
    "model.pt": b"pickle",
    "modeling_evil.py": "raise SystemExit",
    "consolidated.safetensors": b"again",
}


@pytest.fixture
def api(hub):
    return HfApi(endpoint=hub.endpoint, token=WRITE)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("a/b", ("a/b", "main")),
        ("a/b@v1", ("a/b", "v1")),
        ("a/b@refs/pr/1", ("a/b", "refs/pr/1")),
        ("gpt2", ("gpt2", "main")),
    ],
)
def test_references(text, parts):
    assert parse_reference(text) == parts


@pytest.mark.parametrize("text", ["", " ", "a/b/c", "a/", "@v1", "a/b@", "a b/c", "../x", "a/b@v 1"])
def test_what_is_no_reference_empty(text):
    with pytest.raises(UsageError, match="OWNER/NAME"):
        parse_reference(text)


def test_pushed_then_pinned_then_pulled_is_the_same(door, folder, name):
    pushed = door.push(folder, name, "dataset", message="first")
    pinned = door.pin(name, "dataset")
    assert (pinned.commit, pinned.revision, pinned.license) == (pushed.commit, "main", "mit")
    assert door.pin(f"{name}@v1", "dataset").commit == pushed.commit
    pulled = door.pull(pinned)
    assert set(files_of(pulled)) == {
        "README.md",
        "data/train.jsonl",
    }
    assert (pulled / "data/train.jsonl").read_bytes() == (folder / "data/train.jsonl").read_bytes()
    assert Pinned.from_row(pinned.to_row(), door.endpoint) == pinned


@pytest.mark.parametrize(
    ("card", "licence", "terms", "link", "languages"),
    [
        ("license: other\nlicense_name: own\nlicense_link: LICENSE\nlanguage: en", "other", "own", "LICENSE", ("en",)),
        ("license: [mit, apache-2.0]\nlanguage:\n- de\n- zh", "mit, apache-2.0", None, None, ("de", "zh")),
        ("tags: [a]", None, None, None, ()),
    ],
)
def test_what_the_card_states_is_pinned_too(door, folder, name, card, licence, terms, link, languages):
    (folder / "README.md").write_text(f"---\n{card}\n---\n")
    for kind in ("dataset", "model"):
        door.push(folder, f"{name}-{kind}", kind, message="first")
        pinned = door.pin(f"{name}-{kind}", kind)
        found = pinned.license, pinned.license_name, pinned.license_link, pinned.language
        assert found == (licence, terms, link, languages)
        row = pinned.to_row()
        assert Pinned.from_row(row, door.endpoint) == pinned
        assert ({"license_name", "language"} & row.keys() == set()) is (licence is None)


def test_a_pin_holds_when_the_repo_moves_on(door, folder, name):
    door.push(folder, name, "dataset", message="first")
    pinned = door.pin(name, "dataset")
    fill(folder, {"data/train.jsonl": '{"a": 2}\n'})
    second = door.push(folder, name, "dataset", message="second")
    assert second.tag == "v2"
    assert (door.pull(pinned) / "data/train.jsonl").read_text() == '{"a": 1}\n'
    assert (door.pull(door.pin(name, "dataset")) / "data/train.jsonl").read_text() == '{"a": 2}\n'


def test_large_and_many_files_are_one_commit(door, api, name, tmp_path):
    """A file large enough for Xet, and more than one batch of small ones."""
    files = {f"small/{i}.json": f"[{i}]" for i in range(300)}
    files |= {"large.bin": bytes(range(256)) * 50_000, "data.parquet": b"PAR1" * 100}
    folder = fill(tmp_path / "many", files)
    before = door.push(fill(tmp_path / "one", {"old": "x", "small/0.json": "old"}), name, "dataset", message="old")
    pushed = door.push(folder, name, "dataset", message="all of it")
    commits = api.list_repo_commits(name, repo_type="dataset")
    assert [commit.commit_id for commit in commits[:2]] == [pushed.commit, before.commit]
    assert commits[0].title == "all of it"
    assert set(api.list_repo_files(name, repo_type="dataset")) - {".gitattributes"} == set(files)
    assert not door.push(folder, name, "dataset", message="all of it").changed
    assert len(api.list_repo_commits(name, repo_type="dataset")) == len(commits)


def test_a_push_killed_between_commit_and_tag_is_completed(door, api, folder, name, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(HfApi, "create_tag", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            door.push(folder, name, "dataset", message="m")
    commits = api.list_repo_commits(name, repo_type="dataset")
    pushed = door.push(folder, name, "dataset", message="m")
    assert (pushed.tag, pushed.commit) == ("v1", commits[0].commit_id)
    assert len(api.list_repo_commits(name, repo_type="dataset")) == len(commits)


def test_pushers_at_once_each_land_whole_or_say_so(hub, api, name, tmp_path):
    count = 6
    folders = [fill(tmp_path / str(i), {"README.md": CARD, "a": f"{i}", "b": f"{i}"}) for i in range(count)]
    start = threading.Barrier(count)

    def push(index):
        door = HubClient(hub.endpoint, WRITE, tmp_path / "cache")
        start.wait()
        try:
            return door.push(folders[index], name, "model", message=f"m{index}")
        except ConflictError:
            return None

    with ThreadPoolExecutor(count) as pool:
        done = [pushed for pushed in pool.map(push, range(count)) if pushed]
    assert done
    tags = {ref.name: ref.target_commit for ref in api.list_repo_refs(name).tags}
    assert sorted(tags) == sorted(pushed.tag for pushed in done)
    for pushed in done:
        assert tags[pushed.tag] == pushed.commit
        files = [Path(api.hf_hub_download(name, path, revision=pushed.commit, cache_dir=tmp_path)) for path in "ab"]
        assert len({file.read_text() for file in files}) == 1  # never a mix of two folders


def test_models_come_without_pickles_code_or_copies(door, name, tmp_path):
    door.push(fill(tmp_path / "m", TINY_MODEL), name, "model", message="m")
    pulled = door.pull(door.pin(name, "model"))
    assert set(files_of(pulled)) == {
        "model.safetensors",
        "config.json",
        "1_Pooling/config.json",
        "vocab.txt",
        "chat_template.jinja",
    }


def test_a_model_of_pickles_only_is_refused(door, name, tmp_path):
    door.push(fill(tmp_path / "m", {"pytorch_model.bin": b"x", "config.json": "{}"}), name, "model", message="m")
    with pytest.raises(ModelError, match="no safetensors"):
        door.pull(door.pin(name, "model"))


def test_what_was_pulled_needs_no_hub_any_more(hub, door, folder, name):
    door.push(folder, name, "dataset", message="m")
    pinned = door.pin(name, "dataset")
    first = door.pull(pinned)
    gone = HubClient("http://127.0.0.1:9", WRITE, door.cache)
    assert gone.pull(pinned) == first


def test_missing_repo_and_revision(door, folder, name):
    with pytest.raises(RepoMissingError, match=r"no model 'ann/nothing'.*hf auth login"):
        door.pin("ann/nothing", "model")
    door.push(folder, name, "dataset", message="m")
    with pytest.raises(RepoMissingError, match=r"no revision 'v7'. Available: main, v1\."):
        door.pin(f"{name}@v7", "dataset")
    with pytest.raises(RepoMissingError):
        door.pin(name, "model")


def test_private_repo_of_somebody_else(hub, door, folder, name, tmp_path):
    door.push(folder, name, "dataset", message="m", private=True)
    with pytest.raises(RepoMissingError):
        HubClient(hub.endpoint, OTHER, tmp_path).pin(name, "dataset")
    with pytest.raises(RepoMissingError):
        HubClient(hub.endpoint, "", tmp_path).pin(name, "dataset")


def test_gated_repo(hub, api, folder, name, tmp_path):
    door = HubClient(hub.endpoint, WRITE, tmp_path)
    door.push(folder, name, "dataset", message="m")
    api.update_repo_settings(name, repo_type="dataset", gated="manual")
    with pytest.raises(GatedError, match=rf"{hub.endpoint}/datasets/{name}"):
        HubClient(hub.endpoint, OTHER, tmp_path).pin(name, "dataset")


def test_who_may_write(hub, door, tmp_path):
    assert door.whoami() == "ann"
    assert door.require_write() == "ann"
    assert door.require_write("team") == "team"
    with pytest.raises(NotAllowedError, match=r"may not push to 'oda'.*ann, team"):
        door.require_write("oda")
    with pytest.raises(NotAllowedError, match=r"no write access.*hf auth login"):
        HubClient(hub.endpoint, READ, tmp_path).require_write("rob")
    with pytest.raises(NotAllowedError, match="There is no token"):
        HubClient(hub.endpoint, "", tmp_path).require_write()
    with pytest.raises(NotAllowedError, match="rejected the token") as caught:
        HubClient(hub.endpoint, "hf_" + "n" * 30, tmp_path).whoami()
    assert "nnn" not in str(caught.value)


def scoped(owner, permission):
    scope = {"entity": {"name": owner}, "permissions": [permission]}
    return {"role": "fineGrained", "fineGrained": {"scoped": [scope]}}


@pytest.mark.parametrize(
    ("token", "allowed"),
    [
        ({"role": "write"}, True),
        ({"role": "read"}, False),
        ({"role": "fineGrained"}, False),
        (scoped("ann", "repo.write"), True),
        (scoped("ann/data", "repo.write"), True),
        (scoped("ann", "repo.content.read"), False),
        (scoped("bob", "repo.write"), False),
        ({"role": "fineGrained", "fineGrained": {"global": ["repo.write"]}}, True),
        ({}, True),
    ],
)
def test_kinds_of_token(door, monkeypatch, token, allowed):
    monkeypatch.setattr(HubClient, "_identity", lambda _: {"name": "ann", "auth": {"accessToken": token}})
    if allowed:
        assert door.require_write("ann") == "ann"
    else:
        with pytest.raises(NotAllowedError, match="no write access"):
            door.require_write("ann")


def test_a_read_token_publishes_nothing(hub, api, folder, tmp_path):
    with pytest.raises(NotAllowedError, match="--namespace"):
        HubClient(hub.endpoint, READ, tmp_path).push(folder, "rob/x", "dataset", message="m")
    assert not api.repo_exists("rob/x", repo_type="dataset")


def test_no_hub_there(folder, tmp_path):
    door = HubClient("http://127.0.0.1:9", "hf_" + "x" * 30, tmp_path)
    for call in (lambda: door.pin("a/b", "model"), door.whoami, lambda: door.push(folder, "a/b", "model", message="m")):
        with pytest.raises(HubError, match=r"Cannot reach http://127\.0\.0\.1:9 .*`--hub local`"):
            call()


def test_a_hub_that_never_answers_is_given_up(folder, tmp_path, monkeypatch):
    from huggingface_hub.utils import _http

    monkeypatch.setattr(transport, "_READ", 0.3)
    _http.set_client_factory(_http.default_client_factory)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        door = HubClient(f"http://127.0.0.1:{silent.getsockname()[1]}", "hf_" + "x" * 30, tmp_path)
        with pytest.raises(HubError, match="Cannot reach"):
            door.pin("a/b", "model")
    _http.set_client_factory(_http.default_client_factory)


def test_full_disk_while_pulling(door, folder, name, monkeypatch):
    door.push(folder, name, "dataset", message="m")
    pinned = door.pin(name, "dataset")

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("huggingface_hub.snapshot_download", full)
    with pytest.raises(HubError, match="No space left on the disk of"):
        door.pull(pinned)


def test_making_a_door_touches_nothing(tmp_path):
    door = HubClient("http://no.such.host.invalid", "hf_" + "x" * 30, tmp_path / "none")
    assert door.endpoint == "http://no.such.host.invalid"
    assert not (tmp_path / "none").exists()
    assert "hf_x" not in repr(door)


def test_the_bars_are_off_and_come_back(door, name, folder, capsys):
    from huggingface_hub.utils import are_progress_bars_disabled

    before = are_progress_bars_disabled()
    door.push(folder, name, "dataset", message="m")
    door.pull(door.pin(name, "dataset"))
    assert are_progress_bars_disabled() == before
    assert capsys.readouterr().err == ""
