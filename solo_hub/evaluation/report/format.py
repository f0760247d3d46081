"""How numbers and names of a report are written, the same in the terminal, on the page, in cards and in the Space.

Fractions are 0..1 in the report; accuracy is written in percent, ROUGE and BERTScore as fractions, as their papers do.
An interval is a 95 % interval and is written as "low to high".
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from solo_hub.evaluation.scoring import SHARES
from solo_hub.student.control_labels import LEARNT_FROM

ALPHA = 0.05
"""Significance level of every test."""
METRICS = {
    "accuracy": "Accuracy",
    "accuracy_generated": "Accuracy, written answer",
    "unparsed": "Written answers that name no option",
    "macro_f1": "Macro F1",
    "rouge1": "ROUGE-1",
    "rouge2": "ROUGE-2",
    "rougeL": "ROUGE-L",
    "rougeLsum": "ROUGE-Lsum",
    "bert_score_f1": "BERTScore F1",
}
"""Name of each metric, in the order of the tables."""


ARM_NAMES = {
    "base": "base",
    "teacher": "teacher",
    "student": "student",
    "student_with_passages": "student with passages",
    "base_few_shot": "base with examples",
    "teacher_zero_shot": "teacher with the question alone",
    "oracle": "oracle",
    **{arm: f"student trained on {learnt_from}" for arm, learnt_from in LEARNT_FROM.items()},
}
"""Name of each arm, the same everywhere; an arm of the user's own has the user's name."""


HELD_OUT_PARTS = {
    "studied": "studied facts, rephrased",
    "unseen": "facts not studied",
    "unseen_new": "of these, answers new to the student",
}
"""Name of each part of the held-out questions that were generated from documents."""


def arms_in_order(report: Mapping[str, Any]) -> list[str]:
    """The arms of a report: base, teacher, student, then the others in the order asked."""
    arms = report.get("arms") or {}
    known = [name for name in ("base", "teacher", "student") if name in arms]
    return known + [name for name in arms if name not in known]


def arm_label(arm: str) -> str:
    """Name of an arm in running text.

    >>> arm_label("base_few_shot"), arm_label("their_adapter")
    ('base with examples', 'their adapter')
    """
    return ARM_NAMES.get(arm) or arm.replace("_", " ")


def arm_reads(arm: str, report: Mapping[str, Any]) -> str:
    """Who answers in an arm and what it reads besides the question, where its name does not say so.

    >>> arm_reads("teacher", {"arms": {"teacher": {"passages": True}}}), arm_reads("student", {"arms": {"student": {}}})
    ('base with passages', '')
    >>> arm_reads("teacher", {"arms": {"teacher": {"passages": True}}, "teachers": ["acme/large"]})
    'acme/large with passages'
    """
    reads = (report["arms"].get(arm) or {}).get("passages")
    names, number = report.get("teachers") or (), arm.removeprefix("teacher_")  # earlier reports lack them
    if arm == "oracle":
        return "base with gold facts"
    if arm == "teacher" or number.isdecimal():
        who = names[int(number) - 1] if number.isdecimal() else " and ".join(names) or "base"
        return who if reads is False else f"{who} with passages"
    return "with passages" if reads and arm != "student_with_passages" else ""


def arm_title(arm: str, report: Mapping[str, Any]) -> str:
    """Name of an arm in tables.

    >>> arm_title("teacher", {"arms": {"teacher": {"passages": True}}})
    'teacher (base with passages)'
    """
    reads = arm_reads(arm, report)
    return f"{arm_label(arm)} ({reads})" if reads else arm_label(arm)


def percent(value: float) -> str:
    """A fraction as a percentage.

    >>> percent(0.45333)
    '45.3 %'
    """
    return f"{100 * value:.1f} %"


def coarse_percent(value: float) -> str:
    """A probability as a whole percentage; only exactly 0 and 1 are written as 0 % and 100 %.

    >>> coarse_percent(0.4567), coarse_percent(0.0001), coarse_percent(0.99999)
    ('46 %', '< 1 %', '> 99 %')
    """
    if 0 < value < 0.005:  # noqa: PLR2004 - rounds to 0
        return "< 1 %"
    if 0.995 <= value < 1:  # noqa: PLR2004 - rounds to 100
        return "> 99 %"
    return f"{100 * value:.0f} %"


def fraction(value: float) -> str:
    """A fraction with three decimals."""
    return f"{value:.3f}"


def percent_interval(measure: Mapping[str, Any]) -> str:
    """Ends of an interval of fractions, in percent but without the sign: it stands beside its value."""
    return f"{100 * measure['low']:.1f} to {100 * measure['high']:.1f}"


def fraction_interval(measure: Mapping[str, Any], digits: int = 3) -> str:
    """Ends of an interval of numbers."""
    return f"{measure['low']:.{digits}f} to {measure['high']:.{digits}f}"


def metric_value(name: str, measure: Mapping[str, Any] | None, missing: str = "-") -> str:
    """A metric with its interval, where it has one.

    >>> metric_value("accuracy", {"value": 0.448, "low": 0.416, "high": 0.48})
    '44.8 % (41.6 to 48.0)'
    >>> metric_value("rougeL", {"value": 0.3, "low": 0.28, "high": 0.32})
    '0.300 (0.280 to 0.320)'
    """
    if not measure:
        return missing
    in_percent = name in SHARES
    value = percent(measure["value"]) if in_percent else fraction(measure["value"])
    if measure.get("low") is None or measure.get("high") is None:
        return value
    return f"{value} ({percent_interval(measure) if in_percent else fraction_interval(measure)})"


def points(value: float) -> str:
    """A difference of fractions in percentage points, with its sign.

    >>> points(0.175), points(-0.0529)
    ('+17.5', '-5.3')
    """
    return f"{100 * value:+.1f}"


def points_interval(difference: Mapping[str, Any]) -> str:
    """A difference in percentage points with its interval, where it has one.

    >>> points_interval({"value": 0.175, "low": 0.141, "high": 0.209})
    '+17.5 points (95 % interval +14.1 to +20.9)'
    """
    text = f"{points(difference['value'])} points"
    if difference.get("low") is None or difference.get("high") is None:
        return text
    return f"{text} (95 % interval {points(difference['low'])} to {points(difference['high'])})"


def gap_closed(gap: Mapping[str, Any]) -> str:
    """Share of the gap between base and teacher that the student closed, with its interval.

    >>> gap_closed({"value": 0.7678, "low": 0.62, "high": 0.91})
    '77 % (95 % interval 62 to 91 %)'
    """
    text = f"{100 * gap['value']:.0f} %"
    if gap.get("low") is None or gap.get("high") is None:
        return text
    return f"{text} (95 % interval {100 * gap['low']:.0f} to {100 * gap['high']:.0f} %)"


def p_value(value: float) -> str:
    """A p-value.

    >>> p_value(0.0341), p_value(0.00001)
    ('p = 0.034', 'p < 0.001')
    """
    return "p < 0.001" if value < 0.001 else f"p = {value:.3f}"  # noqa: PLR2004 - smaller digits are not meaningful


def p_values(pair: Mapping[str, Any]) -> str:
    """The p-values of a secondary comparison: its own, which goes with its interval, and the one that decides.

    >>> p_values({"p_value": 0.03, "p_value_holm": 0.09})
    'p = 0.030, Holm-corrected p = 0.090'
    """
    own, holm = p_value(pair["p_value"]), pair.get("p_value_holm")  # the first reports had no correction
    return own if holm is None else f"{own}, Holm-corrected {p_value(holm)}"


def trust_lines(report: Mapping[str, Any]) -> list[str]:
    """How far the student's probabilities can be trusted, and what it recites, one line each; without what is unknown.

    Reports of earlier versions have neither `trust` nor `recitation`.
    """
    trust, lines = report.get("trust") or {}, []
    rows = {arm: row for arm in ("student", "base") if (row := (trust.get("arms") or {}).get(arm))}
    if "student" in rows:
        numbers = [
            f"{name} {' against '.join(write(row[key]) + f' ({arm})' for arm, row in rows.items())}"
            for key, name, write in (
                ("ece", "expected calibration error", fraction),
                ("brier", "Brier score", lambda measure: fraction(measure["value"])),
                (
                    "accuracy_at_coverage",
                    f"accuracy on the surest {coarse_percent(trust['coverage'])}",
                    lambda measure: percent(measure["value"]),
                ),
            )
        ]
        lines.append(f"trust: {'; '.join(numbers)}")
    apart = trust.get("unanswerable") or {}
    if "student_vs_base" in apart:
        lines.append(
            f"confidently wrong (at least {coarse_percent(apart['confident'])} sure) on {apart['n']:,} questions whose "
            f"documents the student did not study: {_student_and_base(apart)}"
        )
    recited = report.get("recitation") or {}
    if "student_vs_base" in recited:
        lines.append(f"passages continued word for word (n = {recited['n']:,}): {_student_and_base(recited)}")
    return lines


def _student_and_base(section: Mapping[str, Any]) -> str:
    student, base = (percent(section["arms"][arm]["value"]) for arm in ("student", "base"))
    return f"student {student}, base {base} ({p_value(section['student_vs_base']['p_value'])})"


def format_value(value: Any) -> str:
    """A setting or a count: thousands grouped, no needless digits."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}" if abs(value) >= 10_000 else str(value)  # noqa: PLR2004 - from 10,000
    if isinstance(value, float):
        return f"{value:.4g}"
    return "" if value is None else str(value)


