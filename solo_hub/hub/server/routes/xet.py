"""The Xet leg over HTTP: tickets, and the few calls of the content-addressed store that the client makes.

The client knows the store by the URL in its ticket. Here it carries the name of this root's set of xorbs, so that what
the client remembers of another root, or of xorbs collected since, is never taken for ours.
"""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Any

import anyio
import anyio.to_thread
from starlette.responses import JSONResponse, Response, StreamingResponse

from solo_hub.hub.server import limits, names
from solo_hub.hub.server.errors import ApiError, bad_request, forbidden
from solo_hub.hub.server.http import read_to_spool
from solo_hub.hub.server.xet import formats, hashing

if TYPE_CHECKING:
    from collections.abc import Iterator

    from solo_hub.hub.server.http import Call, Router
    from solo_hub.hub.server.repos import Repo, RepoType
    from solo_hub.hub.server.xet.formats import Term

TICKET_SECONDS = 3600.0
DATA_SECONDS = 3600.0
_RANGE = re.compile(r"bytes=(\d{1,18})-(\d{0,18})\Z")
_CAS = "/xet/{space}"


def add_routes(router: Router) -> None:
    """Register the routes of this module."""
    router.add("GET", "/api/{kind}/{ns}/{name}/xet-read-token/{rev}")(read_ticket)
    router.add("GET", "/api/{kind}/{ns}/{name}/xet-write-token/{rev}")(write_ticket)
    router.add("POST", f"{_CAS}/v1/xorbs/default/{{hash}}")(add_xorb)
    router.add("HEAD", f"{_CAS}/v1/xorbs/default/{{hash}}")(has_xorb)
    for version in ("/v1/shards", "/v2/shards", "/shards"):
        router.add("POST", _CAS + version)(add_shard)
    router.add("GET", f"{_CAS}/v1/reconstructions/{{hash}}")(reconstruction)
    router.add("GET", f"{_CAS}/v2/reconstructions/{{hash}}")(reconstruction)
    router.add("GET", f"{_CAS}/data/{{ticket}}")(data)


def read_ticket(call: Call, kind: RepoType, ns: str, name: str, rev: str) -> Response:
    """A ticket to read the files of a repo."""
    repo = call.hub.repos.readable(kind, ns, name, call.user)
    call.hub.repos.check_content_access(repo, call.user)
    call.hub.history.resolve(repo, rev)
    return _ticket(call, "r", repo.id)


def write_ticket(call: Call, kind: RepoType, ns: str, name: str, rev: str) -> Response:
    """A ticket to bring files to a repo; ``rev`` may not exist yet, as for a pull request to be opened."""
    del rev
    repo = call.hub.repos.readable(kind, ns, name, call.user)
    call.hub.repos.check_contributor(repo, call.user)
    return _ticket(call, "w", repo.id)


def store_url(call: Call) -> str:
    """The address of the content-addressed store, as clients are given it."""
    return f"{call.base}/xet/{call.hub.xet_space}"


def write_ticket_headers(call: Call, repo: Repo) -> dict[str, str]:
    """A ticket to bring files to a repo, as the headers that clients of the LFS batch read it from."""
    return _ticket_headers(call, "w", repo.id)


def _ticket_headers(call: Call, scope: str, repo_id: int) -> dict[str, str]:
    token = call.hub.signer.sign("xet", scope, repo_id, call.hub.xet_space, seconds=TICKET_SECONDS)
    expires = int(time.time() + TICKET_SECONDS)
    return {"X-Xet-Cas-Url": store_url(call), "X-Xet-Access-Token": token, "X-Xet-Token-Expiration": str(expires)}


def _ticket(call: Call, scope: str, repo_id: int) -> Response:
    headers = _ticket_headers(call, scope, repo_id)
    url, token, expires = headers.values()
    return JSONResponse({"casUrl": url, "accessToken": token, "exp": int(expires)}, headers=headers)


async def add_xorb(call: Call, space: str, hash: str) -> Response:  # noqa: A002  named as in the protocol
    """Take a xorb."""
    _admit(call, space, write=True)
    name = names.check_sha256(hash)
    spool = call.hub.content.spool(limit=limits.MAX_XORB, hashed=False)
    try:
        await read_to_spool(call.request, spool, limits.MAX_XORB)
        inserted = await anyio.to_thread.run_sync(call.hub.xet.add_xorb, name, spool)
    finally:
        await anyio.to_thread.run_sync(spool.discard)
    return JSONResponse({"was_inserted": inserted})


def has_xorb(call: Call, space: str, hash: str) -> Response:  # noqa: A002  named as in the protocol
    """Whether a xorb is here."""
    _admit(call, space, write=True)
    return Response(status_code=200 if call.hub.xet.has_xorb(names.check_sha256(hash)) else 404)


async def add_shard(call: Call, space: str) -> Response:
    """Take the description of files whose xorbs are here, verify it, and make the files known to the repo."""
    repo_id = _admit(call, space, write=True)
    spool = call.hub.content.spool(limit=limits.MAX_SHARD, hashed=False)
    try:
        await read_to_spool(call.request, spool, limits.MAX_SHARD)
        spool.close()

        def work() -> None:
            if call.hub.repos.by_id(repo_id) is None:
                raise ApiError(404, "The repository was deleted.", code="RepoNotFound")
            for file in formats.parse_shard(spool.path.read_bytes()):
                call.hub.xet.add_file(file, repo_id)

        await anyio.to_thread.run_sync(work)
    finally:
        await anyio.to_thread.run_sync(spool.discard)
    if "/v2/" in call.request.url.path:
        return Response('{"type":"result"}\n', media_type="application/x-ndjson")
    return JSONResponse({"result": 1})


