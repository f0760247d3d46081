"""A run as a job: how it is transferred, saved on the way, and stopped at its time limit.

A private dataset repo is the bridge: `job.yaml` (the settings), `run/` (the run folder so far) and, for a job on
another machine, `code/` (solo-hub and its requirements). The job pulls it, does the run, and pushes the run folder
every few minutes, before its time limit, and at the end. An interrupted job can therefore be resumed, here or as
another job.
"""

from __future__ import annotations

import logging
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import yaml

from solo_hub.core.config import Config
from solo_hub.core.errors import HubError, RepoMissingError, RunError
from solo_hub.hub.client import HubClient
from solo_hub.hub.repos import MAX_REPO_ID
from solo_hub.run import packages, references, transaction
from solo_hub.run.folder import RunFolder
from solo_hub.run.jobs.package import copy_package, pins

logger = logging.getLogger(__name__)

SETTINGS, RUN, CODE = "job.yaml", "run", "code"
SUFFIX = "-run"
UNFINISHED = 75  # EX_TEMPFAIL: run the same command again
_LOCAL_FILES = (".lock", ".holder")
_ARRIVED = ".arrived"
_GRACE_PERIOD = 30.0  # seconds the run has to stop


def bridge_name(namespace: str, run: str) -> str:
    """Repo that transfers a run to its job and back.

    >>> bridge_name("me", "qasc-small")
    'me/qasc-small-run'
    """
    return f"{namespace}/{run}"[: MAX_REPO_ID - len(SUFFIX)].rstrip("._-") + SUFFIX


def send(client: HubClient, repo_id: str, config: Config, run: Path, *, code: bool) -> str:
    """Push a run to its bridge: its settings, and its folder so far.

    Args:
        client: The Hub.
        repo_id: The bridge.
        config: The settings.
        run: The local run folder; may be missing.
        code: Whether to include solo-hub itself.

    Returns:
        The commit.

    Raises:
        RunError: The run needs local files, which the other machine does not have.
        HubError: The Hub failed.
    """
    if code:
        _check_no_local_files(config)
    with tempfile.TemporaryDirectory(prefix="solo-hub-job-") as scratch:
        folder = Path(scratch)
        settings = config.model_dump(mode="json") | {"hub": None}
        (folder / SETTINGS).write_text(yaml.safe_dump(settings, sort_keys=False, allow_unicode=True), "utf-8")
        (folder / "README.md").write_text(_CARD.format(name=config.name), "utf-8")
        before = _pull(client, repo_id)
        source = run if run.is_dir() else before / RUN if before is not None else None
        if source is not None and source.is_dir():
            _copy_run(source, folder / RUN)
        if code:
            (folder / CODE).mkdir()
            copy_package(folder / CODE)
            (folder / CODE / "requirements.txt").write_text("\n".join(_requirements(config)) + "\n", "utf-8")
        message = f"Settings of {config.name}"
        return client.push(folder, repo_id, "dataset", message=message, private=True, next_version_tag=False).commit


_CARD = """---
pretty_name: Run {name} in transfer
viewer: false
---
# The run {name} in transfer

Transfers a run of solo-hub to its job and back. Can be deleted when the run is finished.
"""


def _check_no_local_files(config: Config) -> None:
    """Reject local files, which another machine does not have."""
    named = references.references_of(config).items()
    local = {role: reference for role, (reference, kind) in named if references.local(role, reference, kind)}
    if config.teacher.examples:
        local["teacher.examples"] = config.teacher.examples
    for role, reference in local.items():
        raise RunError(
            f"The job cannot read '{reference}' ({role}): it is a local file.",
            hint="Upload it as a dataset repo (`hf upload`, or `solo-hub index --to DIR --push`) and use that, "
            "or use --job local.",
        )


def _requirements(config: Config) -> list[str]:
    """All packages a run needs, at the installed versions."""
    from importlib import metadata

    from packaging.requirements import Requirement

    found, wanted = [], packages.extras(config)
    for line in metadata.requires("solo-hub") or ():
        needed = Requirement(line)
        if any(needed.marker and needed.marker.evaluate({"extra": extra}) for extra in wanted):
            try:
                found.append(f"{needed.name}=={metadata.version(needed.name).partition('+')[0]}")
            except metadata.PackageNotFoundError:
                found.append(f"{needed.name}{needed.specifier}")
    return sorted({*found, *pins("\n".join(found))})


