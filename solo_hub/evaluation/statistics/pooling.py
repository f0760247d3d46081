"""Several training seeds of one experiment, pooled: both seeds and questions are samples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from solo_hub.core.errors import InputError
from solo_hub.evaluation.finished_run import Evaluated
from solo_hub.evaluation.report.report import PAIRS
from solo_hub.evaluation.statistics import intervals
from solo_hub.evaluation.statistics.intervals import Array
from solo_hub.run import resolution

FEW_SEEDS = 5
"""Below this many seeds, how much seeds differ is hardly known: intervals are wide, and `show` warns."""


def pool(runs: Sequence[Evaluated]) -> dict[str, Any]:
    """Pool runs that differ in their seed.

    Args:
        runs: At least two, asked the same questions.

    Returns:
        `runs` and `seeds` as given, `n_questions`, `arms` (`accuracy` pooled, `by_run`, `standard_deviation` over the
        seeds), `paired` (pooled differences), `gap_closed` or None, `differing` (settings in which the runs differ
        besides name and seed).

    Raises:
        InputError: Fewer than two runs, or runs that asked different questions.
    """
    if len(runs) < 2:  # noqa: PLR2004 - two make a pool
        raise InputError("Pooling needs at least two runs.", hint="Name at least two runs that differ in their seed.")
    first = runs[0]
    stranger = next((run for run in runs[1:] if not run.asks_the_same(first)), None)
    if stranger is not None:
        raise InputError(
            f"'{stranger.name}' was not asked the same questions as '{first.name}'.",
            hint="Pool runs of one task with the same held-out questions; the seed samples them where "
            "task.evaluation_limit is set.",
        )
    ids = [question.id for question in first.questions]
    shared = [arm for arm in first.correct if all(arm in run.correct for run in runs)]
    tables = {arm: np.stack([run.in_order(arm, ids) for run in runs]) for arm in shared}
    pairs = [(a, b) for a, b in PAIRS if {a, b} <= tables.keys()]
    gap = None
    if {"base", "teacher", "student"} <= tables.keys():
        wide, gain = tables["teacher"] - tables["base"], tables["student"] - tables["base"]
        gap = intervals.pooled_ratio(gain, wide)
    return {
        "runs": [run.name for run in runs],
        "seeds": [run.report.get("seed") for run in runs],
        "n_questions": len(ids),
        "arms": {arm: _arm(table) for arm, table in tables.items()},
        "paired": {
            f"{a}_vs_{b}": intervals.pool_seeds(tables[a] - tables[b], within=(-1, 1)).to_row() for a, b in pairs
        },
        "gap_closed": gap.to_row() if gap else None,
        "differing": sorted({key for run in runs[1:] for key in differences(first, run)} - {"name", "seed"}),
    }


def _arm(table: Array) -> dict[str, Any]:
    by_run = table.mean(axis=1)
    return {
        "accuracy": intervals.pool_seeds(table, within=(0, 1)).to_row(),
        "by_run": [float(value) for value in by_run],
        "standard_deviation": float(by_run.std(ddof=1)),
    }


def differences(first: Evaluated, second: Evaluated) -> dict[str, tuple[Any, Any]]:
    """Settings and commits in which two runs differ: dotted key -> both values."""
    one, other = (
        {**run.settings, "commit": {role: entry.fingerprint for role, entry in run.resolved.repos.items()}}
        for run in (first, second)
    )
    return resolution.differences(one, other)
