"""`solo-hub distill --plan` and `--preview N`: what a run will do, before it does it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from solo_hub.cli.options import connect, open_console, without_deprecations

if TYPE_CHECKING:
    from solo_hub.checks.plan import Plan
    from solo_hub.checks.preview import Preview, Shown
    from solo_hub.core.config import Config
    from solo_hub.core.console import Console
    from solo_hub.core.records import Prediction, PseudoLabel


@contextmanager
def _ready(config: Config, mode: str) -> Iterator[tuple[Any, Console]]:
    """The Hub, with what a run needs of it, and a console."""
    from solo_hub.core.errors import Interrupted
    from solo_hub.run import references, settings_checks

    console = open_console(mode)
    with without_deprecations():
        settings_checks.check(config)  # before anything is downloaded
        try:
            yield connect(config, references.repos(config), console), console
        except KeyboardInterrupt as stop:
            raise Interrupted("a plan or preview keeps nothing", "Run it again, or the run itself.") from stop


def print_plan(config: Config, run_dir: Path, mode: str, flavor: str | None) -> int:
    """Plan a run and print the plan."""
    from solo_hub.checks import plan as plans
    from solo_hub.hub.connection import LOCAL

    with _ready(config, mode) as (connection, console):
        made = plans.plan(config, connection, console, run_dir)
        price = None if flavor in (None, LOCAL) else plans.prices(connection, str(flavor))
    hours = made.seconds / 3600
    job = None if price is None else {**price, "usd": price["usd_per_hour"] * hours}
    console.document({"plan": made.to_row(), "job": job})
    _print_table(made, console)
    if job is not None:
        console.line(
            f"{job['name']} ({job['hardware']}): {job['usd_per_hour']:.2f} USD an hour, {job['usd']:.2f} USD if it is "
            "as fast as this machine."
        )
    elif flavor not in (None, LOCAL):
        console.line(f"This Hub names no price for '{flavor}'; `hf jobs hardware` lists flavors and prices.")
    console.line("Nothing was kept or pushed. Start with the same command without --plan.")
    return 0


def _print_table(made: Plan, console: Console) -> None:
    from solo_hub.checks.plan import headline
    from solo_hub.core.progress import duration
    from solo_hub.core.system import format_bytes

    rows = [
        [
            step.name,
            step.work,
            duration(step.seconds),
            format_bytes(step.memory_bytes) if step.memory_bytes else "-",
            format_bytes(step.disk_bytes) if step.disk_bytes else "-",
        ]
        for step in made.steps
    ]
    disk = sum(step.disk_bytes for step in made.steps)
    peak = max((step.memory_bytes or 0 for step in made.steps), default=0)
    rows.append(["all", "", duration(made.seconds), format_bytes(peak), format_bytes(disk)])
    console.table("", ["step", "what", "time", "memory", "disk"], rows, left=2)
    named = {"documents": "in the documents", "prompts": "in the teacher's prompts", "training": "in training"}
    console.line("tokens, about: " + ", ".join(f"{count:,} {named[name]}" for name, count in made.tokens.items()))
    console.line(f"In all {headline(made)}. Publishing is not in it.")
    for note in made.notes:
        console.warn(note)


def print_preview(config: Config, mode: str, count: int) -> int:
    """Take some questions through all steps and print what became of each."""
    from solo_hub.checks.preview import preview

    started = time.monotonic()
    with _ready(config, mode) as (connection, console):
        made = preview(config, connection, console, count)
    console.document({
        "questions": [shown.to_row() for shown in made.shown],
        "style": made.style,
        "documents": {"searched": made.documents[0], "all": made.documents[1]},
        "training_steps": made.steps,
    })  # fmt: skip
    for number, shown in enumerate(made.shown, start=1):
        _print_shown(shown, number, len(made.shown), console)
    _print_end(made, time.monotonic() - started, console)
    return 0


def _print_shown(shown: Shown, number: int, count: int, console: Console) -> None:
    from solo_hub.curation.step import WRITTEN

    console.heading(f"{number} of {count}  {shown.question.text}")
    _block(console, "passages, the best one last", [f"[{p.id}] {p.text}" for p in shown.passages] or ["none"])
    if shown.prompt:
        _block(console, "prompt, exactly as sent", shown.prompt.split("\n"), mark="│ ")
    elif shown.label.style == WRITTEN:
        _block(console, "no teacher is asked", ["the answer is the document's own words (curation.check=text)"])
    confidence = "" if shown.label.confidence is None else f", confidence {shown.label.confidence:.2f}"
    dropped = f"; {shown.label.passages_dropped} more passages did not fit" if shown.label.passages_dropped else ""
    _block(console, "label", [f"{shown.label.text}{confidence}{dropped}"])
    state = "kept" if shown.verdict.kept else "dropped"
    _block(console, "selection", [f"{state}: {shown.verdict.reason}"])
    _block(console, "answers: the label, and base and student without passages", _answers(shown))
    console.line()


def _answers(shown: Shown) -> list[str]:
    """A line an option with its probability by each; or a line an arm, where there are no probabilities."""
    answers: dict[str, PseudoLabel | Prediction] = {"label": shown.label, **shown.answers}
    if not shown.question.options or shown.answers["base"].probabilities is None:
        return [f"{arm}: {answer.text}" for arm, answer in answers.items()]
    rows = ["  ".join(f"{arm:>7}" for arm in answers)]
    for place, option in enumerate(shown.question.options):
        cells = []
        for answer in answers.values():
            value = "" if answer.probabilities is None else f"{answer.probabilities[place]:.2f}"
            cells.append(f"{value}{'*' if place == answer.option else ' '}".rjust(7))
        rows.append("  ".join([*cells, option]))
    return rows


def _block(console: Console, title: str, lines: Sequence[str], mark: str = "") -> None:
    console.heading(f"  {title}")
    for line in lines:
        console.line(f"    {mark}{line}")


def _print_end(made: Preview, seconds: float, console: Console) -> None:
    searched, total = made.documents
    if searched < total:
        console.line(
            f"Passages come from the {searched:,} of {total:,} that share most words with these questions; index all "
            "with `solo-hub index` to search all."
        )
    if made.steps:
        console.line(
            f"The student was trained for {made.steps} steps on these questions alone and asked the same: this shows "
            "what is learnt, not how well."
        )
    else:
        console.line("No label was kept, so there is no student: relax filters or selection.")
    console.line(f"Options are scored by '{made.style}'. {seconds:.0f} s; nothing was kept or pushed.")
