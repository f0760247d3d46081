"""What the API tells about a repo, its commits and its files, in the Hub's own field names."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from solo_hub.hub.server import cards, limits, lineage
from solo_hub.hub.server.errors import bad_request
from solo_hub.hub.server.gitobjects import pointer
from solo_hub.hub.server.history import DEFAULT_BRANCH
from solo_hub.hub.server.repos import may_see
from solo_hub.hub.server.trees import File, Folder, Listing, Node

if TYPE_CHECKING:
    from collections.abc import Iterable

    from solo_hub.hub.server.accounts import User
    from solo_hub.hub.server.core import Hub
    from solo_hub.hub.server.history import Commit
    from solo_hub.hub.server.repos import Repo, RepoType

REMEMBERED_CARDS = 2048
_COMMON = frozenset({
    "author", "cardData", "createdAt", "disabled", "downloads", "downloadsAllTime", "gated", "lastModified", "likes",
    "private", "resourceGroup", "sha", "siblings", "tags", "trendingScore", "usedStorage", "xetEnabled",
})  # fmt: skip
EXPANDABLE: dict[str, frozenset[str]] = {
    "model": _COMMON
    | {
        "baseModels", "childrenModelCount", "config", "evalResults", "gguf", "inference", "inferenceProviderMapping",
        "library_name", "mask_token", "model-index", "pipeline_tag", "safetensors", "spaces", "transformersInfo",
        "widgetData",
    },
    "dataset": _COMMON | {"citation", "description", "mainSize", "paperswithcode_id"},
    "space": (_COMMON - {"downloads", "downloadsAllTime"})
    | {"datasets", "models", "region", "runtime", "sdk", "subdomain"},
}  # fmt: skip
# What is told of one repo only, as on the real Hub: in a list it would be worked out anew for every entry.
NOT_LISTED = frozenset({"baseModels", "childrenModelCount", "usedStorage"})
# What a listing gives without being asked for more.
LISTED: dict[str, tuple[str, ...]] = {
    "model": ("likes", "private", "downloads", "tags", "pipeline_tag", "library_name", "createdAt", "trendingScore"),
    "dataset": (
        "author", "disabled", "gated", "lastModified", "likes", "private", "sha", "downloads", "tags", "createdAt",
        "trendingScore",
    ),
    "space": ("likes", "private", "sdk", "tags", "createdAt", "trendingScore"),
}  # fmt: skip
FULL = ("author", "gated", "lastModified", "sha", "siblings", "disabled")


def time_text(seconds: float) -> str:
    """A time as the API writes it."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def object_id(*parts: object) -> str:
    """A stable 24-digit id, in the form of the database ids the real Hub shows."""
    return hashlib.sha256("/".join(map(str, parts)).encode()).hexdigest()[:24]


def author_id(name: str) -> str:
    """The id of an account."""
    return object_id("account", name.lower())


def card_data(hub: Hub, commit: Commit) -> dict[str, Any] | None:
    """The metadata in the README of a commit, None when there is none or it cannot be read."""
    node = hub.trees.find(commit.tree, "README.md")
    if not isinstance(node, File):
        return None
    text = hub.cards.get(node.sha256)
    if text is None:
        data = hub.content.read_all(node.sha256, limit=limits.MAX_YAML * 4)
        loaded, _ = cards.load(data.decode("utf-8", "replace")) if data else (None, None)
        text = json.dumps(loaded or None)  # as text, so that no caller can change what is kept
        if len(hub.cards) >= REMEMBERED_CARDS:
            hub.cards.clear()
        hub.cards[node.sha256] = text
    found: dict[str, Any] | None = json.loads(text)
    return found


