"""Seeds the embedded Hub: models that ship inside Python packages, the invented world, folders of repos.

A model repo that has files is left unchanged, and a model is prepared once and cached.
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
    """The result of seeding one repo.

    Attributes:
        repo_id: OWNER/NAME.
        type: `model`, `dataset` or `space`.
        commit: Its current commit.
        new: Whether anything was pushed.
        seconds: Wall time, including preparation.
    """

    repo_id: str
    type: RepoType
    commit: str
    new: bool
    seconds: float

    def took(self) -> str:
        """The wall time, formatted for a table."""
        return f"{self.seconds:.1f} s" if self.new else "already there"

    def to_row(self) -> dict[str, Any]:
        """As `--format json` prints it."""
        return asdict(self)


def seedable() -> dict[str, RepoType]:
    """Repos that can be created without a network, by id: available to every command with `--hub local`."""
    return {**dict.fromkeys(MODELS, "model"), **dict.fromkeys(WORLD_REPOS, "dataset")}


def owners_of_seeds() -> set[str]:
    """Owners of the repos of `seedable`."""
    return {repo_id.split("/")[0] for repo_id in seedable()}


def owners_in(folder: Path) -> set[str]:
    """Owners of the repos that `seed_folder` would push."""
    return {repo_id.split("/")[0] for repo_id, _, _ in _repos_in(folder)}


def seed_missing(client: HubClient, needs: Sequence[str] | None = None, *, note: Note | None = None) -> list[Seeded]:
    """Seed the repos a command needs that are missing and can be created here.

    Args:
        client: The Hub, with a token that may write to the repos' owners.
        needs: References the command will pull; those that cannot be created here are ignored. When None, every model
            whose package is installed, and no data.
        note: Called with a message before slow operations.

    Raises:
        DependencyError: A needed model's package is not installed.
    """
    if needs is None:
        names = [name for name, model in MODELS.items() if model.installed()]
    else:
        repo_ids = dict.fromkeys(parse_reference(reference)[0] for reference in needs)
        names = [name for name in repo_ids if name in seedable()]
    done = [seed_model(client, MODELS[name], note=note) for name in names if name in MODELS]
    if any(name in WORLD_REPOS and client.newest(name, "dataset") is None for name in names):
        done += seed_world(client, 0, note=note)
    return done


def seed_models(client: HubClient, only: Iterable[str] | None = None, *, note: Note | None = None) -> list[Seeded]:
    """Seed the models that ship inside Python packages.

    Args:
        client: The Hub, with a token that may write to the models' owners.
        only: Ids of the models; all when None.
        note: Called with a message before slow operations.

    Raises:
        DependencyError: A model's package is not installed.
    """
    return [seed_model(client, MODELS[name], note=note) for name in (MODELS if only is None else only)]


def seed_model(client: HubClient, model: PackagedModel, *, note: Note | None = None) -> Seeded:
    """Seed one model unless the Hub has it.

    Raises:
        DependencyError: Its package is not installed.
    """
    started = time.monotonic()
    # A push is one commit: if there are files, all are there.
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
    """Seed the invented world of a random seed, replacing another one."""
    import tempfile

    from solo_hub.hub.seeds.world.world import build_world, write_world

    if note:
        note(f"Generating the invented world of seed {seed}")
    with tempfile.TemporaryDirectory() as folder:
        write_world(build_world(seed), Path(folder))
        return seed_folder(client, Path(folder))


def seed_folder(client: HubClient, folder: Path, *, note: Note | None = None) -> list[Seeded]:
    """Push every repo of a folder with the layout `datasets/OWNER/NAME/...`, `models/...`, `spaces/...`.

    A repo with equal files is left unchanged; any other gets a commit that makes it equal to the folder.

    Raises:
        InputError: The folder contains no repos.
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
            "contains no repos to seed.",
            file=str(folder),
            hint="Use the layout datasets/OWNER/NAME/... or models/OWNER/NAME/...",
        )
    return repos
