"""Base models of arms that are adapters: checked and pinned before anything in a run is changed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from solo_hub.core.errors import ConfigError, ModelError
from solo_hub.core.parsing import parse_json
from solo_hub.hub.client import HubClient
from solo_hub.hub.repos import parse_reference
from solo_hub.run.references import ARM
from solo_hub.run.resolved import Entry, LocalFile, PinnedRepo

ADAPTER_CONFIG, ADAPTER_WEIGHTS = "adapter_config.json", "adapter_model.safetensors"


def role_of_base(role: str) -> str:
    """The role of the base of an arm's adapter."""
    return f"{role}_base"


def pin_all(
    repos: Mapping[str, Entry], before: Mapping[str, Entry], client: Callable[[], HubClient]
) -> dict[str, Entry]:
    """Pin the bases of arms' adapters that differ from the run's base.

    Args:
        repos: Resolved repos of the run, by role.
        before: Those of an earlier resolution: an unchanged arm keeps its base.
        client: Opens the Hub; called only if something must be read or pinned.

    Raises:
        ModelError: An arm is neither an adapter nor a model with safetensors.
        ConfigError: An arm's name collides with another arm's base.
        HubError: A repo is missing, gated, or unreachable.
    """
    pinned: dict[str, Entry] = {}
    for role, entry in repos.items():
        if not role.startswith(ARM):
            continue
        own = role_of_base(role)
        if own in repos:
            name = own.removeprefix(ARM)
            raise ConfigError(f"The arms '{name}' and '{role.removeprefix(ARM)}' collide.", hint="Rename one.")
        if before.get(role) == entry and own in before:
            pinned[own] = before[own]
            continue
        reference = _base_of(entry, client)
        if reference is not None and parse_reference(reference)[0] != repos["base"].repo_id:
            pinned[own] = PinnedRepo(**client().pin(reference, "model").to_row(), reference=reference)
    return pinned


def _base_of(entry: Entry, client: Callable[[], HubClient]) -> str | None:
    """The base of an arm's adapter, OWNER/NAME[@REVISION]; None for a full model, or an adapter without a base repo."""
    if isinstance(entry, LocalFile):
        folder = Path(entry.file)
        files = {path.name for path in folder.iterdir()}
    else:
        pinned = entry.on(client().endpoint)
        files = set(client().file_sizes(pinned))
        folder = client().pull(pinned, allow=[ADAPTER_CONFIG]) if ADAPTER_CONFIG in files else Path()
    check_files(files, entry.place)
    if ADAPTER_CONFIG not in files:
        return None
    repo, revision = base_named_in(folder)
    return None if repo is None else f"{repo}@{revision}" if revision else repo


def check_files(files: set[str], place: str) -> None:
    """Check that files are an adapter or a model.

    Args:
        files: Names of the files.
        place: Repo or folder, for messages.

    Raises:
        ModelError: There are no safetensors weights.
    """
    if ADAPTER_CONFIG in files and ADAPTER_WEIGHTS not in files:
        raise ModelError(
            f"The adapter {place} has no {ADAPTER_WEIGHTS}.",
            hint="Other formats can run code when loaded; choose one with safetensors.",
        )
    if not any(name.endswith(".safetensors") for name in files):
        raise ModelError(
            f"'{place}' is neither an adapter nor a model: it has no safetensors weights.",
            hint="Pickles can run code and are not loaded. Choose a repo, revision or folder with safetensors.",
        )


def base_named_in(folder: Path) -> tuple[str | None, str | None]:
    """Repo and revision of an adapter's base; None if the base is not a repo.

    Raises:
        ModelError: Its configuration cannot be read.
    """
    try:
        config = parse_json((folder / ADAPTER_CONFIG).read_text("utf-8"))
        name, revision = config.get("base_model_name_or_path"), config.get("revision")
    except (OSError, ValueError, AttributeError) as error:
        raise ModelError(f"'{folder / ADAPTER_CONFIG}' cannot be read.", hint="Choose another adapter.") from error
    if not isinstance(name, str) or name.startswith(("/", ".", "~")) or name.count("/") > 1:
        return None, None
    repo, _ = parse_reference(name) if name else (None, "")
    return repo, revision if isinstance(revision, str) else None
