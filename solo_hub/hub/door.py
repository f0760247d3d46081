"""The only door to the Hub: a repo is pinned to a commit, pulled at it, and pushed as one commit and a version tag.

Everything goes through `Door`, with endpoint, token and cache handed over explicitly: huggingface_hub freezes its own
endpoint at import, so environment variables set later would be ignored.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import solo_hub
from solo_hub.errors import (
    ModelError,
    NotAllowedError,
    RepoMissingError,
    UsageError,
)
from solo_hub.hub import rights
from solo_hub.hub.collecting import Collected, Item, collect, find_collection
from solo_hub.hub.failures import Place, repo_url, translated
from solo_hub.hub.uploads import Upload, files_of

if TYPE_CHECKING:
    from huggingface_hub import HfApi

RepoType = Literal["model", "dataset", "space"]

# No pickles and no code: a model repo is untrusted input.
MODEL_FILES = ("*.safetensors", "*.json", "*.txt", "*.model", "*.jinja")
# Second copies of the weights in other layouts.
MODEL_EXTRAS = ("consolidated*.safetensors", "original/*", "onnx/*", "openvino/*")
DATASET_FILES = ("README.md", "*.parquet", "*.jsonl", "*.json", "*.csv", "*.tsv", "*.txt", "*.gz")

_REFERENCE = re.compile(r"(?P<repo>[A-Za-z0-9][\w.-]*(?:/[\w.-]+)?)(?:@(?P<revision>[^@\s]+))?")
_CONNECT, _READ = 15.0, 120.0  # seconds; the client's own default is to wait for ever


@dataclass(frozen=True, slots=True)
class Pinned:
    """A repo at one commit.

    Attributes:
        repo_id: OWNER/NAME as asked for.
        type: `model`, `dataset` or `space`.
        revision: Branch, tag or commit as asked for; `main` when none was.
        commit: The commit it stood for when it was resolved (40 hex digits).
        license: Licence by the repo's card, or None.
        endpoint: The Hub it lives on.
    """

    repo_id: str
    type: RepoType
    revision: str
    commit: str
    license: str | None
    endpoint: str

    def to_row(self) -> dict[str, Any]:
        """As `config.yaml` of a run keeps it; the endpoint stands there once for all repos."""
        return {
            "repo_id": self.repo_id,
            "type": self.type,
            "revision": self.revision,
            "commit": self.commit,
            "license": self.license,
        }

    @classmethod
    def from_row(cls, row: Mapping[str, Any], endpoint: str) -> Pinned:
        """Read what `to_row` wrote, so that a resumed run pulls the same commit without asking the Hub."""
        return cls(row["repo_id"], row["type"], row["revision"], row["commit"], row.get("license"), endpoint)


@dataclass(frozen=True, slots=True)
class Pushed:
    """What a push left on the Hub.

    Attributes:
        repo_id: OWNER/NAME.
        type: `model`, `dataset` or `space`.
        commit: The commit that holds the folder.
        tag: Its version tag, or None where none was wanted.
        url: The repo's page.
        changed: Whether this push made the commit or the tag; False when both were there already.
    """

    repo_id: str
    type: RepoType
    commit: str
    tag: str | None
    url: str
    changed: bool


def parse_reference(reference: str) -> tuple[str, str]:
    """Split `OWNER/NAME[@REVISION]`; the revision is `main` where none is given.

    >>> parse_reference("allenai/qasc@v1")
    ('allenai/qasc', 'v1')

    Raises:
        UsageError: It is not a reference to a repo.
    """
    match = _REFERENCE.fullmatch(reference.strip())
    if match is None:
        raise UsageError(f"'{reference}' is not a repo.", hint="Write it as OWNER/NAME or OWNER/NAME@REVISION.")
    return match["repo"], match["revision"] or "main"


class Door:
    """Pulls from and pushes to one Hub.

    Making one does nothing but remember; the first call connects.

    Args:
        endpoint: Address of the Hub; huggingface_hub's own (HF_ENDPOINT or the real Hub) when None.
        token: Token; the user's stored `hf auth login` token when None, anonymous when empty.
        cache: Cache folder of downloads; huggingface_hub's own when None.
        progress: Whether the client's progress bars may be seen on stderr.
    """

    def __init__(self, endpoint: str | None, token: str | None, cache: Path | None, *, progress: bool = False) -> None:
        self._endpoint, self._token, self.cache, self._progress = endpoint, token, cache, progress

    @property
    def endpoint(self) -> str:
        """Address of the Hub."""
        from huggingface_hub import constants

        return (self._endpoint or constants.ENDPOINT).rstrip("/")

    @cached_property
    def _api(self) -> HfApi:
        from huggingface_hub import HfApi

        _limit_waiting()
        # An empty token means anonymous: None would send the user's stored token to whatever endpoint was given.
        token: str | bool | None = False if self._token == "" else self._token
        return HfApi(endpoint=self.endpoint, token=token, library_name="solo-hub", library_version=solo_hub.__version__)

    @contextlib.contextmanager
    def _errors(self, repo_id: str = "", type: str = "model", revision: str = "") -> Iterator[None]:  # noqa: A002
        from huggingface_hub import constants

        cache = str(self.cache or constants.HF_HUB_CACHE)
        with (
            translated(Place(self.endpoint, repo_id, type, revision, cache, self._token)),
            _progress_bars(self._progress),
        ):
            yield

    # ---------------------------------------------------------------- pull

    def pin(self, reference: str, type: RepoType) -> Pinned:  # noqa: A002 - the Hub's own word
        """Resolve `OWNER/NAME[@REVISION]` to a commit.

        Raises:
            RepoMissingError: No such repo or revision, or no right to see it.
            GatedError: Its conditions have not been accepted.
            HubError: The Hub cannot be reached.
        """
        from huggingface_hub.errors import RevisionNotFoundError

        repo_id, revision = parse_reference(reference)
        with self._errors(repo_id, type, revision):
            try:
                info = self._api.repo_info(repo_id, repo_type=type, revision=revision)
            except RevisionNotFoundError as error:
                raise RepoMissingError(
                    f"The {type} '{repo_id}' has no revision '{revision}'.",
                    hint=f"There are: {self._revisions(repo_id, type)}.",
                ) from error
            if getattr(info, "gated", False):
                # The card of a gated repo is public, its files are not: say so before anything else is done.
                self._api.auth_check(repo_id, repo_type=type)
            if not info.sha:
                raise RepoMissingError(f"The {type} '{repo_id}' is empty.", hint="Choose another repo.")
            license_ = getattr(getattr(info, "card_data", None), "license", None)
        if isinstance(license_, Sequence) and not isinstance(license_, str):
            license_ = ", ".join(str(item) for item in license_) or None
        return Pinned(repo_id, type, revision, info.sha, str(license_) if license_ else None, self.endpoint)

    def _revisions(self, repo_id: str, type: RepoType) -> str:  # noqa: A002
        refs = self._api.list_repo_refs(repo_id, repo_type=type)
        return ", ".join([*(ref.name for ref in refs.branches), *(ref.name for ref in refs.tags)]) or "none"

    def pull(self, pinned: Pinned, *, allow: Sequence[str] | None = None, ignore: Sequence[str] | None = None) -> Path:
        """Download a repo at exactly its commit; what is in the cache is not asked for again.

        Args:
            pinned: The repo and commit.
            allow: Patterns of the files wanted. By default, of a model: safetensors weights, configuration and
                tokenizer; of a dataset: data files and its card. Never pickles or code.
            ignore: Patterns of files to leave out.

        Returns:
            The local folder.

        Raises:
            ModelError: The model repo has no safetensors weights.
            HubError: As `pin`; also when the disk is full.
        """
        from huggingface_hub import snapshot_download

        if allow is None and pinned.type != "space":
            patterns: list[str] | None = list(MODEL_FILES if pinned.type == "model" else DATASET_FILES)
            ignore = [*MODEL_EXTRAS, *(ignore or ())] if pinned.type == "model" else ignore
        else:
            patterns = None if allow is None else list(allow)
        with self._errors(pinned.repo_id, pinned.type, pinned.commit):
            folder = Path(
                snapshot_download(
                    pinned.repo_id,
                    repo_type=pinned.type,
                    revision=pinned.commit,
                    endpoint=self.endpoint,
                    token=self._api.token,
                    cache_dir=self.cache,
                    allow_patterns=patterns,
                    ignore_patterns=None if ignore is None else list(ignore),
                    max_workers=4,
                )
            )
        if pinned.type == "model" and allow is None and not any(folder.rglob("*.safetensors")):
            raise ModelError(
                f"The model '{pinned.repo_id}' has no safetensors weights; pickles can run code and are not loaded.",
                hint="Choose a repo or revision with safetensors.",
            )
        return folder

    def newest(self, repo_id: str, type: RepoType) -> str | None:  # noqa: A002 - the Hub's own word
        """The newest commit of a repo, or None where there is no such repo or it has no files yet."""
        try:
            with self._errors(repo_id, type):
                info = self._api.repo_info(repo_id, repo_type=type)
        except RepoMissingError:
            return None
        files = [item.rfilename for item in getattr(info, "siblings", None) or () if item.rfilename != ".gitattributes"]
        return info.sha if files else None

    def latest(self, repo_id: str, type: RepoType) -> tuple[str, Path, str] | None:  # noqa: A002 - the Hub's own word
        """What a repo holds now: its newest commit, that commit downloaded whole, and its highest version tag.

        Returns:
            None where there is no such repo or it has no files yet; the tag is `v0` where it has none.
        """
        commit = self.newest(repo_id, type)
        if commit is None:
            return None
        pinned = Pinned(repo_id, type, "main", commit, None, self.endpoint)
        folder = self.pull(pinned, allow=["*"])
        with self._errors(repo_id, type):
            versions = Upload(self._api, repo_id, type, {}).versions()
        return commit, folder, f"v{max(versions, default=0)}"

    # ---------------------------------------------------------------- who may write

    def whoami(self) -> str:
        """Name of the token's user.

        Raises:
            NotAllowedError: There is no valid token.
        """
        return str(self._identity()["name"])

    def _identity(self) -> dict[str, Any]:
        if self._token == "":
            raise NotAllowedError(
                f"There is no token for {self.endpoint}.", hint="Set HF_TOKEN to one that this Hub knows."
            )
        with self._errors():
            return self._api.whoami()

    def require_write(self, namespace: str | None = None) -> str:
        """Check that the token may push to a namespace, before anything expensive is done.

        Args:
            namespace: User or organisation; the token's own user when None.

        Returns:
            The namespace.

        Raises:
            NotAllowedError: It may not; the message says what to do.
        """
        return rights.require_write(self._identity(), self.endpoint, namespace)

    # ---------------------------------------------------------------- push

    def push(
        self,
        folder: Path,
        repo_id: str,
        type: RepoType,  # noqa: A002 - the Hub's own word
        *,
        message: str,
        private: bool = False,
        next_version_tag: bool = True,
        tag: str | None = None,
        parent: str | None = None,
    ) -> Pushed:
        """Make a repo hold exactly a folder: one commit, then a tag `v1`, `v2`, ... on it.

        Files that are not in the folder are deleted in the same commit. Where the repo holds the folder already nothing
        is pushed; a push that was interrupted between commit and tag is completed by tagging that commit.

        Args:
            folder: What to publish, card included.
            repo_id: OWNER/NAME; made when it is missing.
            type: `model`, `dataset` or `space`.
            message: Title of the commit.
            private: Whether a repo made here is private; an existing one stays what it is.
            next_version_tag: Whether to tag the commit with the next free version.
            tag: Another tag the commit is to have, unless that is taken.
            parent: The commit that the folder was made to follow, empty for none: where the repo holds something
                else by now, nothing is pushed. Without it the folder replaces whatever is there.

        Raises:
            InputError: The folder is empty or missing, or the Hub refuses its card.
            ConflictError: Somebody else pushed at the same time; nothing of this folder was published.
            NotAllowedError: The token may not write there.
            HubError: The Hub failed or could not be reached.
        """
        if parse_reference(repo_id) != (repo_id, "main") or "/" not in repo_id:
            raise UsageError(f"'{repo_id}' is not the name of a repo to push to.", hint="Write it as OWNER/NAME.")
        with self._errors(repo_id, type):
            upload = Upload(self._api, repo_id, type, files_of(folder), parent)
            head = upload.head_or_new(private=private)
            commit, committed = upload.commit(head, message)
            if next_version_tag:
                tag, tagged = upload.tag(commit)
            else:
                tagged = tag is not None and upload.tag_as(commit, tag)
        return Pushed(repo_id, type, commit, tag, repo_url(self.endpoint, repo_id, type), changed=committed or tagged)

    def collect(
        self, title: str, namespace: str, items: Sequence[Item], *, description: str = "", private: bool = False
    ) -> Collected:
        """Make a Collection of the owner hold repos, in their order and with their notes; what else is in it stays.

        Args:
            title: Title of the Collection, which is made when the owner has none of that title.
            namespace: User or organisation.
            items: The repos.
            description: What a new one says of itself.
            private: Whether a new one is private.

        Raises:
            NotAllowedError: The token may not write Collections of the owner.
            HubError: The Hub failed or could not be reached.
        """
        with self._errors(f"{namespace}/{title}", "collection"):
            return collect(self._api, title, namespace, items, description=description, private=private)

    def collection_items(self, namespace: str, title: str) -> list[tuple[str, str]] | None:
        """(type, repo_id) of what an owner's Collection of that title holds, or None where there is none."""
        with self._errors(f"{namespace}/{title}", "collection"):
            found = find_collection(self._api, title, namespace)
        return None if found is None else [(item.item_type, item.item_id) for item in found.items]

    def tag_version(self, repo_id: str, type: RepoType, commit: str) -> str:  # noqa: A002
        """Find or make the version tag of a commit: completes a push that was cut off after its commit.

        Raises:
            ConflictError: Others keep taking the next version.
        """
        with self._errors(repo_id, type):
            return Upload(self._api, repo_id, type, {}).tag(commit)[0]


