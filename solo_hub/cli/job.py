"""`solo-hub distill --job FLAVOR` and `solo-hub job`: runs as jobs on another machine or in another process."""

from __future__ import annotations

import shlex
import sys
import tempfile
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from solo_hub.cli.options import FORMAT, HUB, JOB, Duration, open_console

if TYPE_CHECKING:
    from solo_hub.core.config import Config
    from solo_hub.core.console import Console
    from solo_hub.run.jobs.backends import Backend, Order

EVERY = 600.0  # seconds between two saves of the run folder
SHARE = 0.1  # of the time limit, reserved for stopping and saving
LEAST, MOST = 60.0, 900.0  # bounds of that reserve, in seconds
PLACE = "/job"  # folder on the remote machine


def run_as_job(
    config: Config, run_dir: Path, mode: str, flavor: str, seconds: float, *, push: bool, update: bool, yes: bool
) -> int:
    """Submit a run, follow its logs, and fetch the result."""
    from solo_hub.cli.options import connect
    from solo_hub.cli.results import print_result
    from solo_hub.core.errors import SoloHubError, UsageError
    from solo_hub.hub.connection import LOCAL
    from solo_hub.hub.failures import Place
    from solo_hub.run import references
    from solo_hub.run.folder import RunFolder
    from solo_hub.run.jobs.backends import backend
    from solo_hub.run.jobs.worker import bridge_name, fetch, send

    console = open_console(mode)
    connection = connect(config, references.repos(config), console)
    client = connection.client()
    if flavor != LOCAL and Place(client.endpoint).loopback:
        raise UsageError(
            f"A Hugging Face job cannot reach the Hub on this machine ({client.endpoint}).",
            hint="Use --job local or another --hub.",
        )
    repo_id = bridge_name(client.require_write(config.publish.namespace), run_dir.name)
    with RunFolder(run_dir).lock():
        console.note(f"the run is transferred through the private dataset {repo_id}")
        send(client, repo_id, config, run_dir, code=flavor != LOCAL)
    jobs = backend(flavor, connection)
    arguments = [*(["--push"] if push else []), *(["--update"] if update else []), *(["--yes"] if yes else [])]
    order = make_order(repo_id, connection, seconds, arguments, config.name, local=flavor == LOCAL)
    job = jobs.submit(order)
    console.note(f"job {job}: {jobs.inspect(job).url}")
    try:
        _follow(jobs, job, console)
    except KeyboardInterrupt:
        again = "" if flavor == LOCAL else f" --job {flavor}"
        console.warn(
            f"The job keeps running. See `solo-hub job logs {job}{again}`; cancel it with `solo-hub job cancel`."
        )
        raise
    status = jobs.inspect(job)
    fetch(client, repo_id, run_dir)
    if status.stage != "COMPLETED":
        reason = f" ({status.message})" if status.message else ""
        raise SoloHubError(
            f"The job {job} ended with status {status.stage}{reason}; its progress is saved in {run_dir}.",
            hint="Run the same command again to resume; allow more time with --job-time.",
        )
    run = RunFolder(run_dir)
    published = run.read_json("published") if push and run.has("published") else None
    print_result(console, {**run.read_json("report"), "run": str(run_dir), "published": published})
    return 0


