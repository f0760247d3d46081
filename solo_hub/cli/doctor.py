"""`solo-hub doctor`: what would stop a run, found before it begins."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import click

from solo_hub.cli.options import FORMAT, RUN, read_config, settings_options


@click.command(
    epilog="""\b
Examples:
  solo-hub doctor demo
  solo-hub doctor my.yaml --push              also whether the result may be published
  solo-hub doctor my.yaml --model             also load the base model and let it answer"""
)
@click.argument("source", required=False, metavar="[CONFIG.yaml|PRESET]")
@settings_options
@RUN
@click.option("--push", is_flag=True, help="The run is going to publish: what forbids that is a fault.")
@click.option("--model", is_flag=True, help="Load the base model too; it is downloaded as the run would.")
@FORMAT
def doctor(
    source: str | None,
    run_dir: Path | None,
    assignments: tuple[str, ...],
    mode: str,
    *,
    push: bool,
    model: bool,
    **options: Any,
) -> int:
    """Check before a run what would stop it: token, repos, licences, disk, memory, device, versions, data, prompt.

    Nothing is pushed and no run folder is made. Exit code 1 when something would stop the run.
    """
    import warnings

    from solo_hub.checks.preflight import Preflight, check_up, connect
    from solo_hub.checks.result import CheckResult, wrong
    from solo_hub.core.console import Console, Mode

    config, folder = read_config(source, run_dir, options, assignments)
    console = Console(cast("Mode", mode))
    console.quieten_libraries()

    def tell(finding: CheckResult) -> None:
        console.line(finding.line(_WIDTH))

    with warnings.catch_warnings():
        # libraries warn of their own future; a user can do nothing about it
        warnings.simplefilter("ignore", FutureWarning)
        warnings.simplefilter("ignore", DeprecationWarning)
        checkup = Preflight(config, connect(config), console, push=push, model=model, folder=folder)
        found = check_up(checkup, tell)
    bad = wrong(found)
    console.document({
        "config": source or "defaults",
        "run_can_start": not bad,
        "checks": [finding.to_row() for finding in found],
    })  # fmt: skip
    if bad:
        console.error(f"{len(bad)} of {len(found)} checks would stop the run: {'; '.join(f.name for f in bad)}.")
        return 1
    console.line("Nothing found that would stop the run.")
    return 0


_WIDTH = 24  # of the names; lines are told as they come, so the longest is not known