@contextlib.contextmanager
def _progress_bars(shown: bool) -> Iterator[None]:  # noqa: FBT001
    """Keep the client's progress bars off stderr unless they are wanted; the library is silent by default."""
    from huggingface_hub.utils.tqdm import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    if shown or are_progress_bars_disabled():
        yield
        return
    disable_progress_bars()
    try:
        yield
    finally:
        enable_progress_bars()


def _limit_waiting() -> None:
    """Give the client's shared connection time limits, unless the program has set up its own client."""
    import httpx2
    from huggingface_hub.utils import _http

    if _http._GLOBAL_CLIENT_FACTORY is not _http.default_client_factory:  # noqa: SLF001 - there is no public getter
        return

    def limit(request: httpx2.Request) -> None:
        # Some calls of the client ask in so many words for no limit, so a default of the connection would not do.
        asked = request.extensions.get("timeout") or {}
        request.extensions["timeout"] = {
            kind: asked.get(kind) or default
            for kind, default in (("connect", _CONNECT), ("read", _READ), ("write", _READ), ("pool", _READ))
        }

    def client() -> httpx2.Client:
        made = _http.default_client_factory()
        made.event_hooks = {**made.event_hooks, "request": [*made.event_hooks["request"], limit]}
        return made

    _http.set_client_factory(client)
