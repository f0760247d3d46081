"""No malformed request gets more than a 4xx, hangs, or leaves a file outside the root."""

from __future__ import annotations

import asyncio
import json
import random
import struct
import time

import pytest
from hub_under_test import USERS

from solo_hub.hub.server.app import App
from solo_hub.hub.server.core import Hub
from solo_hub.hub.server.server import ensure_users


class Direct:
    """Calls the application without a socket: thousands of requests a minute."""

    def __init__(self, app: App) -> None:
        self.app = app

    async def __call__(self, method: str, raw_path: bytes, headers: list[tuple[bytes, bytes]], body: bytes) -> int:
        path, _, query = raw_path.partition(b"?")
        scope = {
            "type": "http", "method": method, "path": path.decode("latin-1"), "raw_path": path, "query_string": query,
            "headers": [(b"host", b"localhost"), *headers], "scheme": "http", "server": ("localhost", 80),
            "client": ("localhost", 1), "http_version": "1.1", "root_path": "",
        }  # fmt: skip
        parts = [{"type": "http.request", "body": body, "more_body": False}]
        seen: list[int] = []

        async def receive():
            return parts.pop(0) if parts else {"type": "http.disconnect"}

        async def give(message):
            if message["type"] == "http.response.start":
                seen.append(message["status"])

        await self.app(scope, receive, give)
        return seen[0]


SEGMENTS = [
    *(
        b"api models datasets spaces ana m main tree resolve revision refs commits commit preupload paths-info "
        b"branch tag settings discussions 1 comment merge lfs-files batch super-squash xet-write-token "
        b"xet-read-token repos create move delete validate-yaml whoami-v2 collections m.git info lfs objects upload "
        b"xet v1 xorbs default shards reconstructions data .. blob raw item user-access-request handle a.txt "
    ).split(),
    b"0" * 64, b"0" * 40, b"%2e%2e", b"%00", b"%ff", b"..%2f..%2fetc", b"%5c..%5c", b"a" * 300, b"refs%2Fpr%2F1",
    b"%F0%9F%92%A9", b"", b"%", b"%zz",
]  # fmt: skip
VALUES = [
    None,
    True,
    False,
    0,
    -1,
    1,
    2**70,
    1.5,
    "",
    "x",
    "..",
    "main",
    "ana/m",
    "0" * 64,
    "\ud800",
    "\0",
    "x" * 5000,
    [],
    {},
    [[]],
    [None],
    {"sha": ["0" * 64]},
    ["a"],
    {"path": "a", "size": 1, "sample": "!"},
    [{"oid": "0" * 64, "size": 2**80}],
    "model",
    "open",
    [{"path": "a"}],
    {"type": "model", "id": "ana/m"},
    "private",
    1e308,
]
KEYS = [
    "name",
    "organization",
    "type",
    "private",
    "visibility",
    "sdk",
    "files",
    "gitIgnore",
    "objects",
    "operation",
    "parts",
    "oid",
    "size",
    "tag",
    "message",
    "startingPoint",
    "content",
    "repoType",
    "fromRepo",
    "toRepo",
    "title",
    "description",
    "comment",
    "status",
    "deletions",
    "target",
    "item",
    "note",
    "position",
    "gated",
    "user",
    "paths",
    "pullRequest",
    "requestId",
]
ROUTES = [
    ("POST", b"/api/repos/create"),
    ("POST", b"/api/models/ana/m/preupload/main"),
    ("POST", b"/api/models/ana/m/commit/main"),
    ("POST", b"/api/models/ana/m/paths-info/main"),
    ("POST", b"/ana/m.git/info/lfs/objects/batch"),
    ("POST", b"/api/repos/move"),
    ("POST", b"/api/models/ana/m/tag/main"),
    ("POST", b"/api/models/ana/m/branch/x"),
    ("PUT", b"/api/models/ana/m/settings"),
    ("POST", b"/api/validate-yaml"),
    ("POST", b"/api/models/ana/m/discussions"),
    ("POST", b"/api/models/ana/m/discussions/1/status"),
    ("POST", b"/api/models/ana/m/lfs-files/batch"),
    ("POST", b"/api/models/ana/m/lfs-files/duplicate"),
    ("POST", b"/api/models/ana/m/super-squash/main"),
    ("POST", b"/api/collections"),
    ("POST", b"/xet/SPACE/v1/shards"),
    ("POST", b"/xet/SPACE/v1/xorbs/default/" + b"0" * 64),
    ("GET", b"/ana/m/resolve/main/a.txt"),
    ("GET", b"/api/models"),
    ("GET", b"/api/models/ana/m/tree/main"),
    ("GET", b"/api/models/ana/m/commits/main"),
    ("GET", b"/"),
    ("DELETE", b"/api/repos/delete"),
    ("GET", b"/ana/m"),
    ("POST", b"/api/models/ana/m/user-access-request/handle"),
]
VALID_COMMIT = b"".join(
    json.dumps(line).encode() + b"\n"
    for line in [
        {"key": "header", "value": {"summary": "s", "description": "d", "parentCommit": None}},
        {"key": "file", "value": {"path": "a.txt", "content": "aGk=", "encoding": "base64"}},
        {"key": "lfsFile", "value": {"path": "b.bin", "algo": "sha256", "oid": "0" * 64, "size": 3}},
        {"key": "deletedFile", "value": {"path": "a.txt"}},
        {"key": "deletedFolder", "value": {"path": "d/"}},
    ]
)
_FILE = bytes(32) + struct.pack("<IIQ", 3 << 30, 1, 0)
_TERM = bytes(32) + struct.pack("<IIII", 0, 9, 0, 1)
_HEAD = b"HFRepoMetaData\0".ljust(32, b"\0") + struct.pack("<QQ", 2, 0)
VALID_SHARD = _HEAD + _FILE + _TERM + bytes(48) + bytes(48) + b"\xff" * 32 + bytes(16)
VALID_XORB = b"\0\x04\0\0\0\x04\0\0data" * 3
QUERIES = [
    b"",
    b"?limit=-1",
    b"?limit=99999999999",
    b"?cursor=x",
    b"?p=-1",
    b"?expand=nonsense",
    b"?sort=x",
    b"?recursive=1&expand=1",
    b"?filter=%00",
    b"?search=%25%25_",
    b"?create_pr=1",
    b"?" + b"a=1&" * 2000,
    b"?%ff",
    b"?author=%27%20OR%201",
]


