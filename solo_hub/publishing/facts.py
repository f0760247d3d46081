"""The report in words and tables: every number a card prints is formatted here, and comes from the report alone.

Fractions are 0..1 in the report; accuracy is written in percent, ROUGE and BERTScore as fractions, as their papers do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from solo_hub.publishing.markdown import Markdown, table

ARMS = {
    "base": "Base",
    "teacher": "Teacher (base + passages)",
    "student": "**Student (this adapter)**",
    "base_few_shot": "Base, with examples",
    "student_with_passages": "Student + passages",
    "oracle": "Oracle (base + gold facts)",
}
FURTHER = {
    "base_few_shot": "The base with examples reads some of the pseudo-labels before the question.",
    "student_with_passages": "The student with passages reads what the teacher reads.",
    "oracle": "The oracle reads the facts the question was made from, which no other arm is given.",
}
"""What the arms beside base, teacher and student are, where they were asked."""
METRICS = {
    "accuracy": "Accuracy",
    "accuracy_generated": "Accuracy as written",
    "rouge1": "ROUGE-1",
    "rouge2": "ROUGE-2",
    "rougeL": "ROUGE-L",
    "bert_score_f1": "BERTScore F1",
}
HUB_METRICS = {
    "accuracy": "accuracy",
    "accuracy_generated": "accuracy",
    "rouge1": "rouge",
    "rouge2": "rouge",
    "rougeL": "rouge",
    "bert_score_f1": "bertscore",
}
"""Our metrics by the Hub's metric ids."""

MISSING = "not measured"
BROUGHT = "given"
"""Style of labels that were brought along: nobody was asked for them."""
SIGNIFICANT = 0.05
"""p-value below which a difference counts as more than chance."""
PRIMARY = "student_vs_base"
"""The primary endpoint, declared beforehand: judged by its own p-value, all other comparisons by Holm's correction."""


@dataclass(frozen=True, slots=True)
class Gain:
    """Whether the student is better than its base.

    Attributes:
        better: It is, and by more than chance explains.
        sentence: The finding in words, for the card and for the refusal.
    """

    better: bool
    sentence: str


def gain(report: Mapping[str, Any]) -> Gain:
    """Judge the student against its base by the paired test.

    It is the primary endpoint, so its p-value is not corrected for the other comparisons. A multiple-choice run is
    judged by accuracy and the exact McNemar test; one without options by the interval of the paired difference.
    """
    student, base = measure(report, "student", "accuracy"), measure(report, "base", "accuracy")
    pair = _get(report, "paired", PRIMARY)
    if not pair:
        return Gain(
            False,
            "The student was not compared with its base question by question, so there is no evidence that it is "
            "better.",
        )
    p_value, difference = pair.get("p_value"), pair.get("difference") or {}
    if student and base and p_value is not None:
        numbers = (
            f"({percent(student['value'])} against {percent(base['value'])}, n = {student['n']}, p {p_words(p_value)})"
        )
        if student["value"] <= base["value"]:
            return Gain(False, f"The student is not better than its base {numbers}.")
        if p_value >= SIGNIFICANT:
            return Gain(False, f"The student is not significantly better than its base {numbers}.")
        return Gain(True, f"The student is better than its base {numbers}.")
    low = difference.get("low")
    if low is not None and low > 0:
        return Gain(
            True,
            f"The student is better than its base (paired difference {signed(difference)}, n = "
            f"{difference.get('n', pair.get('n'))}).",
        )
    return Gain(
        False, "The student is not significantly better than its base by the paired difference of their answers."
    )


def measure(report: Mapping[str, Any], arm: str, metric: str) -> Mapping[str, Any] | None:
    """A metric of an arm as `{value, low, high, n}`, or None where it was not measured."""
    found = _get(report, "arms", arm, metric)
    return found if found and found.get("value") is not None else None


def percent(value: float) -> str:
    """A fraction as percent.

    >>> percent(0.45333)
    '45.3 %'
    """
    return f"{100 * value:.1f} %"


def fraction(value: float) -> str:
    """A fraction with three decimals."""
    return f"{value:.3f}"


def p_words(p_value: float) -> str:
    """A p-value as read aloud: `= 0.012`, `< 0.0001`."""
    return "< 0.0001" if p_value < 0.0001 else f"= {p_value:.2g}"  # noqa: PLR2004 - beyond that the digits say nothing


def signed(difference: Mapping[str, Any]) -> str:
    """A difference of fractions in points, with its interval."""
    low, high = difference.get("low"), difference.get("high")
    between = f", 95 % interval {100 * low:+.1f} to {100 * high:+.1f}" if low is not None and high is not None else ""
    return f"{100 * difference['value']:+.1f} points{between}"


