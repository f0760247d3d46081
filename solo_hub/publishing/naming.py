"""Names of the published repos: the same run settings give the same names, always valid on the Hub."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, replace

from solo_hub.core.errors import ConfigError
from solo_hub.hub.repos import MAX_REPO_ID

DATASET_SUFFIX = "pseudo-labels"
ADAPTER_SUFFIX = "solo-adapter"
SPACE_SUFFIX = "-compare"
KNOWLEDGE_SUFFIX = "knowledge-base"
MAX_TITLE = 60
"""Longest title of a Collection, in characters."""

_DIGEST = 6  # hex digits that keep two shortened names apart


@dataclass(frozen=True, slots=True)
class Names:
    """The repos of one run, as `NAMESPACE/NAME`.

    Attributes:
        dataset: The pseudo-labels.
        adapter: The adapter.
        space: The Space that compares base, teacher and student; None if none is published.
        collection: Title of their Collection, or None.
    """

    dataset: str
    adapter: str
    space: str | None = None
    collection: str | None = None


def repo_names(
    namespace: str,
    subject: str,
    base: str,
    *,
    dataset: str | None = None,
    adapter: str | None = None,
    space: str | bool = False,
    collection: str | bool = False,
    taught: str = "taught itself",
) -> Names:
    """Name the repos of a run.

    Args:
        namespace: User or organisation.
        subject: What the run is about: its name (`Config.subject`).
        base: Repo id of the base model; a revision after `@` is ignored.
        dataset: The name the user chose for the dataset, with or without a namespace.
        adapter: The same for the adapter.
        space: The same for the Space; True for one that is called after the adapter, False for none.
        collection: Title of the Collection; True for one made from subject and base, False for none.
        taught: Who taught it, for that title.

    Returns:
        `NAMESPACE/SUBJECT-BASE-pseudo-labels` and `NAMESPACE/SUBJECT-BASE-solo-adapter`, shortened with a hash where
        too long.

    Raises:
        ConfigError: A chosen name or the namespace is not valid on the Hub, or both repos would have one name.
    """
    model = base.split("@", 1)[0].rsplit("/", 1)[-1]
    stem = f"{subject}-{model}"
    names = Names(
        dataset=_chosen(namespace, dataset, "publish.dataset") if dataset else _made(namespace, stem, DATASET_SUFFIX),
        adapter=_chosen(namespace, adapter, "publish.adapter") if adapter else _made(namespace, stem, ADAPTER_SUFFIX),
    )
    names = replace(
        names,
        space=_chosen(namespace, space, "publish.space") if isinstance(space, str) else None,
        collection=collection if isinstance(collection, str) else None,
    )
    if space is True:
        names = replace(names, space=space_name(names.adapter))
    if collection is True:
        names = replace(names, collection=f"{subject}: {model} that {taught}"[:MAX_TITLE].strip())
    if names.dataset.lower() == names.adapter.lower():
        raise ConfigError(
            f"Dataset and adapter would have the same name '{names.dataset}'.",
            hint="Give publish.dataset and publish.adapter different names.",
        )
    return names


def space_name(adapter: str) -> str:
    """Name of the Space that shows an adapter.

    >>> space_name("me/town-tiny-solo-adapter")
    'me/town-tiny-solo-adapter-compare'
    """
    return adapter[: MAX_REPO_ID - len(SPACE_SUFFIX)].rstrip("._-") + SPACE_SUFFIX


def knowledge_name(namespace: str, name: str, *, chosen: bool) -> str:
    """Name of a published knowledge base: the one that was chosen, or one made from the source's.

    >>> knowledge_name("me", "my notes", chosen=False), knowledge_name("me", "kb-knowledge-base", chosen=False)
    ('me/my-notes-knowledge-base', 'me/kb-knowledge-base')

    Raises:
        ConfigError: It is not one the Hub accepts.
    """
    if chosen:
        return _chosen(namespace, name, "the knowledge base")
    return _made(namespace, name.removesuffix(KNOWLEDGE_SUFFIX), KNOWLEDGE_SUFFIX)


def is_repo_id(text: str) -> bool:
    """Whether `text` is a repo id the Hub accepts: `NAMESPACE/NAME`.

    >>> is_repo_id("me/my-model"), is_repo_id("me/-model"), is_repo_id("my-model")
    (True, False, False)
    """
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]  # documented there, all the same

    try:
        validate_repo_id(text)
    except HFValidationError:
        return False
    return "/" in text and text.isascii()


def _chosen(namespace: str, name: str, setting: str) -> str:
    repo_id = name if "/" in name else f"{namespace}/{name}"
    if not is_repo_id(repo_id):
        raise ConfigError(
            f"'{repo_id}' ({setting}) is not a name the Hub accepts.",
            hint=f"Use letters, digits, '-', '_' and '.', at most {MAX_REPO_ID} characters in all, no '--' or '..'.",
        )
    return repo_id


def _made(namespace: str, stem: str, suffix: str) -> str:
    if not is_repo_id(f"{namespace}/x"):
        raise ConfigError(
            f"'{namespace}' is not a user or organisation name the Hub accepts.", hint="Set publish.namespace."
        )
    room = MAX_REPO_ID - len(namespace) - 1 - len(suffix) - 1
    clean = _tidy(stem) or "run"
    if len(clean) > room:
        digest = hashlib.sha256(stem.encode("utf-8", "surrogatepass")).hexdigest()[:_DIGEST]
        clean = f"{_tidy(clean[: room - _DIGEST - 1])}-{digest}".lstrip("-")
    repo_id = f"{namespace}/{clean}-{suffix}"
    if room < _DIGEST or not is_repo_id(repo_id):
        raise ConfigError(
            f"The namespace '{namespace}' leaves no room for a repo name.",
            hint="Set publish.dataset and publish.adapter.",
        )
    return repo_id


def _tidy(text: str) -> str:
    """Keep what the Hub allows: everything else becomes one hyphen, runs of punctuation become their first sign."""
    text = re.sub(r"[^A-Za-z0-9._-]+", "-", text)
    text = re.sub(r"([._-])[.-]+", r"\1", text)
    return text.strip("._-")
