"""`solo-hub show`: what runs found, from their files alone: one run, two side by side, or several seeds pooled."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from solo_hub.cli.options import FORMAT

if TYPE_CHECKING:
    from solo_hub.core.console import Console


@click.command(epilog="Example: solo-hub show runs/demo --compare runs/demo-llkd --html both.html")
@click.argument("run_dirs", metavar="RUN...", nargs=-1, required=True, type=click.Path(file_okay=False, path_type=Path))
@click.option(
    "--compare", type=click.Path(file_okay=False, path_type=Path), metavar="RUN", help="Set another run beside it."
)
@click.option(
    "--html",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Also write the comparison as one self-contained page.",
)
@FORMAT
def show(run_dirs: tuple[Path, ...], compare: Path | None, html: Path | None, mode: str) -> None:
    """Print the tables of a finished run; report.html in its folder has the whole story.

    Several runs that differ in their seed are pooled: seeds and questions are both samples.
    """
    from typing import cast

    from solo_hub.core.console import Console, Mode
    from solo_hub.core.errors import UsageError

    console = Console(cast("Mode", mode))
    if html is not None and compare is None:
        raise UsageError("--html writes a comparison.", hint="Add --compare RUN; a single run has its report.html.")
    if compare is not None and len(run_dirs) > 1:
        raise UsageError("--compare sets two runs side by side.", hint="Name one run before it.")
    if compare is not None:
        _side_by_side(console, run_dirs[0], compare, html)
    elif len(run_dirs) > 1:
        _pooled(console, run_dirs)
    else:
        _one(console, run_dirs[0])


def _one(console: Console, run_dir: Path) -> None:
    from solo_hub.cli.results import print_result
    from solo_hub.run.folder import RunFolder

    run = RunFolder(run_dir)
    run.read_config()
    report = run.read_json("report")
    published = run.read_json("published") if run.has("published") else None
    print_result(console, {**report, "run": str(run_dir), "published": published})
    if run.has("html"):
        console.line(f"\nthe whole story: {run.file('html')}")


def _side_by_side(console: Console, first: Path, second: Path, html: Path | None) -> None:
    from solo_hub.evaluation.finished_run import read
    from solo_hub.evaluation.report.figures import plain
    from solo_hub.evaluation.report.terminal import p_value_text, with_interval
    from solo_hub.evaluation.statistics import side_by_side

    document = side_by_side.compare(read(first), read(second))
    console.document(document)
    rows = []
    for name, row in document["arms"].items():
        pair = row["paired"]
        rows.append([
            name,
            with_interval(row["first"]),
            with_interval(row["second"]),
            _points(pair["difference"]) if pair else "-",
            p_value_text(pair["p_value"]) if pair else "-",
            p_value_text(pair["p_value_holm"]) if pair else "-",
        ])  # fmt: skip
    one, two = document["runs"]
    title = "Accuracy [95 %]; differences are second minus first" + (
        ", McNemar's test; no comparison is primary, so Holm's correction decides" if document["same_questions"] else ""
    )
    console.table(title, ["arm", one, two, "difference, points", "p", "p (Holm)"], rows)
    if not document["same_questions"]:
        console.line("They were asked different questions: no test compares them.")
    beside = [[r["name"], with_interval(r["first"]), with_interval(r["second"])] for r in document["figures"]]
    beside += [[r["name"], plain(r["first"]), plain(r["second"])] for r in document["training"]]
    console.table("Beside it", ["", one, two], beside)
    differing = [[key, str(a), str(b)] for key, (a, b) in document["differing"].items()]
    console.table("What differs", ["setting", one, two], differing)
    if html is not None:
        side_by_side.write_page(html, document)
        console.line(f"\nthe same as a page: {html}")


def _pooled(console: Console, run_dirs: tuple[Path, ...]) -> None:
    from solo_hub.evaluation.finished_run import read
    from solo_hub.evaluation.report.terminal import with_interval
    from solo_hub.evaluation.statistics.pooling import FEW_SEEDS, pool

    document = pool([read(folder) for folder in run_dirs])
    console.document(document)
    rows = [
        [
            name,
            with_interval(arm["accuracy"]),
            f"{arm['standard_deviation']:.3f}",
            " ".join(f"{value:.3f}" for value in arm["by_run"]),
        ]
        for name, arm in document["arms"].items()
    ]
    seeds = ", ".join(str(seed) for seed in document["seeds"])
    console.table(
        f"{len(document['runs'])} runs (seeds {seeds}), {document['n_questions']:,} questions, pooled",
        ["arm", "accuracy [95 %]", "s.d. over seeds", "by run"],
        rows,
    )
    for name, row in document["paired"].items():
        console.line(f"{name.replace('_vs_', ' - ')}: {_points(row)} points")
    if document["gap_closed"]:
        gap = document["gap_closed"]
        console.line(f"gap closed: {100 * gap['value']:.0f} % [{100 * gap['low']:.0f} %, {100 * gap['high']:.0f} %]")
    if len(run_dirs) < FEW_SEEDS:
        console.warn(
            f"{len(run_dirs)} seeds say little about what another seed would give: the intervals are wide. "
            f"Pool at least {FEW_SEEDS}."
        )
    if len(set(document["seeds"])) < len(document["seeds"]):
        console.warn("Two runs have the same seed: they are one sample, counted twice.")
    if document["differing"]:
        console.warn(f"The runs differ in more than their seed: {', '.join(document['differing'])}.")


def _points(measure: Mapping[str, Any]) -> str:
    return f"{100 * measure['value']:+.1f} [{100 * measure['low']:+.1f}, {100 * measure['high']:+.1f}]"