def results(report: Mapping[str, Any]) -> Markdown:
    """The table of metrics and arms with intervals; what nobody measured is left out."""
    measured = report.get("arms") or {}
    arms = [*(arm for arm in ARMS if measured.get(arm)), *(arm for arm in measured if arm not in ARMS)]
    metrics = [metric for metric in METRICS if any(measure(report, arm, metric) for arm in arms)]
    lines = [[METRICS[name], *(_cell(measure(report, arm, name), name) for arm in arms)] for name in metrics]
    seconds = [_get(report, "arms", arm, "seconds_per_question") for arm in arms]
    if any(seconds):
        shown = [f"{found['p50']:.3g} / {found['p95']:.3g}" if found else MISSING for found in seconds]
        lines.append(["Seconds a question in a batch, without looking up, p50 / p95", *shown])
    return table(["", *(_arm(arm, report) for arm in arms)], lines)


def _arm(arm: str, report: Mapping[str, Any]) -> str:
    """Head of an arm's column; a teacher that read nothing is not said to have read."""
    if arm == "teacher" and _get(report, "arms", "teacher", "passages") is False:
        return Markdown("Teacher (base)")
    return Markdown(ARMS[arm]) if arm in ARMS else arm


def reading(report: Mapping[str, Any]) -> str:
    """What the arms had before them when they were asked."""
    measured = report.get("arms") or {}
    said = ["Base and student answer closed book"]
    if "teacher" in measured:
        sees = _get(report, "arms", "teacher", "passages") is not False
        said.append("the teacher sees passages" if sees else "and so does the teacher, for this run has no passages")
    further = " ".join(text for arm, text in FURTHER.items() if arm in measured)
    return f"{', '.join(said)}. {further}".strip()


def _cell(found: Mapping[str, Any] | None, metric: str) -> str:
    if not found:
        return MISSING
    form = percent if metric.startswith("accuracy") else fraction
    low, high = found.get("low"), found.get("high")
    value = form(found["value"])
    if low is None or high is None:
        return value
    between = f"{100 * low:.1f} to {100 * high:.1f}" if metric.startswith("accuracy") else f"{low:.3f} to {high:.3f}"
    return f"{value} ({between})"


def paired(report: Mapping[str, Any]) -> list[Markdown]:
    """One sentence for each paired comparison the report has."""
    names = {
        "student_vs_base": ("student", "base"),
        "student_vs_teacher": ("student", "teacher"),
        "teacher_vs_base": ("teacher", "base"),
        "student_vs_random_student": ("student", "student trained on options drawn by chance"),
        "student_vs_shuffled_student": ("student", "student trained on answers of other questions"),
        "student_vs_gold_student": ("student", "student trained on the known answers"),
    }
    sentences = []
    for key, (first, second) in names.items():
        pair = _get(report, "paired", key)
        if pair:
            sentences.append(Markdown(_pair(pair, first, second, primary=key == PRIMARY)))
    return sentences


def _pair(pair: Mapping[str, Any], first: str, second: str, *, primary: bool) -> str:
    sentence = f"**{first.capitalize()} against {second}{' (primary endpoint)' if primary else ''}:** "
    parts = []
    if pair.get("difference"):
        parts.append(signed(pair["difference"]))
    if pair.get("only_first") is not None and pair.get("only_second") is not None:
        parts.append(
            f"the {first} alone is right on {pair['only_first']} of {pair['n']} questions, the {second} alone on "
            f"{pair['only_second']}"
        )
    p_value = pair.get("p_value")
    if p_value is not None:
        chance = (
            "if both were equally good, a difference as large would come about by chance with probability p "
            if p_value < SIGNIFICANT
            else "a difference as large is well explained by chance: p "
        )
        name = "exact McNemar test" if pair.get("test") == "mcnemar_exact" else "paired test"
        parts.append(f"{chance}{p_words(p_value)} ({name})")
        holm = None if primary else pair.get("p_value_holm")
        if holm is not None:
            verdict = "remains" if holm < SIGNIFICANT else "does not remain"
            verdict = f"{verdict} significant" if p_value < SIGNIFICANT else "is not significant"
            parts.append(f"corrected for all comparisons of the report (Holm) it {verdict}: p {p_words(holm)}")
    return sentence + "; ".join(parts) + "."


def gap_closed(report: Mapping[str, Any]) -> str | None:
    """How much of the way from base to teacher the student went, in words."""
    gap = report.get("gap_closed")
    if not gap or gap.get("value") is None:
        return None
    low, high = gap.get("low"), gap.get("high")
    between = f" (95 % interval {100 * low:.0f} to {100 * high:.0f} %)" if low is not None and high is not None else ""
    return f"The student closed {100 * gap['value']:.0f} %{between} of the gap between base and teacher."


