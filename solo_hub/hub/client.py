"""The Hub client: repos are pinned to a commit, pulled at that commit, and pushed as one commit with a version tag.

All access goes through `HubClient`, which passes endpoint, token and cache explicitly: huggingface_hub reads its
endpoint at import, so environment variables set later would be ignored.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import solo_hub
from solo_hub.core.errors import HubError, ModelError, NotAllowedError, RepoMissingError, UsageError
from solo_hub.core.redaction import first_line_scrubbed, register_secret
from solo_hub.hub import rights, wholeness
from solo_hub.hub.collecting import Collected, Item, collect, find_collection
from solo_hub.hub.failures import Place, repo_url, translated
from solo_hub.hub.repos import Pinned, Pushed, RepoType, Version, parse_reference, patterns_of, wanted
from solo_hub.hub.transfers import ensure_xet_cache_writable
from solo_hub.hub.transport import limit_waiting, progress_bars
from solo_hub.hub.uploads import Upload, files_of

if TYPE_CHECKING:
    from huggingface_hub import HfApi


_COMMIT = re.compile(r"[0-9a-f]{40}")


class HubClient:
    """Pulls from and pushes to one Hub.

    Constructing one does not connect; the first call does.

    Args:
        endpoint: URL of the Hub; huggingface_hub's default (HF_ENDPOINT or huggingface.co) when None.
        token: Access token; the token stored by `hf auth login` when None, anonymous when empty.
        cache: Download cache; huggingface_hub's default when None.
        progress: Whether to show huggingface_hub's progress bars on stderr.
    """

    def __init__(self, endpoint: str | None, token: str | None, cache: Path | None, *, progress: bool = False) -> None:
        self._endpoint, self._token, self.cache, self._progress = endpoint, register_secret(token), cache, progress

    @property
    def endpoint(self) -> str:
        """URL of the Hub."""
        from huggingface_hub import constants

        return (self._endpoint or constants.ENDPOINT).rstrip("/")

    @cached_property
    def _api(self) -> HfApi:
        from huggingface_hub import HfApi, get_token

        limit_waiting()
        ensure_xet_cache_writable()
        if self._token is None:
            register_secret(get_token())  # the stored token is sent, so it must be redacted
        rights.check_token(self._token, self.endpoint)
        # An empty token means anonymous: None would send the user's stored token to any endpoint.
        token: str | bool | None = False if self._token == "" else self._token
        return HfApi(endpoint=self.endpoint, token=token, library_name="solo-hub", library_version=solo_hub.__version__)

    @contextlib.contextmanager
    def _errors(self, repo_id: str = "", type: str = "model", revision: str = "") -> Iterator[None]:  # noqa: A002
        from huggingface_hub import constants

        cache = str(self.cache or constants.HF_HUB_CACHE)
        with (
            translated(Place(self.endpoint, repo_id, type, revision, cache)),
            progress_bars(self._progress),
        ):
            yield

    @contextlib.contextmanager
    def _valid_response(self) -> Iterator[None]:
        """Turn the client's errors about a malformed response (types, file names) into one sentence."""
        from huggingface_hub.errors import HFValidationError

        try:
            yield
        except (HFValidationError, json.JSONDecodeError, UnicodeDecodeError, OSError):  # handled in `failures`
            raise
        except (ValueError, TypeError, KeyError, AttributeError, AssertionError) as error:
            raise HubError(
                f"{self.endpoint} returned an invalid response: {first_line_scrubbed(error).rstrip('.')}.",
                hint="Check that the URL is a Hub, or choose another repo.",
            ) from error

    # ---------------------------------------------------------------- pull

    def pin(self, reference: str, type: RepoType) -> Pinned:  # noqa: A002 - the Hub's own word
        """Resolve `OWNER/NAME[@REVISION]` to a commit.

        Raises:
            RepoMissingError: No such repo or revision, or no access to it.
            GatedError: Its terms have not been accepted.
            HubError: The Hub cannot be reached.
        """
        from huggingface_hub.errors import RevisionNotFoundError

        repo_id, revision = parse_reference(reference)
        with self._errors(repo_id, type, revision):
            try:
                with self._valid_response():
                    info = self._api.repo_info(repo_id, repo_type=type, revision=revision)
            except RevisionNotFoundError as error:
                raise RepoMissingError(
                    f"The {type} '{repo_id}' has no revision '{revision}'.",
                    hint=f"Available: {self._revisions(repo_id, type)}.",
                ) from error
            if getattr(info, "gated", False):
                # The card of a gated repo is public, its files are not: fail early.
                self._api.auth_check(repo_id, repo_type=type)
            if not info.sha:
                raise RepoMissingError(f"The {type} '{repo_id}' is empty.", hint="Choose another repo.")
            if not _COMMIT.fullmatch(str(info.sha)):  # used as a folder name in the cache
                raise HubError(
                    f"{self.endpoint} returned an invalid commit id for '{repo_id}'.", hint="Do not use that Hub."
                )
            card = getattr(info, "card_data", None)
            license_, name, link, language = (
                _card_values(card, key) for key in ("license", "license_name", "license_link", "language")
            )
        return Pinned(
            repo_id,
            type,
            revision,
            info.sha,
            ", ".join(license_) or None,
            self.endpoint,
            ", ".join(name) or None,
            next(iter(link), None),
            tuple(language),
        )

    def _revisions(self, repo_id: str, type: RepoType) -> str:  # noqa: A002
        refs = self._api.list_repo_refs(repo_id, repo_type=type)
        return ", ".join([*(ref.name for ref in refs.branches), *(ref.name for ref in refs.tags)]) or "none"

    def pull(self, pinned: Pinned, *, allow: Sequence[str] | None = None, ignore: Sequence[str] | None = None) -> Path:
        """Download a repo at its commit; cached files are not downloaded again.

        Args:
            pinned: The repo and commit.
            allow: Patterns of files to download. By default, for a model: safetensors weights, configuration and
                tokenizer; for a dataset: data files and card. Never pickles or code.
            ignore: Patterns of files to skip.

        Returns:
            The local folder.

        Raises:
            ModelError: The model repo has no safetensors weights.
            HubError: As `pin`; also if the disk is full, or a file was corrupted in two downloads.
        """
        from huggingface_hub import snapshot_download

        patterns = None if allow is None else list(allow)
        if allow is None and pinned.type != "space":
            patterns, extras = patterns_of(pinned.type)
            ignore = [*extras, *(ignore or ())] or None

        def download() -> Path:
            with self._errors(pinned.repo_id, pinned.type, pinned.commit), self._valid_response():
                return Path(
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

        def remove_corrupted(folder: Path) -> list[Path]:
            with self._errors(pinned.repo_id, pinned.type, pinned.commit):
                return wholeness.remove_corrupted(folder, patterns, ignore)

        folder = download()
        if corrupted := remove_corrupted(folder):
            folder = download()
            # if the Hub is unreachable, the client returns the incomplete cached snapshot
            again = remove_corrupted(folder) or [file for file in corrupted if not file.exists()]
            if again:
                raise HubError(
                    f"'{again[0].name}' of {pinned.repo_id} was corrupted in two downloads.",
                    hint="Run the same command again to download it once more.",
                )
        if pinned.type == "model" and allow is None and not any(folder.rglob("*.safetensors")):
            raise ModelError(
                f"The model '{pinned.repo_id}' has no safetensors weights; pickles can run code and are not loaded.",
                hint="Choose a repo or revision with safetensors.",
            )
        return folder

    def file_sizes(self, pinned: Pinned) -> dict[str, int]:
        """Sizes in bytes, by path, of the files that `pull` would download."""
        with self._errors(pinned.repo_id, pinned.type, pinned.commit):
            info = self._api.repo_info(
                pinned.repo_id, repo_type=pinned.type, revision=pinned.commit, files_metadata=True
            )
        sizes = {item.rfilename: int(item.size or 0) for item in getattr(info, "siblings", None) or ()}
        return {file: sizes[file] for file in wanted(pinned.type, sizes)}

    def newest(self, repo_id: str, type: RepoType) -> str | None:  # noqa: A002 - the Hub's own word
        """The latest commit of a repo, or None if it does not exist or has no files yet."""
        info = self._info(repo_id, type)
        files = [item.rfilename for item in getattr(info, "siblings", None) or () if item.rfilename != ".gitattributes"]
        return str(info.sha) if info and files else None

    def _info(self, repo_id: str, type: RepoType) -> Any:  # noqa: A002 - the Hub's own word
        """What the Hub knows of a repo; None if it does not exist."""
        try:
            with self._errors(repo_id, type):
                return self._api.repo_info(repo_id, repo_type=type)
        except RepoMissingError:
            return None

    def is_private(self, repo_id: str, type: RepoType) -> bool | None:  # noqa: A002 - the Hub's own word
        """Whether a repo is private; None if it does not exist."""
        info = self._info(repo_id, type)
        return None if info is None else bool(info.private)

    def latest(self, repo_id: str, type: RepoType) -> Version | None:  # noqa: A002 - the Hub's own word
        """The current state of a repo, all its files downloaded; None if it does not exist or has no files yet."""
        commit = self.newest(repo_id, type)
        if commit is None:
            return None
        pinned = Pinned(repo_id, type, "main", commit, None, self.endpoint)
        folder = self.pull(pinned, allow=["*"])
        with self._errors(repo_id, type):
            versions = Upload(self._api, repo_id, type, {}).versions()
        return Version(commit, folder, f"v{max(versions, default=0)}")

    # ---------------------------------------------------------------- permissions

    def whoami(self) -> str:
        """Name of the token's user.

        Raises:
            NotAllowedError: There is no valid token.
        """
        return str(self._identity()["name"])

    def _identity(self) -> dict[str, Any]:
        if self._token == "":
            raise NotAllowedError(
                f"There is no token for {self.endpoint}.", hint="Set HF_TOKEN to a token of this Hub."
            )
        with self._errors():
            return self._api.whoami()

    def require_write(self, namespace: str | None = None) -> str:
        """Check that the token may push to a namespace, before any expensive work.

        Args:
            namespace: User or organisation; the token's user when None.

        Returns:
            The namespace.

        Raises:
            NotAllowedError: It has no write access; the message says what to do.
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
        """Make a repo's content equal to a folder: one commit, then a tag `v1`, `v2`, ... on it.

        Files that are not in the folder are deleted in the same commit. If the repo already equals the folder, nothing
        is pushed; a push that was interrupted between commit and tag is completed by tagging that commit.

        Args:
            folder: The content to publish, card included.
            repo_id: OWNER/NAME; created if missing.
            type: `model`, `dataset` or `space`.
            message: Title of the commit.
            private: Whether to create a missing repo as private; the visibility of an existing one is kept.
            next_version_tag: Whether to tag the commit with the next free version.
            tag: Tag to use instead, unless it exists.
            parent: The commit the folder is based on, empty for none: if the repo has changed since, nothing is
                pushed. Without it the folder replaces any content.

        Raises:
            InputError: The folder is empty or missing, or the Hub rejects its card.
            ConflictError: There was a concurrent push; nothing of this folder was published.
            NotAllowedError: The token has no write access.
            HubError: The Hub failed or could not be reached.
        """
        if parse_reference(repo_id) != (repo_id, "main") or "/" not in repo_id:
            raise UsageError(f"'{repo_id}' is not a repo id.", hint="Write it as OWNER/NAME.")
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
        """Create or update an owner's Collection: add repos in order, with notes; other items are kept.

        Args:
            title: Title of the Collection; created if the owner has none with that title.
            namespace: User or organisation.
            items: The repos.
            description: Description of a new Collection.
            private: Whether a new Collection is private.

        Raises:
            NotAllowedError: The token may not write the owner's Collections.
            HubError: The Hub failed or could not be reached.
        """
        with self._errors(f"{namespace}/{title}", "collection"):
            return collect(self._api, title, namespace, items, description=description, private=private)

    def collection_items(self, namespace: str, title: str) -> list[tuple[str, str]] | None:
        """(type, repo_id) of the items in an owner's Collection, or None if there is none with that title."""
        with self._errors(f"{namespace}/{title}", "collection"):
            collection = find_collection(self._api, title, namespace)
        return None if collection is None else [(item.item_type, item.item_id) for item in collection.items]

    def tag_version(self, repo_id: str, type: RepoType, commit: str) -> str:  # noqa: A002
        """Find or create the version tag of a commit: completes a push that was interrupted after its commit.

        Raises:
            ConflictError: Concurrent pushes keep taking the next version.
        """
        with self._errors(repo_id, type):
            return Upload(self._api, repo_id, type, {}).tag(commit)[0]


def _card_values(card: Any, key: str) -> list[str]:
    """The printable values of a key in a repo's card, which may hold one or a list; cards are untrusted."""
    value = getattr(card, key, None)
    items = value if isinstance(value, Sequence) and not isinstance(value, str) else [value]
    return [text for item in items if item is not None and (text := str(item).strip()) and text.isprintable()]