def repo_info(
    hub: Hub,
    repo: Repo,
    commit: Commit | None,
    *,
    expand: Iterable[str] | None = None,
    blobs: bool = False,
    security: bool = False,
    user: User | None = None,
) -> dict[str, Any]:
    """The description of a repo at a commit.

    Args:
        hub: The Hub.
        repo: The repo.
        commit: The revision asked for; None when the repo has no commit.
        expand: Names of the fields wanted; None for what a plain request gets.
        blobs: Whether siblings carry size and hashes.
        security: Whether to add the (trivially clean) scan status.
        user: Who asks; models made from this one are counted as far as they may see them.
    """
    facts = _Facts(hub, repo, commit, user)
    fields = facts.default_fields() if expand is None else tuple(expand)
    info: dict[str, Any] = {"_id": object_id("repo", repo.id), "id": repo.full_name}
    if repo.type == "model" and expand is None:
        info["modelId"] = repo.full_name
    for name in fields:
        value = facts.siblings(blobs=blobs) if name == "siblings" else facts.get(name)
        if value is not None or name in ("pipeline_tag", "cardData", "resourceGroup"):
            info[name] = value
    if security:
        info["securityRepoStatus"] = {"scansDone": True, "filesWithIssues": []}
    return info


def check_expand(repo_type: RepoType, wanted: list[str], *, listed: bool = False) -> list[str] | None:
    """The fields of ``expand`` parameters, None when there are none; a list of repos has fewer than one repo.

    Raises:
        ApiError: 400 for a field the Hub does not know.
    """
    if not wanted:
        return None
    allowed = EXPANDABLE[repo_type] - (NOT_LISTED if listed else frozenset())
    unknown = [name for name in wanted if name not in allowed]
    if unknown:
        known = ", ".join(sorted(allowed))
        raise bad_request(f'Invalid option "{unknown[0][:40]}" for "expand": expected one of {known}')
    return wanted


