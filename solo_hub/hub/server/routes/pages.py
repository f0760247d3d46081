"""Pages for people: what is here, what a repo holds, and how to load it.

Pages show what anyone may see. A browser sends no token, so private repos do not appear, and gated ones show their
card but not their files.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, quote

from starlette.responses import HTMLResponse, Response

from solo_hub.hub.server import cards, limits, rows
from solo_hub.hub.server.errors import ApiError, bad_request, entry_not_found, repo_not_found
from solo_hub.hub.server.history import DEFAULT_BRANCH
from solo_hub.hub.server.http import header_text
from solo_hub.hub.server.info import card_data, expand_items, head_commit, repo_info, tree_item
from solo_hub.hub.server.loading import load_lines
from solo_hub.hub.server.markdown import render
from solo_hub.hub.server.repos import TYPES, may_see
from solo_hub.hub.server.trees import File, Folder

if TYPE_CHECKING:
    import jinja2

    from solo_hub.hub.server.history import Commit
    from solo_hub.hub.server.http import Call, Router
    from solo_hub.hub.server.repos import Repo, RepoType

MAX_SHOWN = 200  # repos or commits on a page
MAX_FORM = 4096  # bytes of a form: one token
MAX_FILE = 256 * 1024  # bytes of a text file shown in full
_TEMPLATES = Path(__file__).parent.parent / "web" / "templates"
_STATIC = Path(__file__).parent.parent / "web" / "static"
_POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self' data:; form-action 'self'; base-uri 'none';"
    " frame-ancestors 'none'"
)


def add_routes(router: Router) -> None:
    """Register the routes of this module."""
    router.add("GET", "/")(index)
    router.add("HEAD", "/")(index)
    router.add("GET", "/static/style.css")(style)
    router.add("GET", "/favicon.ico")(icon)
    router.add("GET", "/{kind}")(index)
    for prefix, handler in (("/{kind}/{ns}/{name}", repo_page), ("/{ns}/{name}", repo_page)):
        router.add("GET", f"{prefix}/tree/{{rev}}")(files_page)
        router.add("GET", f"{prefix}/tree/{{rev}}/{{path:rest}}")(files_page)
        router.add("GET", f"{prefix}/blob/{{rev}}/{{path:rest}}")(file_page)
        router.add("GET", f"{prefix}/commits/{{rev}}")(commits_page)
        router.add("GET", f"{prefix}/commit/{{rev}}")(files_page)
        router.add("GET", f"{prefix}/discussions")(discussions_page)
        router.add("GET", f"{prefix}/discussions/{{num}}")(discussions_page)
        router.add("POST", f"{prefix}/ask-access", body=MAX_FORM)(ask_access)
        router.add("GET", prefix)(handler)
    router.add("GET", "/{author}")(index)


def index(call: Call, kind: RepoType | None = None, author: str | None = None) -> Response:
    """All repos anyone may see, the latest changed first."""
    if author is not None and call.hub.accounts.kind(author) is None:
        raise ApiError(404, "Nobody has this name.")
    words = (call.param("q") or "").lower()[:100]
    tag = (call.param("other") or "")[:200]  # as on the real Hub: /models?other=base_model:adapter:OWNER/NAME
    shown: list[dict[str, Any]] = []
    hidden = 0
    for row in call.hub.db.all("SELECT id FROM repos ORDER BY updated_at DESC"):
        repo = call.hub.repos.by_id(row["id"])
        if repo is None or (kind and repo.type != kind) or (author and repo.namespace.lower() != author.lower()):
            continue
        if not may_see(repo, call.user):
            hidden += 1
        elif words in repo.full_name.lower() and len(shown) < MAX_SHOWN:
            commit = head_commit(call.hub, repo)
            facts = repo_info(call.hub, repo, commit, expand=["tags", "lastModified"])
            if tag and tag.lower() not in map(str.lower, facts["tags"]):
                continue
            tags = [each for each in facts["tags"] if ":" not in each][:4]
            shown.append({"repo": repo, "changed": facts["lastModified"], "tags": tags})
    return _page("index.html", repos=shown, hidden=hidden, kind=kind, kinds=TYPES, author=author, words=words, tag=tag)


def repo_page(call: Call, *, ns: str, name: str, kind: RepoType = "model") -> Response:
    """A repo's card and how to load it."""
    repo = _repo(call, kind, ns, name)
    commit = head_commit(call.hub, repo)
    text = call.hub.read_text(commit.tree, "README.md", limit=limits.MEBI) if commit else None
    body = cards.split(text)[1] if text else ""
    here = f"/{repo.url_path}/resolve/{commit.oid}/" if commit else ""
    fields = ["tags", "usedStorage", "cardData"]
    if repo.type == "model":
        fields += ["baseModels", "childrenModelCount"]
    info = repo_info(call.hub, repo, commit, expand=fields, user=call.user)
    return _page(
        "card.html",
        **_frame(call, repo, commit, "card"),
        card=render(body, files=here) if body.strip() else "",
        info=info,
        load=load_lines(call.hub, repo, commit),
        rows=_rows(call, repo, commit),
        asks=repo.gated is not None,
    )