def label_quality(report: Mapping[str, Any]) -> list[str]:
    """What is known of the labels' quality, each a sentence; where gold answers exist it is called analysis."""
    labels, selection = report.get("labels") or {}, report.get("selection") or {}
    sentences = []
    found = labels.get("accuracy")
    if found:
        wrong = 100 * (1 - found["value"])
        sentences.append(
            f"Analysis with the known answers, which nothing else of the run has read: {_cell(found, 'accuracy')} of "
            f"{found['n']:,} labels are right, "
            f"so about {wrong:.0f} of 100 are wrong."
        )
    else:
        sentences.append(
            "There are no known answers to these questions: nobody has measured how many of the labels are right."
        )
    kept, dropped = _share(selection.get("accuracy_kept")), _share(selection.get("accuracy_dropped"))
    if kept is not None and dropped is not None:
        sentences.append(
            f"Of the kept labels {percent(kept)} are right, of the dropped ones {percent(dropped)} (analysis, too)."
        )
    if labels.get("mean_confidence") is not None:
        brought = labels.get("style") == BROUGHT
        whose = (
            "Their mean confidence, as it was brought along,"
            if brought
            else "The teacher's mean confidence in its own answers"
        )
        sentences.append(f"{whose} is {percent(labels['mean_confidence'])}.{_trust(labels, brought=brought)}")
    return sentences


def _trust(labels: Mapping[str, Any], *, brought: bool) -> str:
    """What a confidence is worth: how it came about, and how far it is from how often labels are right."""
    views, error = _get(labels, "calibrated_on", "views"), _get(labels, "calibration", "ece")
    said = ""
    if views and not brought:
        said = f" It is a heuristic, set without labels to how often {views} agree, and not a chance of being right."
    if error is not None:
        said += (
            f" Measured with the known answers, its expected calibration error is {fraction(error)} "
            f"({labels['calibration']['n']:,} labels)."
        )
    return said


def _share(found: Any) -> float | None:
    """A share that stands in the report as a number, with its interval, or not at all."""
    value = found.get("value") if isinstance(found, Mapping) else found
    return None if value is None else float(value)


def errors(report: Mapping[str, Any]) -> Markdown | None:
    """Where the wrong answers come from, the most frequent cause first."""
    found = [cause for cause in (report.get("errors") or {}).values() if cause.get("count")]
    if not found:
        return None
    found.sort(key=lambda cause: -cause["count"])
    lines = [(str(cause["text"]), f"{cause['count']:,}", _cell(cause, "accuracy"), str(cause["of"])) for cause in found]
    return table(("Cause", "Questions", "Share (95 % interval)", "of"), lines, align="lrrl")


def cost(report: Mapping[str, Any]) -> tuple[Markdown, str] | None:
    """Latency and peak memory of each arm, and the conditions they were measured in; None where nobody did."""
    measured = report.get("cost") or {}
    lines = []
    for arm, told in (measured.get("arms") or {}).items():
        latency, memory = told.get("latency") or {}, told.get("memory") or {}
        seconds = f"{latency['p50']:.3g} / {latency['p95']:.3g}" if latency else MISSING
        parts = [f"{memory[part] / 1e9:.2f}" if memory.get(part) is not None else MISSING for part in ("model", "peak")]
        lines.append([_arm(str(arm), report), seconds, *parts])
    if not lines:
        return None
    found = measured.get("conditions") or {}
    where = ", ".join(str(found[key]) for key in ("device", "dtype") if found.get(key))
    threads = f", {found['threads']} thread{'s' * (found['threads'] != 1)}" if found.get("threads") else ""
    conditions = f"{measured.get('n_questions')} questions, one at a time{f', on {where}' if where else ''}{threads}"
    heads = (
        "",
        "Seconds a question asked alone, looking up included, p50 / p95",
        "Memory of the model, GB",
        "Peak memory of the process, GB",
    )
    return table(heads, lines), conditions


def lost(report: Mapping[str, Any]) -> list[str]:
    """What the student lost elsewhere, each a sentence with its interval; empty where nobody measured it."""
    found = report.get("forgetting") or {}
    sentences = []
    ratio = _get(found, "text", "ratio") or {}
    if ratio.get("value") is not None:
        sentences.append(
            f"Perplexity on general text, student over base: {ratio['value']:.3f} (95 % interval {ratio['low']:.3f} to "
            f"{ratio['high']:.3f}); above 1 is worse."
        )
    pair = _get(found, "second_task", "student_vs_base") or {}
    if pair.get("difference"):
        sentences.append(
            f"Accuracy on a second task nobody trained on, student minus base: {signed(pair['difference'])} "
            f"(n = {pair.get('n')}, p {p_words(pair['p_value'])})."
        )
    return sentences


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
