"""`solo-hub show`: what a run found, from its files alone."""

from __future__ import annotations

from pathlib import Path

import click

from solo_hub.cli.options import FORMAT


@click.command(epilog="Example: solo-hub show runs/demo")
@click.argument("run_dir", metavar="RUN", type=click.Path(file_okay=False, path_type=Path))
@FORMAT
def show(run_dir: Path, mode: str) -> None:
    """Print the tables of a finished run; report.html in its folder has the whole story."""
    from typing import cast

    from solo_hub.cli.results import print_result
    from solo_hub.console import Console, Mode
    from solo_hub.errors import RunError
    from solo_hub.run import RunFolder

    run = RunFolder(run_dir)
    if not run.has("config"):
        raise RunError(f"'{run_dir}' is not a run folder.", hint="Give the folder of a run, e.g. runs/demo.")
    report = run.read_json("report")
    published = run.read_json("published") if run.has("published") else None
    console = Console(cast("Mode", mode))
    print_result(console, {**report, "run": str(run_dir), "published": published})
    if run.has("html"):
        console.line(f"\nthe whole story: {run.file('html')}")
