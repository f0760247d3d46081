"""`solo-hub hub`: serve and manage the embedded Hub."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, cast

import click

from solo_hub.cli.hub_seed import seed
from solo_hub.cli.options import FORMAT, open_console

if TYPE_CHECKING:
    from solo_hub.hub.server.core import Hub

PORT = 8477  # tried first if no port is given, so that the address stays the same

_root = click.option(
    "--root",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder of the embedded Hub. [default: ~/.local/share/solo-hub/hub, or $SOLO_HUB_HOME/hub]",
)


@click.group()
def hub() -> None:
    """Serve and manage the embedded Hub: a local Hub that works with the official clients."""


@hub.command(
    epilog="""\b
Examples:
  solo-hub hub serve                          on a loopback port, in the default folder
  solo-hub hub serve --root /data/hub --port 8000"""
)
@_root
@click.option("--port", type=click.IntRange(0, 65535), help=f"Port. [default: {PORT}, or a free one if it is in use]")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@FORMAT
def serve(root: Path | None, port: int | None, host: str, mode: str) -> None:
    """Serve until interrupted, and print how to connect.

    On any address but loopback, everyone who can reach the server can read public repos; private repos and all writes
    need a token.
    """
    from solo_hub.hub.server import EmbeddedHub
    from solo_hub.hub.server.__main__ import serve as run

    console = open_console(mode)
    chosen = port if port is not None else _free_or_any(host)
    server = EmbeddedHub(root, port=chosen, host=host).start()
    document = {"endpoint": server.endpoint, "root": str(server.root), "user": server.user}
    if server.token_is_new:  # shown only once; afterwards it is in the user's credentials file only
        document["token"] = server.token
    if host not in {"127.0.0.1", "::1", "localhost"}:
        console.warn("The server is reachable from other machines over plain HTTP.")
    if mode == "human":
        click.echo(f"export HF_ENDPOINT={server.endpoint}")
        if server.token_is_new:
            click.echo(f"export HF_TOKEN={server.token}")
            console.note(f"This is the token of '{server.user}'. It is shown only once.")
        console.note(f"Serving {server.root}. Stop with Ctrl-C.")
    console.document(document)
    sys.stdout.flush()  # a process reading from a pipe gets these lines now
    run(server)


@hub.command(epilog="\b\nExample:\n  solo-hub hub stop")
@_root
def stop(root: Path | None) -> None:
    """Stop the server that `--hub local` or `serve` started."""
    from solo_hub.core.errors import SoloHubError
    from solo_hub.hub.server import processes

    folder = _folder(root)
    if not processes.stop(folder):
        raise SoloHubError(f"No embedded Hub is running for {folder}.", hint="Start one with: solo-hub hub serve")
    click.echo("stopped")


@hub.command(epilog="\b\nExample:\n  solo-hub hub status --format json")
@_root
@FORMAT
def status(root: Path | None, mode: str) -> None:
    """Show whether a server is running, where, and what it stores."""
    from solo_hub.core.system import format_bytes
    from solo_hub.hub.server import processes

    folder = _folder(root)
    console = open_console(mode)
    state = processes.running(folder) if folder.is_dir() else None
    document: dict[str, object] = {
        "running": state is not None,
        "endpoint": state["endpoint"] if state else None,
        "root": str(folder),
    }
    if (folder / "hub.sqlite3").exists():
        core = _open(folder)
        counts = core.db.all("SELECT type, COUNT(*) AS n FROM repos GROUP BY type")
        document["repos"] = {row["type"]: row["n"] for row in counts}
        size = core.db.one("SELECT COALESCE(SUM(size), 0) AS n FROM blobs")
        document["bytes"] = size["n"] if size else 0
        core.close()
    rows = [
        ("server", str(document["endpoint"] or "not running; start it with: solo-hub hub serve")),
        ("folder", str(folder)),
        *((f"{kind}s", f"{count:,}") for kind, count in cast("dict[str, int]", document.get("repos", {})).items()),
        *([("stored", format_bytes(cast("int", document["bytes"])))] if "bytes" in document else []),
    ]
    console.table("Embedded Hub", ("what", "value"), rows, left=2)
    console.document(document)


@hub.command(epilog="\b\nExample:\n  solo-hub hub gc --older-than 0")
@_root
@click.option(
    "--older-than",
    type=click.FloatRange(min=0),
    default=24.0,
    show_default=True,
    metavar="HOURS",
    help="Keep newer files, which may belong to a push in progress.",
)
@FORMAT
def gc(root: Path | None, older_than: float, mode: str) -> None:
    """Remove files that no commit refers to: abandoned uploads, deleted repos, rewritten histories."""
    from solo_hub.hub.server.gc import collect

    core = _open(_folder(root))
    try:
        report = collect(core, older_than=older_than * 3600)
    finally:
        core.close()
    console = open_console(mode)
    console.table("Removed", ("what", "count"), [(key.replace("_", " "), str(n)) for key, n in asdict(report).items()])
    console.document(asdict(report))


@hub.group()
def user() -> None:
    """Manage users of the embedded Hub."""


@user.command(
    "add",
    epilog="""\b
