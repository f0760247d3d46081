"""What arrives damaged is found by its hash and downloaded again, and gigabytes are read once a download."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from fault_proxy import FaultProxy, corrupted
from hub_helpers import CARD, WRITE, fill
from huggingface_hub import constants, scan_cache_dir

from solo_hub.core.errors import HubError
from solo_hub.hub import HubClient, wholeness

LARGE = "data/train.parquet"
FILES = {"README.md": CARD, "data/train.jsonl": '{"a": 1}\n', LARGE: bytes(range(256)) * 4000}


@pytest.fixture(autouse=True)
def _new_process(monkeypatch):
    monkeypatch.setattr(wholeness, "_whole", set())


@pytest.fixture
def pinned(door, name, tmp_path):
    door.push(fill(tmp_path / "repo", FILES), name, "dataset", message="m")
    return door.pin(name, "dataset")


@pytest.fixture
def plain_http(pinned, monkeypatch):
    """What is on the Hub is downloaded without Xet."""
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)


@pytest.fixture
def read(monkeypatch):
    """Names of the files that are hashed."""
    names = []
    for module, function in ((wholeness.tables, "sha256_of"), (wholeness.tables, "git_hash_of")):
        hashed = getattr(module, function)
        monkeypatch.setattr(module, function, lambda blob, h=hashed: names.append(len(blob.name)) or h(blob))
    return names


def damage(blob):
    """Change the first byte, and nothing else."""
    data = blob.read_bytes()
    blob.write_bytes(bytes([data[0] ^ 0xFF]) + data[1:])


def contents(folder):
    return {file: (folder / file).read_bytes() for file in FILES}


WHOLE = {file: content if isinstance(content, bytes) else content.encode() for file, content in FILES.items()}


@pytest.mark.usefixtures("plain_http")
@pytest.mark.parametrize("file", [LARGE, "data/train.jsonl"], ids=["large", "small"])
def test_a_file_that_arrives_damaged_is_downloaded_again(hub, pinned, tmp_path, file):
    def bodies(seen):
        return seen.method == "GET" and ("resolve" in seen.path or "lfs" in seen.path)

    size = len(WHOLE[file])
    with FaultProxy(hub.endpoint) as proxy:
        proxy.fail_when(lambda seen: bodies(seen) and seen.path.endswith(file), corrupted(), times=1)
        folder = HubClient(proxy.url, WRITE, tmp_path / "fresh").pull(pinned)
        spoilt = [seen for seen in proxy.requests if seen.fault]
    assert [seen.received > size for seen in spoilt] == [True], proxy.requests
    assert contents(folder) == WHOLE


@pytest.mark.usefixtures("plain_http")
def test_a_file_that_never_arrives_whole_is_told_in_a_sentence_and_not_kept(hub, pinned, tmp_path):
    cache = tmp_path / "fresh"
    with FaultProxy(hub.endpoint) as proxy:
        proxy.fail_when(lambda seen: seen.method == "GET" and seen.path.endswith(LARGE), corrupted())
        with pytest.raises(HubError, match=r"'train.parquet' of .* was corrupted in two downloads"):
            HubClient(proxy.url, WRITE, cache).pull(pinned)
        assert sum(seen.fault is not None for seen in proxy.requests) == 2
    assert not [file for file in cache.rglob("*") if file.is_file() and file.stat().st_size == len(WHOLE[LARGE])]
    assert contents(HubClient(hub.endpoint, WRITE, cache).pull(pinned)) == WHOLE


@pytest.mark.usefixtures("no_waiting")
@pytest.mark.parametrize(
    ("file", "transport"), [(LARGE, "xet"), (LARGE, "plain_http"), ("data/train.jsonl", "plain_http")]
)
def test_a_file_damaged_in_the_cache_is_downloaded_again(request, door, pinned, file, transport):
    """With Xet the repo's blob is a link into a store that all repos share, and both have to go."""
    if transport == "plain_http":
        request.getfixturevalue(transport)
    blob = (door.pull(pinned) / file).resolve()
    damage(blob)
    folder = door.pull(pinned)
    assert contents(folder) == WHOLE
    damage((folder / file).resolve())
    with pytest.raises(HubError, match="Cannot reach"):
        HubClient("http://127.0.0.1:9", WRITE, door.cache).pull(pinned)
    assert contents(door.pull(pinned)) == WHOLE


def test_a_large_file_is_read_once_a_download_and_a_small_one_once_a_process(door, pinned, read):
    blob = (door.pull(pinned) / LARGE).resolve()
    assert sorted(read) == [40, 40, 64]
    read.clear()
    door.pull(pinned)
    assert read == []
    wholeness._whole.clear()
    door.pull(pinned)
    assert read == [40, 40]
    read.clear()
    os.utime(blob, ns=(1, 1))
    door.pull(pinned)
    assert read == [64]
    # what the client's own tools think of our notes
    assert [(repo.repo_id, repo.nb_files) for repo in scan_cache_dir(door.cache).repos] == [(pinned.repo_id, 3)]
    assert scan_cache_dir(door.cache).warnings == []


def test_a_cache_that_takes_no_notes_is_read_by_every_process(door, pinned, read):
    folder = door.pull(pinned, allow=["*.jsonl"])
    (folder.parents[1] / wholeness.NOTES).write_text("in the way")
    door.pull(pinned)
    assert read.count(64) == 1
    wholeness._whole.clear()
    door.pull(pinned)
    assert read.count(64) == 2


def test_only_what_is_asked_for_is_looked_at(door, pinned, read):
    folder = door.pull(pinned)
    damage((folder / LARGE).resolve())
    wholeness._whole.clear()
    read.clear()
    door.pull(pinned, allow=["*.jsonl"])
    assert read == [40]
    assert (folder / LARGE).read_bytes() != WHOLE[LARGE]
    assert contents(door.pull(pinned)) == WHOLE


def test_what_the_cache_does_not_name_by_a_hash_is_left_alone(tmp_path):
    folder, other = (
        fill(tmp_path / "snapshots/c", {"a.txt": "copied"}),
        fill(tmp_path / "blobs", {"W-x": "b", "z" * 64: "c"}),
    )
    for number, blob in enumerate(sorted(other.iterdir())):
        (folder / f"{number}.txt").symlink_to(blob)
    (folder / "gone.txt").symlink_to(other / ("0" * 64))
    assert wholeness.remove_corrupted(folder) == []
    assert sorted(path.name for path in folder.iterdir()) == ["0.txt", "1.txt", "a.txt", "gone.txt"]


def test_a_snapshot_empty(tmp_path):
    assert wholeness.remove_corrupted(Path(tmp_path)) == []
