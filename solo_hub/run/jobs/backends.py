"""Job backends: Hugging Face Jobs, or a background process on this machine.

Both have the same interface, modelled on the Hub client's (`run_job`, `inspect_job`, `fetch_job_logs`, `cancel_job`),
and the same stage names. The job itself is `solo_hub.run.jobs.worker`.
"""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from solo_hub.core.errors import InputError
from solo_hub.core.files import write_text
from solo_hub.core.paths import home
from solo_hub.hub.connection import LOCAL, Connection

if TYPE_CHECKING:
    from huggingface_hub import HfApi

FINISHED = frozenset({"COMPLETED", "CANCELED", "ERROR", "DELETED"})
"""Final stages."""
IMAGE = "python:3.11"
_POLL = 0.2  # seconds
_GRACE_PERIOD = 60.0  # seconds a cancelled process has to save its progress


@dataclass(frozen=True, slots=True)
class Order:
    """A job to submit.

    Attributes:
        command: Program and arguments.
        env: Environment variables, visible to anybody who can see the job.
        secrets: Secret environment variables: the token.
        timeout: Time limit in seconds.
        name: Name in lists.
    """

    command: Sequence[str]
    env: Mapping[str, str]
    secrets: Mapping[str, str]
    timeout: float
    name: str


@dataclass(frozen=True, slots=True)
class Status:
    """The status of a job.

    Attributes:
        stage: `SCHEDULING`, `RUNNING`, `COMPLETED`, `CANCELED`, `ERROR` or `DELETED`, as the Hub names them.
        message: Details.
        url: Its page, or the folder of a local job.
    """

    stage: str
    message: str = ""
    url: str = ""

    @property
    def finished(self) -> bool:
        """Whether it has ended."""
        return self.stage in FINISHED


class Backend(Protocol):
    """Runs jobs."""

    def submit(self, order: Order) -> str:
        """Start a job and return its id."""
        ...

    def inspect(self, job: str) -> Status:
        """The status of a job; raises `InputError` for an unknown job."""
        ...

    def logs(self, job: str, *, follow: bool = True) -> Iterator[str]:
        """Lines of its log; with `follow` until it ends."""
        ...

    def cancel(self, job: str) -> None:
        """Cancel it, with a grace period to save its progress."""
        ...


def backend(flavor: str | None, connection: Connection) -> Backend:
    """The backend for a hardware flavor: `local`, or a flavor of the connection's Hub."""
    if flavor == LOCAL:
        return LocalBackend(home() / "jobs")
    from huggingface_hub import HfApi, constants

    endpoint = connection.endpoint or constants.ENDPOINT
    token: str | bool | None = False if connection.token == "" else connection.token
    return HubBackend(HfApi(endpoint=endpoint, token=token, library_name="solo-hub"), flavor)


def hardware(connection: Connection) -> dict[str, Any]:
    """What a Hub offers for jobs, with prices, by flavor; empty if it does not say."""
    from httpx import HTTPError
    from huggingface_hub import HfApi, constants
    from huggingface_hub.errors import HfHubHTTPError

    try:
        offered = HfApi(endpoint=connection.endpoint or constants.ENDPOINT, token=False).list_jobs_hardware()
    except (HfHubHTTPError, HTTPError, OSError, ValueError):
        return {}
    return {info.name: info for info in offered}


class HubBackend:
    """Hugging Face Jobs.

    Args:
        api: Client with endpoint and token.
        flavor: Hardware, e.g. `t4-small`; needed only to submit.
    """

    def __init__(self, api: HfApi, flavor: str | None = None) -> None:
        self._api, self._flavor = api, flavor

    def submit(self, order: Order) -> str:
        """See `Backend`."""
        made = self._api.run_job(
            image=IMAGE,
            command=list(order.command),
            env=dict(order.env),
            secrets=dict(order.secrets),
            flavor=self._flavor,
            timeout=int(order.timeout),
            name=order.name,
            labels={"library": "solo-hub"},
        )
        return str(made.id)

    def inspect(self, job: str) -> Status:
        """See `Backend`."""
        info = self._api.inspect_job(job_id=job)
        stage = getattr(info.status, "stage", None)
        return Status(
            str(getattr(stage, "value", stage) or "SCHEDULING"),
            str(getattr(info.status, "message", None) or ""),
            str(info.url or ""),
        )

    def logs(self, job: str, *, follow: bool = True) -> Iterator[str]:
        """See `Backend`."""
        for line in self._api.fetch_job_logs(job_id=job, follow=follow):
            yield str(line).rstrip("\n")

    def cancel(self, job: str) -> None:
        """See `Backend`."""
        self._api.cancel_job(job_id=job)


