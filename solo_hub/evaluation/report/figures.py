"""What the page draws: rows and plots made of the report's numbers."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from solo_hub.core.records import PseudoLabel, Question
from solo_hub.evaluation import scoring
from solo_hub.evaluation.report import plots

METRICS = (
    ("accuracy", "Accuracy, chosen option"),
    ("accuracy_generated", "Accuracy, written answer"),
    ("unparsed", "Written answers naming no option"),
    ("macro_f1", "Macro F1"),
    ("rouge1", "ROUGE-1"),
    ("rouge2", "ROUGE-2"),
    ("rougeL", "ROUGE-L"),
    ("rougeLsum", "ROUGE-Lsum"),
    ("bert_score_f1", "BERTScore F1"),
)
_ORDER = ("base", "teacher", "student")


def share(value: float) -> str:
    """A share as percent: `51.3 %`."""
    return f"{100 * value:.1f}\u202f%"


def points(value: float) -> str:
    """A difference of shares in points, with its sign."""
    return f"{100 * value:+.1f}".replace("-", "\u2212")


def spoken(arm: str) -> str:
    """An arm's name as read."""
    return arm.replace("_", " ")


def interval(measure: Mapping[str, Any]) -> str:
    """An interval of shares in percent, without the sign of percent."""
    return f"{100 * measure['low']:.1f}\u2013{100 * measure['high']:.1f}"


def plain(value: Any) -> str:
    """A setting or number as read: thousands apart, no needless digits."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}".replace(",", "\u202f") if abs(value) >= 10_000 else str(value)  # noqa: PLR2004 - from 10 000
    if isinstance(value, float):
        return f"{value:.4g}"
    return "" if value is None else str(value)


def format_bytes(size: float) -> str:
    """Bytes as read.

    >>> format_bytes(1_340_000_000).split()
    ['1.34', 'GB']
    """
    return f"{size / 1e9:.2f}\u202fGB" if size >= 1e9 else f"{size / 1e6:.0f}\u202fMB" if size else "0"  # noqa: PLR2004


def format_seconds(value: float) -> str:
    """Seconds as read.

    >>> format_seconds(0.0123).split(), format_seconds(1.5).split()
    (['12', 'ms'], ['1.50', 's'])
    """
    return f"{1000 * value:.0f}\u202fms" if value < 1 else f"{value:.2f}\u202fs"


def repos(config: Mapping[str, Any]) -> list[tuple[list[str], Mapping[str, Any]]]:
    """What was pulled, with the roles it plays; one row where a repo plays several."""
    roles: dict[str, list[str]] = {}
    found: dict[str, Mapping[str, Any]] = {}
    for role, repo in (config.get("resolved", {}).get("repos") or {}).items():
        key = json.dumps([repo.get(name) for name in ("repo_id", "file", "commit", "sha256")])
        found.setdefault(key, repo)
        roles.setdefault(key, []).append(role.replace("_", " "))
    return [(roles[key], repo) for key, repo in found.items()]


def arms_in_order(report: Mapping[str, Any]) -> list[str]:
    """The arms of a report: base, teacher, student, then the others as asked."""
    known = [name for name in _ORDER if name in report["arms"]]
    return known + [name for name in report["arms"] if name not in _ORDER]


def chance(questions: Sequence[Question]) -> float | None:
    """Expected accuracy of guessing, 0..1; None for free text."""
    if not all(question.options for question in questions):
        return None
    return sum(1 / len(question.options) for question in questions) / len(questions)


def arm_bars(report: Mapping[str, Any], questions: Sequence[Question]) -> list[plots.Row]:
    """Accuracy of every arm, with guessing marked."""
    guessing = chance(questions)
    rows = []
    for name in arms_in_order(report):
        arm = report["arms"][name]
        measure = arm["accuracy"]
        read = "with the gold facts" if name == "oracle" else "with passages"
        note = read if arm.get("passages") else "closed book"
        svg = plots.bar(measure, label=f"{name}: {share(measure['value'])}", kind=name, mark=guessing)
        rows.append(plots.Row(spoken(name), share(measure["value"]), note, svg))
    return rows


def metric_rows(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Every metric there is, an entry an arm."""
    arms = arms_in_order(report)
    rows = []
    for key, name in METRICS:
        cells = [report["arms"][arm].get(key) for arm in arms]
        if any(cells):
            rows.append({"name": name, "cells": cells, "share": key in scoring.SHARES})
    for key, name in (report.get("metrics", {}).get("further") or {}).items():
        cells = [report["arms"][arm].get(key) for arm in arms]
        if any(cells):
            rows.append({"name": name, "cells": cells, "share": False})
    return rows


