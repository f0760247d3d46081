"""Puts repos on the embedded Hub: models that come inside Python packages, the invented world, folders of repos.

Nothing is done twice: a model repo that has files stays as it is, and a model is prepared once and kept in the cache.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, get_args

from solo_hub.core.errors import InputError
from solo_hub.hub.client import HubClient
from solo_hub.hub.repos import RepoType, parse_reference
from solo_hub.hub.seeds.packaged import MODELS, PackagedModel

Note = Callable[[str], None]

WORLD_REPOS = ("solo-hub/invented-world", "solo-hub/invented-world-corpus")
"""The repos of `solo_hub.hub.seeds.world`; the world of seed 0 unless another is seeded."""

_FOLDERS: dict[str, RepoType] = {f"{name}s": name for name in get_args(RepoType)}


@dataclass(frozen=True, slots=True)
class Seeded:
    """What seeding did with one repo.

    Attributes:
        repo_id: OWNER/NAME.
        type: `model`, `dataset` or `space`.
        commit: The commit that holds it now.
        new: Whether something was pushed.
        seconds: Wall time, preparing included.
    """

    repo_id: str
    type: RepoType
    commit: str
    new: bool
    seconds: float

    def took(self) -> str:
        """How long it took, for a table."""
        return f"{self.seconds:.1f} s" if self.new else "was there"

    def to_row(self) -> dict[str, Any]:
        """As `--format json` prints it."""
        return asdict(self)


def seedable() -> dict[str, RepoType]:
    """Repos that can be made without a network, by id: what a command may rely on with `--hub local`."""
    return {**dict.fromkeys(MODELS, "model"), **dict.fromkeys(WORLD_REPOS, "dataset")}


def owners_of_seeds() -> set[str]:
    """Owners of the repos of `seedable`."""
    return {repo_id.split("/")[0] for repo_id in seedable()}


def owners_in(folder: Path) -> set[str]:
    """Owners of the repos that `seed_folder` would push."""
    return {repo_id.split("/")[0] for repo_id, _, _ in _repos_in(folder)}


def seed_missing(client: HubClient, needs: Sequence[str] | None = None, *, note: Note | None = None) -> list[Seeded]:
    """Put what a command needs on a Hub, as far as it can be made here and is not there.

    Args:
        client: The Hub, with a token that may write under the ids' owners.
        needs: References the command is going to pull; those that cannot be made here are left to the pull. When None,
            every model whose package is installed, and no data.
        note: Called with a sentence before something takes seconds.

    Raises:
        DependencyError: A needed model's package is not installed.
    """
    if needs is None:
        names = [name for name, model in MODELS.items() if model.installed()]
    else:
        asked = dict.fromkeys(parse_reference(reference)[0] for reference in needs)
        names = [name for name in asked if name in seedable()]
    done = [seed_model(client, MODELS[name], note=note) for name in names if name in MODELS]
    if any(name in WORLD_REPOS and client.newest(name, "dataset") is None for name in names):
        done += seed_world(client, 0, note=note)
    return done


def seed_models(client: HubClient, only: Iterable[str] | None = None, *, note: Note | None = None) -> list[Seeded]:
    """Put the models that come inside Python packages on a Hub.

    Args:
        client: The Hub, with a token that may write under the models' owners.
        only: Ids of the models wanted; all when None.
        note: Called with a sentence before something takes seconds.

    Raises:
        DependencyError: A model's package is not installed.
    """
    return [seed_model(client, MODELS[name], note=note) for name in (MODELS if only is None else only)]


def seed_model(client: HubClient, model: PackagedModel, *, note: Note | None = None) -> Seeded:
    """Put one model on a Hub unless the Hub has it.

    Raises:
        DependencyError: Its package is not installed.
    """
    started = time.monotonic()
    # A push is one commit, so files mean all of them.
    present = client.newest(model.repo_id, "model")
    if present is not None:
        return Seeded(model.repo_id, "model", present, new=False, seconds=time.monotonic() - started)
    if note:
        note(f"Seeding {model.repo_id} from the package {model.package} (once)")
    folder = model.prepare()
    pushed = client.push(
        folder,
        model.repo_id,
        "model",
        message=f"Add the model from the package {model.package}",
        next_version_tag=False,
    )
    return Seeded(model.repo_id, "model", pushed.commit, new=pushed.changed, seconds=time.monotonic() - started)


def seed_world(client: HubClient, seed: int, *, note: Note | None = None) -> list[Seeded]:
    """Put the invented world of a seed on a Hub, in place of another one that may be there."""
    import tempfile

    from solo_hub.hub.seeds.world.world import build_world, write_world

    if note:
        note(f"Inventing the world of seed {seed}")
    with tempfile.TemporaryDirectory() as folder:
        write_world(build_world(seed), Path(folder))
        return seed_folder(client, Path(folder))


def seed_folder(client: HubClient, folder: Path, *, note: Note | None = None) -> list[Seeded]:
    """Push every repo of a folder laid out as `datasets/OWNER/NAME/...`, `models/...` and `spaces/...`.

    A repo that holds the same files already is left alone; another one gets a commit that makes it equal to the folder.

    Raises:
        InputError: The folder has none of them.
    """
    done = []
    for repo_id, type_, path in _repos_in(folder):
        started = time.monotonic()
        pushed = client.push(path, repo_id, type_, message="Seed from a folder", next_version_tag=False)
        done.append(Seeded(repo_id, type_, pushed.commit, new=pushed.changed, seconds=time.monotonic() - started))
        if note:
            note(f"{repo_id}: {'pushed' if pushed.changed else 'already there'}")
    return done


def _repos_in(folder: Path) -> list[tuple[str, RepoType, Path]]:
    """The repos of a folder, as (id, type, path)."""
    repos = [
        (f"{path.parent.name}/{path.name}", type_, path)
        for name, type_ in sorted(_FOLDERS.items())
        for path in sorted((folder / name).glob("*/*"))
        if path.is_dir() and not path.name.startswith(".")
    ]
    if not repos:
        raise InputError(
            "has no repos to seed.",
            file=str(folder),
            hint="Lay it out as datasets/OWNER/NAME/... or models/OWNER/NAME/...",
        )
    return repos
