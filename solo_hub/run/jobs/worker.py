"""A run done as a job: what travels there, what comes back on the way, and what is left when its time is over.

A private dataset repo is the bridge: `job.yaml` (the settings), `run/` (the run folder, as far as it is) and, for a job
on other machines, `code/` (solo-hub itself and its requirements). The job pulls it, does the run, and pushes the run
folder again every few minutes, before its time is over, and at the end. So a job that was cut off goes on where it
stopped, here or as another job.
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
from solo_hub.run import references, transaction
from solo_hub.run import requirements as extras
from solo_hub.run.folder import RunFolder
from solo_hub.run.jobs.package import copy_package, pins

logger = logging.getLogger(__name__)

SETTINGS, RUN, CODE = "job.yaml", "run", "code"
SUFFIX = "-run"
UNFINISHED = 75  # EX_TEMPFAIL: run the same command again
_STAYS = (".lock", ".holder")
_ARRIVED = ".arrived"
_LET_GO = 30.0  # seconds the run has to stop by itself


def bridge_name(namespace: str, run: str) -> str:
    """Repo that carries a run to its job and back.

    >>> bridge_name("me", "qasc-small")
    'me/qasc-small-run'
    """
    return f"{namespace}/{run}"[: MAX_REPO_ID - len(SUFFIX)].rstrip("._-") + SUFFIX


def send(client: HubClient, repo_id: str, config: Config, run: Path, *, code: bool) -> str:
    """Put a run on its bridge: its settings, and its folder as far as it is.

    Args:
        client: The Hub.
        repo_id: The bridge.
        config: The settings.
        run: The run folder here; may be missing.
        code: Whether solo-hub itself goes with it.

    Returns:
        The commit.

    Raises:
        RunError: The run needs files of this machine, which the other does not have.
        HubError: The Hub failed.
    """
    if code:
        _refuse_files(config)
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
pretty_name: Run {name} on its way
viewer: false
---
# The run {name} on its way

Carries a run of solo-hub to its job and back. May be deleted when the run is finished.
"""


def _refuse_files(config: Config) -> None:
    """Another machine does not have the files of this one."""
    named = references.of(config).items()
    local = {role: reference for role, (reference, kind) in named if references.local(role, reference, kind)}
    if config.teacher.examples:
        local["teacher.examples"] = config.teacher.examples
    for role, reference in local.items():
        raise RunError(
            f"The job cannot read '{reference}' ({role}): it is on this machine.",
            hint="Upload it as a dataset repo (`hf upload`; or `solo-hub index --to DIR --push`) and name that, "
            "or use --job local.",
        )


def _requirements(config: Config) -> list[str]:
    """Everything a run needs, at the versions installed here."""
    from importlib import metadata

    from packaging.requirements import Requirement

    found, wanted = [], extras.needed(config)
    for line in metadata.requires("solo-hub") or ():
        needed = Requirement(line)
        if any(needed.marker and needed.marker.evaluate({"extra": extra}) for extra in wanted):
            try:
                found.append(f"{needed.name}=={metadata.version(needed.name).partition('+')[0]}")
            except metadata.PackageNotFoundError:
                found.append(f"{needed.name}{needed.specifier}")
    return sorted({*found, *pins("\n".join(found))})


def fetch(client: HubClient, repo_id: str, run: Path) -> None:
    """Bring a run home: what the job left on the bridge becomes the run folder.

    Raises:
        RunError: The job left nothing.
    """
    folder = _pull(client, repo_id)
    if folder is None or not (folder / RUN).is_dir():
        raise RunError(f"The job left no run in the dataset '{repo_id}'.", hint="See what it said: solo-hub job logs.")
    with RunFolder(run).lock():
        # what can fail is done first: the run of before stays until the one from the job is here, and goes at once
        arrived = run / _ARRIVED
        shutil.rmtree(arrived, ignore_errors=True)
        _copy_run(folder / RUN, arrived)
        transaction.resume(arrived)
        before = [path.name for path in run.iterdir() if path.name not in (*_STAYS, _ARRIVED)]
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
    """Copy a run folder that may be growing meanwhile; a row cut off at the end of a file is cut off on reading too."""
    shutil.copytree(source, target, dirs_exist_ok=True, ignore=shutil.ignore_patterns(*_STAYS, ".*.tmp"))


@dataclass(frozen=True, slots=True)
class Limits:
    """The job's clock, all in seconds.

    Attributes:
        time: Until it is ended from outside.
        every: Between two pushes of the run folder.
        margin: Before the end the run is stopped and pushed for the last time.
    """

    time: float
    every: float
    margin: float


def work(client: HubClient, repo_id: str, run: Path, limits: Limits, command: Callable[[Path], list[str]]) -> int:
    """Do a run inside a job.

    Args:
        client: The Hub.
        repo_id: The bridge.
        run: Where the run folder is made.
        limits: The clock.
        command: The program that does the run, given the file with its settings.

    Returns:
        Its exit code; `UNFINISHED` where the time was over before it was done.

    Raises:
        RunError: There is nothing on the bridge.
    """
    began = time.monotonic()
    pulled = _pull(client, repo_id)
    if pulled is None:
        raise RunError(f"There is no job in the dataset '{repo_id}'.", hint="Submit it with: solo-hub distill --job.")
    with tempfile.TemporaryDirectory(prefix="solo-hub-work-") as scratch:
        folder = Path(scratch)
        shutil.copytree(pulled, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns(RUN))
        if (pulled / RUN).is_dir():
            _copy_run(pulled / RUN, run)
        stopped: list[int] = []

        def stop(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - what a signal handler is given
            stopped.append(number)

        before = signal.signal(signal.SIGTERM, stop)
        process = subprocess.Popen(command(folder / SETTINGS))
        saved = time.monotonic()
        try:
            while process.poll() is None and not stopped:
                if time.monotonic() - began > limits.time - limits.margin:
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
    """Let the run stop as if its user had pressed Ctrl-C: what it has paid for is on the disk."""
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(_LET_GO)
        except subprocess.TimeoutExpired:
            process.kill()
    return process.wait()


def _save(client: HubClient, repo_id: str, folder: Path, run: Path, state: str, *, last: bool = False) -> None:
    """Push the run folder; on the way, a Hub that is away or a file that went meanwhile waits for the next save."""
    try:
        shutil.rmtree(folder / RUN, ignore_errors=True)
        if run.is_dir():
            _copy_run(run, folder / RUN)
        client.push(folder, repo_id, "dataset", message=f"The run, {state}", private=True, next_version_tag=False)
    except (HubError, OSError):  # a checkpoint may be swept away while it is copied
        if last:
            raise
        logger.warning("the run could not be saved on the way", exc_info=True)


def child(run: Path, hub: str | None, arguments: list[str]) -> Callable[[Path], list[str]]:
    """The command that does the run inside the job."""

    def command(settings: Path) -> list[str]:
        hub_option = ["--hub", hub] if hub else []
        start = [sys.executable, "-m", "solo_hub.cli.main", "distill", str(settings), "--run", str(run)]
        return [*start, *hub_option, *arguments]

    return command