class _Facts:
    """The fields of one repo, each worked out when it is asked for."""

    def __init__(self, hub: Hub, repo: Repo, commit: Commit | None, user: User | None) -> None:
        self._hub = hub
        self._user = user
        self._repo = repo
        self._commit = commit
        self._card = card_data(hub, commit) if commit else None

    def default_fields(self) -> tuple[str, ...]:
        common = ("author", "sha", "lastModified", "private", "gated", "disabled", "likes", "tags", "cardData",
                  "siblings", "createdAt", "usedStorage")  # fmt: skip
        own: dict[str, tuple[str, ...]] = {
            "model": ("downloads", "pipeline_tag", "library_name", "model-index", "config", "mask_token", "widgetData",
                      "spaces", "transformersInfo", "safetensors"),
            "dataset": ("downloads", "description", "citation", "paperswithcode_id"),
            "space": ("sdk", "subdomain", "runtime", "models", "datasets", "host"),
        }  # fmt: skip
        return common + own[self._repo.type]

    def get(self, name: str) -> Any:
        repo, card = self._repo, self._card or {}
        simple: dict[str, Any] = {
            "author": repo.namespace,
            "private": repo.private,
            "gated": repo.gated or False,
            "disabled": False,
            "likes": 0,
            "downloads": 0,
            "downloadsAllTime": 0,
            "trendingScore": 0,
            "createdAt": time_text(repo.created_at),
            "lastModified": time_text(self._commit.created_at if self._commit else repo.updated_at),
            "sha": self._commit.oid if self._commit else None,
            "cardData": self._card,
            "model-index": card.get("model-index"),
            "library_name": card.get("library_name"),
            "pipeline_tag": card.get("pipeline_tag"),
            "paperswithcode_id": card.get("paperswithcode_id"),
            "sdk": card.get("sdk") if isinstance(card.get("sdk"), str) else repo.sdk,
            "subdomain": f"{repo.namespace}-{repo.name}".lower().replace(".", "-").replace("_", "-"),
            "models": card.get("models") or [],
            "datasets": card.get("datasets") or [],
            "spaces": [],
            "widgetData": card.get("widget"),
            "xetEnabled": True,
            "mainSize": None,
        }
        if name in simple:
            return simple[name]
        worked_out = getattr(self, f"_get_{name}", None)
        return worked_out() if worked_out else None

    def siblings(self, *, blobs: bool) -> list[dict[str, Any]]:
        if self._commit is None:
            return []
        found = []
        for path, file in self._hub.trees.files(self._commit.tree):
            sibling: dict[str, Any] = {"rfilename": path}
            if blobs:
                sibling |= {"size": file.size, "blobId": file.oid}
                if file.lfs:
                    size = len(pointer(file.sha256, file.size))
                    sibling["lfs"] = {"sha256": file.sha256, "size": file.size, "pointerSize": size}
            found.append(sibling)
        return found

    def _get_tags(self) -> list[str]:
        tags = cards.tags(self._card, self._repo.type)
        if self._repo.type == "model" and self._commit:
            names = self._hub.trees.listing(self._commit.tree)
            if any(name.endswith(".safetensors") for name in names):
                tags = ["safetensors", *(tag for tag in tags if tag != "safetensors")]
            relation, bases = lineage.base_models(self._hub, self._commit, self._card or {}) or ("", [])
            of_bases = [f"base_model:{relation}:{base}" for base in bases]
            tags[-1:-1] = [tag for tag in of_bases if tag not in tags]  # before the region
        if self._repo.type == "space" and (sdk := self.get("sdk")):
            tags = [sdk, *(tag for tag in tags if tag != sdk)]
        return tags

    def _get_usedStorage(self) -> int:  # noqa: N802  named after the field
        row = self._hub.db.one(
            "SELECT COALESCE(SUM(b.size), 0) AS total FROM repo_blobs r JOIN blobs b USING (sha256)"
            " WHERE r.repo_id = ?",
            (self._repo.id,),
        )
        return int(row["total"]) if row else 0

    def _get_config(self) -> dict[str, Any] | None:
        if self._commit is None:
            return None
        data = lineage.json_file(self._hub, self._commit, "config.json")
        kept: dict[str, Any] = {
            key: data[key] for key in ("architectures", "model_type", "quantization_config") if key in data
        }
        adapter = lineage.json_file(self._hub, self._commit, "adapter_config.json")
        if adapter:
            kept["peft"] = {key: adapter[key] for key in ("base_model_name_or_path", "task_type") if key in adapter}
        return kept or None

    def _get_description(self) -> str | None:
        text = self._commit and self._hub.read_text(self._commit.tree, "README.md", limit=limits.MAX_YAML)
        return cards.split(text)[1].strip()[:500] or None if text else None

    def _get_baseModels(self) -> dict[str, Any] | None:  # noqa: N802  named after the field
        found = lineage.base_models(self._hub, self._commit, self._card or {}) if self._commit else None
        if found is None:
            return None
        models = []
        for name in found[1]:
            namespace, _, last = name.partition("/")
            base = self._hub.repos.find("model", namespace, last)  # what is not here is known by its name alone
            known = base is not None and may_see(base, self._user)
            models.append({"_id": object_id("repo", base.id), "id": base.full_name} if base and known else {"id": name})
        return {"relation": found[0], "models": models}

    def _get_childrenModelCount(self) -> dict[str, int]:  # noqa: N802  named after the field
        cards_of_models = []
        for row in self._hub.db.all("SELECT id FROM repos WHERE type = 'model'"):
            repo = self._hub.repos.by_id(row["id"])
            commit = head_commit(self._hub, repo) if repo and may_see(repo, self._user) else None
            if commit is not None:
                cards_of_models.append((commit, card_data(self._hub, commit) or {}))
        return lineage.children(self._hub, self._repo.full_name, cards_of_models)

    def _get_runtime(self) -> dict[str, Any] | None:
        return space_runtime(self._hub, self._repo, self._commit) if self._repo.type == "space" else None

    def _get_safetensors(self) -> dict[str, Any] | None:
        return safetensors_summary(self._hub, self._commit.tree) if self._commit else None


def space_runtime(hub: Hub, repo: Repo, commit: Commit | None) -> dict[str, Any]:
    """The state of a Space: it is stored here and does not run."""
    app = app_file(hub, repo, commit)
    return {
        "stage": "PAUSED" if app else "NO_APP_FILE",
        "hardware": {"current": None, "requested": None},
        "storage": None,
        "gcTimeout": None,
        "replicas": {"current": 0, "requested": 0},
        "devMode": False,
        "domains": [],
    }


