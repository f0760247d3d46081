"""The report as a table for the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

COLUMNS = ("arm", "accuracy [95 %]", "ROUGE-L", "BERTScore", "s/question")
_MISSING = "-"


def summary_table(report: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Columns and rows of the table that ends a run.

    Args:
        report: The content of `6-report.json`.

    Returns:
        (columns, rows), ready for `Console.table`; an arm without a number shows "-".
    """
    rows = []
    for name, arm in report.get("arms", {}).items():
        seconds = arm.get("seconds_per_question", {}).get("p50")
        rows.append(
            [
                name + (" (with passages)" if arm.get("passages") else ""),
                with_interval(arm.get("accuracy")),
                _number(arm.get("rougeL")),
                _number(arm.get("bert_score_f1")),
                _MISSING if seconds is None else f"{seconds:.3f}",
            ]
        )
    return list(COLUMNS), rows


def with_interval(measure: Mapping[str, Any] | None) -> str:
    """Write a share with its interval: `0.451 [0.419, 0.483]`."""
    return _MISSING if measure is None else f"{measure['value']:.3f} [{measure['low']:.3f}, {measure['high']:.3f}]"


def _number(measure: Mapping[str, Any] | None) -> str:
    return _MISSING if measure is None else f"{measure['value']:.3f}"


def p_value_text(p_value: float) -> str:
    """Write a p-value as people do: `p < 0.001`, `p = 0.034`."""
    return "p < 0.001" if p_value < 0.001 else f"p = {p_value:.3f}"  # noqa: PLR2004 - below, digits say nothing


def verdict_lines(report: Mapping[str, Any]) -> list[str]:
    """What the numbers mean, one sentence a line: gain of the student with its test, and the gap closed."""
    lines = []
    pair = report.get("paired", {}).get("student_vs_base")
    if pair:
        gain = pair["difference"]
        counts = f"{pair['only_first']} only the student right, {pair['only_second']} only the base"
        points = f"{100 * gain['value']:+.1f} points [{100 * gain['low']:+.1f}, {100 * gain['high']:+.1f}]"
        lines.append(f"student - base: {points}, {p_value_text(pair['p_value'])} (McNemar, n={pair['n']}: {counts})")
    gap = report.get("gap_closed")
    if gap:
        closed = f"{100 * gap['value']:.0f} % [{100 * gap['low']:.0f} %, {100 * gap['high']:.0f} %]"
        lines.append(f"gap closed: {closed} of the way from base to teacher")
    return lines
