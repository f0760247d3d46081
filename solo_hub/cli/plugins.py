"""`solo-hub plugins`: the names a configuration can use, and where they come from."""

from __future__ import annotations

import dataclasses

import click

from solo_hub.cli.options import FORMAT, open_console


@click.command(epilog="Example: solo-hub plugins --format json")
@FORMAT
def plugins(mode: str) -> None:
    """List tasks, embedders, retrievers, engines, selectors and more, built-in and from installed packages."""
    from solo_hub.core.plugins import listings

    listed = listings()
    console = open_console(mode)
    console.table(
        "",
        ["kind", "name", "from", "version", "state"],
        [[p.group, p.name, p.origin, p.version, p.problem or "ok"] for p in listed],
        left=5,
    )
    console.document({"plugins": [dataclasses.asdict(p) for p in listed]})
