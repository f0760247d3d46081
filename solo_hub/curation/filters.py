"""What is dropped of the questions written, and why. Nothing is lost: a dropped question carries its reason.

All of it works on a stream: a question is compared with hashes of what came before, some 50 bytes a question, never
with all others. Two questions are near-duplicates when they hold the same content words, whatever their order,
inflection and stop words, and their answers do; a held-out question has leaked when all content words but one on
either side agree.
"""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import lru_cache

from solo_hub.core.records import CuratedQuestion, Question
from solo_hub.curation.frequencies import stems
from solo_hub.curation.scripts import GAP, UNSPACED, is_doubtful, language_of

DUPLICATE = "the same question, of another document"
REPEATED = "the same question again"
AMBIGUOUS = "the same question with another answer"
LEAKED = "a held-out question"
VISIBLE = "the answer is in the question"
LANGUAGE = "not in the document's language"
LONG_QUESTION, SHORT_QUESTION = "question too long", "question too short"
LONG_ANSWER, EMPTY_ANSWER = "answer too long", "no answer"
REASONS = (
    EMPTY_ANSWER, LONG_ANSWER, SHORT_QUESTION, LONG_QUESTION, LANGUAGE, VISIBLE, LEAKED, AMBIGUOUS, DUPLICATE, REPEATED,
)  # fmt: skip
"""In the order in which they are looked for: the first that holds is the reason."""

MOST_QUESTION, MOST_ANSWER = 400, 120  # characters
LEAST_LEAKED = 3  # content words below which agreeing in all but one says nothing


class SeenHashes:
    """64-bit hashes with a small tag each, in a table that doubles: 18 to 36 bytes an entry.

    Hashes are taken for the text itself: among 10 million, the chance that any two differing texts meet is 3 in a
    million.
    """

    def __init__(self) -> None:
        self._room = 1 << 10
        self._keys, self._tags = array("Q", bytes(8 * self._room)), array("I", bytes(4 * self._room))
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def get_or_add(self, key: int, tag: int) -> int | None:
        """The tag a hash was first seen with; None where it is new, and kept from now on."""
        if 3 * self._count >= 2 * self._room:
            self._grow()
        place = self._place(key)
        if self._keys[place]:
            return self._tags[place]
        self._keys[place], self._tags[place] = key, tag
        self._count += 1
        return None

    def _place(self, key: int) -> int:
        place, keys, mask = key & (self._room - 1), self._keys, self._room - 1
        while keys[place] and keys[place] != key:
            place = (place + 1) & mask
        return place

    def _grow(self) -> None:
        old = self._keys, self._tags
        self._room *= 2
        self._keys, self._tags = array("Q", bytes(8 * self._room)), array("I", bytes(4 * self._room))
        for key, tag in zip(*old, strict=True):
            if key:
                place = self._place(key)
                self._keys[place], self._tags[place] = key, tag


class HeldOut:
    """Held-out questions, to be recognised in other words; their answers and options are not read.

    Args:
        questions: What evaluation will ask.
    """

    def __init__(self, questions: Iterable[Question]) -> None:
        self._known: set[int] = set()
        for question in questions:
            self._known.update(_with_one_left_out(stems(question.text)))

    def holds(self, said: frozenset[str]) -> bool:
        """Whether some held-out question has these content words, but for one on either side."""
        return not self._known.isdisjoint(_with_one_left_out(said)) if self._known else False


def _with_one_left_out(said: frozenset[str]) -> list[int]:
    """Hashes of a set of stems, and of all sets that lack one; of a short set only of itself."""
    hashes = [_hash(stem) for stem in said]
    whole = 0
    for each in hashes:
        whole ^= each
    return [whole, *((whole ^ each) for each in hashes)] if len(hashes) > LEAST_LEAKED else [whole]


@lru_cache(maxsize=200_000)
def _hash(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") or 1


def drop(questions: Iterable[CuratedQuestion], held_out: Iterable[Question] = ()) -> Iterator[CuratedQuestion]:
    """Give every question back, those that are not used with the reason; a reason given before is kept.

    Args:
        questions: In their final order: of two alike the first is kept.
        held_out: Questions of the evaluation.
    """
    judge = _Judge(HeldOut(held_out))
    for question in questions:
        reason = question.dropped or judge.reason(question)
        yield replace(question, dropped=reason) if reason else question


class _Judge:
    def __init__(self, held_out: HeldOut) -> None:
        self.held_out = held_out
        self.asked = SeenHashes()  # question in its own words -> hash of its answer
        self.facts = SeenHashes()  # content words and answer -> hash of the documents

    def reason(self, question: CuratedQuestion) -> str | None:
        """Why a question is not used, or None."""
        said, answer = stems(question.text), stems(question.answer)
        return _reason_alone(question, said, answer) or self._reason_among(question, said, answer)

    def _reason_among(self, question: CuratedQuestion, said: frozenset[str], answer: frozenset[str]) -> str | None:
        if self.held_out.holds(said):
            return LEAKED
        key = "\0".join(sorted(answer)) or question.answer.casefold()
        before = self.asked.get_or_add(_hash(" ".join(question.text.casefold().split())), _short(key))
        if before is not None:
            return AMBIGUOUS if before != _short(key) else REPEATED
        fact = "\0".join((*sorted(said), "", key))
        documents = _short("\0".join(question.documents))
        first = self.facts.get_or_add(_hash(fact), documents)
        return DUPLICATE if first is not None and first != documents else None


def _reason_alone(question: CuratedQuestion, said: frozenset[str], answer: frozenset[str]) -> str | None:
    if not question.answer.strip():
        return EMPTY_ANSWER
    if len(question.answer) > MOST_ANSWER:
        return LONG_ANSWER
    if not said or len(question.text) < (4 if question.language in UNSPACED else 8):  # characters
        return SHORT_QUESTION
    if len(question.text) > MOST_QUESTION:
        return LONG_QUESTION
    text = question.text.replace(GAP, "")
    asked = language_of(text)
    if asked and question.language and asked != question.language and not is_doubtful(asked, text):
        return LANGUAGE
    shown = question.answer.casefold() in question.text.casefold() if question.language in UNSPACED else answer <= said
    return VISIBLE if shown and answer else None


def _short(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=4).digest(), "big")