def reconstruction(call: Call, space: str, hash: str) -> Response:  # noqa: A002  named as in the protocol
    """Which pieces of which xorbs make up a file, or a range of it, and where to fetch them."""
    repo_id = _admit(call, space, write=False)
    name = names.check_sha256(hash)
    row = call.hub.db.one(
        "SELECT 1 FROM xet_files f JOIN repo_blobs r ON r.sha256 = f.sha256 WHERE f.hash = ? AND r.repo_id = ?",
        (name, repo_id),
    )
    if row is None:
        raise ApiError(404, "File not found")
    terms, skipped = _cut(call, call.hub.xet.terms(name), call.request.headers.get("range"))
    shown = [
        {
            "hash": hashing.to_hex(term.xorb),
            "unpacked_length": term.size,
            "range": {"start": term.start, "end": term.stop},
        }
        for term in terms
    ]
    second = "/v2/" in call.request.url.path
    fetch: dict[str, list[dict[str, Any]]] = {}
    for xorb, start, stop in _places(terms):
        first, behind = call.hub.xet.byte_range(xorb, start, stop)
        ticket = call.hub.signer.sign("xorb", xorb, seconds=DATA_SECONDS)
        url = f"{call.base}/xet/{space}/data/{ticket}"
        chunks, span = {"start": start, "end": stop}, {"start": first, "end": behind - 1}
        # One range a URL also in version 2: several would be asked for in one request, with a multipart answer.
        fetch.setdefault(xorb, []).append(
            {"url": url, "ranges": [{"chunks": chunks, "bytes": span}]}
            if second
            else {"url": url, "range": chunks, "url_range": span}
        )
    answer = {"offset_into_first_range": skipped, "terms": shown}
    return JSONResponse({**answer, ("xorbs" if second else "fetch_info"): fetch})


def _places(terms: list[Term]) -> list[tuple[str, int, int]]:
    """Ranges of chunks to fetch, as (xorb, start, stop): each term lies in one, and no two of a xorb overlap.

    The client takes the first range in which a term begins. Where a file repeats itself its terms overlap, and a
    shorter one would be taken for a longer one that begins with it.
    """
    places: list[tuple[str, int, int]] = []
    for xorb, start, stop in sorted({(hashing.to_hex(term.xorb), term.start, term.stop) for term in terms}):
        if places and places[-1][0] == xorb and start < places[-1][2]:
            places[-1] = (xorb, places[-1][1], max(stop, places[-1][2]))
        else:
            places.append((xorb, start, stop))
    return places


def _cut(call: Call, terms: list[Term], header: str | None) -> tuple[list[Term], int]:
    """The chunks that cover a byte range, and how many bytes of the first one come before it."""
    total = sum(term.size for term in terms)
    if header is None:
        return terms, 0
    found = _RANGE.match(header)
    if found is None:
        raise bad_request("Malformed range.")
    start, stop = int(found.group(1)), min(int(found.group(2)) + 1, total) if found.group(2) else total
    if start >= stop:
        raise ApiError(416, "Requested range not satisfiable", headers={"Content-Range": f"bytes */{total}"})
    kept: list[Term] = []
    skipped = position = 0
    for term in terms:
        if position + term.size > start and position < stop:
            first, last, size = term.start, term.stop, 0
            at = position
            for index, chunk in enumerate(call.hub.xet.table(hashing.to_hex(term.xorb))[term.start : term.stop]):
                if at + chunk.size <= start:
                    first = term.start + index + 1
                elif at < stop:
                    if not kept and size == 0:
                        skipped = start - at if start > at else 0
                    size += chunk.size
                    last = term.start + index + 1
                at += chunk.size
            kept.append(formats.Term(term.xorb, first, last, size))
        position += term.size
    return kept, skipped


def data(call: Call, space: str, ticket: str) -> Response:
    """A piece of a xorb."""
    del space
    (xorb,) = call.hub.signer.check(ticket, "xorb", 1)
    row = call.hub.db.one("SELECT size FROM xorbs WHERE hash = ?", (xorb,))
    if row is None:
        raise ApiError(404, "Xorb not found")
    size = int(row["size"])
    header = call.request.headers.get("range")
    found = _RANGE.match(header) if header else None
    start, stop = 0, size
    if found is not None:
        start, stop = int(found.group(1)), min(int(found.group(2)) + 1, size) if found.group(2) else size
        if start >= stop:
            raise ApiError(416, "Requested range not satisfiable", headers={"Content-Range": f"bytes */{size}"})
    headers = {"Content-Length": str(stop - start), "Accept-Ranges": "bytes"}
    if found is not None:
        headers["Content-Range"] = f"bytes {start}-{stop - 1}/{size}"
    return StreamingResponse(
        _read(call, xorb, start, stop), status_code=206 if found else 200, headers=headers,
        media_type="application/octet-stream",
    )  # fmt: skip


def _read(call: Call, xorb: str, start: int, stop: int) -> Iterator[bytes]:
    return call.hub.content.read_range(call.hub.xet.path(xorb), start, stop)


def _admit(call: Call, space: str, *, write: bool) -> int:
    """The repo a ticket is for.

    Raises:
        ApiError: 401 without a valid ticket, 403 for a read ticket where a write ticket is needed.
    """
    scheme, _, token = call.request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        raise ApiError(401, "A ticket is required")
    scope, repo_id, ticket_space = call.hub.signer.check(token.strip(), "xet", 3)
    if ticket_space != space:
        raise ApiError(403, "The ticket is for another store")
    if write and scope != "w":
        raise forbidden("The ticket is for reading")
    return int(repo_id)
