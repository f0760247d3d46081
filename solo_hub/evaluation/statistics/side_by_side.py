"""Two runs side by side, with paired tests where both were asked the same questions."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from markupsafe import Markup

from solo_hub.core.files import write_text
from solo_hub.evaluation.finished_run import Evaluated
from solo_hub.evaluation.report import figures, page, plots
from solo_hub.evaluation.report.format import arm_label, percent, points
from solo_hub.evaluation.statistics import significance
from solo_hub.evaluation.statistics.pooling import differences

FIGURES = (
    ("gap closed", ("gap_closed",)),
    ("accuracy of pseudo-labels", ("labels", "accuracy")),
    ("accuracy of kept labels", ("selection", "accuracy_kept")),
)
"""What is compared beside the arms: name, and place in the report."""

TRAINING = {
    "examples": "training examples",
    "steps": "optimiser steps",
    "seconds_per_step": "seconds per step",
    "seconds": "training time, seconds",
    "peak_memory_bytes": "peak training memory, bytes",
    "trainable_parameters": "trainable parameters",
}
"""Cost of training, by its names in the report."""


def compare(first: Evaluated, second: Evaluated) -> dict[str, Any]:
    """Compare two runs.

    Args:
        first: A run.
        second: Another; differences are second minus first.

    Returns:
        `runs`, `n_questions` of both, `same_questions`, `arms` (`first`, `second`: accuracy or None; `paired` where
        both were asked the same: `difference`, `only_first`, `only_second`, `p_value`, `p_value_holm`), `figures`,
        `training` (its cost: `name`, `first`, `second`: numbers or None), `differing` (dotted key -> both values).
    """
    same = first.asks_the_same(second)
    ids = [question.id for question in first.questions]
    arms: dict[str, Any] = {}
    for name in [*first.correct, *(name for name in second.correct if name not in first.correct)]:
        row: dict[str, Any] = {"first": _accuracy(first, name), "second": _accuracy(second, name), "paired": None}
        if same and name in first.correct and name in second.correct:
            a, b = first.in_order(name, ids), second.in_order(name, ids)
            row["paired"] = {**significance.paired(a, b), "difference": significance.paired(b, a)["difference"]}
        arms[name] = row
    significance.add_holm(row["paired"] for row in arms.values() if row["paired"])
    return {
        "runs": [first.name, second.name],
        "n_questions": [len(first.questions), len(second.questions)],
        "same_questions": same,
        "arms": arms,
        "figures": [
            {"name": name, "first": _at(first.report, keys), "second": _at(second.report, keys)}
            for name, keys in FIGURES
        ],
        "training": [
            {
                "name": name,
                "first": (first.report.get("training") or {}).get(key),
                "second": (second.report.get("training") or {}).get(key),
            }
            for key, name in TRAINING.items()
        ],
        "differing": {key: list(values) for key, values in differences(first, second).items()},
    }


def _accuracy(run: Evaluated, arm: str) -> Mapping[str, Any] | None:
    row = run.report["arms"].get(arm)
    return row["accuracy"] if row else None


def _at(report: Mapping[str, Any], keys: tuple[str, ...]) -> Any:
    value: Any = report
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value if isinstance(value, Mapping) and "value" in value else None


def write_page(path: Path, document: Mapping[str, Any]) -> None:
    """Write the comparison as one self-contained page."""
    rows = []
    limit = figures.axis_limit([row["paired"]["difference"] for row in document["arms"].values() if row["paired"]])
    for name, row in document["arms"].items():
        bars = [
            plots.bar(measure, label=f"{arm_label(name)}, {run}: {percent(measure['value'])}", kind=kind)
            if measure
            else None
            for run, kind, measure in zip(
                document["runs"], ("base", "student"), (row["first"], row["second"]), strict=True
            )
        ]
        pair = row["paired"]
        label = f"{arm_label(name)}: {points(pair['difference']['value'])} points" if pair else ""
        svg = plots.difference(pair["difference"], label=label, limit=limit) if pair else None
        rows.append({"name": name, "bars": bars, "svg": svg, **row})
    text = (
        page.environment()
        .get_template("compare.html.jinja")
        .render(
            document=document,
            rows=rows,
            limit=limit,
            style=Markup((page.TEMPLATES / "report.css").read_text("utf-8")),  # noqa: S704 - our own file
        )
    )
    write_text(path, text)
