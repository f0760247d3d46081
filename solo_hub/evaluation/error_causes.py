"""Why each wrong answer is wrong, by rules that use the run's records only.

The causes of the student's wrong answers are mutually exclusive and tried in this order:

1. `not_parsed`        the answer names no option
2. `teacher_right`     the teacher was right, the student is not: the knowledge was not transferred
3. `options_overlap`   both wrong, and the chosen option is almost the same as the right one
4. `no_support`        both wrong, and no passage in the teacher's prompt supports the right answer
5. `support_unused`    both wrong although a supporting passage was in the teacher's prompt
6. `both_wrong`        both wrong, passages unknown
7. `no_teacher`        the student is wrong, and there is no teacher to compare it with

`student_ahead` is the opposite, a success: the student is right where its teacher was wrong.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from solo_hub.core.records import Gold, Prediction, Question, Retrieval
from solo_hub.core.rows import Record
from solo_hub.core.words import words
from solo_hub.evaluation.scoring import is_right
from solo_hub.evaluation.statistics import intervals

DESCRIPTIONS = {
    "not_parsed": "answer names no option",
    "teacher_right": "teacher right, student not",
    "options_overlap": "chosen option overlaps with the right one",
    "no_support": "no supporting passage retrieved",
    "support_unused": "supporting passage in the prompt, but teacher wrong",
    "both_wrong": "teacher and student wrong",
    "no_teacher": "student wrong, no teacher to compare it with",
    "student_ahead": "student right where the teacher was wrong",
}
OVERLAP = 0.5  # token F1 from which two options count as almost the same


@dataclass(frozen=True, slots=True)
class ErrorCause(Record):
    """The cause of an error of student or teacher on one question.

    Attributes:
        question_id: The question.
        cause: A key of `DESCRIPTIONS`.
        supported: Whether a passage in the teacher's prompt supports the right answer; None if unknown.
    """

    question_id: str
    cause: str
    supported: bool | None


def supports(passages: Sequence[str], gold: Gold) -> bool:
    """Whether any passage supports the right answer.

    If the data has gold facts: one of them is among the passages verbatim. Otherwise: a passage contains the answer (or
    one of several references) as a phrase, which is weaker evidence.
    """
    if gold.facts:
        facts = {tuple(words(fact)) for fact in gold.facts}
        return any(tuple(words(passage)) in facts for passage in passages)
    answers = [answer for reference in gold.references if (answer := " ".join(words(reference)))]
    texts = [f" {' '.join(words(passage))} " for passage in passages] if answers else []
    return any(f" {answer} " in text for text in texts for answer in answers)


def overlap(first: str, second: str) -> float:
    """Token F1 of two option texts as sets of words, 0..1."""
    a, b = set(words(first)), set(words(second))
    return 2 * len(a & b) / (len(a) + len(b)) if a | b else 0.0


def explain(
    questions: Sequence[Question],
    golds: Sequence[Gold],
    predictions: Mapping[str, Sequence[Prediction]],
    retrievals: Sequence[Retrieval] = (),
) -> list[ErrorCause]:
    """Find the cause of every wrong answer of the student, and the questions on which it surpassed its teacher.

    Args:
        questions: The questions.
        golds: Their answers, aligned.
        predictions: Per arm, aligned; `student` is analysed, or else the last arm.
        retrievals: Retrieved passages; without any, causes do not involve passages.

    Returns:
        One entry per question that student or teacher got wrong, in the order of the questions.
    """
    judged = "student" if "student" in predictions else list(predictions)[-1]
    texts = {item.question_id: {passage.id: passage.text for passage in item.passages} for item in retrievals}
    found = any(texts.values())  # a run without a knowledge base retrieves nothing, and nothing is missing
    findings = []
    for i, (question, gold) in enumerate(zip(questions, golds, strict=True)):
        answer = predictions[judged][i]
        teacher = predictions["teacher"][i] if "teacher" in predictions and judged != "teacher" else None
        right = is_right(gold, answer)
        teacher_right = teacher is not None and is_right(gold, teacher)
        reader = teacher or answer
        known = texts.get(question.id) if found and (teacher is not None or reader.passages) else None
        supported = None if known is None else supports([known[p] for p in reader.passages if p in known], gold)
        if right and (teacher is None or teacher_right):
            continue
        cause = (
            "student_ahead"
            if right
            else _cause(
                question, gold, answer, teacher_right=None if teacher is None else teacher_right, supported=supported
            )
        )
        findings.append(ErrorCause(question.id, cause, supported))
    return findings


def _cause(
    question: Question, gold: Gold, answer: Prediction, *, teacher_right: bool | None, supported: bool | None
) -> str:
    if gold.option is not None and answer.option is None:
        return "not_parsed"
    if teacher_right:
        return "teacher_right"
    if gold.option is not None and answer.option is not None:
        alike = overlap(question.options[answer.option], question.options[gold.option])
        if alike >= OVERLAP:
            return "options_overlap"
    if supported is None:
        return "no_teacher" if teacher_right is None else "both_wrong"
    return "support_unused" if supported else "no_support"


def summarise(findings: Sequence[ErrorCause]) -> dict[str, dict[str, object]]:
    """Shares of the causes among the student's wrong answers, with Wilson intervals; absent causes are left out.

    `student_ahead` is a share of the teacher's wrong answers instead (`of` tells).
    """
    counts = {cause: sum(finding.cause == cause for finding in findings) for cause in DESCRIPTIONS}
    ahead = counts.pop("student_ahead")
    wrong = sum(counts.values())
    rows: dict[str, dict[str, object]] = {
        cause: {
            "text": DESCRIPTIONS[cause],
            "count": count,
            "of": "wrong answers",
            **intervals.wilson(count, wrong).to_row(),
        }
        for cause, count in counts.items()
        if count
    }
    if ahead:
        teacher_wrong = ahead + wrong - counts["teacher_right"]
        share = intervals.wilson(ahead, teacher_wrong).to_row()
        rows["student_ahead"] = {
            "text": DESCRIPTIONS["student_ahead"],
            "count": ahead,
            "of": "teacher's wrong answers",
            **share,
        }
    return rows
