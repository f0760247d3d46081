"""`solo-hub space push`: publish the comparison as a Space."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from solo_hub.cli.options import FORMAT, HUB, open_console


@click.group()
def space() -> None:
    """Manage the Space that compares base, teacher and student."""


@space.command(epilog="Example: solo-hub space push runs/demo --hub local")
@click.argument("run_dir", metavar="RUN", type=click.Path(file_okay=False, path_type=Path))
@HUB
@click.option("--name", metavar="OWNER/NAME", help="Repo of the Space. [default: the adapter's name with '-compare']")
@click.option("--title", help="Title of the Space. [default: the compared arms]")
@click.option(
    "--examples",
    type=click.IntRange(0, 2000),
    default=120,
    show_default=True,
    help="Number of evaluation questions in the Space, with answers and passages; those where arms differ first.",
)
@click.option("--requirement", metavar="SPEC", help="Install solo-hub by this requirement instead of copying it.")
@click.option("--private", is_flag=True, help="Make a new Space private.")
@FORMAT
def push(run_dir: Path, mode: str, *, hub: str | None, private: bool, **options: Any) -> None:
    """Publish the comparison of a published run as a Space, in one commit; unchanged content pushes nothing."""
    from solo_hub.core.errors import RunError
    from solo_hub.hub.opening import open_hub
    from solo_hub.publishing.space import push_space
    from solo_hub.publishing.versions import entry
    from solo_hub.run.folder import RunFolder

    console = open_console(mode)
    run = RunFolder(run_dir)
    if not run.has("published"):
        raise RunError(
            f"'{run.file('published')}' does not exist: the Space needs a published adapter.",
            hint=f"Publish the run first: solo-hub publish --run {run_dir}.",
        )
    published = run.read_json("published")
    spec = hub or run.read_config()["settings"].get("hub")
    client = open_hub(spec, needs=[], note=console.note).client()
    pushed = push_space(run, published["adapter"], client, private=private, **options)
    run.write_json("published", {**published, "space": entry(pushed)})
    state = "published" if pushed.changed else "unchanged, nothing to publish"
    console.line(f"{state}: {pushed.repo_id} at commit {pushed.commit}\n  {pushed.url}")
    console.document({"repo_id": pushed.repo_id, "commit": pushed.commit, "url": pushed.url, "changed": pushed.changed})
