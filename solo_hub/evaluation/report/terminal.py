"""The report as a table for the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from solo_hub.student.control_labels import LEARNT_FROM

COLUMNS = ("arm", "accuracy [95 %]", "ROUGE-L", "BERTScore", "s/question, batched")
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
                _named(name, reads=bool(arm.get("passages"))),
                with_interval(arm.get("accuracy")),
                _number(arm.get("rougeL")),
                _number(arm.get("bert_score_f1")),
                _MISSING if seconds is None else f"{seconds:.3f}",
            ]
        )
    return list(COLUMNS), rows


def _named(name: str, *, reads: bool) -> str:
    """An arm's name, and what it reads where that is more than the name tells."""
    if not reads or name.endswith("with_passages"):
        return name
    return f"{name} (with {'gold facts' if name == 'oracle' else 'passages'})"


def with_interval(measure: Mapping[str, Any] | None) -> str:
    """Write a share with its interval: `0.451 [0.419, 0.483]`."""
    return _MISSING if measure is None else f"{measure['value']:.3f} [{measure['low']:.3f}, {measure['high']:.3f}]"


def _number(measure: Mapping[str, Any] | None) -> str:
    return _MISSING if measure is None else f"{measure['value']:.3f}"


def p_value_text(p_value: float) -> str:
    """Write a p-value as people do: `p < 0.001`, `p = 0.034`."""
    return "p < 0.001" if p_value < 0.001 else f"p = {p_value:.3f}"  # noqa: PLR2004 - below, digits say nothing


def corrected(pair: Mapping[str, Any]) -> str:
    """Write the p-values of a secondary comparison: its own, which goes with its interval, and the one that decides."""
    own, holm = pair["p_value"], pair.get("p_value_holm")  # the first reports had no correction
    return p_value_text(own) if holm is None else f"{p_value_text(own)}, by Holm's correction {p_value_text(holm)}"


def verdict_lines(report: Mapping[str, Any]) -> list[str]:
    """What the numbers mean, one sentence a line: gain with its test, gap closed, what was lost, what it costs."""
    lines = []
    pair = report.get("paired", {}).get("student_vs_base")
    if pair:
        gain = pair["difference"]
        counts = f"{pair['only_first']} only the student right, {pair['only_second']} only the base"
        points = f"{100 * gain['value']:+.1f} points [{100 * gain['low']:+.1f}, {100 * gain['high']:+.1f}]"
        test = f"{p_value_text(pair['p_value'])} (primary endpoint; McNemar, n={pair['n']}: {counts})"
        lines.append(f"student - base: {points}, {test}")
    gap = report.get("gap_closed")
    if gap:
        closed = f"{100 * gap['value']:.0f} % [{100 * gap['low']:.0f} %, {100 * gap['high']:.0f} %]"
        lines.append(f"gap closed: {closed} of the way from base to teacher")
    return [
        *lines,
        *_of_documents(report),
        *_over_controls(report),
        *_confidence(report),
        *_passages(report),
        *_lost(report),
        *_costs(report),
        *_training(report),
        *left_out_lines(report),
    ]


def _of_documents(report: Mapping[str, Any]) -> list[str]:
    """What the questions written from the documents say: how much of them was asked, and what was held out."""
    found = report.get("curation")
    if not found:
        return []
    covered = found["coverage"]
    share = f"{covered['asked']:,} of {covered['documents']:,}"
    lines = [f"documents: {share} are asked about; {found['learnt']:,} questions written from them were learnt"]
    for part, title in (("studied", "studied facts in other words"), ("unseen", "facts nobody asked about")):
        cells = {arm: row[part] for arm, row in found["arms"].items() if part in row}
        if cells:
            shares = ", ".join(f"{arm} {cell['value']:.3f}" for arm, cell in cells.items())
            lines.append(f"{title} (n={next(iter(cells.values()))['n']}): {shares}")
    return lines


def left_out_lines(report: Mapping[str, Any]) -> list[str]:
    """What could not be used and was left out; nothing where there was nothing, or an older version measured."""
    counts = {kind.replace("_", "-", 1).replace("_", " "): n for kind, n in (report.get("left_out") or {}).items() if n}
    told = ", ".join(f"{number:,} {kind}" for kind, number in counts.items())
    return [f"left out because they could not be used: {told}"] if told else []


def _passages(report: Mapping[str, Any]) -> list[str]:
    """How many questions retrieval found nothing for; nothing to say where it found something for all."""
    names = {"questions": "questions learnt from", "held_out": "held-out questions"}
    counts = report.get("passages") or {}  # reports of earlier versions do not have it
    empty = [
        f"{counts[name]['without']:,} of {counts[name]['n']:,} {what}"
        for name, what in names.items()
        if counts.get(name, {}).get("without")
    ]
    return [f"without any passage: {', '.join(empty)}"] if empty else []


def _over_controls(report: Mapping[str, Any]) -> list[str]:
    """What is left of the gain over students that were trained on labels without knowledge, or on the right ones."""
    lines = []
    for control, learnt_from in LEARNT_FROM.items():
        pair = report.get("paired", {}).get(f"student_vs_{control}")
        if pair:
            gain = pair["difference"]
            points = f"{100 * gain['value']:+.1f} points [{100 * gain['low']:+.1f}, {100 * gain['high']:+.1f}]"
            lines.append(f"student - student of {learnt_from}: {points}, {corrected(pair)}")
    return lines


def _confidence(report: Mapping[str, Any]) -> list[str]:
    """What the labels' confidence is worth, where gold answers tell."""
    labels = report.get("labels") or {}
    measured = labels.get("calibration")
    if not measured:
        return []
    return [
        (
            f"confidence of the labels (a heuristic): mean {labels['mean_confidence']:.3f}, "
            f"right {labels['accuracy']['value']:.3f}, expected calibration error {measured['ece']:.3f} "
            f"(n={measured['n']})"
        )
    ]


def _lost(report: Mapping[str, Any]) -> list[str]:
    found = report.get("forgetting")
    if not found:
        return []
    ratio, pair = found["text"]["ratio"], found["second_task"]["student_vs_base"]
    task = pair["difference"]
    return [
        (
            f"elsewhere: perplexity of general text {ratio['value']:.2f} times the base's "
            f"[{ratio['low']:.2f}, {ratio['high']:.2f}]; second task {100 * task['value']:+.1f} points "
            f"[{100 * task['low']:+.1f}, {100 * task['high']:+.1f}], {p_value_text(pair['p_value'])}"
        )
    ]


def _costs(report: Mapping[str, Any]) -> list[str]:
    measured = (report.get("cost") or {}).get("arms") or {}
    return [
        f"an answer of the {name}, asked alone: {1000 * row['latency']['p50']:.0f} ms (95 % within "
        f"{1000 * row['latency']['p95']:.0f} ms), {row['memory']['peak'] / 1e9:.2f} GB, "
        f"{row['prompt_tokens']:.0f} tokens read"
        for name, row in measured.items()
    ]


def _training(report: Mapping[str, Any]) -> list[str]:
    """What the student's training took, so that kinds of adapter and objectives can be set beside each other."""
    told = report.get("training") or {}
    if not told.get("steps") or "adapter" not in told:
        return []
    # older versions did not measure single steps
    step = told.get("seconds_per_step") or told["seconds"] / told["steps"]
    return [
        (
            f"training: {told['adapter']}, rank {told['rank']}, {told.get('objective', 'sft')}: "
            f"{told['steps']:,} steps of {step:.2f} s, {told['peak_memory_bytes'] / 1e9:.2f} GB, "
            f"{told['trainable_parameters']:,} parameters"
        )
    ]
