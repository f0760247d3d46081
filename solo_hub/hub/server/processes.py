"""One server for many programs: find the one that runs for a root, or start it."""

from __future__ import annotations

import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from solo_hub.core.errors import SoloHubError
from solo_hub.hub.failures import full_disk
from solo_hub.hub.server import credentials
from solo_hub.hub.server.server import EmbeddedHub

logger = logging.getLogger(__name__)

START_SECONDS = 60.0
PROBE_SECONDS = 3.0
STATE = "server.json"
LOG = "server.log"
_LEAST = 1 << 20  # bytes that a server needs to begin with
_SECRET = ("TOKEN", "KEY", "SECRET", "PASSWORD", "PASSWD", "CREDENTIALS")  # ends of names of variables

_started: list[subprocess.Popen[bytes]] = []


@dataclass(frozen=True)
class Handle:
    """A running embedded Hub.

    Attributes:
        root: Its folder.
        endpoint: Its URL.
        user: Name of its first user.
        token: Token of that user.
        started: Whether it was started for this handle.
    """

    root: Path
    endpoint: str
    user: str
    token: str = field(repr=False)  # must not end up in a log by way of a printed handle
    started: bool = False
    _own: EmbeddedHub | None = field(default=None, repr=False, compare=False)

    def env(self) -> dict[str, str]:
        """The environment variables that point a client process at this server."""
        return {"HF_ENDPOINT": self.endpoint, "HF_TOKEN": self.token}

    def stop(self) -> None:
        """Stop the server if it lives in this process; one that others may use keeps running."""
        if self._own is not None:
            self._own.stop()


def find_or_start(root: str | Path | None = None, *, in_process: bool = False) -> Handle:
    """The embedded Hub of a root, running.

    Args:
        root: Its folder; None for the default one.
        in_process: Whether a server that has to be started lives in a thread of this process and ends with it.
            Otherwise it is a process of its own that stays.

    Raises:
        SoloHubError: It cannot be started; the reason is in its log.
    """
    folder = Path(root).expanduser().resolve() if root is not None else credentials.default_root()
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    state = running(folder)
    if state is None:
        try:
            with FileLock(folder / "start.lock", timeout=START_SECONDS):
                state = running(folder)  # somebody else may have been first
                if state is None and in_process:
                    own = EmbeddedHub(folder).start()
                    return Handle(folder, own.endpoint, own.user, own.token, started=True, _own=own)
                if state is None:
                    state = _start(folder) | {"started": True}
        except Timeout:
            raise SoloHubError(f"Another program is still starting the embedded Hub in {folder}.") from None
    user, token = _identity(folder)
    return Handle(folder, str(state["endpoint"]), user, token, started=bool(state.get("started")))


def running(root: Path) -> dict[str, Any] | None:
    """What the state file says of the server of a root, if it really answers."""
    try:
        state = json.loads((root / STATE).read_text(encoding="utf-8"))
        request = urllib.request.Request(f"{state['endpoint']}/api/solo-hub/health")  # noqa: S310
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # a proxy has no way to this machine
        with opener.open(request, timeout=PROBE_SECONDS) as response:
            answer = json.loads(response.read(10_000))
    except (OSError, ValueError, KeyError, TypeError, urllib.error.URLError):
        return None
    matches = isinstance(answer, dict) and answer.get("root") == state.get("root_id")
    return state if matches and answer.get("pid") == state.get("pid") else None


def announce(hub: EmbeddedHub) -> None:
    """Write the state file of a server of this process."""
    state = {"endpoint": hub.endpoint, "pid": os.getpid(), "root_id": hub.core.root_id}
    path = hub.root / STATE
    temporary = path.with_name(f"{STATE}.{os.getpid()}")
    temporary.write_text(json.dumps(state), encoding="utf-8")
    temporary.replace(path)


def withdraw(root: Path) -> None:
    """Remove the state file if it is this process's own."""
    path = root / STATE
    try:
        if json.loads(path.read_text(encoding="utf-8")).get("pid") == os.getpid():
            path.unlink()
    except (OSError, ValueError, AttributeError):
        return


def stop(root: Path, *, seconds: float = 15.0) -> bool:
    """Stop the server of a root; False when none runs.

    Raises:
        SoloHubError: It does not stop.
    """
    state = running(root)
    if state is None:
        return False
    os.kill(int(state["pid"]), signal.SIGTERM)  # the server itself has just confirmed this number
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if running(root) is None:
            for process in _started:
                if process.pid == state["pid"]:
                    process.wait(seconds)
            return True
        time.sleep(0.1)
    raise SoloHubError(f"The embedded Hub (process {state['pid']}) does not stop.")


def _start(root: Path) -> dict[str, Any]:
    package_home = str(Path(__file__).resolve().parents[3])
    path = os.pathsep.join(filter(None, [package_home, os.environ.get("PYTHONPATH")]))
    with (root / LOG).open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "solo_hub.hub.server", str(root)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,  # outlives the program that needed it first
            env={**without_secrets(os.environ), "PYTHONPATH": path},
        )
    _started.append(process)  # a process object must not be forgotten while its process runs
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        state = running(root)
        if state is not None:
            return state
        if process.poll() is not None:
            break
        time.sleep(0.05)
    if shutil.disk_usage(root).free < _LEAST:  # its log, which would say so, has no room either
        raise full_disk(str(root))
    raise SoloHubError("The embedded Hub did not start.", hint=f"See {root / LOG}.")


def without_secrets(environment: Mapping[str, str]) -> dict[str, str]:
    """An environment for a process that stays: without the tokens and keys of whoever happened to start it.

    >>> without_secrets({"HF_TOKEN": "hf_x", "OPENAI_API_KEY": "y", "LANG": "C"})
    {'LANG': 'C'}
    """
    return {name: value for name, value in environment.items() if not name.upper().endswith(_SECRET)}


def _identity(root: Path) -> tuple[str, str]:
    from solo_hub.hub.server.core import Hub
    from solo_hub.hub.server.server import ensure_users

    hub = Hub(root)
    try:
        user, token, _ = ensure_users(hub, [])
    finally:
        hub.close()
    return user, token