def _rows(call: Call, repo: Repo, commit: Commit | None) -> rows.Preview | None:
    """The first rows of a dataset, for those who may read its files."""
    if repo.type != "dataset" or commit is None:
        return None
    try:
        call.hub.repos.check_content_access(repo, call.user)
    except ApiError:
        return None
    return rows.preview(call.hub, commit, card_data(call.hub, commit) or {}, call.param("split"))


def ask_access(call: Call, *, ns: str, name: str, kind: RepoType = "model") -> Response:
    """Take the form of a gated repo's page: a browser sends no token by itself, so the form has a field for it.

    The token is used for this one request and kept nowhere. A form on another site can send nothing without knowing
    a token.
    """
    repo = _repo(call, kind, ns, name)
    user = call.user
    if user is None:
        try:
            form = dict(parse_qsl(call.body.decode("utf-8", "replace"), max_num_fields=8))
        except ValueError:
            raise bad_request("The body is not a valid form.") from None
        user = call.hub.accounts.authenticate(form.get("token", "").strip())
    if user is None or not may_see(repo, user):
        raise ApiError(401, "This token is not known here. Copy it from `solo-hub hub serve` or ask who runs the Hub.")
    status = call.hub.repos.ask_access(repo, user)
    sentence = {
        "accepted": f"{user.name} has access to {repo.full_name}.",
        "rejected": f"The owner of {repo.full_name} has rejected the request of {user.name}.",
        "pending": f"The request of {user.name} is with the owner of {repo.full_name}.",
    }[status]
    return _page(
        "access.html", **_frame(call, repo, head_commit(call.hub, repo), "card"), status=status, sentence=sentence
    )


def files_page(call: Call, *, ns: str, name: str, rev: str, kind: RepoType = "model", path: str = "") -> Response:
    """The entries of a folder."""
    repo = _repo(call, kind, ns, name)
    call.hub.repos.check_content_access(repo, call.user)
    commit = call.hub.history.resolve(repo, rev)
    path = path.strip("/")
    node = call.hub.trees.find(commit.tree, path) if path else call.hub.trees.folder(commit.tree)
    if not isinstance(node, Folder):
        raise entry_not_found()
    listing = sorted(call.hub.trees.listing(node.key).items(), key=lambda item: (isinstance(item[1], File), item[0]))
    prefix = f"{path}/" if path else ""
    items = [tree_item(prefix + entry, each) for entry, each in listing[:MAX_SHOWN]]
    expand_items(call.hub, repo, commit, items)
    return _page(
        "files.html",
        **_frame(call, repo, commit, "files"),
        rev=rev,
        path=path,
        items=items,
        more=len(listing) - len(items),
    )


def file_page(call: Call, *, ns: str, name: str, rev: str, path: str, kind: RepoType = "model") -> Response:
    """One file, its text if it is one."""
    repo = _repo(call, kind, ns, name)
    call.hub.repos.check_content_access(repo, call.user)
    commit = call.hub.history.resolve(repo, rev)
    node = call.hub.trees.find(commit.tree, path)
    if not isinstance(node, File):
        raise entry_not_found()
    text = call.hub.read_text(commit.tree, path, limit=MAX_FILE)
    shown = None if text is None or "\0" in text else text
    return _page(
        "file.html", **_frame(call, repo, commit, "files"), rev=rev, path=path, file=node, text=shown,
        name=path.rsplit("/", 1)[-1], folder=path.rpartition("/")[0],
    )  # fmt: skip