class Fuzzer:
    """Requests that are a little, or very, wrong."""

    def __init__(self, seed: int, space: str, ticket: str) -> None:
        self.random = random.Random(seed)
        self.space = space.encode()
        self.ticket = ticket.encode()

    def bent(self, data: bytes) -> bytes:
        """Some bytes changed, cut, doubled or put in."""
        out = bytearray(data)
        for _ in range(self.random.randint(1, 6)):
            at = self.random.randrange(len(out) + 1)
            kind = self.random.randrange(5)
            if kind == 0 and out:
                out[at % len(out)] = self.random.randrange(256)
            elif kind == 1:
                del out[at:]
            elif kind == 2:
                out[at:at] = out[: self.random.randrange(1 + min(len(out), 64))]
            elif kind == 3:
                out[at:at] = self.random.choice(
                    [b"\xff\xff\xff\xff", b"\0", b"\n", b'"', b"{", b"[" * 2000, b"1" * 5000]
                )
            elif len(out) >= 4:
                out[at % (len(out) - 3) :][:4] = struct.pack("<I", self.random.getrandbits(32))
        return bytes(out)

    def body(self, path: bytes) -> bytes:
        if b"shards" in path:
            return self.bent(VALID_SHARD)
        if b"xorbs" in path:
            return self.bent(VALID_XORB)
        if b"/commit/" in path and self.random.random() < 0.8:
            return self.bent(VALID_COMMIT)
        if self.random.random() < 0.2:
            return self.random.randbytes(self.random.randrange(200))
        chosen = self.random.sample(KEYS, self.random.randrange(1, 6))
        text = json.dumps({key: self.random.choice(VALUES) for key in chosen}).encode()
        return self.bent(text) if self.random.random() < 0.2 else text

    def request(self) -> tuple[str, bytes, list[tuple[bytes, bytes]], bytes]:
        if self.random.random() < 0.6:
            method, path = self.random.choice(ROUTES)
            if self.random.random() < 0.1:
                path = self.bent(path).replace(b"\n", b"").replace(b"\0", b"%00")
        else:
            method = self.random.choice(["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH"])
            path = b"/" + b"/".join(self.random.choices(SEGMENTS, k=self.random.randint(1, 9)))
        path = path.replace(b"SPACE", self.space)
        token = self.ticket if path.startswith(b"/xet") else b"token-of-ana"
        headers = [(b"authorization", b"Bearer " + token)] if self.random.random() < 0.9 else []
        if self.random.random() < 0.2:
            bad = self.random.choice(
                [b"bytes=9-1", b"bytes=-0", b"bytes=" + b"9" * 40 + b"-", b"x", b"bytes=0-0,2-3", b"bytes=-"]
            )
            headers.append((b"range", bad))
        if self.random.random() < 0.05:
            headers.append((b"content-length", self.random.choice([b"-1", b"x", b"9" * 30])))
        return method, path + self.random.choice(QUERIES), headers, self.body(path)


@pytest.mark.parametrize("count", [1500, pytest.param(20_000, marks=[pytest.mark.soak, pytest.mark.timeout(900)])])
def test_malformed_requests_get_4xx_quickly_and_touch_nothing(tmp_path, count, say):
    around = tmp_path / "around"
    root = around / "root"
    (around / "beside").mkdir(parents=True)
    hub = Hub(root)
    ensure_users(hub, [dict(user) for user in USERS], remember=False)

    def outside() -> set[str]:
        return {str(path) for path in tmp_path.rglob("*") if root not in path.parents}

    def make() -> None:
        if hub.repos.find("model", "ana", "m") is None:
            hub.create_repo("model", "ana", "m", private=False, sdk=None, author="ana")

    make()
    before = outside()
    direct = Direct(App(hub))
    repo = hub.repos.find("model", "ana", "m")
    ticket = hub.signer.sign("xet", "w", repo.id, hub.xet_space, seconds=3600)
    fuzzer = Fuzzer(count, hub.xet_space, ticket)
    slowest, statuses = 0.0, {}

    async def run() -> None:
        nonlocal slowest
        for number in range(count):
            request = fuzzer.request()
            began = time.perf_counter()
            status = await asyncio.wait_for(direct(*request), timeout=20)
            slowest = max(slowest, time.perf_counter() - began)
            statuses[status] = statuses.get(status, 0) + 1
            assert status < 500, request
            if number % 200 == 0:
                make()

    asyncio.run(run())
    assert outside() == before
    assert {path.name for path in root.iterdir()} <= {
        "hub.sqlite3", "hub.sqlite3-wal", "hub.sqlite3-shm", "blobs", "xorbs", "tmp",
    }  # fmt: skip
    assert list((root / "tmp").iterdir()) == []
    hub.close()
    say(f"{count} malformed requests: {dict(sorted(statuses.items()))}, slowest {slowest:.2f} s")
