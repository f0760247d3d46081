"""The report as sentences and tables of a card: every number a card prints comes from the report, through here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from solo_hub.core.system import format_bytes
from solo_hub.evaluation.report.format import (
    ALPHA,
    ARM_NAMES,
    METRICS,
    arm_label,
    arm_title,
    arms_in_order,
    format_seconds,
    fraction,
    metric_value,
    p_value,
    percent,
    points_interval,
)
from solo_hub.evaluation.report.format import gap_closed as format_gap
from solo_hub.evaluation.report.report import PAIRS
from solo_hub.evaluation.report.verdict import verdict as find_verdict
from solo_hub.evaluation.statistics.significance import PRIMARY
from solo_hub.publishing.markdown import Markdown, table
from solo_hub.student.control_labels import CONTROLS

FURTHER = {
    "base_few_shot": "The base with examples sees some of the pseudo-labels before the question.",
    "student_with_passages": "The student with passages sees the same passages as the teacher.",
    "teacher_zero_shot": "The teacher with the question alone sees neither passages nor examples.",
    "oracle": "The oracle sees the gold facts of the question, which no other arm does.",
}
"""Additional arms, explained where they were evaluated."""
HUB_METRICS = {
    "accuracy": "accuracy",
    "accuracy_generated": "accuracy",
    "rouge1": "rouge",
    "rouge2": "rouge",
    "rougeL": "rouge",
    "bert_score_f1": "bertscore",
}
"""Metrics a card reports -> the Hub's metric ids."""

MISSING = "not measured"
IMPORTED = "given"
"""Style of imported labels: no teacher was asked."""


@dataclass(frozen=True, slots=True)
class Gain:
    """Whether the student is better than its base.

    Attributes:
        better: It is, and significantly so.
        sentence: The finding in words, for the card and for the refusal to publish.
    """

    better: bool
    sentence: str


def gain(report: Mapping[str, Any]) -> Gain:
    """Compare the student with its base by the paired test.

    It is the primary endpoint, so its p-value is not corrected for the other comparisons.
    """
    student, base = measure(report, "student", "accuracy"), measure(report, "base", "accuracy")
    pair = _get(report, "paired", PRIMARY)
    if not (pair and student and base):
        return Gain(
            False,
            "The student was not compared with its base question by question, so there is no evidence that it is "
            "better.",
        )
    higher, clear = student["value"] > base["value"], pair["p_value"] < ALPHA
    found = "" if higher and clear else "not significantly " if higher else "not "
    numbers = f"{percent(student['value'])} against {percent(base['value'])}, n = {student['n']}"
    sentence = f"The student is {found}better than its base ({numbers}, {p_value(pair['p_value'])})."
    return Gain(higher and clear, sentence)


def measure(report: Mapping[str, Any], arm: str, metric: str) -> Mapping[str, Any] | None:
    """A metric of an arm as `{value, low, high, n}`, or None where it was not measured."""
    measured = _get(report, "arms", arm, metric)
    return measured if measured and measured.get("value") is not None else None


def results(report: Mapping[str, Any]) -> Markdown:
    """The table of metrics and arms with intervals; metrics that were not measured are left out."""
    arms = arms_in_order(report)
    metrics = [metric for metric in HUB_METRICS if any(measure(report, arm, metric) for arm in arms)]
    lines = [
        [METRICS[name], *(metric_value(name, measure(report, arm, name), MISSING) for arm in arms)] for name in metrics
    ]
    seconds = [_get(report, "arms", arm, "seconds_per_question") for arm in arms]
    if any(seconds):
        shown = [f"{one['p50']:.3g} / {one['p95']:.3g}" if one else MISSING for one in seconds]
        lines.append(["Seconds per question in a batch, without retrieval, p50 / p95", *shown])
    return table(["", *(_arm(arm, report) for arm in arms)], lines)


def _arm(arm: str, report: Mapping[str, Any]) -> str:
    """Head of an arm's column: its name, and of a teacher who it is and whether it had passages."""
    if arm == "student":
        return Markdown("**Student (this adapter)**")
    title = arm_title(arm, report)
    return f"{title[0].upper()}{title[1:]}" if arm in ARM_NAMES or arm.removeprefix("teacher_").isdecimal() else arm


