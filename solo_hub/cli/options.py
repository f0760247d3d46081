"""Shared options, defined once so that they are the same in all commands."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import click

if TYPE_CHECKING:
    from solo_hub.core.config import Config
    from solo_hub.core.console import Console, Mode
    from solo_hub.run.context import RunContext

F = TypeVar("F", bound=Callable[..., Any])

FORMAT = click.option(
    "--format",
    "mode",
    type=click.Choice(["human", "json", "quiet"]),
    default="human",
    show_default=True,
    help="Output: human-readable, one JSON document, or errors only.",
)
RUN = click.option(
    "--run",
    "run_dir",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Run folder. An existing run is resumed. [default: runs/NAME]",
)
HUB = click.option(
    "--hub",
    metavar="local|URL",
    help="Hub: local (embedded, offline) or a URL. [default: the Hugging Face Hub]",
)
SET = click.option(
    "--set",
    "assignments",
    multiple=True,
    metavar="KEY=VALUE",
    help="Change a setting, e.g. --set student.epochs=5. Repeatable.",
)
NAMESPACE = click.option(
    "--namespace", metavar="NAME", help="User or organisation to publish under. [default: the token's user]"
)
UPDATE = click.option(
    "--update",
    is_flag=True,
    help="Accept changed settings in an existing run: redo the affected steps, keep completed labels.",
)
YES = click.option(
    "--yes",
    is_flag=True,
    help="Do not prompt; publish rows that look like personal data too, and over what another run published.",
)
ALLOW_NO_GAIN = click.option(
    "--allow-no-gain",
    is_flag=True,
    help="Publish even if the student is not better than its base; the card then says so first.",
)


def open_console(mode: str, *, yes: bool = False) -> Console:
    """The console of a command; libraries write nothing of their own."""
    from solo_hub.core.console import Console

    console = Console(cast("Mode", mode), yes=yes)
    console.quieten_libraries()
    return console


@contextmanager
def without_deprecations() -> Iterator[None]:
    """Hide the libraries' deprecation warnings: nothing a user can act on."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        warnings.simplefilter("ignore", DeprecationWarning)
        yield


class Duration(click.ParamType[float]):
    """A number of seconds, or a number with the suffix s, m, h or d."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Parse a duration.

        >>> Duration().convert("1.5h", None, None)
        5400.0
        """
        text = str(value).strip()
        unit = {"s": 1, "m": 60, "h": 3600, "d": 86400}.get(text[-1:], 0)
        try:
            seconds = float(text[:-1]) * unit if unit else float(text)
        except ValueError:
            seconds = 0
        if not 0 < seconds < float("inf"):
            self.fail(f"'{value}' is not a valid duration. Write it as 90, 45m, 4h or 1d.", param, ctx)
        return float(seconds)


JOB = click.option(
    "--job",
    metavar="FLAVOR",
    help="Run as a job: a flavor of Hugging Face Jobs, e.g. t4-small (see `hf jobs hardware`), or local: a separate "
    "process on this machine.",
)
JOB_TIME = click.option(
    "--job-time",
    type=Duration(),
    default="4h",
    show_default=True,
    metavar="TIME",
    help="Time limit; progress is saved before the job is stopped.",
)


def settings_options(command: F) -> F:
    """Add the options that set a setting."""
    for option in reversed((
        click.option("--base", metavar="REPO[@REV]", help="Base model of both teacher and student."),
        click.option(
            "--task", metavar="NAME", help="Task: qasc, multiple_choice, open_qa, text_classification, or a plugin."
        ),
        click.option("--questions", metavar="REPO|FILE", help="Unlabelled questions."),
        click.option("--knowledge", metavar="REPO|FILE|FOLDER", help="Corpus the teacher retrieves passages from."),
        click.option("--seed", type=click.IntRange(0, 2**31 - 1), help="Random seed."),
        HUB, NAMESPACE, SET,
    )):  # fmt: skip
        command = option(command)
    return command


KEYS = {
    "base": "base",
    "task": "task.name",
    "questions": "task.questions",
    "knowledge": "knowledge.source",
    "seed": "seed",
    "hub": "hub",
    "namespace": "publish.namespace",
}
"""Option -> setting."""


def read_config(
    source: str | None, run_dir: Path | None, options: dict[str, Any], assignments: tuple[str, ...]
) -> tuple[Config, Path]:
    """Read settings and run folder from a preset, a file or an existing run folder, then apply options.

    Returns:
        The settings and the run folder.
    """
    from solo_hub.core import config as settings

    data, place = read_settings(source, run_dir)
    for name, value in options.items():
        if value is not None:
            settings.put(data, KEYS[name], value)
    config = settings.build(settings.override(data, assignments), place)
    return config, run_dir or default_folder(config)