Examples:
  solo-hub hub user add ana                        creates a token and shows it once
  solo-hub hub user add bot --role read --org lab --token "$TOKEN\"""",
)
@click.argument("name")
@click.option("--token", help="Use this token instead of creating one.")
@click.option(
    "--role", type=click.Choice(["read", "write"]), default="write", show_default=True, help="Permission of the token."
)
@click.option(
    "--org", "orgs", multiple=True, metavar="ORG", help="Organisation to join, created if missing. Repeatable."
)
@click.option(
    "--private-by-default", is_flag=True, default=None, help="Make new repos private unless specified otherwise."
)
@_root
@FORMAT
def add_user(
    name: str,
    token: str | None,
    role: str,
    orgs: tuple[str, ...],
    *,
    private_by_default: bool | None,
    root: Path | None,
    mode: str,
) -> None:
    """Add a user, or give an existing user another token, role or organisation.

    Works before the first start and while the server is running.
    """
    from solo_hub.core.errors import UsageError
    from solo_hub.hub.server import credentials
    from solo_hub.hub.server.accounts import Role
    from solo_hub.hub.server.errors import ApiError

    core = _open(_folder(root), create=True)
    try:
        core.accounts.add_user(
            name, token=token, role=cast("Role", role), orgs=orgs, private_by_default=private_by_default
        )
        new_token = core.accounts.make_token(name, role=cast("Role", role)) if token is None else None
        if core.accounts.users()[0].lower() == name.lower():  # the user of `--hub local`
            credentials.store_token(core.root_id, core.root, name, token or new_token or "")
    except ApiError as error:
        raise UsageError(f"User '{name}' cannot be added: {error.message}") from error
    finally:
        core.close()
    console = open_console(mode)
    console.done(f"User '{name}' has {role} permission.")
    if new_token is not None:
        console.note("This is the token; it is shown only once:")
        if mode != "json":
            click.echo(new_token)
    console.document({"user": name, "role": role, "orgs": list(orgs), **({"token": new_token} if new_token else {})})


hub.add_command(seed)


def _folder(root: Path | None) -> Path:
    from solo_hub.hub.server import credentials

    return root.expanduser().resolve() if root is not None else credentials.default_root()


def _open(root: Path, *, create: bool = False) -> Hub:
    from solo_hub.core.errors import SoloHubError
    from solo_hub.hub.server.core import Hub

    if not create and not (root / "hub.sqlite3").exists():
        raise SoloHubError(f"There is no embedded Hub in {root}.", hint="Create one with: solo-hub hub serve")
    try:
        return Hub(root)
    except OSError as error:
        raise SoloHubError(f"The embedded Hub cannot use the folder {root}: {error.strerror}.") from error


def _free_or_any(host: str) -> int:
    """The default port if it is free, else 0 for any."""
    import socket

    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, PORT))
        except OSError:
            return 0
    return PORT