def make_order(repo_id: str, connection: Any, seconds: float, arguments: list[str], name: str, *, local: bool) -> Order:
    """The job's command: this solo-hub for a local job, the copy uploaded with the run for a remote one."""
    from solo_hub.run.jobs.backends import Order

    work = ["job", "work", repo_id, "--time", f"{seconds:g}"]
    hub = ["--hub", connection.endpoint] if connection.endpoint else []
    rest = [f"--argument={argument}" for argument in arguments]
    token = connection.token
    if token is None:
        from huggingface_hub import get_token

        from solo_hub.core.redaction import register_secret

        token = register_secret(get_token())
    secrets = {"HF_TOKEN": token} if token else {}
    if local:
        command = [sys.executable, "-m", "solo_hub.cli.main", *work, *hub, *rest]
        return Order(command, {}, secrets, seconds, name)
    install = "pip install -q --root-user-action=ignore"
    steps = (
        "began=$(date +%s)",
        f"{install} huggingface_hub=={metadata.version('huggingface-hub')}",
        f"hf download {shlex.quote(repo_id)} --repo-type dataset --local-dir {PLACE} --quiet",
        f"{install} -r {PLACE}/code/requirements.txt",
        # installation counts towards the time limit
        shlex.join(["python", "-m", "solo_hub.cli.main", *work, *hub, *rest]) + " --spent $(($(date +%s) - began))",
    )
    environment = {"PYTHONPATH": f"{PLACE}/code", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
    if connection.endpoint:
        environment["HF_ENDPOINT"] = connection.endpoint  # for `hf download`
    return Order(["bash", "-c", " && ".join(steps)], environment, secrets, seconds, name)


def _follow(jobs: Backend, job: str, console: Console) -> None:
    """Print the job's logs until it is finished, reconnecting if the stream breaks."""
    import time

    while True:
        for line in jobs.logs(job):
            console.note(line)
        if jobs.inspect(job).finished:
            return
        time.sleep(1.0)


@click.group()
def job() -> None:
    """Manage jobs: status, logs, cancel."""


def _backend(flavor: str | None, hub: str | None) -> Backend:
    from solo_hub.hub.connection import LOCAL, Connection
    from solo_hub.hub.opening import open_hub
    from solo_hub.run.jobs.backends import backend

    if flavor in (None, LOCAL):
        return backend(LOCAL, Connection(None, None, None))
    return backend(flavor, open_hub(hub, needs=[]))


@job.command(epilog="Example: solo-hub job status 20260101-120000-0a1b2c")
@click.argument("name", metavar="JOB")
@JOB
@HUB
@FORMAT
def status(name: str, job: str | None, hub: str | None, mode: str) -> None:
    """Show the status of a job. Name its flavor with --job unless it is local."""
    from solo_hub.run.jobs.backends import describe

    state = _backend(job, hub).inspect(name)
    console = open_console(mode)
    console.line(f"{state.stage}{f': {state.message}' if state.message else ''}\n  {state.url}")
    console.document({"job": name, **describe(state)})


@job.command(epilog="Example: solo-hub job logs 20260101-120000-0a1b2c --follow")
@click.argument("name", metavar="JOB")
@JOB
@HUB
@click.option("--follow", is_flag=True, help="Follow the logs until the job is finished.")
def logs(name: str, job: str | None, hub: str | None, *, follow: bool) -> None:
    """Print the logs of a job."""
    for line in _backend(job, hub).logs(name, follow=follow):
        click.echo(line)


@job.command(epilog="Example: solo-hub job cancel 20260101-120000-0a1b2c")
@click.argument("name", metavar="JOB")
@JOB
@HUB
def cancel(name: str, job: str | None, hub: str | None) -> None:
    """Cancel a job; its progress is saved, and the same `distill --job` command resumes it."""
    _backend(job, hub).cancel(name)


@job.command(epilog="Example: solo-hub job work OWNER/NAME-run --time 4h")
@click.argument("repo", metavar="REPO")
@HUB
@click.option("--time", "seconds", type=Duration(), required=True, metavar="TIME", help="Time limit.")
@click.option("--spent", type=click.FloatRange(min=0), default=0, help="Seconds of the limit that are used already.")
@click.option("--every", type=Duration(), default=f"{EVERY:g}", help="Interval between saves of the run folder.")
@click.option("--argument", "arguments", multiple=True, help="Argument passed to `solo-hub distill`.")
def work(repo: str, hub: str | None, seconds: float, spent: float, every: float, arguments: tuple[str, ...]) -> int:
    """Execute the run in REPO. Internal: this is the command of a job."""
    from solo_hub.hub.opening import open_hub
    from solo_hub.run.jobs.worker import Limits, child
    from solo_hub.run.jobs.worker import work as do

    margin = min(max(SHARE * seconds, LEAST), MOST, seconds / 2)
    with tempfile.TemporaryDirectory(prefix="solo-hub-run-") as folder:
        run = Path(folder) / "run"
        client = open_hub(hub, needs=[]).client()
        return do(client, repo, run, Limits(max(seconds - spent, 0), every, margin), child(run, hub, list(arguments)))
