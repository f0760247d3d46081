"""How well `distill --plan` foresees a run: its counts and its times beside those of the run that follows.

Both are made in one process each after the other, on an empty cache of indexes, with the same Hub; the plan's own time
is not in either. Counts must be equal (but for recitation: which passages are used is not known before they are found);
times depend on what else the machine does, so its load is printed. Libraries are imported by the plan, whose time for
it a run in a process of its own needs too; here it makes the plan look a few seconds too long.

    python benchmarks/plan.py [CONFIG|PRESET] [--set KEY=VALUE ...] [--quick] [--format human|json]

`--quick` takes 32 questions, 16 held out, and one epoch.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

from solo_hub import pipeline
from solo_hub.checks.plan import plan
from solo_hub.checks.rehearsal import Stopwatch
from solo_hub.cli.options import connect, read_config
from solo_hub.core.console import Console
from solo_hub.run import references
from solo_hub.run.context import RunContext
from solo_hub.run.folder import RunFolder

QUICK = ("task.train_limit=32", "task.evaluation_limit=16", "student.epochs=1", "curation.limit=32")


def measure(source: str, assignments: tuple[str, ...]) -> dict[str, Any]:
    """Plan a run, do it, and put both side by side; seconds and items."""
    config, _ = read_config(source, None, {}, assignments)
    console = Console("quiet")
    connection = connect(config, references.repos(config), console)
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="solo-hub-plan-") as temporary:
        made = plan(config, connection, console, Path(temporary))
        watch, run = Stopwatch(), RunFolder(Path(temporary) / "run")
        run.create()
        started = time.monotonic()
        pipeline.distill(RunContext(config, run, lambda _: connection, watch))
        seconds = time.monotonic() - started
    done = {title: work.total for title, work in watch.work.items() if work.total}
    return {
        "seconds": {"planned": made.seconds, "run": seconds, "ratio": made.seconds / seconds, "planning": made.took},
        "equal_counts": done == made.totals,
        "work": {title: {"planned": made.totals.get(title, 0), "run": total} for title, total in done.items()},
        "in_counted_work": {title: work.seconds for title, work in watch.work.items()},
        "steps": {step.name: step.seconds for step in made.steps},
        "load": {"before": load, "after": os.getloadavg()[0], "cores": os.cpu_count()},
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", nargs="?", default="demo")
    parser.add_argument("--set", dest="assignments", action="append", default=[])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--format", choices=["human", "json"], default="human")
    chosen = parser.parse_args()
    found = measure(chosen.source, (*(QUICK if chosen.quick else ()), *chosen.assignments))
    if chosen.format == "json":
        print(json.dumps(found, indent=2))
        return
    seconds, load = found["seconds"], found["load"]
    print(f"planned {seconds['planned']:.0f} s (in {seconds['planning']:.0f} s), run {seconds['run']:.0f} s: ratio "
          f"{seconds['ratio']:.2f}; counts {'equal' if found['equal_counts'] else 'DIFFER'}; load {load['before']:.1f} "
          f"before, {load['after']:.1f} after, {load['cores']} cores")  # fmt: skip
    for title, counts in found["work"].items():
        print(
            f"  {title}: {counts['planned']:,} planned, {counts['run']:,} done, {found['in_counted_work'][title]:.1f} s"
        )


if __name__ == "__main__":
    main()
