"""Compares a run with what was published: labels, selection and numbers, each with its tolerance.

The same settings on the same machine give the same bytes; on another machine floating-point sums differ, so one answer
in a thousand may change, and the numbers with it. Every tolerance is reported beside the difference.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from solo_hub.core.records import CuratedQuestion, PseudoLabel, Verdict

NAMED = 4  # items named in the summary; the table has all of them


@dataclass(frozen=True, slots=True)
class Tolerances:
    """Allowed differences.

    Attributes:
        agreement: Minimum share of questions with the same label, passages or verdict, 0..1.
        numbers: Maximum absolute difference of a number of the report.
    """

    agreement: float = 0.99
    numbers: float = 0.02


@dataclass(frozen=True, slots=True)
class Compared:
    """One comparison of a published value with the reproduced one.

    Attributes:
        name: What is compared.
        published: The published value; 1 for an agreement.
        here: The value here, or the share that agrees; None if missing.
        n: Number of questions.
        allowed: Maximum allowed difference.
        counts: Whether a difference means that the run was not reproduced; otherwise it is only reported.
    """

    name: str
    published: float
    here: float | None
    n: int
    allowed: float
    counts: bool = True

    @property
    def difference(self) -> float | None:
        """Absolute difference."""
        return None if self.here is None else abs(self.here - self.published)

    @property
    def equal(self) -> bool:
        """Whether both values are exactly equal."""
        return self.here == self.published

    @property
    def same(self) -> bool:
        """Whether the difference is within the tolerance, up to rounding."""
        return self.difference is not None and self.difference <= self.allowed + 1e-9

    @property
    def outcome(self) -> str:
        """`equal`, `within` the tolerance, `DIFFERENT`, or `missing`; `differs, not counted` where that is expected."""
        if self.here is None:
            return "missing"
        if not self.counts and not self.equal:
            return "differs, not counted"
        return "equal" if self.equal else "within" if self.same else "DIFFERENT"

    def to_row(self) -> dict[str, Any]:
        """As `--format json` prints it."""
        return {**asdict(self), "difference": self.difference, "equal": self.equal, "same": self.same}


def compare_labels(
    published: Sequence[Mapping[str, Any]],
    labels: Sequence[PseudoLabel],
    verdicts: Sequence[Verdict],
    allowed: Tolerances,
) -> list[Compared]:
    """Compare pseudo-labels and their selection, question by question.

    Args:
        published: Rows of the configuration `all` of the published dataset.
        labels: The labels made here.
        verdicts: Their selection verdicts here.
        allowed: The tolerances.
    """
    reproduced = {label.question_id: label for label in labels}
    kept = {verdict.question_id: verdict.kept for verdict in verdicts}
    rows = [(row, reproduced.get(row["id"])) for row in published]
    share = 1 - allowed.agreement
    return [
        _share("same questions", [label is not None for _, label in rows], share, extra=len(reproduced) - len(rows)),
        _share("same passages", [label is not None and _passages(row) == label.passages for row, label in rows], share),
        _share("same label", [label is not None and _same_answer(row, label) for row, label in rows], share),
        _probabilities(rows, allowed),
        _confidence(rows, allowed),
        _share("same selection", [kept.get(row["id"]) == row["kept"] for row, _ in rows], share),
    ]


def compare_written(
    published: Sequence[CuratedQuestion], here: Sequence[CuratedQuestion], allowed: Tolerances
) -> list[Compared]:
    """Compare questions written from documents: their words, options, answer, sources, and what became of them.

    Args:
        published: Those of the published dataset.
        here: Those written here.
        allowed: What may differ.
    """
    mine = {row.id: row for row in here}
    agree = [mine.get(row.id) == row for row in published]
    return [_share("same written questions", agree, 1 - allowed.agreement, extra=len(mine) - len(agree))]


def compare_weights(published: str | None, here: str | None) -> list[Compared]:
    """Whether the adapter has the same bytes; a difference does not count, because its answers are compared instead.

    Args:
        published: SHA-256 of the published weights; None if not published.
        here: SHA-256 of the weights made here.
    """
    if published is None:
        return []
    equal = None if here is None else float(here == published)
    return [Compared("bytes of the adapter", 1.0, equal, 1, 1.0, counts=False)]


def sentence(compared: Sequence[Compared]) -> str:
    """A summary in one sentence: what is identical, what is within tolerance, what differs."""
    counted = [one for one in compared if one.counts or not one.same]
    different = [one.name for one in counted if not one.same]
    equal = sum(one.equal for one in counted)
    within = [one for one in counted if one.same and not one.equal]
    parts = []
    if equal:
        parts.append(f"{'all' if equal == len(counted) else equal} identical")
    if within:
        parts.append(
            f"{len(within)} within tolerance ({', '.join(one.name for one in within[:NAMED])}"
            f"{' and others' if len(within) > NAMED else ''})"
        )
    head = (
        f"{len(different)} of {len(counted)} were not reproduced: {', '.join(different)}"
        if different
        else (f"All {len(counted)} were reproduced")
    )
    rest = f"; of the others, {', '.join(parts)}" if different and parts else f": {', '.join(parts)}" if parts else ""
    others = "".join(f"; {one.name}: {one.outcome}" for one in compared if one not in counted)
    return f"{head}{rest}{others}."


def compare_reports(published: Mapping[str, Any], here: Mapping[str, Any], allowed: Tolerances) -> list[Compared]:
    """Compare every number of every arm except times, which depend on the machine."""
    compared = []
    for arm, measures in (published.get("arms") or {}).items():
        for name, measure in measures.items():
            if not isinstance(measure, Mapping) or measure.get("value") is None:
                continue
            again = ((here.get("arms") or {}).get(arm) or {}).get(name) or {}
            compared.append(
                Compared(
                    f"{arm}: {name}",
                    float(measure["value"]),
                    None if again.get("value") is None else float(again["value"]),
                    int(measure.get("n") or 0),
                    allowed.numbers,
                )
            )
    return compared


def _share(name: str, agree: Sequence[bool], allowed: float, *, extra: int = 0) -> Compared:
    n = len(agree) + max(extra, 0)
    return Compared(name, 1.0, sum(agree) / n if n else 1.0, n, allowed)


def _probabilities(rows: Sequence[tuple[Mapping[str, Any], PseudoLabel | None]], allowed: Tolerances) -> Compared:
    """Mean over labels of the largest difference in an option's probability."""
    largest = [
        max((abs(a - b) for a, b in zip(row["probabilities"], label.probabilities, strict=True)), default=0.0)
        for row, label in rows
        if label is not None
        and row["probabilities"] is not None
        and label.probabilities is not None
        and len(row["probabilities"]) == len(label.probabilities)
    ]
    n = len(largest)
    return Compared("difference of probabilities", 0.0, sum(largest) / n if n else 0.0, n, allowed.numbers)


def _confidence(rows: Sequence[tuple[Mapping[str, Any], PseudoLabel | None]], allowed: Tolerances) -> Compared:
    """Mean confidence of the labels that have one."""
    pairs = [
        (float(row["confidence"]), label.confidence)
        for row, label in rows
        if label is not None and row["confidence"] is not None and label.confidence is not None
    ]
    n = len(pairs)
    before, after = (sum(pair[side] for pair in pairs) / n if n else 0.0 for side in (0, 1))
    return Compared("mean confidence", before, after, n, allowed.numbers)


def _passages(row: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(passage["id"] for passage in row["passages"])


def _same_answer(row: Mapping[str, Any], label: PseudoLabel) -> bool:
    """Whether both chose the same option or, for free text, wrote the same words."""
    if row["label"] is None and label.option is None:
        return str(row["text"]).split() == label.text.split()
    return bool(row["label"] == label.option)
