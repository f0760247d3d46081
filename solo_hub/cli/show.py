"""`solo-hub show`: results of runs, from their files: one run, two side by side, or several seeds pooled."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from solo_hub.cli.options import FORMAT, open_console

if TYPE_CHECKING:
    from solo_hub.core.console import Console


@click.command(epilog="Example: solo-hub show runs/demo --compare runs/demo-llkd --html both.html")
@click.argument("run_dirs", metavar="RUN...", nargs=-1, required=True, type=click.Path(file_okay=False, path_type=Path))
@click.option(
    "--compare", type=click.Path(file_okay=False, path_type=Path), metavar="RUN", help="Compare with another run."
)
@click.option(
    "--html",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Also write the comparison as one self-contained page.",
)
@FORMAT
def show(run_dirs: tuple[Path, ...], compare: Path | None, html: Path | None, mode: str) -> None:
    """Print the results of a finished run; report.html in its folder has the details.

    Several runs that differ only in their seed are pooled; seeds and questions are both treated as samples.
    """
    from solo_hub.core.errors import UsageError

    console = open_console(mode)
    if html is not None and compare is None:
        raise UsageError(
            "--html needs --compare.", hint="Add --compare RUN; the page of a single run is report.html in its folder."
        )
    if compare is not None and len(run_dirs) > 1:
        raise UsageError("--compare takes two runs.", hint="Name one run, then --compare and the other.")
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
        console.line(f"\nfull report: {run.file('html')}")


def _side_by_side(console: Console, first: Path, second: Path, html: Path | None) -> None:
    from solo_hub.evaluation.finished_run import read
    from solo_hub.evaluation.report.format import arm_label, format_value, metric_value, p_value, points_interval
    from solo_hub.evaluation.statistics import side_by_side

    document = side_by_side.compare(read(first), read(second))
    console.document(document)
    rows = []
    for name, row in document["arms"].items():
        pair = row["paired"]
        rows.append([
            arm_label(name),
            metric_value("accuracy", row["first"]),
            metric_value("accuracy", row["second"]),
            points_interval(pair["difference"]) if pair else "-",
            p_value(pair["p_value"]) if pair else "-",
            p_value(pair["p_value_holm"]) if pair else "-",
        ])  # fmt: skip
    one, two = document["runs"]
    title = "Accuracy (95 % interval); differences are second minus first" + (
        ", McNemar's test; none is primary, so the Holm-corrected p-value counts" if document["same_questions"] else ""
    )
    console.table(title, ["arm", one, two, "difference", "p", "p (Holm)"], rows)
    if not document["same_questions"]:
        console.line("The runs were asked different questions, so there is no paired test.")
    others = [
        [r["name"], metric_value("accuracy", r["first"]), metric_value("accuracy", r["second"])]
        for r in document["figures"]
    ]
    others += [[r["name"], format_value(r["first"]), format_value(r["second"])] for r in document["training"]]
    console.table("Labels and training", ["", one, two], others)
    differing = [[key, str(a), str(b)] for key, (a, b) in document["differing"].items()]
    console.table("Differences in settings", ["setting", one, two], differing)
    if html is not None:
        side_by_side.write_page(html, document)
        console.line(f"\nwritten to {html}")


def _pooled(console: Console, run_dirs: tuple[Path, ...]) -> None:
    from solo_hub.evaluation.finished_run import read
    from solo_hub.evaluation.report.format import arm_label, gap_closed, metric_value, percent, points_interval
    from solo_hub.evaluation.statistics.pooling import FEW_SEEDS, pool

    document = pool([read(folder) for folder in run_dirs])
    console.document(document)
    rows = [
        [
            arm_label(name),
            metric_value("accuracy", arm["accuracy"]),
            percent(arm["standard_deviation"]),
            ", ".join(percent(value) for value in arm["by_run"]),
        ]
        for name, arm in document["arms"].items()
    ]
    seeds = ", ".join(str(seed) for seed in document["seeds"])
    console.table(
        f"{len(document['runs'])} runs (seeds {seeds}), {document['n_questions']:,} questions, pooled",
        ["arm", "accuracy (95 % interval)", "s.d. over seeds", "by run"],
        rows,
    )
    for name, row in document["paired"].items():
        first, _, second = name.partition("_vs_")
        console.line(f"{arm_label(first)} - {arm_label(second)}: {points_interval(row)}")
    if document["gap_closed"]:
        console.line(f"gap between base and teacher closed: {gap_closed(document['gap_closed'])}")
    if len(run_dirs) < FEW_SEEDS:
        console.warn(
            f"{len(run_dirs)} seeds are too few to estimate the variation between seeds, so the intervals are wide. "
            f"Pool at least {FEW_SEEDS} runs."
        )
    if len(set(document["seeds"])) < len(document["seeds"]):
        console.warn("Two runs have the same seed, so one sample is counted twice.")
    if document["differing"]:
        console.warn(f"The runs differ in settings other than the seed: {', '.join(document['differing'])}.")
