"""Servers that mean harm: a Hub that names files outside the cache, answers that never end or unpack to gigabytes."""

from __future__ import annotations

import gzip
import json
import time
from urllib.parse import unquote

import httpx2
import pytest
from huggingface_hub.utils import _http
from loopback import LoopbackServer
from memory import peak_of

from solo_hub.core.deadlines import TooLongError, read_within
from solo_hub.core.errors import HubError, ModelError
from solo_hub.hub import HubClient, transport
from solo_hub.models.calls import Busy
from solo_hub.models.wire import Wire

TOKEN = "hf_hostileServersPLANTEDtoken0123"
COMMIT, BLOB = "a" * 40, "c" * 40
ROW = b'{"text": "a"}\n'


class HostileHub(LoopbackServer):
    """A Hub of one dataset, whose answers are what a test wants them to be."""

    def __init__(
        self, *, name="train.jsonl", etag=f'"{BLOB}"', commit=COMMIT, sha=COMMIT, entry=(), info=None, to=None
    ):
        super().__init__()
        self.name, self.etag, self.commit, self.sha, self.to = name, etag, commit, sha, to
        self.entry, self.info = dict(entry), info
        self.authorized = []

    def get(self, request):
        self.authorized.append(request.headers.get("authorization"))
        headers = {"content-type": "application/json"}
        if "/tree/" in request.path:
            body = json.dumps(
                [{"type": "file", "path": self.name, "oid": BLOB, "size": len(ROW), **self.entry}]
            ).encode()
        elif "/api/" in request.path:
            row = {"_id": "1", "id": "o/n", "sha": self.sha, "siblings": [{"rfilename": self.name}]}
            body = json.dumps(row).encode() if self.info is None else self.info
        else:
            body = ROW
            headers = {"ETag": self.etag, "X-Repo-Commit": self.commit}
            if self.to:
                headers |= {"Location": self.to, "X-Linked-Size": str(len(ROW))}
        request.send_response(302 if "Location" in headers else 200)
        for key, value in {**headers, "Content-Length": str(len(body))}.items():
            request.send_header(key, value)
        request.end_headers()
        if request.command == "GET":
            request.wfile.write(body)


@pytest.fixture
def pull(tmp_path, monkeypatch):
    """Pulls a hostile Hub's dataset; beside the repo's folder in the cache nothing is written anywhere."""
    monkeypatch.setattr(_http, "_GLOBAL_CLIENT_FACTORY", _http.default_client_factory)
    _http.close_session()
    cache = tmp_path / "a" / "b" / "cache"

    def pulled(**answers):
        with HostileHub(**answers) as hub:
            door = HubClient(hub.url, TOKEN, cache)
            return door.pull(door.pin("o/n", "dataset"), allow=["*"])

    yield pulled
    _http.close_session()
    inside = (cache / "datasets--o--n", cache / ".locks")
    written = [path for path in tmp_path.rglob("*") if path.is_file() and path.name != "CACHEDIR.TAG"]
    assert [path for path in written if not any(path.is_relative_to(place) for place in inside)] == []


@pytest.mark.parametrize(
    "answers",
    [
        {"etag": '"../../../../evil"'},
        {"etag": 'W/"../../../../evil"'},
        {"commit": "../../../../../evil"},
        {"sha": "../../../../../evil"},
        {"entry": {"lfs": {"oid": "../../../../evil", "size": 14, "pointerSize": 1}, "xetHash": "a" * 64}},
        {"name": "../train.jsonl"},
        {"name": "/tmp/train.jsonl"},
        {"name": "a\\..\\..\\train.jsonl"},
        {"name": "nul\0.jsonl"},
    ],
    ids=lambda answers: ascii(answers)[:40],
)
def test_a_hub_that_names_files_outside_the_cache(pull, answers):
    with pytest.raises(HubError) as refused:
        pull(**answers)
    assert len(refused.value.message) < 400


def test_an_etag_that_is_an_absolute_path(pull, tmp_path):
    with pytest.raises(HubError, match="invalid file hash"):
        pull(etag=f'"{tmp_path / "evil"}"')


