"""`solo-hub space push`: the comparison as a Space on the Hub."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import click

from solo_hub.cli.options import FORMAT, HUB


@click.group()
def space() -> None:
    """The Space that compares base, teacher and student."""


@space.command(epilog="Example: solo-hub space push runs/demo --hub local")
@click.argument("run_dir", metavar="RUN", type=click.Path(file_okay=False, path_type=Path))
@HUB
@click.option("--name", metavar="OWNER/NAME", help="The Space's repo. [default: the adapter's name, '-compare']")
@click.option("--title", help="Title on the Space's page; who is compared by default.")
@click.option(
    "--examples",
    type=click.IntRange(0, 2000),
    default=120,
    show_default=True,
    help="Questions of the evaluation in the Space, with answers and passages; first those the arms differ in.",
)
@click.option("--requirement", metavar="SPEC", help="Take solo-hub from pip by this line instead of copying it.")
@click.option("--private", is_flag=True, help="Make the Space private when it is new.")
@FORMAT
def push(run_dir: Path, mode: str, *, hub: str | None, private: bool, **options: Any) -> None:
    """Publish the comparison of a published run as a Space: one commit; the same content pushes nothing."""
    from solo_hub.core.console import Console, Mode
    from solo_hub.core.errors import RunError
    from solo_hub.hub.opening import open_hub
    from solo_hub.publishing.space import push_space
    from solo_hub.publishing.step import space_entry
    from solo_hub.run.folder import RunFolder

    console = Console(cast("Mode", mode))
    console.quieten_libraries()
    run = RunFolder(run_dir)
    if not run.has("published"):
        raise RunError(
            f"'{run.file('published')}' is not there yet: the Space shows a published adapter.",
            hint=f"Publish the run first: solo-hub publish --run {run_dir}.",
        )
    published = run.read_json("published")
    spec = hub or run.read_config()["settings"].get("hub")
    client = open_hub(spec, needs=[], note=console.note).client()
    pushed = push_space(run, published["adapter"], client, private=private, **options)
    run.write_json("published", {**published, "space": space_entry(pushed, published["adapter"])})
    state = "published" if pushed.changed else "nothing to publish: already there"
    console.line(f"{state}: {pushed.repo_id} at commit {pushed.commit}\n  {pushed.url}")
    console.document({"repo_id": pushed.repo_id, "commit": pushed.commit, "url": pushed.url, "changed": pushed.changed})
