"""Wrong options for a question: answers of other questions that look like the right one.

A wrong option is of the answer's kind (number, name, several words, one word, plural or not) and about as rare, so that
neither its looks nor its rarity betray it; it is never the answer in other letters, never in the source sentences, and
never a part of the answer or the other way round.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence
from dataclasses import replace

from solo_hub.core.records import CuratedQuestion
from solo_hub.curation.content import words
from solo_hub.curation.english import NUMBER_WORDS, is_plural
from solo_hub.curation.frequencies import stems
from solo_hub.curation.scripts import UNSPACED

POOL = 2000  # answers of a kind that are kept to draw from
TRIES = 12  # draws for each option wanted
_NUMBERS = frozenset(
    "\u4e00\u4e8c\u4e09\u56db\u4e94\u516d\u4e03\u516b\u4e5d\u5341\u767e\u5343\u842c\u4e07\u5104\u4ebf\u5169\u4e24\u96f6"
)


def kind_of(answer: str, language: str) -> str:
    """What an answer looks like; only answers of one kind stand beside one another.

    >>> [kind_of(answer, "en") for answer in ("eight", "red blood cells", "fog", "Galileo Galilei", "1969")]
    ['en number', 'en 2+ plural', 'en 1', 'en 2+ name', 'en year']
    """
    parts = answer.split()
    if answer.isdigit() and len(answer) == 4 and answer[0] in "12":  # noqa: PLR2004
        return f"{language} year"
    if parts[0][0].isdigit() or parts[0].lower() in NUMBER_WORDS or set(answer) <= _NUMBERS:
        return f"{language} number"
    if language in UNSPACED:
        return f"{language} {min(len(answer), 5)}"
    length = "1" if len(parts) == 1 else "2+"
    if all(part[0].isupper() for part in parts) and language != "de":
        return f"{language} {length} name"
    if language == "en" and is_plural(tuple(parts)):
        return f"{language} {length} plural"
    return f"{language} {length}"


class AnswerPool:
    """Answers to draw wrong options from: of every kind the first `POOL` distinct ones."""

    def __init__(self, answers: Iterable[tuple[str, str]]) -> None:
        """Fill the pool from answers with their languages."""
        pools: dict[str, dict[str, str]] = {}
        for answer, language in answers:
            pool = pools.setdefault(kind_of(answer, language), {})
            if len(pool) < POOL:
                pool.setdefault(_letters(answer), answer)
        self._pools = {
            kind: [(answer, letters, frozenset(words(answer))) for letters, answer in pool.items()]
            for kind, pool in pools.items()
        }

    def with_options(self, question: CuratedQuestion, count: int, seed: int) -> CuratedQuestion:
        """The question with `count` options, the answer at a place that a hash decides.

        Without options where the pool has too few that fit: it is then asked as free text.
        """
        pool = self._pools.get(kind_of(question.answer, question.language), [])
        turn = zlib.crc32(f"{seed}\0{question.id}".encode())
        wrong: list[str] = []
        taken = _letters(question.answer)
        answer = stems(question.answer) or {taken}
        near = stems(question.text).union(*map(stems, question.sentences))
        seen = {taken}
        for attempt in range(TRIES * count):
            if len(wrong) == count - 1 or not pool:
                break
            turn = (
                turn * 1_103_515_245 + 12_345
            ) & 0x7FFFFFFF  # a linear congruential step: cheap, and alike everywhere
            drawn, letters, own = pool[(turn >> 4) % len(pool)]
            if letters in seen or own & answer or taken in letters or letters in taken:
                continue
            if (own and own <= near) or (
                attempt < TRIES and abs(len(drawn) - len(question.answer)) > len(question.answer)
            ):
                continue
            seen.add(letters)
            wrong.append(_in_case_of(question.answer, drawn))
        if len(wrong) < count - 1:
            return question
        place = turn % count
        return replace(question, options=(*wrong[:place], question.answer, *wrong[place:]))


def _letters(answer: str) -> str:
    return " ".join(answer.split()).casefold()


def _in_case_of(answer: str, drawn: str) -> str:
    """A drawn answer that begins as the right one does, so that a capital tells nothing; names stay as they are."""
    if answer[0].islower() and drawn[0].isupper() and drawn[1:].islower() and " " not in drawn:
        return drawn.lower()
    return drawn


def sample_evenly(count: int, most: int) -> Sequence[int]:
    """At most `most` places of `count`, evenly apart."""
    return range(count) if count <= most else [place * count // most for place in range(most)]
