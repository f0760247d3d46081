"""`solo-hub plugins`: what can be named in a configuration, and where it comes from."""

from __future__ import annotations

import dataclasses
from typing import cast

import click

from solo_hub.cli.options import FORMAT


@click.command(epilog="Example: solo-hub plugins --format json")
@FORMAT
def plugins(mode: str) -> None:
    """List tasks, embedders, retrievers, engines, selectors and more: ours and those of installed packages."""
    from solo_hub.core.console import Console, Mode
    from solo_hub.core.plugins import listings

    found = listings()
    console = Console(cast("Mode", mode))
    console.table(
        "",
        ["kind", "name", "from", "version", "state"],
        [[p.group, p.name, p.origin, p.version, p.problem or "ok"] for p in found],
        left=5,
    )
    console.document({"plugins": [dataclasses.asdict(p) for p in found]})