def verdict(report: Mapping[str, Any]) -> tuple[str, Markdown] | None:
    """Retrieve, tune, or both: one sentence, and the table of accuracy, time, tokens and memory it rests on."""
    found = find_verdict(report)
    if found is None:
        return None
    time = "Time of a single answer" if found.single else "Time, share of a batch"
    heads = ("", "Right answers (95 % interval)", time, "Tokens read", "Peak memory")
    lines = [
        (
            _arm(way.arm, report),
            metric_value("accuracy", way.accuracy, MISSING),
            MISSING if way.seconds is None else format_seconds(way.seconds),
            MISSING if way.tokens is None else f"{way.tokens:,.0f}",
            MISSING if way.memory is None else format_bytes(way.memory),
        )
        for way in found.ways
    ]
    kept = [place for place in range(len(heads)) if any(line[place] != MISSING for line in lines)]
    return found.sentence, table([heads[i] for i in kept], [[line[i] for i in kept] for line in lines])


def reading(report: Mapping[str, Any]) -> str:
    """What each arm sees when it is asked."""
    measured = report.get("arms") or {}
    sentence = ["Base and student answer closed book"]
    if "teacher" in measured:
        sees = _get(report, "arms", "teacher", "passages") is not False
        sentence.append("the teacher sees passages" if sees else "and so does the teacher, as this run has no passages")
    further = " ".join(text for arm, text in FURTHER.items() if arm in measured)
    return f"{', '.join(sentence)}. {further}".strip()


def paired(report: Mapping[str, Any]) -> list[Markdown]:
    """One sentence for each paired comparison the report has."""
    pairs = (*PAIRS, *(("student", control) for control in CONTROLS))
    found = {key: pair for arms in pairs if (pair := _get(report, "paired", key := "_vs_".join(arms)))}
    return [Markdown(_pair(key, pair)) for key, pair in found.items()]


def _pair(key: str, pair: Mapping[str, Any]) -> str:
    first, second = map(arm_label, key.split("_vs_"))
    p, holm = pair["p_value"], pair.get("p_value_holm")  # the first reports had no correction
    verdict = "significant" if p < ALPHA else "not significant"
    parts = [
        points_interval(pair["difference"]),
        (
            f"of {pair['n']} questions, only the {first} is right on {pair['only_first']}, only the {second} on "
            f"{pair['only_second']}"
        ),
        f"{verdict}, {p_value(p)} (exact McNemar test)",
    ]
    if key != PRIMARY and holm is not None:
        still = "" if p >= ALPHA else "still " if holm < ALPHA else "no longer "
        parts.append(f"after Holm correction for all comparisons of the report, {still}{verdict}: {p_value(holm)}")
    primary = " (primary endpoint)" if key == PRIMARY else ""
    return f"**{first.capitalize()} against {second}{primary}:** {'; '.join(parts)}."


def gap_closed(report: Mapping[str, Any]) -> str | None:
    """The share of the gap between base and teacher, and between teacher and gold student, that the student closed."""
    names = {"gap_closed": "base and teacher", "gap_recovered": "teacher and a student trained on gold answers"}
    found = {between: report.get(key) or {} for key, between in names.items()}
    closed = [
        f"{format_gap(gap)} of the gap between {between}"
        for between, gap in found.items()
        if gap.get("value") is not None
    ]
    return f"The student closed {' and '.join(closed)}." if closed else None


