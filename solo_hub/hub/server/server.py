"""The embedded Hub as a context manager: uvicorn in a thread, on a loopback port of its own."""

from __future__ import annotations

import logging
import socket
import sqlite3
import threading
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import uvicorn

from solo_hub.core.errors import SoloHubError, UsageError
from solo_hub.hub.failures import full_disk
from solo_hub.hub.server import credentials
from solo_hub.hub.server.accounts import Role
from solo_hub.hub.server.app import App
from solo_hub.hub.server.core import Hub
from solo_hub.hub.server.db import is_full
from solo_hub.hub.server.errors import ApiError

logger = logging.getLogger(__name__)

DEFAULT_USER = "local"
START_SECONDS = 30.0
STOP_SECONDS = 5  # requests under way get this long
_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
_USER_KEYS = frozenset({"name", "token", "role", "orgs", "private_by_default", "fullname"})


class EmbeddedHub:
    """A Hub server for the official clients, in a folder.

    >>> with EmbeddedHub(root) as hub:  # doctest: +SKIP
    ...     HfApi(endpoint=hub.endpoint, token=hub.token).create_repo(f"{hub.user}/first")

    Some clients read their endpoint once, at import; hand `env` to a child process where that matters.

    Args:
        root: Folder that holds everything; by default ``$SOLO_HUB_HOME/hub`` or ``~/.local/share/solo-hub/hub``.
            Several processes may serve one root.
        port: Port to listen on; 0 takes a free one.
        host: Address to listen on. Anything but loopback opens the server to the network: public repos to everyone,
            private ones to those with a token.
        users: Users to have, as mappings with ``name`` and optionally ``token``, ``role`` (``read`` or ``write``),
            ``orgs`` (names, or mappings with ``name`` and ``fullname``), ``fullname`` and ``private_by_default``.
            Without any, and in a fresh root, there is one named ``local``.
        remember: Whether to keep a token made here for this user's later programs; see `credentials`.

    Attributes:
        root: The folder.
        endpoint: URL of the server, once started.
        user: Name of the first user.
        token: Token of the first user.
        token_is_new: Whether that token was made by this start: the moment to show it.
    """

    def __init__(
        self,
        root: str | Path | None = None,
        *,
        port: int = 0,
        host: str = "127.0.0.1",
        users: Iterable[Mapping[str, Any]] = (),
        remember: bool = True,
    ) -> None:
        self.root = Path(root).expanduser().resolve() if root is not None else credentials.default_root()
        self.endpoint = ""
        self.user = ""
        self.token = ""
        self.token_is_new = False
        self._port = port
        self._host = host
        self._users = [dict(user) for user in users]
        self._remember = remember
        self._hub: Hub | None = None
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None

    @property
    def core(self) -> Hub:
        """The state behind the server, for tools that work on the folder itself."""
        if self._hub is None:
            raise SoloHubError("The embedded Hub is not running.", hint="Call start() first.")
        return self._hub

    def env(self) -> dict[str, str]:
        """The environment variables that point a client process at this server."""
        return {"HF_ENDPOINT": self.endpoint, "HF_TOKEN": self.token}

    def start(self) -> Self:
        """Open the folder, set up the users and listen.

        Raises:
            SoloHubError: The folder cannot be used or the port is taken.
            UsageError: A user is not described as it should be.
        """
        if self._thread is not None:
            return self
        try:
            self._hub = Hub(self.root)
        except (OSError, sqlite3.Error) as error:
            if is_full(error):
                raise full_disk(str(self.root)) from error
            said = getattr(error, "strerror", None) or error
            raise SoloHubError(f"The embedded Hub cannot use the folder {self.root}: {said}.") from error
        self.user, self.token, self.token_is_new = ensure_users(self._hub, self._users, remember=self._remember)
        listener = self._listen()
        port = listener.getsockname()[1]
        shown = f"[{self._host}]" if ":" in self._host else self._host
        self.endpoint = f"http://{'127.0.0.1' if self._host in ('0.0.0.0', '::') else shown}:{port}"  # noqa: S104
        config = uvicorn.Config(
            App(self._hub, loopback=self._host in _LOOPBACK),
            http="h11",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=STOP_SECONDS,
            timeout_keep_alive=30,  # shorter than clients' own pools expect costs them a broken connection
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [listener]}, name="embedded-hub", daemon=True
        )
        self._thread.start()
        deadline = time.monotonic() + START_SECONDS
        while not self._server.started:
            if not self._thread.is_alive() or time.monotonic() > deadline:
                raise SoloHubError("The embedded Hub did not start.")
            time.sleep(0.005)
        return self

    def stop(self) -> None:
        """Stop listening and close the folder; may be called twice."""
        if self._server is not None and self._thread is not None:
            self._server.should_exit = True
            self._thread.join(STOP_SECONDS + 5)
        self._server = self._thread = None
        if self._hub is not None:
            self._hub.close()
            self._hub = None

    def wait(self) -> None:
        """Block until the server stops."""
        while self._thread is not None and self._thread.is_alive():
            self._thread.join(0.5)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def _listen(self) -> socket.socket:
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        # the protocol by name: asyncio sends small answers at once (TCP_NODELAY) only where it stands in the socket
        listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((self._host, self._port))
        except OSError as error:
            listener.close()
            raise SoloHubError(
                f"The embedded Hub cannot listen on {self._host}:{self._port}: {error.strerror}.",
                hint="Take another port with --port, or 0 for any free one.",
            ) from error
        return listener


def ensure_users(hub: Hub, users: list[dict[str, Any]], *, remember: bool = True) -> tuple[str, str, bool]:
    """Have the given users, or the default one in a fresh root.

    Returns:
        Name and token of the first user, and whether the token is new.

    Raises:
        UsageError: A user is not described as it should be.
    """
    if not users and not hub.accounts.users():
        users = [{"name": DEFAULT_USER}]
    for user in users:
        unknown = set(user) - _USER_KEYS
        if unknown or "name" not in user:
            raise UsageError(
                f"A user needs a 'name' and may have {', '.join(sorted(_USER_KEYS - {'name'}))}; got"
                f" {', '.join(sorted(map(str, user)))}."
            )
        try:
            hub.accounts.add_user(
                user["name"],
                token=user.get("token"),
                role=user.get("role", "write"),
                orgs=user.get("orgs", ()),
                private_by_default=user.get("private_by_default"),
                fullname=user.get("fullname"),
            )
        except ApiError as error:
            raise UsageError(f"User '{user['name']}': {error.message}") from error
    name = users[0]["name"] if users else hub.accounts.users()[0]
    token = (users[0].get("token") if users else None) or credentials.load_token(hub.root_id, name)
    owner = hub.accounts.authenticate(token) if token else None
    if token and owner and owner.name.lower() == str(name).lower():
        return owner.name, token, False
    role: Role = users[0].get("role", "write") if users else "write"
    token = hub.accounts.make_token(name, role=role)
    if remember:
        credentials.store_token(hub.root_id, hub.root, name, token)
    return name, token, True