def app_file(hub: Hub, repo: Repo, commit: Commit | None) -> str | None:
    """The file a Space starts from, by its card or its SDK's custom; None when it is missing."""
    if commit is None:
        return None
    card = card_data(hub, commit) or {}
    stated = card.get("app_file")
    usual = {"docker": "Dockerfile", "static": "index.html"}.get(space_sdk(repo, card), "app.py")
    name = stated if isinstance(stated, str) and usual != "Dockerfile" else usual
    return name if isinstance(hub.trees.find(commit.tree, name), File) else None


def space_sdk(repo: Repo, card: dict[str, Any]) -> str:
    """The SDK of a Space: what its card says, or what it was created with."""
    return card["sdk"] if isinstance(card.get("sdk"), str) else repo.sdk or "gradio"


def safetensors_summary(hub: Hub, tree: str) -> dict[str, Any] | None:
    """Parameters by data type of the model's weight file, read off its header."""
    node = hub.trees.find(tree, "model.safetensors")
    if not isinstance(node, File) or node.size < 8:  # noqa: PLR2004  8: the header's length field
        return None
    try:
        length = int.from_bytes(b"".join(hub.content.read(node.sha256, 0, 8)), "little")
        if length > limits.MAX_YAML:
            return None
        header = json.loads(b"".join(hub.content.read(node.sha256, 8, 8 + length)))
        counts: dict[str, int] = {}
        for name, tensor in header.items():
            if name != "__metadata__":
                size = 1
                for extent in tensor["shape"]:
                    size *= int(extent)
                counts[str(tensor["dtype"])] = counts.get(str(tensor["dtype"]), 0) + size
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError):
        return None  # not a safetensors file, whatever its name says
    return {"parameters": counts, "total": sum(counts.values())} if counts else None


def tree_item(path: str, node: Node) -> dict[str, Any]:
    """A file or folder as tree listings show it."""
    if isinstance(node, Folder):
        return {"type": "directory", "oid": node.oid, "size": 0, "path": path}
    item: dict[str, Any] = {"type": "file", "oid": node.oid, "size": node.size, "path": path}
    if node.lfs:
        size = len(pointer(node.sha256, node.size))
        item["lfs"] = {"oid": node.sha256, "size": node.size, "pointerSize": size}
    if node.xet:
        item["xetHash"] = node.xet
    return item


def expand_items(hub: Hub, repo: Repo, commit: Commit, items: list[dict[str, Any]]) -> None:
    """Add to each item the newest commit that changed it, and its scan status."""
    waiting: dict[str, dict[str, dict[str, Any]]] = {}  # by folder, then by name
    for item in items:
        folder, _, name = item["path"].rpartition("/")
        waiting.setdefault(folder, {})[name] = item
    for each in hub.history.log(repo, commit.oid):
        if not waiting:
            break
        parent = hub.history.commit(repo, each.parent) if each.parent else None
        last = {"id": each.oid, "title": each.title, "date": time_text(each.created_at)}
        for folder, entries in list(waiting.items()):
            after = _folder_listing(hub, each, folder)
            before = _folder_listing(hub, parent, folder)
            if after is before:  # the same listing, so nothing in it changed
                continue
            for name in [name for name in entries if after.get(name) != before.get(name)]:
                entries.pop(name)["lastCommit"] = last
            if not entries:
                del waiting[folder]
    for item in items:
        if item["type"] == "file":
            item["securityFileStatus"] = {
                "status": "safe",
                "avScan": {"virusFound": False, "virusNames": None},
                "pickleImportScan": None,
            }


def _folder_listing(hub: Hub, commit: Commit | None, folder: str) -> Listing:
    if commit is None:
        return {}
    node = hub.trees.find(commit.tree, folder) if folder else None
    if folder and not isinstance(node, Folder):
        return {}
    return hub.trees.listing(node.key if isinstance(node, Folder) else commit.tree)


def head_commit(hub: Hub, repo: Repo) -> Commit | None:
    """The newest commit of the default branch."""
    ref = hub.history.ref(repo, "head", DEFAULT_BRANCH)
    return hub.history.commit(repo, ref.oid) if ref else None
