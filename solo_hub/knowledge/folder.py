"""A standalone knowledge base: built in a folder, extended, reduced, and published.

base.json      sources, embedder, chunking; where it was published
manifest.json, index-*/    the index (`knowledge.index`)
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from solo_hub.core.config import Config
from solo_hub.core.console import Console
from solo_hub.core.errors import InputError, RunError, UsageError
from solo_hub.core.files import lock_folder, write_text
from solo_hub.core.parsing import parse_json, read_object
from solo_hub.core.plugins import Embedder
from solo_hub.core.records import Document
from solo_hub.hub.client import HubClient
from solo_hub.hub.repos import MODEL_EXTRAS, SMALL_FILES, Pinned
from solo_hub.knowledge.reading import Summary, is_readable
from solo_hub.knowledge.source import Source, is_index, make_embedder, read_summary, report_reading
from solo_hub.run import references

if TYPE_CHECKING:
    from solo_hub.knowledge.index import KnowledgeIndex

ABOUT = "base.json"
"""The file that describes a standalone knowledge base."""
FORMAT_VERSION = 1


class KnowledgeFolder:
    """A folder with a knowledge base.

    Args:
        folder: Where it lies, or will lie.
        config: Its `knowledge` section says how sources are read and embedded.
        client: Opens the Hub; called when it is first needed.
        console: Shows progress.
    """

    def __init__(self, folder: Path, config: Config, client: Callable[[], HubClient], console: Console) -> None:
        self.folder = folder
        self.config = config
        self.console = console
        self._open_client = client

    @cached_property
    def client(self) -> HubClient:
        """The client of the Hub."""
        return self._open_client()

    def lock(self) -> AbstractContextManager[None]:
        """Lock the folder against concurrent changes; see `lock_folder`."""
        return lock_folder(self.folder, "knowledge base", "--to", ".base.lock")  # the index has a .lock of its own

    @property
    def about(self) -> dict[str, Any]:
        """`base.json`.

        Raises:
            RunError: There is no knowledge base here.
        """
        try:
            found = parse_json((self.folder / ABOUT).read_text("utf-8"))
            known = (
                found["format_version"] == FORMAT_VERSION and is_about(found) and isinstance(found["embedder"], dict)
            )
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise RunError(
                f"There is no knowledge base in '{self.folder}'.", hint="Build it with `solo-hub index --to DIR`."
            ) from error
        if not known:
            raise RunError(f"The knowledge base in '{self.folder}' has another format.", hint="Rebuild it.")
        return dict(found)

    @property
    def index(self) -> KnowledgeIndex:
        """The index, opened.

        Raises:
            RunError: There is no knowledge base here, or its index is broken.
        """
        from solo_hub.knowledge.index import KnowledgeIndex

        _ = self.about  # says what is missing in words that fit
        return KnowledgeIndex.open(self.folder)

    def build(self) -> KnowledgeIndex:
        """Build the knowledge base of `knowledge.source`; vectors already in the folder are reused."""
        settings = self.config.knowledge
        if settings.source is None:
            raise UsageError("No documents are given.", hint="Set the source with --knowledge.")
        local = references.local("knowledge", settings.source, "dataset")
        if local is not None:
            if is_index(local):
                raise UsageError(f"'{local}' is already a knowledge base.", hint="Set knowledge.source to it.")
            entry: dict[str, Any] = {"file": str(local), "sha256": references.sha256(local)}
            path = local
        else:
            pinned = self.client.pin(settings.source, "dataset")
            entry, path = pinned.to_row(), self.client.pull(pinned)
        embedder, described = self._embedder()
        source = Source(path, settings, settings.source, local is not None, self.config.task.unusable_rows)
        index = source.build(embedder, self.folder, self.console)
        report_reading(read_summary(self.folder), self.console)
        self._write([entry], described, source.chunking(embedder))
        return index

    def add(self, paths: Sequence[Path]) -> KnowledgeIndex:
        """Add files or folders of documents, or data files; an existing file is replaced.

        Only texts that are new are embedded.

        Raises:
            InputError: A file cannot be read.
            RunError: There is no knowledge base here, or it was made with another embedder.
        """
        from solo_hub.knowledge.index import KnowledgeIndex

        about = self.about
        embedder, described = self._embedder(about["embedder"])
        current = self.index
        current.check_embedder(embedder)
        fresh: dict[str, Document] = {}
        replaced: list[str] = []
        sources: dict[str, dict[str, Any]] = {
            str(entry.get("file") or entry["repo_id"]): entry for entry in about["sources"]
        }
        chunking = dict(about["chunking"])
        for path in paths:
            if not path.exists():
                raise InputError("no such file or folder.", file=str(path), hint="Check the path.")
            source = Source(path, self.config.knowledge, str(path), True, self.config.task.unusable_rows)
            summary = Summary()
            own: list[str] = []
            for document in source.documents(embedder, summary):
                if document.id in fresh:
                    raise InputError(f"duplicate id '{document.id}'.", file=str(path), hint="Rename one of the files.")
                fresh[document.id] = document
                own.append(document.id)
            if str(path) not in sources:
                _check_row_numbers(own, current.documents, path)
            report_reading(summary, self.console)
            if source.is_documents:
                replaced += _names(path)
                chunking = source.chunking(embedder)
            sources[str(path)] = {"file": str(path), "sha256": references.sha256(path)}
        heads = {f"{name}#" for name in replaced}

        def is_kept(document: Document) -> bool:
            head = document.id[: document.id.rfind("#") + 1]
            return document.id not in fresh and head not in heads

        added = list(fresh.values())
        documents = itertools.chain((document for document in current.documents if is_kept(document)), added)
        with self.console.progress("embedding passages", len(current.documents) + len(added), saved=True) as progress:
            index = KnowledgeIndex.build(documents, embedder, self.folder, progress)
        self._write(list(sources.values()), described, chunking)
        return index

    def remove(self, ids: Iterable[str]) -> KnowledgeIndex:
        """Remove passages by id, or all passages of a file by its name.

        Raises:
            InputError: There is no such passage or file.
            RunError: There is no knowledge base here.
        """
        about, index = self.about, self.index
        wanted = list(dict.fromkeys(ids))
        gone: set[str] = set()
        present = [document.id for document in index.documents]
        known = set(present)
        for name in wanted:
            matches = {name} if name in known else {id_ for id_ in present if id_.rpartition("#")[0] == name}
            if not matches:
                raise InputError(
                    f"there is no passage or file '{name}' to remove.",
                    file=str(self.folder),
                    hint="Use ids of the knowledge base, or a file's name.",
                )
            gone |= matches
        if len(gone) == len(known):
            raise InputError(
                "nothing would be left.", file=str(self.folder), hint="Delete the folder to remove all of it."
            )
        left = index.remove(gone)
        self._write(about["sources"], about["embedder"], about["chunking"])
        return left

    def _embedder(self, known: Mapping[str, Any] | None = None) -> tuple[Embedder, dict[str, Any]]:
        """The embedder and what is written down of it; the one the folder was made with where it has one."""
        pinned = (
            Pinned.from_row(dict(known), self.client.endpoint)
            if known
            else self.client.pin(self.config.knowledge.embedding_model, "model")
        )
        identity = f"{pinned.repo_id}@{pinned.commit}"
        made = make_embedder(
            self.config.knowledge,
            lambda: self.client.pull(pinned),
            identity,
            lambda: self.client.pull(pinned, allow=SMALL_FILES, ignore=MODEL_EXTRAS),
        )
        return made, pinned.to_row()

    def save_publication(self, done: Mapping[str, Any]) -> None:
        """Keep where this content was published: a run that looks things up here names that repo in its cards."""
        published = {name: done[name] for name in ("repo_id", "commit", "tag")}
        published["text_hash"] = self.index.manifest.text_hash
        write_text(self.folder / ABOUT, _json({**self.about, "published": published}))

    def _write(self, sources: Sequence[Mapping[str, Any]], embedder: Mapping[str, Any], cut: Mapping[str, Any]) -> None:
        about = {
            "format_version": FORMAT_VERSION,
            "sources": list(sources),
            "embedder": dict(embedder),
            "chunking": dict(cut),
        }
        write_text(self.folder / ABOUT, _json(about))


def _json(document: Mapping[str, Any]) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _check_row_numbers(ids: Sequence[str], there: Iterable[Document], path: Path) -> None:
    """Rows of a file without ids are called by their numbers, and must not replace those of another such file.

    Raises:
        InputError: They would.
    """
    if list(ids) != [str(number) for number in range(1, len(ids) + 1)]:
        return
    if again := next(
        (document.id for document in there if document.id.isdecimal() and int(document.id) <= len(ids)), None
    ):
        raise InputError(
            f"duplicate id '{again}': without ids of their own, rows are called by their numbers, and row {again} is "
            "there already.",
            file=str(path),
            hint="Give the rows a column with ids (knowledge.columns.id).",
        )


def _names(path: Path) -> list[str]:
    """Names that passages of a file, or of the files of a folder, begin with."""
    if path.is_file():
        return [path.name]
    return [file.relative_to(path).as_posix() for file in path.rglob("*") if is_readable(file)]


def recorded_repo(folder: Path) -> str | None:
    """Repo and commit that hold the content of a folder, as the folder itself keeps it."""
    from solo_hub.knowledge.index import KnowledgeIndex

    published = (read_about(folder) or {}).get("published")
    if not isinstance(published, dict) or not is_index(folder):
        return None
    if published.get("text_hash") != KnowledgeIndex.open(folder).manifest.text_hash:
        return None  # changed since
    return f"{published.get('repo_id')}@{published.get('commit')}"


def read_about(folder: Path) -> dict[str, Any] | None:
    """What a folder says of the knowledge base in it; None where there is none."""
    found = read_object(folder / ABOUT)
    return found if is_about(found) else None


def is_about(found: Any) -> bool:
    """Whether it says what a knowledge base was made from; a folder of documents may hold any `base.json`."""
    return (
        isinstance(found, dict)
        and isinstance(found.get("chunking"), dict)
        and isinstance(found.get("sources"), list)
        and all(
            isinstance(entry, dict)
            and ({"repo_id", "type", "commit"} <= entry.keys() or {"file", "sha256"} <= entry.keys())
            for entry in found["sources"]
        )
    )
