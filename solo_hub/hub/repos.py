"""Repos by name, by commit, and after a push; and which of their files are wanted."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatch
from typing import Any, Literal

from solo_hub.core.errors import UsageError

MAX_REPO_ID = 96
"""Longest repo id the Hub takes, namespace and slash included."""


RepoType = Literal["model", "dataset", "space"]

# No pickles and no code: a model repo is untrusted input.
MODEL_FILES = ("*.safetensors", "*.json", "*.txt", "*.model", "*.jinja")
SMALL_FILES = ("*.json", "*.txt", "*.model", "*.jinja")
"""Of a model repo: configuration and tokenizer, no weights."""
# Second copies of the weights in other layouts.
MODEL_EXTRAS = ("consolidated*.safetensors", "original/*", "onnx/*", "openvino/*")
DATASET_FILES = (
    "README.md",
    "*.parquet",
    "*.jsonl",
    "*.json",
    "*.csv",
    "*.tsv",
    "*.txt",
    "*.[gG][zZ]",
    "*.bz2",
    "*.zst",
)

_REFERENCE = re.compile(r"(?P<repo>[A-Za-z0-9][\w.-]*(?:/[\w.-]+)?)(?:@(?P<revision>[^@\s]+))?")


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
        license_name: Name that the card gives a licence without an identifier (`other`), or None.
        license_link: Where its text stands: an address, or a file of the repo; or None.
        language: Languages that the card states.
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
        """As `config.yaml` of a run keeps it; the endpoint stands there once for all repos."""
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
        """Read what `to_row` wrote, so that a resumed run pulls the same commit without asking the Hub."""
        named = row.get("license_name"), row.get("license_link"), tuple(row.get("language") or ())
        return cls(row["repo_id"], row["type"], row["revision"], row["commit"], row.get("license"), endpoint, *named)


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


def patterns_of(type: RepoType) -> tuple[list[str], list[str]]:  # noqa: A002 - the Hub's own word
    """Patterns of the files that a run wants of a model or dataset repo, and of those among them that it does not."""
    return (list(MODEL_FILES), list(MODEL_EXTRAS)) if type == "model" else (list(DATASET_FILES), [])


def wanted(type: RepoType, files: Iterable[str]) -> list[str]:  # noqa: A002 - the Hub's own word
    """Those files that a run would pull.

    >>> wanted("model", ["model.safetensors", "model.bin", "onnx/model.safetensors"])
    ['model.safetensors']
    """
    allow, ignore = patterns_of(type)
    return [
        file
        for file in files
        if any(fnmatch(file, pattern) for pattern in allow) and not any(fnmatch(file, pattern) for pattern in ignore)
    ]
