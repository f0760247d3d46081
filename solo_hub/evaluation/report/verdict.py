"""The verdict of a run, for its own data: retrieve, tune, or both. The headline of terminal, page, cards and Space.

    retrieve   the base with passages in its prompt: the teacher, where it is the base
    tune       the student, closed book
    both       the student with passages

It is read off the paired comparisons of the report, so it needs nothing that a report of an earlier version lacks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from solo_hub.core.system import format_bytes
from solo_hub.evaluation.report.format import ALPHA, arm_reads, arm_title, format_seconds, percent
from solo_hub.evaluation.statistics.significance import PRIMARY

Choice = Literal["retrieve", "tune", "both", "neither"]
HEADLINES: dict[Choice, tuple[str, str]] = {
    "retrieve": ("Retrieve", "passages help more than tuning"),
    "tune": ("Tune", "the student needs no passages"),
    "both": ("Tune and retrieve", "together they do best"),
    "neither": ("Neither yet", "no gain is clear"),
}
"""What to do, and why, in a few words."""
WAYS = ("base", "teacher", "student", "student_with_passages")
"""The arms that the verdict is about."""


@dataclass(frozen=True, slots=True)
class Way:
    """One way to answer, with what it achieves and costs.

    Attributes:
        arm: The arm.
        title: Its name, with what it reads.
        accuracy: Measured accuracy (`value`, `low`, `high`: fractions), or None.
        seconds: Median per answer, in seconds, or None.
        tokens: Mean length of the prompt, in tokens, or None.
        memory: Peak memory in bytes, or None.
    """

    arm: str
    title: str
    accuracy: Mapping[str, float] | None
    seconds: float | None
    tokens: float | None
    memory: float | None

    @property
    def cost(self) -> str:
        """Time, tokens and memory of an answer, as far as they were measured."""
        parts = [
            format_seconds(self.seconds) if self.seconds is not None else "",
            f"{self.tokens:,.0f} tokens read" if self.tokens is not None else "",
            format_bytes(self.memory) if self.memory is not None else "",
        ]
        return ", ".join(part for part in parts if part)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What to do with data such as the run's.

    Attributes:
        choice: What to do.
        because: Why, with its numbers, in lower case and without a full stop.
        ways: The arms it is about, those that were evaluated.
        single: Whether times are those of questions asked one at a time, retrieval included; else shares of a batch.
    """

    choice: Choice
    because: str
    ways: tuple[Way, ...]
    single: bool

    @property
    def headline(self) -> str:
        """What to do, in a few words."""
        return ": ".join(HEADLINES[self.choice])

    @property
    def reason(self) -> str:
        """Why, with its numbers, as a sentence."""
        return f"{self.because[0].upper()}{self.because[1:]}."

    @property
    def sentence(self) -> str:
        """What to do, and why, in one sentence."""
        return f"{HEADLINES[self.choice][0]}: {self.because}."


def verdict(report: Mapping[str, Any]) -> Verdict | None:
    """The verdict on a report; None where student and base were not compared.

    "Better" means significantly so: McNemar's test, Holm-corrected but for the primary endpoint.
    """
    if _better(report, "student", "base") is None:
        return None
    choice = _choose(report)
    ways, single = _ways(report)
    shares = {way.arm: percent(way.accuracy["value"]) for way in ways if way.accuracy}
    return Verdict(choice, _because(report, choice, shares, ways), ways, single)


def _choose(report: Mapping[str, Any]) -> Choice:
    both = "student_with_passages"
    reads = (report["arms"].get("teacher") or {}).get("passages") is not False and not report.get("teachers")
    retrieval = _better(report, "teacher", "base") if reads else None
    tuned, against = _better(report, "student", "base"), _better(report, "student", "teacher")
    beats_retrieval = report.get("teachers") or _better(report, both, "teacher") == 1
    if beats_retrieval and _better(report, both, "student") == 1:
        return "both"
    if tuned == 1 and (retrieval is None or against in (0, 1)):
        return "tune"
    return "retrieve" if retrieval == 1 else "tune" if tuned == 1 else "neither"


def _better(report: Mapping[str, Any], first: str, second: str) -> int | None:
    """1 where the first arm is better than the second, -1 where it is worse, 0 where neither is clear; None unknown."""
    name = f"{first}_vs_{second}"
    pair = (report.get("paired") or {}).get(name)
    if not pair or pair.get("p_value") is None or not pair.get("difference"):
        return None
    p = pair["p_value"] if name == PRIMARY else pair.get("p_value_holm", pair["p_value"])
    gain = pair["difference"]["value"]
    return 0 if p >= ALPHA else 1 if gain > 0 else -1


def _ways(report: Mapping[str, Any]) -> tuple[tuple[Way, ...], bool]:
    measured = (report.get("cost") or {}).get("arms") or {}
    ways = []
    for arm in WAYS:
        row = report["arms"].get(arm)
        if not row:
            continue
        costs = measured.get(arm) or {}
        batched = (row.get("seconds_per_question") or {}).get("p50")
        ways.append(
            Way(
                arm,
                arm_title(arm, report),
                row.get("accuracy"),
                (costs.get("latency") or {}).get("p50") if measured else batched,
                costs.get("prompt_tokens", row.get("prompt_tokens")),
                (costs.get("memory") or {}).get("peak"),
            )
        )
    return tuple(ways), bool(measured)


def _because(report: Mapping[str, Any], choice: Choice, shares: Mapping[str, str], ways: tuple[Way, ...]) -> str:
    base, student = shares.get("base", "-"), shares.get("student", "-")
    retrieval = f"the {arm_reads('teacher', report)}" if not report.get("teachers") else "its teacher"
    teacher, both = shares.get("teacher"), shares.get("student_with_passages")
    if choice == "both":
        return (
            f"the student with passages answers {both} of the questions correctly, {retrieval} {teacher}, the student "
            f"alone {student}, the base alone {base}"
        )
    if choice == "tune":
        text = f"without passages the student answers {student} of the questions correctly, its base {base}"
        if teacher is None or "teacher" not in {way.arm for way in ways}:
            return text
        against = {1: "better than", -1: "worse than"}.get(_better(report, "student", "teacher") or 0)
        return f"{text}; that is {against or 'not clearly different from'} {retrieval} ({teacher}){_faster(ways)}"
    if choice == "retrieve":
        tuned = "helps less" if _better(report, "student", "base") == 1 else "did not clearly help"
        helped = f"tuning alone {tuned} ({student})"
        return f"with passages the base answers {teacher} of the questions correctly, alone {base}; {helped}"
    rest = f", {retrieval} {teacher}" if teacher is not None else ""
    gain = "tuning made it worse" if _better(report, "student", "base") == -1 else "no gain is clear"
    return f"the base answers {base} of the questions correctly{rest}, the student {student}; {gain}"


def _faster(ways: tuple[Way, ...]) -> str:
    """How much less an answer of the student costs than one with passages."""
    by_arm = {way.arm: way for way in ways}
    student, teacher = by_arm["student"], by_arm["teacher"]
    if student.seconds and teacher.seconds and student.seconds < teacher.seconds:
        return f", at {100 * student.seconds / teacher.seconds:.0f} % of its time"
    if student.tokens and teacher.tokens and student.tokens < teacher.tokens:
        return f", reading {100 * student.tokens / teacher.tokens:.0f} % of its tokens"
    return ""
