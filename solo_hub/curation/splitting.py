"""Questions held out for evaluation: what nobody studied, and what was studied in other words.

Two numbers that say different things. *Unseen*: no question that touches the document is learnt: does the student know
more of the subject? *Studied*: the fact is learnt, in another form: does it know what it read, or only the sentence?
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

from solo_hub.core.records import CuratedQuestion
from solo_hub.curation.filters import HeldOut
from solo_hub.curation.frequencies import stems

HELD_OUT = "about a document held out for evaluation"
TOO_CLOSE = "too close to a question held out for evaluation"
_PARTS = 1 << 32


@dataclass(frozen=True, slots=True)
class Split:
    """Questions in three parts.

    Attributes:
        learnt: What may be trained on.
        unseen: About documents that no learnt question touches.
        studied: Other forms of facts that are learnt.
        dropped: What is in none of them, with its reason; those dropped before among them.
    """

    learnt: tuple[CuratedQuestion, ...]
    unseen: tuple[CuratedQuestion, ...]
    studied: tuple[CuratedQuestion, ...]
    dropped: tuple[CuratedQuestion, ...]


def split(
    questions: Sequence[CuratedQuestion], *, unseen: float = 0.1, studied: float = 0.1, most: int = 1000, seed: int = 0
) -> Split:
    """Hold out questions for evaluation.

    A hash of a document's sentences decides, so that the same sentence in two documents is on one side, and a document
    that is added moves no other.

    Args:
        questions: Kept and dropped ones.
        unseen: Share of the sentences whose questions are not learnt, 0..1.
        studied: Share of the facts of which one form is not learnt, 0..1; only facts with two forms or more.
        most: Most questions of either held-out part. What is beyond is dropped where it is unseen, and learnt where
            it would have been studied.
        seed: Decides who is held out.
    """
    apart: list[CuratedQuestion] = []
    rest: list[CuratedQuestion] = []
    dropped = [question for question in questions if not question.kept]
    for question in questions:
        if question.kept:
            sides = [_share(seed, "unseen", _letters(sentence)) < unseen for sentence in question.sentences]
            if all(sides):
                apart.append(question)
            elif any(sides):
                dropped.append(replace(question, dropped=HELD_OUT))
            else:
                rest.append(question)
    apart, surplus = _limit(apart, most, seed)
    dropped += [replace(question, dropped=HELD_OUT) for question in surplus]
    close = HeldOut(question.question for question in apart)
    learnt = []
    for question in rest:
        if close.holds(stems(question.text)):
            dropped.append(replace(question, dropped=TOO_CLOSE))
        else:
            learnt.append(question)
    held, learnt = _other_forms(learnt, studied, most, seed)
    return Split(tuple(learnt), tuple(apart), tuple(held), tuple(dropped))


def _other_forms(
    questions: Sequence[CuratedQuestion], share: float, most: int, seed: int
) -> tuple[list[CuratedQuestion], list[CuratedQuestion]]:
    """One form of each chosen fact, and everything else."""
    forms: dict[tuple[str, ...], list[CuratedQuestion]] = {}
    for question in questions:
        forms.setdefault(fact_of(question), []).append(question)
    chosen = [
        max(asked, key=lambda question: _share(seed, "form", question.id))
        for fact, asked in forms.items()
        if len(asked) > 1 and _share(seed, "studied", "\0".join(fact)) < share
    ]
    held, _ = _limit(chosen, most, seed)
    names = {question.id for question in held}
    return held, [question for question in questions if question.id not in names]


def fact_of(question: CuratedQuestion) -> tuple[str, ...]:
    """What forms of one fact have in common: what they were made of, and the answer."""
    return (*question.sentences, _letters(question.answer))


def _limit(
    questions: Sequence[CuratedQuestion], most: int, seed: int
) -> tuple[list[CuratedQuestion], list[CuratedQuestion]]:
    if len(questions) <= most:
        return list(questions), []
    names = {q.id for q in sorted(questions, key=lambda q: (_share(seed, "most", q.id), q.id))[:most]}
    return [q for q in questions if q.id in names], [q for q in questions if q.id not in names]


def _letters(sentence: str) -> str:
    return " ".join(sentence.casefold().split()).rstrip(" .\u3002")


def _share(seed: int, purpose: str, text: str) -> float:
    """A number in 0..1 that only depends on the text."""
    return zlib.crc32(f"{seed}\0{purpose}\0{text}".encode()) / _PARTS
