"""Repos: references, pinned commits, results of a push, and which of their files are used."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from solo_hub.core.errors import UsageError

MAX_REPO_ID = 96
"""Maximum length of a repo id on the Hub, including namespace and slash."""


RepoType = Literal["model", "dataset", "space"]

# No pickles and no code: model repos are untrusted.
MODEL_FILES = ("*.safetensors", "*.json", "*.txt", "*.model", "*.jinja")
SMALL_FILES = ("*.json", "*.txt", "*.model", "*.jinja")
"""Configuration and tokenizer of a model repo, without weights."""
# Copies of the weights in other formats.
MODEL_EXTRAS = ("consolidated*.safetensors", "original/*", "onnx/*", "openvino/*")
DATASET_FILES = (
    "README.md", "*.parquet", "*.jsonl", "*.json", "*.csv", "*.tsv", "*.txt", "*.[gG][zZ]", "*.bz2", "*.zst",
)  # fmt: skip

_REFERENCE = re.compile(r"(?P<repo>[A-Za-z0-9][\w.-]*(?:/[\w.-]+)?)(?:@(?P<revision>[^@\s]+))?")


@dataclass(frozen=True, slots=True)
class Pinned:
    """A repo pinned to a commit.

    Attributes:
        repo_id: OWNER/NAME as requested.
        type: `model`, `dataset` or `space`.
        revision: Branch, tag or commit as requested; `main` by default.
        commit: The commit it was resolved to (40 hex digits).
        license: Licence from the repo's card, or None.
        endpoint: URL of its Hub.
        license_name: The card's name for a licence without an identifier (`other`), or None.
        license_link: URL or repo file with the licence's text, or None.
        language: Languages from the card.
    """

    repo_id: str
    type: RepoType
    revision: str
    commit: str
    license: str | None
    endpoint: str
    license_name: str | None = None
    license_link: str | None = None
    language: tuple[str, ...] = ()

    def to_row(self) -> dict[str, Any]:
        """As stored in `config.yaml` of a run, which holds the endpoint once for all repos."""
        return {
            "repo_id": self.repo_id,
            "type": self.type,
            "revision": self.revision,
            "commit": self.commit,
            "license": self.license,
            **({"license_name": self.license_name} if self.license_name else {}),
            **({"license_link": self.license_link} if self.license_link else {}),
            **({"language": list(self.language)} if self.language else {}),
        }

    @classmethod
    def from_row(cls, row: Mapping[str, Any], endpoint: str) -> Pinned:
        """Read a row of `to_row`, so that a resumed run pulls the same commit without asking the Hub."""
        named = row.get("license_name"), row.get("license_link"), tuple(row.get("language") or ())
        return cls(row["repo_id"], row["type"], row["revision"], row["commit"], row.get("license"), endpoint, *named)


@dataclass(frozen=True, slots=True)
class Pushed:
    """The result of a push.

    Attributes:
        repo_id: OWNER/NAME.
        type: `model`, `dataset` or `space`.
        commit: The commit with the folder's content.
        tag: Its version tag, or None if none was requested.
        url: The repo's page.
        changed: Whether this push created the commit or the tag; False if both existed.
    """

    repo_id: str
    type: RepoType
    commit: str
    tag: str | None
    url: str
    changed: bool


@dataclass(frozen=True, slots=True)
class Version:
    """The current state of a repo.

    Attributes:
        commit: Its newest commit.
        folder: That commit, downloaded.
        tag: The highest version tag of the repo, `v0` for none.
    """

    commit: str
    folder: Path
    tag: str

    @property
    def highest(self) -> int:
        """The number in the tag."""
        return int(self.tag.removeprefix("v"))


def parse_reference(reference: str) -> tuple[str, str]:
    """Split `OWNER/NAME[@REVISION]`; the revision defaults to `main`.

    >>> parse_reference("allenai/qasc@v1")
    ('allenai/qasc', 'v1')

    Raises:
        UsageError: It is not a repo reference.
    """
    match = _REFERENCE.fullmatch(reference.strip())
    if match is None:
        raise UsageError(f"'{reference}' is not a repo id.", hint="Write it as OWNER/NAME or OWNER/NAME@REVISION.")
    return match["repo"], match["revision"] or "main"


def patterns_of(type: RepoType) -> tuple[list[str], list[str]]:  # noqa: A002 - the Hub's own word
    """Patterns of the files a run uses of a model or dataset repo, and patterns to exclude from them."""
    return (list(MODEL_FILES), list(MODEL_EXTRAS)) if type == "model" else (list(DATASET_FILES), [])


def wanted(type: RepoType, files: Iterable[str]) -> list[str]:  # noqa: A002 - the Hub's own word
    """Filter the files that a run would pull.

    >>> wanted("model", ["model.safetensors", "model.bin", "onnx/model.safetensors"])
    ['model.safetensors']
    """
    from huggingface_hub.utils import filter_repo_objects  # type: ignore[attr-defined]  # documented there, all the same

    allow, ignore = patterns_of(type)
    return list(filter_repo_objects(files, allow_patterns=allow, ignore_patterns=ignore))
