"""Which Hub a command talks to: the embedded one, an address, or huggingface_hub's own."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from solo_hub.core.errors import HubError, UsageError
from solo_hub.core.paths import cache_folder
from solo_hub.core.redaction import check_address, register_secret
from solo_hub.hub.connection import LOCAL, REAL, Connection

_FREEZERS = ("huggingface_hub", "datasets")  # these read HF_ENDPOINT once, when they are imported


def open_hub(
    spec: str | None,
    *,
    needs: Sequence[str] | None = None,
    note: Callable[[str], None] | None = None,
    announced: bool = False,
) -> Connection:
    """Find the Hub that a command was told to use.

    Args:
        spec: `local` for the embedded Hub, which is started when it is not running; an address; None for
            huggingface_hub's own.
        needs: Repos (OWNER/NAME[@REVISION]) the command is going to pull: those of them that come with solo-hub are
            put on the embedded Hub when they are missing. All that come with installed packages when None.
        note: Called with a sentence when something takes a while.
        announced: Whether to `export_environment` for libraries and child processes, before anything imports them.

    Raises:
        UsageError: `spec` is neither.
        DependencyError: The embedded Hub, or a package that carries a needed model, is not installed.
    """
    if spec is None:
        return Connection(None, None, None)
    if spec == LOCAL:
        from solo_hub.hub.seeds.seeding import owners_of_seeds, seed_missing

        connection = start_embedded(owners_of_seeds(), announced=announced)
        seed_missing(connection.client(), needs, note=note)
        return connection
    try:
        endpoint = check_address(spec, "HF_TOKEN").rstrip("/")
    except ValueError as error:
        raise UsageError(
            f"'{spec}' is not a Hub: {error}.", hint="Give --hub local, or an address such as http://127.0.0.1:8000."
        ) from None
    # The stored token belongs to the real Hub: no other address gets it. HF_TOKEN is set on purpose for this command.
    ours = Connection(endpoint, register_secret(os.environ.get("HF_TOKEN", "")), cache_folder())
    connection = Connection(endpoint, None, None) if endpoint == REAL else ours
    if announced:
        export_environment(connection)
    return connection


def start_embedded(owners: Iterable[str] = (), root: Path | None = None, *, announced: bool = False) -> Connection:
    """Find or start the embedded Hub, with its first user a member of the given organisations.

    Whoever may write to the Hub's folder owns all of it, so membership is theirs to take.

    Args:
        owners: Owners of repos that are going to be seeded.
        root: Folder of the Hub; the default one when None.
        announced: Whether to `export_environment` it.

    Raises:
        DependencyError: The embedded Hub's packages are not installed.
        HubError: It does not start, or one of the owners is somebody else's user name there.
    """
    # Both raise our DependencyError when a package of the server is missing.
    from solo_hub.hub.server import find_or_start

    hub = find_or_start(root)
    connection = Connection(hub.endpoint, hub.token, cache_folder())
    if announced:
        export_environment(connection)
    wanted = {owner for owner in owners if owner.lower() != hub.user.lower()}
    if wanted:
        _join(hub.root, hub.user, wanted)
    return connection


def _join(root: Path, user: str, orgs: Iterable[str]) -> None:
    from solo_hub.hub.server.core import Hub
    from solo_hub.hub.server.errors import ApiError

    hub = Hub(root)
    try:
        hub.accounts.add_user(user, orgs=sorted(orgs))
    except ApiError as error:
        raise HubError(
            f"The embedded Hub in {root} cannot be seeded: {error.message.rstrip('.')}.",
            hint="Use another SOLO_HUB_HOME.",
        ) from error
    finally:
        hub.close()


def export_environment(connection: Connection) -> bool:
    """Tell libraries and child processes about the Hub by HF_ENDPOINT and HF_TOKEN.

    huggingface_hub and datasets read HF_ENDPOINT once, when they are imported: what was imported before keeps its own.
    The client does not mind; it hands its endpoint to every call.

    Returns:
        Whether no library had been imported too early.
    """
    if connection.endpoint is None:
        return True
    early = [name for name in _FREEZERS if name in sys.modules]
    known = os.environ.get("HF_ENDPOINT", REAL).rstrip("/") == connection.endpoint
    os.environ["HF_ENDPOINT"] = connection.endpoint
    if connection.token:
        os.environ["HF_TOKEN"] = connection.token
    return known or not early
