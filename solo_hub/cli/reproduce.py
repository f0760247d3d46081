"""`solo-hub reproduce`: run a published result again and compare."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from solo_hub.cli.options import FORMAT, HUB, SET, open_console, run_context


@click.command(
    epilog="""\b
Examples:
  solo-hub reproduce OWNER/qasc-SmolLM2-135M-Instruct-solo-adapter@v1
  solo-hub reproduce OWNER/qasc-SmolLM2-135M-Instruct-pseudo-labels --hub local     labels and selection only
  solo-hub reproduce OWNER/NAME --questions my.jsonl --knowledge notes.txt          made from local files"""
)
@click.argument("repo", metavar="REPO[@REV]")
@HUB
@click.option(
    "--run",
    "run_dir",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Run folder. An existing run is resumed. [default: runs/reproduce-NAME-COMMIT]",
)
@click.option(
    "--questions", type=click.Path(path_type=Path), metavar="FILE", help="The questions, if they were a local file."
)
@click.option(
    "--knowledge", type=click.Path(path_type=Path), metavar="FILE", help="The corpus, if it was a local file."
)
@click.option(
    "--agreement",
    type=click.FloatRange(0, 1),
    default=0.99,
    show_default=True,
    help="Minimum share of questions with the same label, passages and verdict.",
)
@click.option(
    "--tolerance",
    type=click.FloatRange(0, 1),
    default=0.02,
    show_default=True,
    help="Maximum difference of a number of the report, as a fraction.",
)
@SET
@FORMAT
def reproduce(
    repo: str,
    hub: str | None,
    run_dir: Path | None,
    questions: Path | None,
    knowledge: Path | None,
    agreement: float,
    tolerance: float,
    assignments: tuple[str, ...],
    mode: str,
) -> int:
    """Run a published result again, with its settings at its commits, and compare.

    Adapters are compared by labels, selection, weights and all metrics of all arms, datasets by labels and selection.
    Each value is reported as identical, within tolerance, or different. Nothing is pushed, and no code of the repo is
    run. Exit code 1 if something differs by more than its tolerance.
    """
    from solo_hub.checks.reproduction import check_files, environment_of, read_claim
    from solo_hub.checks.reproduction import reproduce as run_again
    from solo_hub.checks.tolerances import Tolerances, sentence
    from solo_hub.core import config as settings
    from solo_hub.hub.opening import open_hub

    console = open_console(mode)
    console.note(f"pulling {repo}")
    claim = read_claim(open_hub(hub, needs=[], note=console.note).client(), repo)
    data = settings.override(claim.settings, [])
    settings.put(data, "hub", hub)
    for key, file in (("task.questions", questions), ("knowledge.source", knowledge)):
        if file is not None:
            settings.put(data, key, str(file))
    name = claim.repo.repo_id.rsplit("/", 1)[-1]
    config = settings.build(settings.override(data, assignments), f"the settings of {claim.repo.repo_id}")
    held_out = config.task.evaluation_questions
    check_files(
        claim,
        {
            "questions": questions,
            "knowledge": knowledge,
            "evaluation_questions": Path(held_out) if held_out else questions,
            "labels": Path(labels) if (labels := config.teacher.labels) else None,
        },
    )
    folder = run_dir or Path("runs") / f"reproduce-{name}-{claim.repo.commit[:8]}"
    with run_context(config, folder, mode) as (context, _):
        compared = run_again(context, claim, Tolerances(agreement, tolerance))
        here = environment_of(context.resolved)
    other = {name: value for name, value in claim.environment.items() if here.get(name) != value}
    console.document({
        **claim.repo.to_row(),
        "run": str(folder),
        "agreement": agreement,
        "tolerance": tolerance,
        "reproduced": all(one.same for one in compared),
        "compared": [one.to_row() for one in compared],
        "environment": {name: {"published": value, "here": here.get(name)} for name, value in other.items()},
    })  # fmt: skip
    _print(console, f"{claim.repo.repo_id} at {claim.repo.commit[:8]}, reproduced in {folder}", compared)
    changed = "; ".join(f"{name} {value} there, {here.get(name, 'none')} here" for name, value in other.items())
    if all(one.same for one in compared):
        console.line(sentence(compared))
        if changed:
            console.line(f"The environment differs: {changed}.")
        return 0
    console.error(
        sentence(compared),
        f"The environment differs: {changed}."
        if changed
        else "The environment is the same: either the published claims are wrong, or a different processor sums in "
        f"another order. See {folder / 'config.yaml'}.",
    )
    return 1


def _print(console: Any, title: str, compared: list[Any]) -> None:
    def number(value: float | None) -> str:
        return "missing" if value is None else f"{value:.4f}"

    def numbers(one: Any) -> list[str]:
        if not one.counts:
            return ["", "", "", "any"]
        difference = "" if one.equal else "none" if one.difference is None else f"{one.difference:.2g}"
        return [number(one.published), number(one.here), difference, f"{one.allowed:.4g}"]

    console.table(
        title,
        ["what", "n", "published", "here", "difference", "tolerance", ""],
        [[one.name, f"{one.n:,}", *numbers(one), one.outcome] for one in compared],
    )
