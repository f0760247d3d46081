"""Opens the Hub a command uses: the embedded one, a URL, or huggingface_hub's default."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from solo_hub.core.errors import HubError, UsageError
from solo_hub.core.paths import cache_folder
from solo_hub.core.redaction import check_address, register_secret
from solo_hub.hub.connection import LOCAL, REAL, Connection


def open_hub(
    spec: str | None,
    *,
    needs: Sequence[str] | None = None,
    note: Callable[[str], None] | None = None,
) -> Connection:
    """Open the Hub a command should use.

    Args:
        spec: `local` for the embedded Hub, which is started if it is not running; a URL; None for huggingface_hub's
            default.
        needs: Repos (OWNER/NAME[@REVISION]) the command will pull: those that ship with solo-hub are seeded on the
            embedded Hub if missing. All that ship with installed packages when None.
        note: Called with a message before slow operations.

    Raises:
        UsageError: `spec` is invalid.
        DependencyError: The embedded Hub, or a package with a needed model, is not installed.
    """
    if spec is None:
        return Connection(None, None, None)
    if spec == LOCAL:
        from solo_hub.hub.seeds.seeding import owners_of_seeds, seed_missing

        connection = start_embedded(owners_of_seeds())
        seed_missing(connection.client(), needs, note=note)
        return connection
    try:
        endpoint = check_address(spec, "HF_TOKEN").rstrip("/")
    except ValueError as error:
        raise UsageError(
            f"'{spec}' is not a Hub: {error}.", hint="Use --hub local, or a URL such as http://127.0.0.1:8000."
        ) from None
    # The stored token is for huggingface.co and is sent to no other Hub. HF_TOKEN was set for this command.
    ours = Connection(endpoint, register_secret(os.environ.get("HF_TOKEN", "")), cache_folder())
    return Connection(endpoint, None, None) if endpoint == REAL else ours


def start_embedded(owners: Iterable[str] = (), root: Path | None = None) -> Connection:
    """Find or start the embedded Hub, and make its first user a member of the given organisations.

    Write access to the Hub's folder is access to everything in it, so this grants nothing new.

    Args:
        owners: Owners of repos to be seeded.
        root: Folder of the Hub; the default when None.

    Raises:
        DependencyError: The embedded Hub's packages are not installed.
        HubError: It does not start, or one of the owners is another user there.
    """
    # Raises DependencyError if a package of the server is missing.
    from solo_hub.hub.server import find_or_start

    hub = find_or_start(root)
    connection = Connection(hub.endpoint, hub.token, cache_folder())
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