@pytest.mark.parametrize("at_once", [True, False])
def test_a_program_with_its_own_client_is_told_too(pull, monkeypatch, at_once):
    """Its client stays its own and open; what a Hub answers is looked at all the same, and once."""
    with httpx2.Client(follow_redirects=True) as own:
        _http.set_client_factory(lambda: own)
        if at_once:  # it has asked something already
            assert _http.get_session() is own
        for _ in range(2):
            with pytest.raises(HubError, match="invalid file hash"):
                pull(etag='"../../../../evil"')
        assert _http.get_session() is own
        assert own.event_hooks["response"] == [transport.check_answer]
        with pytest.raises(HubError, match="was corrupted"):  # a name that is fine, though not its content's
            pull()
        assert not own.is_closed
        monkeypatch.setattr(_http, "_GLOBAL_CLIENT", None)  # it is this test's to close


@pytest.mark.parametrize(
    "info", [b"[]", b'{"sha": 7, "siblings": "x"}', b'{"id": "o/n", "createdAt": "nope"}', b"[" * 200_000, b"<html>"]
)
def test_a_hub_whose_answers_are_of_no_use(pull, info):
    with pytest.raises(HubError):
        pull(info=info)


def test_a_list_that_never_ends(pull, monkeypatch):
    monkeypatch.setattr(transport, "_LONGEST", 1 << 20)
    with pytest.raises(HubError, match="is longer than 1 MB"):
        pull(info=b" " * (2 << 20))


def test_the_token_does_not_follow_to_another_host(pull):
    with HostileHub() as other:
        with pytest.raises(HubError):
            pull(to=other.url.replace("127.0.0.1", "localhost") + "/o/n/resolve/main/elsewhere")
        assert other.authorized
        assert not any(other.authorized)


class HostileModel(LoopbackServer):
    """Answers a language model's or embedder's client with what its path says."""

    def get(self, request):
        body, headers = unquote(request.path[1:]).encode(), {}
        if request.path == "/packed":
            body, headers = gzip.compress(b'{"data": [' + b" " * (64 << 20) + b"]}"), {"content-encoding": "gzip"}
        elif request.path == "/endless":
            body = b" " * (64 << 10)
        elif request.path == "/odd":
            headers = {"content-encoding": "br"}
        elif request.path == "/nested":
            body = b"[" * 100_000
        request.send_response(200)
        for key, value in {**headers, "Transfer-Encoding": "chunked"}.items():
            request.send_header(key, value)
        request.end_headers()
        try:
            while True:
                request.wfile.write(b"%x\r\n%b\r\n" % (len(body), body))
                if request.path != "/endless":
                    request.wfile.write(b"0\r\n\r\n")
                    return
        except OSError:  # the client has had enough
            request.close_connection = True


@pytest.fixture
def wire():
    class Owner:
        pass

    owner = Owner()
    with HostileModel() as server:
        yield Wire(httpx2.Client(base_url=server.url, trust_env=False), httpx2, 30.0, owner)


@pytest.mark.parametrize("path", ["/endless", "/packed"])
def test_an_answer_that_is_too_long_is_not_read_to_its_end(wire, path, monkeypatch):
    from solo_hub.models import wire as module

    monkeypatch.setattr(module, "LONGEST", 1 << 20)
    begun = time.monotonic()

    def ask():
        with pytest.raises(ModelError, match=r"A response of http://127\.0\.0\.1:\d+ is longer than 1 MB"):
            wire.send("GET", path)

    # bytes; the server of this test packs 64 MB in the same process
    assert peak_of(ask, tries=1) < 200_000_000
    assert time.monotonic() - begun < 20


def test_an_answer_packed_in_a_way_nobody_asked_for(wire):
    with pytest.raises(ModelError, match="encoded as 'br', which was not requested"):
        wire.send("GET", "/odd")


def test_an_answer_that_nests_without_end_is_no_json(wire):
    with pytest.raises(Busy, match="not JSON"):
        wire.send("GET", "/nested")


def test_an_answer_is_read_as_it_is():
    def answers(request):
        return httpx2.Response(200, headers={"content-encoding": "gzip"}, content=gzip.compress(b"x" * 1000))

    with httpx2.Client(transport=httpx2.MockTransport(answers)) as made:
        request = made.build_request("GET", "http://127.0.0.1/")
        assert read_within(made.send(request, stream=True), 1000) == b"x" * 1000
        with pytest.raises(TooLongError, match="longer than 0 MB"):
            read_within(made.send(request, stream=True), 999)
