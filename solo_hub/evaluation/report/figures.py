"""Rows and plots of the report page, built from the report's numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from solo_hub.core.records import Question
from solo_hub.core.system import format_bytes
from solo_hub.evaluation import scoring
from solo_hub.evaluation.report import plots
from solo_hub.evaluation.report.format import (
    ALPHA,
    METRICS,
    arm_label,
    arm_reads,
    arms_in_order,
    format_seconds,
    format_value,
    percent,
    percent_interval,
    points,
)
from solo_hub.evaluation.report.verdict import Verdict
from solo_hub.run.resolved import Entry, Resolved


def repos(resolved: Resolved) -> list[tuple[list[str], Entry]]:
    """The repos and files of the run with their roles; a repo in several roles is one row."""
    rows: dict[tuple[str, str], tuple[list[str], Entry]] = {}
    for role, entry in resolved.repos.items():
        names, _ = rows.setdefault((entry.place, entry.fingerprint), ([], entry))
        names.append(role.replace("_", " "))
    return list(rows.values())


def chance(questions: Sequence[Question]) -> float | None:
    """Expected accuracy of guessing, 0..1; None for free text."""
    if not all(question.options for question in questions):
        return None
    return sum(1 / len(question.options) for question in questions) / len(questions)


def arm_bars(report: Mapping[str, Any], questions: Sequence[Question]) -> list[plots.Row]:
    """Accuracy of every arm, with the chance level marked."""
    guessing = chance(questions)
    rows = []
    for name in arms_in_order(report):
        arm = report["arms"][name]
        measure = arm["accuracy"]
        note = arm_reads(name, report) or ("with passages" if arm.get("passages") else "closed book")
        svg = plots.bar(measure, label=f"{arm_label(name)}: {percent(measure['value'])}", kind=name, mark=guessing)
        rows.append(plots.Row(arm_label(name), percent(measure["value"]), note, svg))
    return rows


def metric_rows(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One row per metric that was measured, one cell per arm."""
    arms = arms_in_order(report)
    rows = []
    for key, name in METRICS.items():
        cells = [report["arms"][arm].get(key) for arm in arms]
        if any(cells):
            rows.append({"name": name, "cells": cells, "percent": key in scoring.SHARES})
    for key, name in (report.get("metrics", {}).get("further") or {}).items():
        cells = [report["arms"][arm].get(key) for arm in arms]
        if any(cells):
            rows.append({"name": name, "cells": cells, "percent": False})
    return rows