def fetch(client: HubClient, repo_id: str, run: Path) -> None:
    """Fetch a run: replace the local run folder by what the job left on the bridge.

    Raises:
        RunError: The job left nothing.
    """
    folder = _pull(client, repo_id)
    if folder is None or not (folder / RUN).is_dir():
        raise RunError(f"The job left no run in the dataset '{repo_id}'.", hint="See its log: solo-hub job logs.")
    with RunFolder(run).lock():
        # what can fail is done first: the old run is kept until the new one is complete, then replaced at once
        arrived = run / _ARRIVED
        shutil.rmtree(arrived, ignore_errors=True)
        _copy_run(folder / RUN, arrived)
        transaction.resume(arrived)
        before = [path.name for path in run.iterdir() if path.name not in (*_LOCAL_FILES, _ARRIVED)]
        moves = [(name, f"{transaction.DISCARDED}/{name}") for name in before]
        moves += [(f"{_ARRIVED}/{path.name}", path.name) for path in arrived.iterdir()]
        transaction.commit(run, moves, {})
        shutil.rmtree(arrived, ignore_errors=True)


def _pull(client: HubClient, repo_id: str) -> Path | None:
    try:
        return client.pull(client.pin(repo_id, "dataset"), allow=["*"])
    except RepoMissingError:
        return None


def _copy_run(source: Path, target: Path) -> None:
    """Copy a run folder that may be growing; an incomplete last row is ignored when the copy is read."""
    shutil.copytree(source, target, dirs_exist_ok=True, ignore=shutil.ignore_patterns(*_LOCAL_FILES, ".*.tmp"))


@dataclass(frozen=True, slots=True)
class Limits:
    """A job's time limits, in seconds.

    Attributes:
        time: Time limit of the job.
        every: Interval between pushes of the run folder.
        margin: How long before the time limit the run is stopped and pushed for the last time.
    """

    time: float
    every: float
    margin: float


def work(client: HubClient, repo_id: str, run: Path, limits: Limits, command: Callable[[Path], list[str]]) -> int:
    """Do a run inside a job.

    Args:
        client: The Hub.
        repo_id: The bridge.
        run: Where to create the run folder.
        limits: The time limits.
        command: Builds the command of the run from its settings file.

    Returns:
        Its exit code; `UNFINISHED` if it was stopped before it was done.

    Raises:
        RunError: The bridge is empty.
    """
    started = time.monotonic()
    pulled = _pull(client, repo_id)
    if pulled is None:
        raise RunError(f"There is no job in the dataset '{repo_id}'.", hint="Submit it with: solo-hub distill --job.")
    with tempfile.TemporaryDirectory(prefix="solo-hub-work-") as scratch:
        folder = Path(scratch)
        shutil.copytree(pulled, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns(RUN))
        if (pulled / RUN).is_dir():
            _copy_run(pulled / RUN, run)
        stopped: list[int] = []

        def stop(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - a signal handler's arguments
            stopped.append(number)

        before = signal.signal(signal.SIGTERM, stop)
        process = subprocess.Popen(command(folder / SETTINGS))
        saved = time.monotonic()
        try:
            while process.poll() is None and not stopped:
                if time.monotonic() - started > limits.time - limits.margin:
                    stopped.append(0)
                elif time.monotonic() - saved > limits.every:
                    _save(client, repo_id, folder, run, "on the way")
                    saved = time.monotonic()
                time.sleep(0.1)
        finally:
            code = _end(process)
            signal.signal(signal.SIGTERM, before)
        _save(client, repo_id, folder, run, "unfinished" if stopped else "finished", last=True)
    return UNFINISHED if stopped else code


def _end(process: subprocess.Popen[bytes]) -> int:
    """Stop the run like Ctrl-C, which saves its progress."""
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(_GRACE_PERIOD)
        except subprocess.TimeoutExpired:
            process.kill()
    return process.wait()


def _save(client: HubClient, repo_id: str, folder: Path, run: Path, state: str, *, last: bool = False) -> None:
    """Push the run folder; unless it is the last push, errors are logged and left to the next one."""
    try:
        shutil.rmtree(folder / RUN, ignore_errors=True)
        if run.is_dir():
            _copy_run(run, folder / RUN)
        client.push(folder, repo_id, "dataset", message=f"The run, {state}", private=True, next_version_tag=False)
    except (HubError, OSError):  # a checkpoint may be removed while it is copied
        if last:
            raise
        logger.warning("the run could not be saved", exc_info=True)


def child(run: Path, hub: str | None, arguments: list[str]) -> Callable[[Path], list[str]]:
    """The command that does the run inside the job."""

    def command(settings: Path) -> list[str]:
        hub_option = ["--hub", hub] if hub else []
        start = [sys.executable, "-m", "solo_hub.cli.main", "distill", str(settings), "--run", str(run)]
        return [*start, *hub_option, *arguments]

    return command