def read_settings(source: str | None, run_dir: Path | None) -> tuple[dict[str, Any], str]:
    """The settings of a preset, a file or an existing run folder, and their origin for messages; a copy to change."""
    from solo_hub.core import config as settings
    from solo_hub.core.errors import ConfigError

    place = "the settings"
    if source is not None:
        path = Path(source)
        if path.is_file() or path.suffix in {".yaml", ".yml"} or "/" in source:
            data, place = settings.read_file(path), source
            # the config.yaml of a run has its settings one level down, beside `resolved`
            if "settings" in data and "resolved" in data:
                data = data["settings"]
        else:
            data = settings.read_preset(source)
    elif run_dir is not None and (run_dir / "config.yaml").exists():
        document = settings.read_file(run_dir / "config.yaml")
        if not isinstance(document.get("settings"), dict):
            raise ConfigError(
                f"'{run_dir / 'config.yaml'}' is not the configuration of a run.",
                hint="Choose another folder with --run DIR.",
            )
        data, place = document["settings"], str(run_dir / "config.yaml")
    else:
        data = {}
    return settings.override(data, []), place


def next_round(earlier: Path, source: str | None, assignments: tuple[str, ...]) -> tuple[str | None, tuple[str, ...]]:
    """Source and assignments of a run that the student of an earlier run teaches: its published adapter or its folder.

    Raises:
        RunError: The folder is not that of a run, or has no student yet.
    """
    from solo_hub.core.errors import RunError
    from solo_hub.run.folder import RunFolder

    run = RunFolder(earlier)
    settings = run.read_config()["settings"]
    if not run.has("adapter"):
        raise RunError(
            f"The run '{earlier}' has no student yet that could teach.",
            hint=f"Finish it with `solo-hub distill --run {earlier}`.",
        )
    published = run.read_json("published").get("adapter") if run.has("published") else None
    student = f"{published['repo_id']}@{published['commit']}" if published else str(run.file("adapter").resolve())
    name, number = re.fullmatch(r"(.*?)(?:-round(\d+))?", str(settings["name"]), re.DOTALL).groups()  # type: ignore[union-attr]
    own: tuple[str, ...] = (f"teacher.adapter={json.dumps(student)}",)
    if source is None:
        own = (*own, f"name={name}-round{int(number or 1) + 1}", "teacher.base=[]")
    return source or str(run.file("config")), (*own, *assignments)


def default_folder(config: Config) -> Path:
    """Where a run goes if no folder is named."""
    return Path("runs") / (config.name if config.seed == 0 else f"{config.name}-seed{config.seed}")


@contextmanager
def run_context(
    config: Config, run_dir: Path, mode: str, *, update: bool = False, yes: bool = False
) -> Iterator[tuple[RunContext, Console]]:
    """A locked run folder with its run context."""
    from solo_hub.core import config as settings
    from solo_hub.core import launch
    from solo_hub.run import replaced
    from solo_hub.run.folder import RunFolder

    first = launch.rank() == 0  # of several processes the first prints and locks the folder
    console = open_console(mode if first else "quiet", yes=yes)
    run = RunFolder(run_dir)
    with run.lock() if first else nullcontext(), console.interruptible(), without_deprecations():
        from solo_hub.run.context import RunContext, launched

        try:
            with launched(config).first_first():
                context = RunContext(config, run, lambda needs: connect(config, needs, console), console, update=update)
            for sentence in () if run.has("adapter") else settings.advice(config):
                console.warn(sentence)
            yield context, console
        finally:
            if first:
                replaced.sweep(run)


def connect(config: Config, needs: list[str], console: Console) -> Any:
    """Open the configured Hub; needed repos that come with solo-hub are seeded on a local one."""
    from solo_hub.hub.connection import LOCAL
    from solo_hub.hub.opening import open_hub

    connection = open_hub(config.hub, needs=needs, note=console.note)
    if config.hub == LOCAL:
        from solo_hub.hub.seeds.seeding import seed_world
        from solo_hub.hub.seeds.world.world import CORPUS_REPO, QUESTIONS_REPO

        pinned = any("@" in (name or "") for name in (config.task.questions, config.knowledge.source))
        if any(reference.split("@")[0] in (QUESTIONS_REPO, CORPUS_REPO) for reference in needs) and not pinned:
            # another seed gives another world; the same seed pushes nothing
            seed_world(connection.client(), config.seed, note=console.note)
    return connection
