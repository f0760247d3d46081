"""`solo-hub doctor`: finds what would stop a run before it starts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from solo_hub.cli.options import FORMAT, RUN, open_console, read_config, settings_options, without_deprecations


@click.command(
    epilog="""\b
Examples:
  solo-hub doctor demo
  solo-hub doctor my.yaml --push              also check that the result may be published
  solo-hub doctor my.yaml --model             also load the base model and generate an answer"""
)
@click.argument("source", required=False, metavar="[CONFIG.yaml|PRESET]")
@settings_options
@RUN
@click.option("--push", is_flag=True, help="The run will publish: whatever prevents that is an error.")
@click.option("--model", is_flag=True, help="Also download and load the base model.")
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
    """Check before a run whether anything would stop it: token, repos, licences, disk, memory, device, versions, data.

    Nothing is pushed and no run folder is created. Exit code 1 if something would stop the run.
    """
    from solo_hub.checks.preflight import Preflight, connect, run_checks
    from solo_hub.checks.result import CheckResult, failed

    config, folder = read_config(source, run_dir, options, assignments)
    console = open_console(mode)

    def report(result: CheckResult) -> None:
        console.line(result.line(_WIDTH), indent=_WIDTH + 11)

    with without_deprecations():
        preflight = Preflight(config, connect(config), console, push=push, model=model, folder=folder)
        results = run_checks(preflight, report)
    failures = failed(results)
    console.document({
        "config": source or "defaults",
        "run_can_start": not failures,
        "checks": [result.to_row() for result in results],
    })  # fmt: skip
    if failures:
        names = "; ".join(result.name for result in failures)
        console.error(f"{len(failures)} of {len(results)} checks failed and would stop the run: {names}.")
        return 1
    console.line("No check failed: the run can start.")
    return 0


_WIDTH = 24  # of the names; lines are printed as they come, so the longest is unknown