def commits_page(call: Call, *, ns: str, name: str, rev: str, kind: RepoType = "model") -> Response:
    """The newest commits of a revision."""
    repo = _repo(call, kind, ns, name)
    commit = call.hub.history.resolve(repo, rev)
    log: list[Commit] = []
    for each in call.hub.history.log(repo, commit.oid):
        if len(log) >= MAX_SHOWN:
            break
        log.append(each)
    return _page("commits.html", **_frame(call, repo, commit, "commits"), rev=rev, log=log)


def discussions_page(call: Call, *, ns: str, name: str, kind: RepoType = "model", num: str = "") -> Response:
    """The discussions of a repo, or the events of one."""
    from solo_hub.hub.server.discussions import Discussions

    repo = _repo(call, kind, ns, name)
    discussions = Discussions(call.hub)
    found = discussions.list(repo, kind=None, status=None, author=None)
    one = next((each for each in found if str(each.num) == num), None)
    if num and one is None:
        raise ApiError(404, "Discussion not found")
    events = discussions.details(repo, one)["events"] if one else []
    return _page(
        "discussions.html", **_frame(call, repo, head_commit(call.hub, repo), "discussions"), found=found, one=one,
        events=events, clean=render,
    )  # fmt: skip


def style(call: Call) -> Response:
    """The style sheet."""
    del call
    return Response((_STATIC / "style.css").read_bytes(), media_type="text/css; charset=utf-8")


def icon(call: Call) -> Response:
    """No icon: the page names a drawn one."""
    del call
    return Response(status_code=204)


def error_page(error: ApiError) -> Response:
    """An error for a browser; the headers stay what clients read."""
    missing = error.code == "RepoNotFound"  # to a client 401 says the same; to a reader it would be a riddle
    message = "There is no such repo, or it is private." if missing else error.message
    page = _page("error.html", status=404 if missing else error.status, message=message)
    page.status_code = error.status
    page.headers.update({"X-Error-Message": header_text(error.message), **error.headers})
    if error.code:
        page.headers["X-Error-Code"] = error.code
    return page


def _repo(call: Call, kind: RepoType, ns: str, name: str) -> Repo:
    repo = call.hub.repos.readable(kind, ns, name, call.user)
    if (repo.namespace, repo.name) != (ns, name) and repo.full_name.lower() != f"{ns}/{name}".lower():
        raise repo_not_found(authenticated=True)  # moved: the page of the old name is gone
    return repo


def _frame(call: Call, repo: Repo, commit: Commit | None, tab: str) -> dict[str, Any]:
    """What the frame around every page of a repo shows."""
    return {
        "repo": repo,
        "commit": commit,
        "tab": tab,
        "base": call.base,
        "main": DEFAULT_BRANCH,
        "branches": call.hub.history.refs(repo, "head"),
        "tags": call.hub.history.refs(repo, "tag"),
    }


def _page(template: str, **values: Any) -> Response:
    html = _environment().get_template(template).render(**values)
    return HTMLResponse(html, headers={"Content-Security-Policy": _POLICY})


@lru_cache(maxsize=1)
def _environment() -> jinja2.Environment:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["size"] = _size
    environment.filters["day"] = _day
    environment.filters["quoted"] = lambda text: quote(text, safe="")
    environment.filters["path"] = quote
    return environment


def _size(count: int) -> str:
    """Bytes as people say them.

    >>> _size(1500)
    '1.5 kB'
    """
    number = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if number < 1000:  # noqa: PLR2004  decimal units, as the Hub shows them
            return f"{number:.0f} {unit}" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1000
    return f"{number:.1f} TB"


def _day(moment: float | str) -> str:
    """A date and time to the minute, UTC."""
    from datetime import UTC, datetime

    when = datetime.fromisoformat(moment) if isinstance(moment, str) else datetime.fromtimestamp(moment, UTC)
    return when.strftime("%Y-%m-%d %H:%M")
