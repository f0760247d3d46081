"""The LFS leg: batch, upload in one piece or in parts, verify."""

from __future__ import annotations

import re
import shutil
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import anyio.to_thread
from starlette.responses import JSONResponse, Response

from solo_hub.hub.server import limits, names
from solo_hub.hub.server.errors import ApiError, bad_request, no_room, too_large
from solo_hub.hub.server.history import DEFAULT_BRANCH
from solo_hub.hub.server.http import ok, read_to_spool
from solo_hub.hub.server.repos import require_write
from solo_hub.hub.server.routes.xet import write_ticket_headers

if TYPE_CHECKING:
    from pathlib import Path

    from solo_hub.hub.server.http import Call, Router
    from solo_hub.hub.server.repos import Repo, RepoType

MAX_OBJECTS = 1000
MAX_PARTS = 10_000
TICKET_SECONDS = 6 * 3600.0


def add_routes(router: Router) -> None:
    """Register the routes of this module."""
    router.add("POST", "/{kind}/{ns}/{name:git}/info/lfs/objects/batch")(batch)
    router.add("POST", "/{ns}/{name:git}/info/lfs/objects/batch")(batch_model)
    router.add("PUT", "/lfs/upload/{ticket}")(upload)
    router.add("PUT", "/lfs/part/{ticket}/{part}")(upload_part)
    router.add("POST", "/lfs/complete/{ticket}")(complete)
    router.add("POST", "/lfs/verify/{ticket}")(verify)


def batch_model(call: Call, ns: str, name: str) -> Response:
    """The batch of a model, whose URLs have no type in front."""
    return batch(call, "model", ns, name)


def batch(call: Call, kind: RepoType, ns: str, name: str) -> Response:
    """Where to send which object; those the repo has already get no address."""
    repo = call.hub.repos.readable(kind, ns, name, call.user)
    body = call.json()
    if body.get("operation") != "upload":
        raise bad_request('"operation" must be "upload": files are downloaded from their resolve URL')
    if body.get("hash_algo", "sha256") not in ("sha256", "sha_256"):  # the second is the JavaScript client's spelling
        raise bad_request('"hash_algo" must be "sha256"')
    call.hub.repos.check_contributor(repo, call.user)
    objects = body.get("objects")
    if not isinstance(objects, list) or len(objects) > MAX_OBJECTS:
        raise bad_request(f'"objects" must be an array of at most {MAX_OBJECTS} objects')
    transfers = body.get("transfers", ["basic"])
    offered = transfers if isinstance(transfers, list) else []
    if "xet" in offered:
        transfer, answers = "xet", [_xet_object(call, repo, item, _revision(body)) for item in objects]
    else:
        answers = [_object(call, repo, item, multipart="multipart" in offered) for item in objects]
        transfer = "multipart" if any("chunk_size" in _header_of(answer) for answer in answers) else "basic"
    return JSONResponse(
        {"transfer": transfer, "objects": answers}, headers={"Content-Type": "application/vnd.git-lfs+json"}
    )


def _revision(body: dict[str, Any]) -> str:
    """The branch an upload is meant for; none is sent where a pull request will be opened."""
    ref = body.get("ref")
    name = ref.get("name") if isinstance(ref, dict) else None
    return name if isinstance(name, str) and name else DEFAULT_BRANCH


def _wanted(call: Call, repo: Repo, item: object) -> tuple[dict[str, Any], bool]:
    """What to answer about an object so far, and whether it must be uploaded."""
    if not isinstance(item, dict):
        raise bad_request('"objects" must be an array of objects')
    oid, size = names.check_sha256(item.get("oid")), names.check_size(item.get("size"))
    answer: dict[str, Any] = {"oid": oid, "size": size}
    blob = call.hub.content.find(oid)
    if blob is not None and blob.size != size:
        return answer | {"error": {"code": 422, "message": "The object has another size."}}, False
    if blob is not None and call.hub.content.in_repo(repo.id, oid):
        return answer, False
    if size + limits.MEBI > call.hub.content.free_bytes():
        raise no_room()
    return answer, True


def _xet_object(call: Call, repo: Repo, item: object, revision: str) -> dict[str, Any]:
    """Send a client that speaks Xet to the store, with a ticket for it; more tickets are had under ``href``."""
    answer, missing = _wanted(call, repo, item)
    if not missing:
        return answer
    href = f"{call.base}/api/{repo.type}s/{repo.full_name}/xet-write-token/{quote(revision, safe='')}"
    return answer | {"actions": {"upload": {"href": href, "header": write_ticket_headers(call, repo)}}}