def label_quality(report: Mapping[str, Any]) -> list[str]:
    """What is known of the labels' quality, one sentence each; what gold answers show is marked as analysis."""
    labels, selection = report.get("labels") or {}, report.get("selection") or {}
    sentences = []
    accuracy = labels.get("accuracy")
    if accuracy:
        wrong = 100 * (1 - accuracy["value"])
        sentences.append(
            "Analysis with the gold answers, which no other part of the run has used: "
            f"{metric_value('accuracy', accuracy)} of {accuracy['n']:,} labels are right, so about {wrong:.0f} of 100 "
            "are wrong."
        )
    else:
        sentences.append(
            "There are no gold answers to these questions, so the accuracy of the labels has not been measured."
        )
    kept, dropped = _share(selection.get("accuracy_kept")), _share(selection.get("accuracy_dropped"))
    if kept is not None and dropped is not None:
        sentences.append(
            f"Of the kept labels {percent(kept)} are right, of the dropped ones {percent(dropped)} (also analysis)."
        )
    if labels.get("mean_confidence") is not None:
        imported = labels.get("style") == IMPORTED
        whose = (
            "Their mean confidence, as imported," if imported else "The teacher's mean confidence in its own answers"
        )
        sentences.append(f"{whose} is {percent(labels['mean_confidence'])}.{_trust(labels, imported=imported)}")
    return sentences


def _trust(labels: Mapping[str, Any], *, imported: bool) -> str:
    """How the confidence was set, and how well it is calibrated."""
    views, error = _get(labels, "calibrated_on", "views"), _get(labels, "calibration", "ece")
    text = ""
    if views and not imported:
        text = f" It is a heuristic, set without labels to how often {views} agree, not a probability of being right."
    if error is not None:
        text += (
            f" Measured with the gold answers, its expected calibration error is {fraction(error)} "
            f"({labels['calibration']['n']:,} labels)."
        )
    return text


def _share(measured: Any) -> float | None:
    """A share that the report has as a number, with an interval, or not at all."""
    value = measured.get("value") if isinstance(measured, Mapping) else measured
    return None if value is None else float(value)


def errors(report: Mapping[str, Any]) -> Markdown | None:
    """Where the wrong answers come from, the most frequent cause first."""
    causes = [cause for cause in (report.get("errors") or {}).values() if cause.get("count")]
    if not causes:
        return None
    causes.sort(key=lambda cause: -cause["count"])
    lines = [
        (str(cause["text"]), f"{cause['count']:,}", metric_value("accuracy", cause), str(cause["of"]))
        for cause in causes
    ]
    return table(("Cause", "Questions", "Share (95 % interval)", "of"), lines, align="lrrl")


def cost(report: Mapping[str, Any]) -> tuple[Markdown, str] | None:
    """Latency and peak memory of each arm, and the conditions of the measurement; None if it was not made."""
    measured = report.get("cost") or {}
    lines = []
    for arm, costs in (measured.get("arms") or {}).items():
        latency, memory = costs.get("latency") or {}, costs.get("memory") or {}
        seconds = f"{latency['p50']:.3g} / {latency['p95']:.3g}" if latency else MISSING
        parts = [f"{memory[part] / 1e9:.2f}" if memory.get(part) is not None else MISSING for part in ("model", "peak")]
        lines.append([_arm(str(arm), report), seconds, *parts])
    if not lines:
        return None
    setup = measured.get("conditions") or {}
    where = ", ".join(str(setup[key]) for key in ("device", "dtype") if setup.get(key))
    threads = f", {setup['threads']} thread{'s' * (setup['threads'] != 1)}" if setup.get("threads") else ""
    conditions = f"{measured.get('n_questions')} questions, one at a time{f', on {where}' if where else ''}{threads}"
    heads = (
        "",
        "Seconds per single question, retrieval included, p50 / p95",
        "Memory of the model, GB",
        "Peak memory of the process, GB",
    )
    return table(heads, lines), conditions


def sentences(lines: Sequence[str]) -> list[str]:
    """Lines of the terminal as sentences of a card."""
    return [f"{line[0].upper()}{line[1:]}." for line in lines]


def size_category(count: int) -> str:
    """The Hub's size tag for a number of rows.

    >>> size_category(999), size_category(1000)
    ('n<1K', '1K<n<10K')
    """
    steps: Sequence[tuple[int, str]] = (
        (1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"),
        (10_000_000, "1M<n<10M"), (100_000_000, "10M<n<100M"),
    )  # fmt: skip
    return next((name for limit, name in steps if count < limit), "100M<n<1B")


def _get(report: Mapping[str, Any], *path: str) -> Any:
    value: Any = report
    for key in path:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value
