"""`solo-hub hub seed`: seed a Hub with what is available offline."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from solo_hub.cli.options import FORMAT, open_console


@click.command(
    "seed",
    epilog="""\b
Examples:
  solo-hub hub seed                         the offline models and the synthetic world, on the embedded Hub
  solo-hub hub seed --seed 7                another synthetic world
  solo-hub hub seed --only-folders data/    the repos in data/datasets/OWNER/NAME/..., data/models/OWNER/NAME/...""",
)
@click.argument("folders", nargs=-1, type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--hub", default="local", show_default=True, metavar="local|URL", help="Hub to seed.")
@click.option("--root", type=click.Path(file_okay=False, path_type=Path), help="Folder of the embedded Hub.")
@click.option(
    "--seed", "seed_", type=click.IntRange(min=0), default=0, show_default=True, help="Seed of the synthetic world."
)
@click.option("--only-folders", is_flag=True, help="Skip the models and the synthetic world.")
@FORMAT
def seed(folders: tuple[Path, ...], hub: str, root: Path | None, seed_: int, mode: str, *, only_folders: bool) -> None:
    """Seed a Hub with the offline models, the synthetic world and FOLDERS of repos.

    Existing repos are kept; running it again is a no-op. A folder contains datasets/OWNER/NAME/...,
    models/OWNER/NAME/... or spaces/OWNER/NAME/...; each repo is updated to match it in one commit.
    """
    from solo_hub.core.errors import UsageError
    from solo_hub.hub.connection import LOCAL
    from solo_hub.hub.opening import open_hub, start_embedded
    from solo_hub.hub.seeds import seeding

    console = open_console(mode)
    if only_folders and not folders:
        raise UsageError("--only-folders needs a folder.", hint="For example: solo-hub hub seed --only-folders data/")
    if hub == LOCAL:
        owners = set() if only_folders else seeding.owners_of_seeds()
        connection = start_embedded(owners.union(*map(seeding.owners_in, folders)), root)
    else:
        connection = open_hub(hub)
    client = connection.client(progress=mode == "human" and sys.stderr.isatty())
    seeded = [item for folder in folders for item in seeding.seed_folder(client, folder, note=console.note)]
    if not only_folders:
        seeded += seeding.seed_world(client, seed_, note=console.note)
        seeded += seeding.seed_models(client, note=console.note)
    rows = [(item.repo_id, item.type, item.commit[:8], item.took()) for item in seeded]
    console.table(f"On {client.endpoint}", ("repo", "type", "commit", "pushed in"), rows)
    console.document({"endpoint": client.endpoint, "repos": [item.to_row() for item in seeded]})