def pair_rows(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The comparisons of arms on a common axis."""
    pairs = report.get("paired", {})
    end = reach([row["difference"] for row in pairs.values()])
    rows = []
    for key, row in pairs.items():
        first, _, second = key.partition("_vs_")
        text = f"{first} minus {second}: {points(row['difference']['value'])} points"
        svg = plots.difference(row["difference"], label=text, reach=end)
        rows.append({"first": spoken(first), "second": spoken(second), "svg": svg, "reach": end, **row})
    return rows


def reach(differences: Sequence[Mapping[str, Any]]) -> float:
    """End of an axis of differences: the next five points beyond the widest interval."""
    ends = [abs(measure[end]) for measure in differences for end in ("low", "high")]
    return math.ceil(20 * max([*ends, 0.05])) / 20


def cause_rows(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The causes of errors with their shares."""
    found = report.get("errors") or {}
    return [
        {"key": key, "svg": plots.bar(row, label=f"{row['text']}: {share(row['value'])}", kind="student"), **row}
        for key, row in found.items()
    ]


def label_plots(report: Mapping[str, Any], labels: Sequence[PseudoLabel]) -> dict[str, Markup]:
    """Confidences of the pseudo-labels: how often each, and how often right."""
    told = report.get("labels") or {}
    counts = told.get("confidence_histogram")
    if not counts:
        confidences = [label.confidence for label in labels if label.confidence is not None]
        counts = (
            [sum(min(int(value * 10), 9) == i for value in confidences) for i in range(10)] if confidences else None
        )
    found: dict[str, Markup] = {}
    if counts:
        found["confidence"] = plots.histogram(
            counts, x_label="teacher's confidence", label="How sure the teacher was of its labels"
        )
    calibration = told.get("calibration")
    if calibration:
        found["reliability"] = plots.reliability(
            calibration["bins"], label="How often labels of each confidence were right"
        )
    return found


def times(report: Mapping[str, Any]) -> dict[str, Any]:
    """Latency of the arms: measured one question at a time, or, where that was left out, a question's share of a batch.

    Returns:
        `rows`, `axis`, `alone` (whether questions were asked one at a time).
    """
    measured = (report.get("cost") or {}).get("arms") or {}
    found = {name: row["latency"] for name, row in measured.items()} or {
        name: report["arms"][name]["seconds_per_question"]
        for name in arms_in_order(report)
        if "seconds_per_question" in report["arms"][name]
    }
    top = plots.ceiling([row["p95"] for row in found.values()])
    rows = [
        plots.Row(
            name,
            format_seconds(row["p50"]),
            f"95 % within {format_seconds(row['p95'])}",
            plots.bar(
                {"value": row["p50"], "low": row["p50"], "high": row["p95"]},
                label=f"{name}: median {format_seconds(row['p50'])}",
                kind=name,
                top=top,
            ),
        )
        for name, row in found.items()
    ]
    return {"rows": rows, "axis": [f"{end:.3g} s" for end in plots.ticks(0, top)], "alone": bool(measured)}


def memory(report: Mapping[str, Any]) -> dict[str, Any] | None:
    """Peak memory of the arms, in parts: libraries, model, knowledge base, and what answering took on top."""
    measured = (report.get("cost") or {}).get("arms") or {}
    if not measured:
        return None
    top = plots.ceiling([row["memory"]["peak"] for row in measured.values()])
    rows = []
    for name, row in measured.items():
        held = row["memory"]
        parts = [(kind, float(held[kind])) for kind in ("libraries", "model", "knowledge")]
        parts.append(("work", held["peak"] - sum(size for _, size in parts)))
        svg = plots.stack(parts, label=f"{name}: at most {format_bytes(held['peak'])}", top=top)
        note = f"{format_bytes(held['knowledge'])} knowledge base" if held["knowledge"] else "no knowledge base"
        rows.append(plots.Row(name, format_bytes(held["peak"]), note, svg))
    ends = [f"{end / 1e9:.3g}" for end in plots.ticks(0, top)]
    return {"rows": rows, "axis": [*ends[:-1], f"{ends[-1]}\u202fGB"]}


def cost_rows(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The table of costs: tokens of every arm, and what was measured of some."""
    measured = (report.get("cost") or {}).get("arms") or {}
    rows = []
    for name in arms_in_order(report):
        told = {**report["arms"][name], **measured.get(name, {})}
        row = {key: told.get(key) for key in ("latency", "lookup", "prompt_tokens", "written_tokens", "memory")}
        if any(value is not None for value in row.values()):
            rows.append({"name": spoken(name), **row})
    return rows


def lost(report: Mapping[str, Any]) -> dict[str, Any] | None:
    """What the student lost elsewhere, ready to be shown."""
    found = report.get("forgetting")
    if not found:
        return None
    task = found["second_task"]
    rows = [
        plots.Row(
            name,
            share(measure["value"]),
            f"{interval(measure)} %",
            plots.bar(measure, label=f"{name}: {share(measure['value'])}", kind=name),
        )
        for name, measure in task["arms"].items()
    ]
    ratio = found["text"]["ratio"]
    worse, better = ratio["low"] > 1, ratio["high"] < 1
    pair = task["student_vs_base"]
    clear = pair["p_value"] < ALPHA
    return {
        "text": found["text"],
        "task": task,
        "rows": rows,
        "pair": pair,
        "text_verdict": "worse" if worse else "better" if better else "no different",
        "task_verdict": ("worse" if pair["difference"]["value"] < 0 else "better") if clear else "no different",
    }


TIMES = "\u202f\u00d7"  # a thin blank and the sign of multiplication
ALPHA = 0.05  # level of the tests, as everywhere in the report


def tiles(report: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """The run in a few numbers: value, what it is, its interval or condition."""
    found = []
    pair = (report.get("paired") or {}).get("student_vs_base")
    if pair:
        gain = pair["difference"]
        found.append(
            (f"{points(gain['value'])}", "points over the base", f"{points(gain['low'])} to {points(gain['high'])}")
        )
    gap = report.get("gap_closed")
    if gap:
        found.append(
            (
                f"{100 * gap['value']:.0f}\u202f%",
                "of the way to the teacher",
                f"{100 * gap['low']:.0f} to {100 * gap['high']:.0f} %",
            )
        )
    measured = (report.get("cost") or {}).get("arms") or {}
    if {"teacher", "student"} <= measured.keys():
        teacher, student = measured["teacher"], measured["student"]
        found.append(
            (
                f"{student['latency']['p50'] / teacher['latency']['p50']:.2f}{TIMES}",
                "the teacher's time",
                f"{format_seconds(student['latency']['p50'])} against {format_seconds(teacher['latency']['p50'])}",
            )
        )
        found.append(
            (
                f"{student['memory']['peak'] / teacher['memory']['peak']:.2f}{TIMES}",
                "the teacher's memory",
                f"{format_bytes(student['memory']['peak'])} against {format_bytes(teacher['memory']['peak'])}",
            )
        )
    if report.get("forgetting"):
        ratio = report["forgetting"]["text"]["ratio"]
        found.append(
            (
                f"{ratio['value']:.2f}{TIMES}",
                "the base's perplexity elsewhere",
                f"{ratio['low']:.2f} to {ratio['high']:.2f}",
            )
        )
    return found


def selecting(report: Mapping[str, Any]) -> dict[str, Markup]:
    """Selection over the training: what was kept and how right it was, and the thresholds."""
    rows = (report.get("selection") or {}).get("over_training") or []
    found: dict[str, Markup] = {}

    def line(name: str, key: str) -> plots.Line:
        return plots.Line(name, [(row["step"], row[key]) for row in rows if row.get(key) is not None])

    for name, wanted in (
        (
            "kept",
            (
                ("share kept", "kept_share"),
                ("of the kept, right", "accuracy_kept"),
                ("of all seen, right", "accuracy_seen"),
            ),
        ),
        (
            "thresholds",
            (
                ("confidence of the teacher", "confidence_threshold"),
                ("uncertainty of the student", "uncertainty_threshold"),
            ),
        ),
    ):
        drawn = [made for made in (line(*pair) for pair in wanted) if len(made.points) > 1]
        if drawn:
            label = f"{name} over the training"
            found[name] = plots.lines(drawn, x_label="optimiser step", y_label="share, 0 to 1", label=label, top=1.0)
    return found


def places(report: Mapping[str, Any]) -> dict[str, Any] | None:
    """The map of original and pseudo-labelled answers."""
    found = report.get("map")
    if not found:
        return None
    groups = [("answers of the data", found["original"]), ("answers of the teacher", found["pseudo"])]
    return {**found, "svg": plots.scatter(groups, label="Map of answers")}


def loss(log: Sequence[Mapping[str, Any]]) -> Markup | None:
    """The training loss, step by step and smoothed; None where fewer than two steps are known."""
    drawn = [(float(row["step"]), float(row["loss"])) for row in log if row.get("loss") is not None]
    if len(drawn) < 2:  # noqa: PLR2004 - a line needs two ends
        return None
    span = len(drawn) // SMOOTHED
    lines = [plots.Line("each step" if span > 1 else "", drawn, faint=span > 1)]
    if span > 1:
        means = [
            (drawn[i - 1][0], sum(value for _, value in drawn[i - span : i]) / span)
            for i in range(span, len(drawn) + 1)
        ]
        lines = [plots.Line(f"mean of {span} steps", means), *lines]
    return plots.lines(lines, x_label="optimiser step", y_label="loss", label="Training loss")


SMOOTHED = 20  # stretches of a curve whose means are shown: enough to see where it still falls


def training_rows(report: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The training in numbers."""
    told = report.get("training") or {}
    return [
        (key.replace("_", " "), plain(value)) for key, value in told.items() if not isinstance(value, Mapping | list)
    ]