def forgetting_lines(report: Mapping[str, Any]) -> list[str]:
    """What the student forgot, a line for each measurement; empty if it was not measured."""
    measured = report.get("forgetting") or {}
    ratio = (measured.get("text") or {}).get("ratio") or {}
    pair = (measured.get("second_task") or {}).get("student_vs_base") or {}
    lines = []
    if ratio.get("value") is not None:
        lines.append(
            f"perplexity on general text, student over base: {fraction(ratio['value'])} (95 % interval "
            f"{fraction_interval(ratio)}); above 1 is worse"
        )
    if pair.get("difference"):
        lines.append(
            f"accuracy on a second task not trained on, student minus base: {points_interval(pair['difference'])}, "
            f"n = {pair.get('n')}, {p_value(pair['p_value'])}"
        )
    return lines


def format_seconds(value: float) -> str:
    """A duration.

    >>> format_seconds(0.0123), format_seconds(1.5)
    ('12 ms', '1.50 s')
    """
    return f"{1000 * value:.0f} ms" if value < 1 else f"{value:.2f} s"


def typographic(text: str) -> str:
    """A formatted number for an HTML page: no line break between number and unit, and a real minus sign."""
    return re.sub(r"(?<=\d) (?!to )", "\u202f", text.replace("-", "\u2212"))


def unbroken(sentence: str) -> str:
    """A sentence for an HTML page: no line break between a number and its percent sign."""
    return re.sub(r"(?<=\d) (?=%)", "\u202f", sentence)
