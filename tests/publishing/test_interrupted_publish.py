"""Publishing dataset and adapter while requests fail, and while others publish: every version whole, none lost."""

from __future__ import annotations

import dataclasses
import itertools
import json
import threading
from types import SimpleNamespace

import pyarrow.parquet as pq
import pytest
from hub.fault_proxy import FaultProxy, reset, status

from publishing.conftest import folder_bytes
from solo_hub.core.errors import ConflictError, HubError
from solo_hub.hub.client import HubClient
from solo_hub.publishing.naming import repo_names
from solo_hub.publishing.publication import Folders, publish


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    pytest.importorskip("starlette", reason="the embedded Hub's packages are not installed")
    from solo_hub.hub.server import EmbeddedHub

    with EmbeddedHub(tmp_path_factory.mktemp("hub"), remember=False) as server:
        yield server


@pytest.fixture
def proxy(hub, monkeypatch):
    from huggingface_hub.utils import _http

    monkeypatch.setattr(_http, "time", SimpleNamespace(sleep=lambda seconds: None, time=_http.time.time))
    with FaultProxy(hub.endpoint) as made:
        yield made


def relabelled(documents, text):
    label, *others = documents.labels
    return dataclasses.replace(documents, labels=(dataclasses.replace(label, text=text), *others))


def publisher(door, names, folders):
    return lambda run: publish(run, folders, names, door.push, latest=door.latest, tag=door.tag_version)


def published(door, names):
    """Every version of both repos by its tag: what its provenance says it is, and its history."""
    found = {}
    for repo_id, kind, own in ((names.dataset, "dataset", "dataset"), (names.adapter, "model", "adapter")):
        newest = door.latest(repo_id, kind)
        for number in range(1, newest.highest + 1):
            pinned = door.pin(f"{repo_id}@v{number}", kind)
            said = json.loads((door.pull(pinned, allow=["*"]) / "provenance.json").read_text())
            assert said[own]["tag"] == f"v{number}"
            found[kind, number] = SimpleNamespace(
                commit=pinned.commit, said=said, history=[change["tag"] for change in said.get("history", ())]
            )
        assert found[kind, number].commit == newest.commit, "the newest commit is the newest version"
    return found


# every request takes a minute; without the soak tests every eleventh must do
EVERY = [pytest.param(11, id="every-11th"), pytest.param(1, id="every", marks=pytest.mark.soak)]


@pytest.mark.parametrize(("fault", "onwards"), [(reset(), True), (reset(delivered=True), False)], ids=str)
@pytest.mark.parametrize("changes", ["again", "other"])
@pytest.mark.parametrize("step", EVERY)
def test_publishing_cut_off_anywhere_is_completed_by_the_next(
    hub, proxy, documents, tmp_path, fault, onwards, changes, step, request
):
    """Version 2 is cut off at request k; then it is published again, or another run is published instead of it.

    Where the cut fell behind the commit, the version is there and gets its tag; it is listed once in the history.
    """
    folders = Folders(tmp_path / "7-dataset", tmp_path / "7-adapter")
    direct, through = (HubClient(url, hub.token, tmp_path / "cache") for url in (hub.endpoint, proxy.url))
    second, third = relabelled(documents, "rain"), relabelled(documents, "noon")
    failures = 0
    for k in itertools.count(0, step):
        names = repo_names(hub.user, f"t{abs(hash(request.node.name)) % 10**8:x}-{k}", "acme/tiny-instruct")
        publisher(direct, names, folders)(documents)
        proxy.clear()
        (proxy.fail_from if onwards else proxy.fail_at)(k, fault)
        try:
            publisher(through, names, folders)(second)
        except HubError:
            failures += 1
        if not any(seen.fault for seen in proxy.requests):
            break
        proxy.clear()
        document = publisher(through, names, folders)(second if changes == "again" else third)
        versions = published(direct, names)
        last = max(number for kind, number in versions if kind == "dataset")
        assert document["dataset"]["tag"] == f"v{last}"
        assert last in ((2,) if changes == "again" else (2, 3))
        assert versions["dataset", last].history == [f"v{number}" for number in range(last, 0, -1)]
        newest = versions["model", max(number for kind, number in versions if kind == "model")]
        assert newest.said["dataset"] == {
            "repo_id": names.dataset, "commit": document["dataset"]["commit"], "tag": f"v{last}"}  # fmt: skip
    assert k > 20
    assert failures > 5 / step


def test_publishers_at_once_lose_nothing_of_one_another(hub, documents, tmp_path):
    """Four runs published at once, each as often as it is told to: four versions, each on top of all before it."""
    names = repo_names(hub.user, "at-once", "acme/tiny-instruct")
    ready, said = threading.Barrier(4), []

    def run(number):
        door = HubClient(hub.endpoint, hub.token, tmp_path / "cache")
        folders = Folders(tmp_path / f"{number}-dataset", tmp_path / f"{number}-adapter")
        mine = publisher(door, names, folders)
        ready.wait()
        for _ in range(40):
            try:
                document = mine(relabelled(documents, f"answer {number}"))
            except ConflictError as error:
                said.append(str(error))
            else:
                return document
        raise AssertionError("never published")

    results = [None] * 4

    def keep(number):
        results[number] = run(number)

    threads = [threading.Thread(target=keep, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(results), said
    assert all("again" in sentence for sentence in said)
    door = HubClient(hub.endpoint, hub.token, tmp_path / "cache")
    versions = published(door, names)
    texts = []
    for number in range(1, 5):
        folder = door.pull(door.pin(f"{names.dataset}@v{number}", "dataset"), allow=["*"])
        table = pq.read_table(next((folder / "data" / "all").glob("*.parquet")))
        texts.append(table["text"][0].as_py())
        assert versions["dataset", number].history == [f"v{n}" for n in range(number, 0, -1)]
    assert sorted(texts) == [f"answer {number}" for number in range(4)]


def test_a_version_without_its_tag_is_tagged_before_the_next(hub, proxy, documents, tmp_path):
    """The tag of version 2 was never made, and what comes next is something else: it is version 3."""
    names = repo_names(hub.user, "no-tag", "acme/tiny-instruct")
    folders = Folders(tmp_path / "7-dataset", tmp_path / "7-adapter")
    through = HubClient(proxy.url, hub.token, tmp_path / "cache")
    mine = publisher(through, names, folders)
    mine(documents)
    proxy.fail_when(lambda seen: seen.method == "POST" and "/tag/" in seen.path, status(503))
    with pytest.raises(HubError, match="503"):
        mine(relabelled(documents, "rain"))
    rain = folder_bytes(folders.dataset)
    proxy.clear()
    assert mine(relabelled(documents, "noon"))["dataset"]["tag"] == "v3"
    folder = through.pull(through.pin(f"{names.dataset}@v2", "dataset"), allow=["*"])
    assert {path: data for path, data in folder_bytes(folder).items() if path != ".gitattributes"} == rain