def _object(call: Call, repo: Repo, item: object, *, multipart: bool) -> dict[str, Any]:
    answer, missing = _wanted(call, repo, item)
    if not missing:
        return answer
    oid, size = answer["oid"], answer["size"]
    ticket = call.hub.signer.sign("lfs", repo.id, oid, size, seconds=TICKET_SECONDS)
    actions: dict[str, Any] = {"verify": {"href": f"{call.base}/lfs/verify/{ticket}"}}
    if multipart and size >= limits.MULTIPART_FROM:
        count = -(-size // limits.MULTIPART_PART)
        header = {f"{n:05d}": f"{call.base}/lfs/part/{ticket}/{n}" for n in range(1, count + 1)}
        actions["upload"] = {
            "href": f"{call.base}/lfs/complete/{ticket}",
            "header": {"chunk_size": str(limits.MULTIPART_PART), **header},
        }
    else:
        actions["upload"] = {"href": f"{call.base}/lfs/upload/{ticket}"}
    return answer | {"authenticated": True, "actions": actions}


def _header_of(answer: dict[str, Any]) -> dict[str, str]:
    header: dict[str, str] = answer.get("actions", {}).get("upload", {}).get("header", {})
    return header


async def upload(call: Call, ticket: str) -> Response:
    """Take an object in one piece."""
    repo_id, oid, size = _ticket(call, ticket)
    spool = call.hub.content.spool(limit=size)
    try:
        await read_to_spool(call.request, spool, size)
        if spool.size != size or spool.sha256 != oid:
            raise bad_request("The content does not have the announced size and sha256.")
        await anyio.to_thread.run_sync(lambda: call.hub.content.adopt(spool, repo_id=repo_id))
    finally:
        await anyio.to_thread.run_sync(spool.discard)
    return Response(status_code=200, headers={"ETag": f'"{oid}"'})


async def upload_part(call: Call, ticket: str, part: str) -> Response:
    """Take one part of an object."""
    _, oid, size = _ticket(call, ticket)
    number = _part_number(part)
    limit = limits.MULTIPART_PART
    if (number - 1) * limit >= size:
        raise bad_request("There is no such part.")
    spool = call.hub.content.spool(limit=limit)
    try:
        await read_to_spool(call.request, spool, limit)
        etag = spool.sha256

        def keep() -> None:
            spool.close()
            folder = _parts_folder(call, ticket)
            folder.mkdir(exist_ok=True)
            spool.path.replace(folder / str(number))

        await anyio.to_thread.run_sync(keep)
    finally:
        await anyio.to_thread.run_sync(spool.discard)
    return Response(status_code=200, headers={"ETag": f'"{etag}"', "X-Object": oid})


def complete(call: Call, ticket: str) -> Response:
    """Join the parts of an object."""
    repo_id, oid, size = _ticket(call, ticket)
    parts = call.json().get("parts")
    count = -(-size // limits.MULTIPART_PART)
    if not isinstance(parts, list) or len(parts) != count:
        raise bad_request(f'"parts" must be an array of {count} objects')
    numbers = {part["partNumber"] for part in parts if isinstance(part, dict) and _is_number(part.get("partNumber"))}
    if numbers != set(range(1, count + 1)):
        raise bad_request('"parts" must number every part once')
    folder = _parts_folder(call, ticket)
    paths = [folder / str(number) for number in range(1, count + 1)]
    if not all(path.is_file() for path in paths):
        raise bad_request("A part is missing.")
    call.hub.content.join_parts(paths, oid, size, repo_id=repo_id)
    shutil.rmtree(folder, ignore_errors=True)
    return ok()


def verify(call: Call, ticket: str) -> Response:
    """Say whether an object arrived."""
    repo_id, oid, size = _ticket(call, ticket)
    body = call.json()
    blob = call.hub.content.find(oid)
    if body.get("oid") != oid or body.get("size") != size:
        raise bad_request("The object is not the one announced.")
    if blob is None or blob.size != size or not call.hub.content.in_repo(repo_id, oid):
        raise ApiError(404, "The object was not uploaded.")
    return ok()


def _ticket(call: Call, ticket: str) -> tuple[int, str, int]:
    repo_id, oid, size = call.hub.signer.check(ticket, "lfs", 3)
    repo = call.hub.repos.by_id(int(repo_id))
    if repo is None:
        raise ApiError(404, "The repository was deleted.", code="RepoNotFound")
    if call.user is not None and not call.user.belongs_to(repo.namespace):
        require_write(call.user.name, call.user)
    return int(repo_id), oid, int(size)


def _parts_folder(call: Call, ticket: str) -> Path:
    # Named by the ticket's signature: two uploads of one object do not meet.
    signature = ticket.rsplit(".", 1)[-1]
    if not re.fullmatch(r"[0-9a-f]{64}", signature):
        raise bad_request("Malformed ticket.")
    return call.hub.content.tmp_dir / f"parts-{signature}"


def _is_number(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _part_number(text: str) -> int:
    if not text.isdecimal() or len(text) > 5 or not 1 <= int(text) <= MAX_PARTS:  # noqa: PLR2004  digits of MAX_PARTS
        raise too_large(f"Parts are numbered from 1 to {MAX_PARTS}.")
    return int(text)