class LocalBackend:
    """Background processes on this machine, each with a folder: `job.json`, `log.txt`, `status.json`.

    Args:
        root: Folder of all jobs.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    def submit(self, order: Order) -> str:
        """See `Backend`."""
        job = f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(3)}"
        folder = self._root / job
        folder.mkdir(parents=True)
        shown = {**asdict(order), "secrets": sorted(order.secrets), "command": list(order.command)}
        write_text(folder / "job.json", json.dumps(shown, indent=2) + "\n")
        _write(folder, Status("SCHEDULING", url=str(folder)))
        with (folder / "log.txt").open("wb") as log:
            supervisor = subprocess.Popen(
                [sys.executable, "-m", "solo_hub.run.jobs", str(folder)],
                env={**os.environ, **order.env, **order.secrets},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        write_text(folder / "pid", str(supervisor.pid))
        supervisor.returncode = 0  # it outlives this object on purpose
        return job

    def inspect(self, job: str) -> Status:
        """See `Backend`; a job whose supervisor was killed has ended."""
        folder = self._folder(job)
        status = Status(**json.loads((folder / "status.json").read_text("utf-8")))
        if not status.finished and not _alive(int((folder / "pid").read_text("utf-8"))):
            again = Status(**json.loads((folder / "status.json").read_text("utf-8")))
            return again if again.finished else Status("ERROR", "killed", str(folder))
        return status

    def logs(self, job: str, *, follow: bool = True) -> Iterator[str]:
        """See `Backend`."""
        folder = self._folder(job)
        with (folder / "log.txt").open(encoding="utf-8", errors="replace") as log:
            rest = ""
            while True:
                over = not follow or self.inspect(job).finished  # checked first, so that the last lines are read
                rest += log.read()
                *lines, rest = rest.split("\n")
                yield from lines
                if over:
                    break
                time.sleep(_POLL)
        if rest:
            yield rest

    def cancel(self, job: str) -> None:
        """See `Backend`."""
        folder = self._folder(job)
        deadline = time.monotonic() + _GRACE_PERIOD
        (folder / "cancel").touch()
        while not self.inspect(job).finished and time.monotonic() < deadline:
            time.sleep(_POLL)

    def _folder(self, job: str) -> Path:
        folder = self._root / job
        if "/" in job or not (folder / "status.json").is_file():
            raise InputError(
                f"unknown local job '{job}'.",
                hint=f"Local jobs have folders in {self._root}.",
            )
        return folder


def supervise(folder: Path) -> int:
    """Run a local job: start its process, stop it at its time limit or on cancellation, and record its status.

    Runs in its own process (`python -m solo_hub.run.jobs FOLDER`).
    """
    order = json.loads((folder / "job.json").read_text("utf-8"))
    _write(folder, Status("RUNNING", url=str(folder)))
    deadline = time.monotonic() + float(order["timeout"])
    process = subprocess.Popen(order["command"], stdin=subprocess.DEVNULL)
    cancelled = late = False
    while process.poll() is None:
        cancelled = (folder / "cancel").exists()
        late = time.monotonic() > deadline
        if late:
            process.kill()  # like the Hub, without a grace period
        elif cancelled:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(_GRACE_PERIOD)
            except subprocess.TimeoutExpired:
                process.kill()
        if late or cancelled:
            break
        time.sleep(_POLL / 2)
    code = process.wait()
    stage = "CANCELED" if cancelled else "COMPLETED" if code == 0 and not late else "ERROR"
    message = "time limit exceeded" if late else "" if code == 0 or cancelled else f"exit code {code}"
    _write(folder, Status(stage, message, str(folder)))
    return code


def _write(folder: Path, status: Status) -> None:
    write_text(folder / "status.json", json.dumps(asdict(status)) + "\n")


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    # an ended child process is a zombie until it is waited for
    try:
        return os.waitpid(pid, os.WNOHANG) == (0, 0)
    except ChildProcessError:
        return True


def describe(status: Status) -> dict[str, Any]:
    """The status as printed by `--format json`."""
    return {**asdict(status), "finished": status.finished}
