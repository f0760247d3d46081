"""`solo-hub hf-extension`: make `hf solo ...` work on this machine, without a network."""

from __future__ import annotations

import json
import shutil
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

NAME = "hf-solo"
FOLDER = Path(".local/share/hf/extensions") / NAME
"""Where `hf` looks for it, below the home folder: fixed in huggingface_hub 2.x, not documented."""
OWNER = "solo-hub"


@click.group("hf-extension")
def extension() -> None:
    """Manage `hf solo ...` as an alias of `solo-hub ...`."""


@extension.command(epilog="Example: solo-hub hf-extension install")
@click.option("--force", is_flag=True, help="Replace an existing extension of that name.")
def install(*, force: bool) -> None:
    """Register this installation as the extension `solo` of the `hf` command; then `hf solo distill demo` works.

    `hf extensions install` supports only GitHub. This writes the same manifest, whose format is internal to
    huggingface_hub and may change in another version. Undo it with `solo-hub hf-extension uninstall`. Without a
    network, set HF_HUB_DISABLE_UPDATE_CHECK=1.
    """
    from solo_hub.core.errors import SoloHubError
    from solo_hub.core.files import write_text

    executable = _executable()
    manifest = _folder() / "manifest.json"
    if _folder().exists() and not _is_ours() and not force:
        raise SoloHubError(
            f"Another extension is installed in '{_folder()}'.",
            hint="Remove it with `hf extensions remove solo`, or use --force.",
        )
    shutil.rmtree(_folder(), ignore_errors=True)
    write_text(manifest, json.dumps(_manifest(executable), indent=2, sort_keys=True) + "\n")
    click.echo(f"hf solo -> {executable}")
    click.echo("This relies on a format internal to huggingface_hub; solo-hub itself does not.", err=True)


@extension.command(epilog="\b\nExample:\n  solo-hub hf-extension uninstall")
def uninstall() -> None:
    """Remove the extension that `install` registered."""
    from solo_hub.core.errors import SoloHubError

    if not _is_ours():
        raise SoloHubError(
            f"'hf solo' was not registered by solo-hub: '{_folder()}' has no manifest of solo-hub.",
            hint="See `hf extensions list`.",
        )
    shutil.rmtree(_folder())
    click.echo("removed")


def _folder() -> Path:
    return Path.home() / FOLDER


def _executable() -> Path:
    """The console script `hf-solo` that belongs to this Python.

    Raises:
        SoloHubError: It is not installed.
    """
    from solo_hub.core.errors import SoloHubError

    script = Path(sys.executable).parent / NAME
    executable = script if script.is_file() else shutil.which(NAME)
    if executable is None:
        raise SoloHubError(f"'{NAME}' was not found next to {sys.executable}.", hint="Install solo-hub with pip.")
    return Path(executable).absolute()


def _manifest(executable: Path) -> dict[str, Any]:
    return {
        "owner": OWNER,
        "repo": NAME,
        "repo_id": f"{OWNER}/{NAME}",
        "short_name": "solo",
        "executable_path": str(executable),
        "type": "binary",
        "installed_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "description": "Let a model teach itself your documents, without labels.",
        "commit_sha": None,
        "installed_by": "solo-hub hf-extension install",
    }


def _is_ours() -> bool:
    """Whether `install` wrote the manifest; `hf` ignores the extra key."""
    from solo_hub.core.parsing import read_object

    return str(read_object(_folder() / "manifest.json").get("installed_by", "")).startswith("solo-hub")
