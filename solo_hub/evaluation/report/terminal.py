"""The report as a table for the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from solo_hub.core.system import format_bytes
from solo_hub.evaluation.report.format import (
    HELD_OUT_PARTS,
    arm_label,
    arm_title,
    forgetting_lines,
    format_seconds,
    fraction,
    gap_closed,
    metric_value,
    p_value,
    p_values,
    percent,
    points_interval,
    trust_lines,
)
from solo_hub.student.control_labels import LEARNT_FROM

COLUMNS = ("arm", "accuracy (95 % interval)", "ROUGE-L", "BERTScore", "s/question, batched")
_MISSING = "-"


def summary_table(report: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Columns and rows of the table that ends a run.

    Args:
        report: The content of `6-report.json`.

    Returns:
        (columns, rows), for `Console.table`, without columns that no arm has; "-" where an arm has no number.
    """
    rows = []
    for name, arm in report.get("arms", {}).items():
        seconds = arm.get("seconds_per_question", {}).get("p50")
        rows.append(
            [
                arm_title(name, report),
                metric_value("accuracy", arm.get("accuracy")),
                _point_estimate(arm.get("rougeL")),
                _point_estimate(arm.get("bert_score_f1")),
                _MISSING if seconds is None else f"{seconds:.3f}",
            ]
        )
    kept = [place for place in range(len(COLUMNS)) if not rows or any(row[place] != _MISSING for row in rows)]
    return [COLUMNS[place] for place in kept], [[row[place] for place in kept] for row in rows]


def _point_estimate(measure: Mapping[str, Any] | None) -> str:
    return _MISSING if measure is None else fraction(measure["value"])


def measured_lines(report: Mapping[str, Any]) -> list[str]:
    """What was measured beside the table, one line each: gain with its test, gap closed, forgetting, cost."""
    names = report.get("teachers") or ()  # another model's; earlier reports lack it
    lines = [f"taught by {' and '.join(names)}, not by the base itself"] if names else []
    alone = (report.get("labels") or {}).get("teachers") or {}
    lines += [
        f"{name} alone: gives {percent(one['same']['value'])} of the labels"
        + (f", {percent(one['accuracy']['value'])} of the questions answered correctly" if one["accuracy"] else "")
        for name, one in alone.items()
        if one["same"]
    ]
    pair = report.get("paired", {}).get("student_vs_base")
    if pair:
        counts = f"only the student right {pair['only_first']}, only the base {pair['only_second']}"
        test = f"{p_value(pair['p_value'])} (primary endpoint; McNemar, n = {pair['n']}: {counts})"
        lines.append(f"student - base: {points_interval(pair['difference'])}, {test}")
    gap = report.get("gap_closed")
    if gap:
        lines.append(f"gap between base and teacher closed: {gap_closed(gap)}")
    if recovered := report.get("gap_recovered"):
        lines.append(f"gap between teacher and gold student recovered: {gap_closed(recovered)}")
    return [
        *lines,
        *_documents(report),
        *_controls(report),
        *_confidence(report),
        *trust_lines(report),
        *_passages(report),
        *(f"forgetting: {line}" for line in forgetting_lines(report)),
        *_costs(report),
        *_training(report),
        *left_out_lines(report),
    ]


def _documents(report: Mapping[str, Any]) -> list[str]:
    """Coverage of the documents by generated questions, and accuracy on the held-out ones."""
    curation = report.get("curation")
    if not curation:
        return []
    coverage = curation["coverage"]
    share = f"{coverage['asked']:,} of {coverage['documents']:,}"
    learnt = curation.get("kept", curation["learnt"])  # reports of earlier versions lack what selection kept
    lines = [f"documents: {share} passages are covered by {learnt:,} generated training questions"]
    if own := curation.get("own"):
        lines[0] += f", beside {own:,} of the user's ({learnt / (learnt + own):.0%} generated)"
    for part, title in HELD_OUT_PARTS.items():
        cells = {arm: row[part] for arm, row in curation["arms"].items() if part in row}
        if cells:
            shares = ", ".join(f"{arm_label(arm)} {percent(cell['value'])}" for arm, cell in cells.items())
            lines.append(f"{title} (n = {next(iter(cells.values()))['n']}): {shares}")
    return lines


def left_out_lines(report: Mapping[str, Any]) -> list[str]:
    """Questions and documents that could not be used; empty if there were none, or if the report is an old one."""
    counts = {kind.replace("_", "-", 1).replace("_", " "): n for kind, n in (report.get("left_out") or {}).items() if n}
    left_out = ", ".join(f"{number:,} {kind}" for kind, number in counts.items())
    return [f"left out because they could not be used: {left_out}"] if left_out else []


def _passages(report: Mapping[str, Any]) -> list[str]:
    """How many questions retrieval found no passage for; empty if it found some for all."""
    names = {"questions": "training questions", "held_out": "held-out questions"}
    counts = report.get("passages") or {}  # reports of earlier versions do not have it
    empty = [
        f"{counts[name]['without']:,} of {counts[name]['n']:,} {what}"
        for name, what in names.items()
        if counts.get(name, {}).get("without")
    ]
    return [f"without any passage: {', '.join(empty)}"] if empty else []


def _controls(report: Mapping[str, Any]) -> list[str]:
    """The student against control students, trained on labels without knowledge or on the gold labels."""
    lines = []
    for control, learnt_from in LEARNT_FROM.items():
        pair = report.get("paired", {}).get(f"student_vs_{control}")
        if pair:
            lines.append(
                f"student - student trained on {learnt_from}: {points_interval(pair['difference'])}, {p_values(pair)}"
            )
    return lines


def _confidence(report: Mapping[str, Any]) -> list[str]:
    """Calibration of the labels' confidence, if there are gold answers."""
    labels = report.get("labels") or {}
    measured = labels.get("calibration")
    if not measured:
        return []
    return [
        (
            f"confidence of the labels (a heuristic): mean {percent(labels['mean_confidence'])}, "
            f"accuracy {percent(labels['accuracy']['value'])}, expected calibration error "
            f"{fraction(measured['ece'])} (n = {measured['n']})"
        )
    ]


def _costs(report: Mapping[str, Any]) -> list[str]:
    measured = (report.get("cost") or {}).get("arms") or {}
    return [
        f"cost of a single answer, {arm_label(name)}: median {format_seconds(row['latency']['p50'])} "
        f"(95th percentile {format_seconds(row['latency']['p95'])}), {format_bytes(row['memory']['peak'])}, "
        f"{row['prompt_tokens']:.0f} tokens read"
        for name, row in measured.items()
    ]


def _training(report: Mapping[str, Any]) -> list[str]:
    """Cost of the student's training, to compare adapter types and objectives."""
    training = report.get("training") or {}
    if not training.get("steps") or "adapter" not in training:
        return []
    # older versions did not measure single steps
    step = training.get("seconds_per_step") or training["seconds"] / training["steps"]
    return [
        (
            f"training: {training['adapter']}, rank {training['rank']}, {training.get('objective', 'sft')}: "
            f"{training['steps']:,} steps of {step:.2f} s, {format_bytes(training['peak_memory_bytes'])}, "
            f"{training['trainable_parameters']:,} parameters"
        )
    ]
