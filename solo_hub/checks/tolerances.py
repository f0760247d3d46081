"""Holds a run against what was published: labels, selection and numbers, each with the difference that is allowed.

The same settings on the same machine give the same bytes; on another one sums are added up in another order, so an
answer in a thousand may change and the numbers with it. What is allowed is stated beside what was found.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from solo_hub.core.records import PseudoLabel, Verdict

NAMED = 4  # things that a sentence names; the table has all of them


@dataclass(frozen=True, slots=True)
class Tolerances:
    """What may differ.

    Attributes:
        agreement: Least share of questions with the same label, passages or verdict, 0..1.
        numbers: Largest difference of a number of the report.
    """

    agreement: float = 0.99
    numbers: float = 0.02


@dataclass(frozen=True, slots=True)
class Compared:
    """One thing that was published and made anew.

    Attributes:
        name: What.
        published: Its value as published; for a share of agreement 1.
        here: Its value here, or the share that agrees; None where it was not made.
        n: Questions it is about.
        allowed: Largest difference allowed.
        counts: Whether a difference counts against the run; otherwise it is told and no more.
    """

    name: str
    published: float
    here: float | None
    n: int
    allowed: float
    counts: bool = True

    @property
    def difference(self) -> float | None:
        """How far it is off."""
        return None if self.here is None else abs(self.here - self.published)

    @property
    def equal(self) -> bool:
        """Whether it is equal to the last bit."""
        return self.here == self.published

    @property
    def same(self) -> bool:
        """Whether that is allowed; the last digits of a sum are not held against anybody."""
        return self.difference is not None and self.difference <= self.allowed + 1e-9

    @property
    def outcome(self) -> str:
        """`equal`, `within` what is allowed, `DIFFERENT`, or `missing`; `others, no fault` where it does not count."""
        if self.here is None:
            return "missing"
        if not self.counts and not self.equal:
            return "others, no fault"
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
        verdicts: What selection said of them here.
        allowed: What may differ.
    """
    mine = {label.question_id: label for label in labels}
    kept = {verdict.question_id: verdict.kept for verdict in verdicts}
    rows = [(row, mine.get(row["id"])) for row in published]
    share = 1 - allowed.agreement
    return [
        _share("same questions", [label is not None for _, label in rows], share, extra=len(mine) - len(rows)),
        _share("same passages", [label is not None and _passages(row) == label.passages for row, label in rows], share),
        _share("same label", [label is not None and _same_answer(row, label) for row, label in rows], share),
        _probabilities(rows, allowed),
        _confidence(rows, allowed),
        _share("same selection", [kept.get(row["id"]) == row["kept"] for row, _ in rows], share),
    ]


def compare_weights(published: str | None, here: str | None) -> list[Compared]:
    """Whether the adapter has the same bytes; other ones are no fault, its answers are what is held against it.

    Args:
        published: SHA-256 of the published weights; None where none are told.
        here: The same of those made here.
    """
    if published is None:
        return []
    equal = None if here is None else float(here == published)
    return [Compared("bytes of the adapter", 1.0, equal, 1, 1.0, counts=False)]


def sentence(found: Sequence[Compared]) -> str:
    """What came out, in a sentence: how much is equal to the bit, how far off the rest is, what is different."""
    counted = [one for one in found if one.counts or not one.same]
    different = [one.name for one in counted if not one.same]
    equal = sum(one.equal for one in counted)
    within = [one for one in counted if one.same and not one.equal]
    parts = []
    if equal:
        parts.append(f"{'all' if equal == len(counted) else equal} equal to the bit")
    if within:
        parts.append(
            f"{len(within)} within what is allowed ({', '.join(one.name for one in within[:NAMED])}"
            f"{' and others' if len(within) > NAMED else ''})"
        )
    head = (
        f"{len(different)} of {len(counted)} did not come out again: {', '.join(different)}"
        if different
        else (f"All {len(counted)} came out again")
    )
    rest = f"; of the others {', '.join(parts)}" if different and parts else f": {', '.join(parts)}" if parts else ""
    told = "".join(f"; {one.name}: {one.outcome}" for one in found if one not in counted)
    return f"{head}{rest}{told}."


def compare_reports(
    published: Mapping[str, Any], here: Mapping[str, Any] | None, allowed: Tolerances
) -> list[Compared]:
    """Compare every number of every arm; times are a machine's, not the method's, and are left out."""
    found = []
    for arm, measures in (published.get("arms") or {}).items():
        for name, measure in measures.items():
            if not isinstance(measure, Mapping) or measure.get("value") is None:
                continue
            again = (((here or {}).get("arms") or {}).get(arm) or {}).get(name) or {}
            found.append(
                Compared(
                    f"{arm}: {name}",
                    float(measure["value"]),
                    None if again.get("value") is None else float(again["value"]),
                    int(measure.get("n") or 0),
                    allowed.numbers,
                )
            )
    return found


def _share(name: str, agree: Sequence[bool], allowed: float, *, extra: int = 0) -> Compared:
    n = len(agree) + max(extra, 0)
    return Compared(name, 1.0, sum(agree) / n if n else 1.0, n, allowed)


def _probabilities(rows: Sequence[tuple[Mapping[str, Any], PseudoLabel | None]], allowed: Tolerances) -> Compared:
    """The largest difference of an option's probability in each label, on average; 0 where all are the same bits."""
    furthest = [
        max((abs(a - b) for a, b in zip(row["probabilities"], label.probabilities, strict=True)), default=0.0)
        for row, label in rows
        if label is not None
        and row["probabilities"] is not None
        and label.probabilities is not None
        and len(row["probabilities"]) == len(label.probabilities)
    ]
    n = len(furthest)
    return Compared("difference of probabilities", 0.0, sum(furthest) / n if n else 0.0, n, allowed.numbers)


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
    """The same option; where there are none, the same words."""
    if row["label"] is None and label.option is None:
        return str(row["text"]).split() == label.text.split()
    return bool(row["label"] == label.option)
