"""Lists of repos with search, filters and sorting."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from starlette.responses import JSONResponse, Response

from solo_hub.hub.server.cards import strings
from solo_hub.hub.server.errors import bad_request, forbidden, not_offered
from solo_hub.hub.server.info import FULL, LISTED, card_data, check_expand, head_commit, repo_info
from solo_hub.hub.server.repos import may_see, require_user

if TYPE_CHECKING:
    from solo_hub.hub.server.history import Commit
    from solo_hub.hub.server.http import Call, Router
    from solo_hub.hub.server.repos import Repo, RepoType

PAGE = 1000
_NOT_FILTERED = {
    "apps": "listing by local app",
    "num_parameters": "listing by number of parameters",
    "inference": "inference, or listing by it",
    "inference_provider": "inference, or listing by its providers",
}
_SORTS = ("createdAt", "lastModified", "downloads", "likes", "trendingScore", "mainSize")


def add_routes(router: Router) -> None:
    """Register the routes of this module."""
    router.add("GET", "/api/{kind}")(list_repos)
    router.add("GET", "/api/settings/repositories")(own_repos)
    router.add("GET", "/api/organizations/{name}/settings/repositories")(own_repos)
    for name in ("models-tags-by-type", "datasets-tags-by-type"):
        router.add("GET", f"/api/{name}")(tags_by_type)


def list_repos(call: Call, kind: RepoType) -> Response:
    """Repos the caller may see, filtered, sorted and cut to a page."""
    expand = check_expand(kind, call.params("expand"), listed=True)
    _refuse_filters(call)
    fields = expand or _fields(call, kind)
    limit, skip = _number(call, "limit", PAGE), _number(call, "skip", 0)
    repos = [repo for repo in _candidates(call, kind) if may_see(repo, call.user)]
    infos: list[dict[str, Any]] = []
    wanted = _tag_filters(call)
    for repo in repos:
        commit = head_commit(call.hub, repo)
        if wanted and not wanted <= _tags(call, repo, commit):
            continue
        if len(infos) >= skip + limit + 1:
            break
        infos.append({"repo": repo, "commit": commit})
    page = infos[skip : skip + limit]
    result = []
    for entry in page:
        info = repo_info(call.hub, entry["repo"], entry["commit"], expand=fields)
        if kind == "model" and expand is None:
            info["modelId"] = info["id"]
        result.append(info)
    headers = {}
    if limit and len(infos) > skip + limit:
        rest = [(key, value) for key, value in call.query if key != "skip"] + [("skip", str(skip + limit))]
        headers["Link"] = f'<{call.base}/api/{kind}s?{urlencode(rest)}>; rel="next"'
    return JSONResponse(result, headers=headers)


def own_repos(call: Call, name: str | None = None) -> Response:
    """All repos of the user, or of an organisation of theirs, with what each of them stores."""
    user = require_user(call.user)
    if name is not None and not user.belongs_to(name):
        raise forbidden(f'You are not a member of "{name}"')
    rows = call.hub.db.all(
        "SELECT id FROM repos WHERE namespace = ? ORDER BY updated_at DESC, id DESC", (name or user.name,)
    )
    repos = [repo for row in rows if (repo := call.hub.repos.by_id(row["id"]))]
    infos = [
        repo_info(call.hub, repo, head_commit(call.hub, repo), expand=["lastModified", "usedStorage"]) for repo in repos
    ]
    total = sum(info["usedStorage"] for info in infos)
    return JSONResponse(
        [
            {
                "id": repo.full_name,
                "type": repo.type,
                "updatedAt": info["lastModified"],
                "visibility": "private" if repo.private else "public",
                "storage": info["usedStorage"],
                "storagePercent": 100 * info["usedStorage"] / total if total else 0,
            }
            for repo, info in zip(repos, infos, strict=True)
        ]
    )


def tags_by_type(call: Call) -> Response:
    """The known tags by kind; here they are whatever cards say, so none is listed."""
    del call
    return JSONResponse({})


def _fields(call: Call, kind: RepoType) -> list[str]:
    fields = list(LISTED[kind])
    if call.flag("full"):
        fields += [name for name in FULL if name not in fields]
        if kind != "model":
            fields.append("cardData")
    if call.flag("cardData") and "cardData" not in fields:
        fields.append("cardData")
    if call.flag("config"):
        fields.append("config")
    return fields


def _refuse_filters(call: Call) -> None:
    for name, what in _NOT_FILTERED.items():
        if call.param(name) is not None:
            raise not_offered(what)


def _tags(call: Call, repo: Repo, commit: Commit | None) -> set[str]:
    """What a repo can be found by: its tags, and for a Space the models and datasets its card says it uses."""
    found = list(repo_info(call.hub, repo, commit, expand=["tags"])["tags"])
    if repo.type == "space" and commit is not None:
        card = card_data(call.hub, commit) or {}
        found += [f"{key[:-1]}:{name}" for key in ("models", "datasets") for name in strings(card.get(key))]
    return {tag.lower() for tag in found}


def _candidates(call: Call, kind: RepoType) -> list[Repo]:
    where = ["type = ?"]
    values: list[str] = [kind]
    if author := call.param("author"):
        where.append("namespace = ?")
        values.append(author)
    for search in filter(None, call.params("search")):
        where.append("(namespace || '/' || name) LIKE ? ESCAPE '\\'")
        escaped = search.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
        values.append(f"%{escaped}%")
    gated = call.param("gated")
    if gated is not None:
        where.append("gated IS NOT NULL" if gated.lower() in ("true", "1") else "gated IS NULL")
    sort = call.param("sort") or "trendingScore"
    if sort not in _SORTS:
        raise bad_request(f'Invalid "sort": expected one of {", ".join(_SORTS)}')
    column = "updated_at" if sort == "lastModified" else "created_at"
    direction = "ASC" if call.param("direction") == "1" else "DESC"
    rows = call.hub.db.all(
        f"SELECT id FROM repos WHERE {' AND '.join(where)} ORDER BY {column} {direction}, id {direction}",  # noqa: S608
        values,
    )
    return [repo for row in rows if (repo := call.hub.repos.by_id(row["id"]))]


def _tag_filters(call: Call) -> set[str]:
    wanted = [part for value in call.params("filter") for part in value.split(",")]
    wanted += call.params("pipeline_tag")
    for key in ("datasets", "models"):
        wanted += [f"{key[:-1]}:{value}" for value in call.params(key)]
    return {value.strip().lower() for value in wanted if value.strip()}


def _number(call: Call, name: str, default: int) -> int:
    text = call.param(name)
    if text is None:
        return default
    if not text.isdecimal() or len(text) > 9:  # noqa: PLR2004  more digits than any list has entries
        raise bad_request(f'"{name}" must be a non-negative integer')
    return min(int(text), PAGE) if name == "limit" else int(text)