def pair_rows(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The paired comparisons of arms, on a common axis."""
    pairs = report.get("paired", {})
    limit = axis_limit([row["difference"] for row in pairs.values()])
    rows = []
    for key, row in pairs.items():
        first, _, second = key.partition("_vs_")
        text = f"{arm_label(first)} minus {arm_label(second)}: {points(row['difference']['value'])} points"
        svg = plots.difference(row["difference"], label=text, limit=limit)
        rows.append({"first": arm_label(first), "second": arm_label(second), "svg": svg, "limit": limit, **row})
    return rows


def axis_limit(differences: Sequence[Mapping[str, Any]]) -> float:
    """End of an axis of differences, 0..1: the widest interval, rounded up to the next five points."""
    ends = [abs(measure[end]) for measure in differences for end in ("low", "high")]
    return math.ceil(20 * max([*ends, 0.05])) / 20


def cause_rows(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The causes of errors with their shares."""
    return [
        {"key": key, "svg": plots.bar(row, label=f"{row['text']}: {percent(row['value'])}", kind="student"), **row}
        for key, row in (report.get("errors") or {}).items()
    ]


def label_plots(report: Mapping[str, Any]) -> dict[str, Markup]:
    """Histogram and reliability diagram of the pseudo-labels' confidences."""
    summary = report.get("labels") or {}
    drawn: dict[str, Markup] = {}
    if summary.get("confidence_histogram"):
        drawn["confidence"] = plots.histogram(
            summary["confidence_histogram"],
            x_label="teacher's confidence",
            label="Distribution of the teacher's confidence",
        )
    calibration = summary.get("calibration")
    if calibration:
        drawn["reliability"] = plots.reliability(calibration["bins"], label="Accuracy of the labels by confidence")
    return drawn


def latency_rows(report: Mapping[str, Any]) -> dict[str, Any]:
    """Latency of the arms: measured one question at a time or, if that was not measured, a question's share of a batch.

    Returns:
        `rows`, `axis`, `single` (whether questions were asked one at a time).
    """
    measured = (report.get("cost") or {}).get("arms") or {}
    latencies = {name: row["latency"] for name, row in measured.items()} or {
        name: report["arms"][name]["seconds_per_question"]
        for name in arms_in_order(report)
        if "seconds_per_question" in report["arms"][name]
    }
    top = plots.ceiling([row["p95"] for row in latencies.values()])
    rows = [
        plots.Row(
            arm_label(name),
            format_seconds(row["p50"]),
            f"95 % within {format_seconds(row['p95'])}",
            plots.bar(
                {"value": row["p50"], "low": row["p50"], "high": row["p95"]},
                label=f"{arm_label(name)}: median {format_seconds(row['p50'])}",
                kind=name,
                top=top,
            ),
        )
        for name, row in latencies.items()
    ]
    return {"rows": rows, "axis": [f"{end:.3g} s" for end in plots.ticks(0, top)], "single": bool(measured)}


def memory(report: Mapping[str, Any]) -> dict[str, Any] | None:
    """Peak memory of the arms, in bytes, by part: libraries, model, knowledge base, and answering on top of them."""
    measured = (report.get("cost") or {}).get("arms") or {}
    if not measured:
        return None
    top = plots.ceiling([row["memory"]["peak"] for row in measured.values()])
    rows = []
    for name, row in measured.items():
        held = row["memory"]
        parts = [(kind, float(held[kind])) for kind in ("libraries", "model", "knowledge")]
        parts.append(("work", held["peak"] - sum(size for _, size in parts)))
        svg = plots.stack(parts, label=f"{arm_label(name)}: at most {format_bytes(held['peak'])}", top=top)
        note = f"{format_bytes(held['knowledge'])} knowledge base" if held["knowledge"] else "no knowledge base"
        rows.append(plots.Row(arm_label(name), format_bytes(held["peak"]), note, svg))
    ends = [f"{end / 1e9:.3g}" for end in plots.ticks(0, top)]
    return {"rows": rows, "axis": [*ends[:-1], f"{ends[-1]}\u202fGB"]}


def cost_rows(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The table of costs: tokens of every arm, latency and memory of those that were measured."""
    measured = (report.get("cost") or {}).get("arms") or {}
    rows = []
    for name in arms_in_order(report):
        if measured and name not in measured:  # of the others only the tokens are known
            continue
        costs = {**report["arms"][name], **measured.get(name, {})}
        row = {key: costs.get(key) for key in ("latency", "lookup", "prompt_tokens", "written_tokens", "memory")}
        if any(value is not None for value in row.values()):
            rows.append({"name": arm_label(name), **row})
    return rows


def forgetting_section(report: Mapping[str, Any]) -> dict[str, Any] | None:
    """What the student forgot, measured on general text and on a second task; None if that was not measured."""
    forgetting = report.get("forgetting")
    if not forgetting:
        return None
    task = forgetting["second_task"]
    rows = [
        plots.Row(
            arm_label(name),
            percent(measure["value"]),
            f"{percent_interval(measure)} %",
            plots.bar(measure, label=f"{arm_label(name)}: {percent(measure['value'])}", kind=name),
        )
        for name, measure in task["arms"].items()
    ]
    ratio = forgetting["text"]["ratio"]
    worse, better = ratio["low"] > 1, ratio["high"] < 1
    pair = task["student_vs_base"]
    clear = pair["p_value"] < ALPHA
    return {
        "text": forgetting["text"],
        "task": task,
        "rows": rows,
        "pair": pair,
        "text_verdict": "worse" if worse else "better" if better else "no different",
        "task_verdict": ("worse" if pair["difference"]["value"] < 0 else "better") if clear else "no different",
    }


def verdict_rows(found: Verdict, guessing: float | None) -> list[dict[str, Any]]:
    """The ways to answer, each with a bar of its accuracy and one of its time."""
    top = plots.ceiling([way.seconds for way in found.ways if way.seconds is not None] or [1.0])
    rows = []
    for way in found.ways:
        row: dict[str, Any] = {"arm": way.arm, "title": way.title, "way": way, "accuracy": None, "time": None}
        if way.accuracy:
            label = f"{way.title}: {percent(way.accuracy['value'])}"
            row["accuracy"] = plots.bar(way.accuracy, label=label, kind=way.arm, mark=guessing)
        if way.seconds is not None:
            row["time"] = plots.bar(
                {"value": way.seconds}, label=f"{way.title}: {format_seconds(way.seconds)}", kind=way.arm, top=top
            )
        rows.append(row)
    return rows


def selection_curves(report: Mapping[str, Any]) -> dict[str, Markup]:
    """Selection over the course of training: share kept, its accuracy, and the thresholds."""
    rows = (report.get("selection") or {}).get("over_training") or []
    curves: dict[str, Markup] = {}

    def line(name: str, key: str) -> plots.Line:
        return plots.Line(name, [(row["step"], row[key]) for row in rows if row.get(key) is not None])

    for name, series in (
        (
            "kept",
            (
                ("share kept", "kept_share"),
                ("accuracy of the kept", "accuracy_kept"),
                ("accuracy of all seen", "accuracy_seen"),
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
        drawn = [made for made in (line(*pair) for pair in series) if len(made.points) > 1]
        if drawn:
            label = f"{name} over training"
            curves[name] = plots.lines(
                drawn, x_label="optimiser step", y_label="fraction, 0 to 1", label=label, top=1.0
            )
    return curves


def answer_map(report: Mapping[str, Any]) -> dict[str, Any] | None:
    """The map of original and pseudo-labelled answers; None if there is none."""
    answers = report.get("map")
    if not answers:
        return None
    groups = [("answers of the dataset", answers["original"]), ("answers of the teacher", answers["pseudo"])]
    return {**answers, "svg": plots.scatter(groups, label="Map of answers")}


def loss_curve(log: Sequence[Mapping[str, Any]], y_label: str = "loss") -> Markup | None:
    """The training loss, step by step and smoothed; None with fewer than two steps."""
    drawn = [(float(row["step"]), float(row["loss"])) for row in log if row.get("loss") is not None]
    if len(drawn) < 2:  # noqa: PLR2004 - a line needs two ends
        return None
    span = len(drawn) // SMOOTHED
    every = max(1, len(drawn) // MOST_POINTS)
    lines = [plots.Line("each step" if span > 1 else "", drawn[::every], faint=span > 1)]
    if span > 1:
        means = [
            (drawn[i - 1][0], sum(value for _, value in drawn[i - span : i]) / span)
            for i in range(span, len(drawn) + 1, every)
        ]
        lines = [plots.Line(f"mean of {span} steps", means), *lines]
    return plots.lines(lines, x_label="optimiser step", y_label=y_label, label="Training loss")


MOST_POINTS = 600  # more than one per pixel is invisible
SMOOTHED = 20  # windows of the moving average: enough to see where the loss still falls


def training_rows(report: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The training in numbers."""
    training = report.get("training") or {}
    return [
        (key.replace("_", " "), format_value(value))
        for key, value in training.items()
        if not isinstance(value, Mapping | list)
    ]
