"""Wrong options for a question: answers of other questions that look like the right one.

A wrong option is of the answer's kind (number, name, several words, one word, plural or not) and about as rare, and a
number is of the answer's unit, so that neither its looks nor its rarity betray it; in a small corpus the nearest kind
that does not show will do. It is never the answer in other letters, never another answer to the same question, never in
the source sentences, and never a part of the answer or the other way round.
"""

from __future__ import annotations

import heapq
import re
import zlib
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import islice
from typing import NamedTuple

from solo_hub.core.records import CuratedQuestion
from solo_hub.core.words import folded
from solo_hub.curation.english import NUMBER_WORDS, is_plural
from solo_hub.curation.frequencies import stems, words
from solo_hub.curation.scripts import UNSPACED

POOL = 2000  # answers of a kind that are kept to draw from
TRIES = 12  # draws for each option wanted
SHORT = 4  # characters; of shorter answers lengths tell nothing
_NUMBERS = frozenset(
    "\u4e00\u4e8c\u4e09\u56db\u4e94\u516d\u4e03\u516b\u4e5d\u5341\u767e\u5343\u842c\u4e07\u5104\u4ebf\u5169\u4e24\u96f6\u3007"
)

_DIGITS = "\u4e8c\u4e09\u56db\u4e94\u516d\u4e03\u516b\u4e5d\u5341"
_DIGITS_OF = re.compile(r"(?<![\d.,])\d{1,9}(?![\d]|[.,]\d)")  # a whole number without separators
_VALUES = {word: str(n) for n, word in enumerate("one two three four five six seven eight nine ten".split(), 1)}  # noqa: SIM905
_GROUPS = (
    "two three four five six seven eight nine ten eleven twelve".split(),  # noqa: SIM905
    "thirteen fourteen fifteen twenty thirty forty fifty sixty seventy eighty ninety".split(),  # noqa: SIM905
    "ten fifty hundred thousand million billion".split(),  # noqa: SIM905
)


@lru_cache(maxsize=16_384)
def kind_of(answer: str, language: str) -> str:
    """What an answer looks like; only answers of one kind stand beside one another.

    >>> [kind_of(answer, "en") for answer in ("eight", "red blood cells", "fog", "Galileo Galilei", "1969")]
    ['en number', 'en 2+ plural', 'en 1', 'en 2+ name', 'en year']
    """
    parts = answer.split()
    if answer.isdecimal() and len(answer) == 4 and 1 <= int(answer[0]) <= 2:  # noqa: PLR2004
        return f"{language} year"
    if parts[0][0].isdigit() or parts[0].lower() in NUMBER_WORDS or set(answer) <= _NUMBERS:
        return f"{language} number"
    if language in UNSPACED:
        return f"{language} {min(len(answer), 5)}"
    length = "1" if len(parts) == 1 else "2+"
    if all(part[0].isupper() for part in parts):  # in German every noun
        return f"{language} {length} name"
    if language == "en" and is_plural(tuple(parts)):
        return f"{language} {length} plural"
    return f"{language} {length}"


@dataclass(frozen=True, slots=True)
class _Answer:
    """An answer that may stand beside another one.

    Attributes:
        text: As it was written.
        letters: By which equal answers are told.
        words: Stems of its content words.
    """

    text: str
    letters: str
    words: frozenset[str]


class _Pool(NamedTuple):
    """Answers in the order of their places, which are hashes of them from 0 to 2^31 - 1."""

    answers: Sequence[_Answer]
    places: Sequence[int]

    @classmethod
    def of(cls, answers: Iterable[_Answer]) -> _Pool:
        placed = [(zlib.crc32(answer.letters.encode()) >> 1, answer) for answer in answers]
        placed.sort(key=lambda pair: (pair[0], pair[1].letters))
        return cls([answer for _, answer in placed], [place for place, _ in placed])


_NOBODY = _Pool((), ())


class AnswerPool:
    """Answers to draw wrong options from: of every kind the first `POOL` distinct ones.

    The answers nearest to the right one come first: of its kind, to questions of its form, and about as frequent among
    the answers. Where a corpus is too small for that, answers of another kind that does not show are taken, and numbers
    are changed.

    Args:
        questions: Those whose answers are drawn; where one of them is asked again, its answers are never wrong options.
    """

    def __init__(self, questions: Iterable[CuratedQuestion]) -> None:
        found: dict[tuple[str, bool], dict[str, tuple[str, int]]] = {}
        self._right: dict[str, set[str]] = {}
        for question in questions:
            letters = _letters(question.answer)
            if not letters:
                continue
            self._right.setdefault(_letters(question.text), set()).add(letters)
            pool = found.setdefault((kind_of(question.answer, question.language), _is_subject(question)), {})
            if letters in pool:
                text, count = pool[letters]
                pool[letters] = text, count + 1
            elif len(pool) < POOL:
                pool[letters] = question.answer, 1
        pools: dict[tuple[str, bool], list[_Answer]] = {}
        by_frequency: dict[tuple[str, bool, int], list[_Answer]] = {}
        by_unit: dict[tuple[str, str], dict[str, _Answer]] = {}
        self._frequency: dict[tuple[str, bool, str], int] = {}
        for (kind, subject), pool in found.items():
            for letters, (text, count) in pool.items():
                answer = _Answer(text, letters, frozenset(words(text)))
                often = count.bit_length()
                pools.setdefault((kind, subject), []).append(answer)
                by_frequency.setdefault((kind, subject, often), []).append(answer)
                self._frequency[kind, subject, letters] = often
                if kind.endswith(" number"):
                    by_unit.setdefault((kind, unit_of(text)), {}).setdefault(letters, answer)  # of a subject, too
        self._pools = {key: _Pool.of(some) for key, some in pools.items()}
        self._often = {key: _Pool.of(some) for key, some in by_frequency.items()}
        self._units = {key: _Pool.of(some.values()) for key, some in by_unit.items()}

    def with_options(self, question: CuratedQuestion, count: int, seed: int) -> CuratedQuestion:
        """The question with `count` options, the answer at a place that a hash decides.

        Options that its writer gave come before all others: they need not have the answer among them, nor be as many.
        Without options where too few fit, whatever their kind: it is then asked as free text. So is a question without
        an answer, as a model's unreadable line is.
        """
        if not _letters(question.answer):
            return replace(question, options=())
        turn = zlib.crc32(f"{seed}\0{question.id}".encode()) >> 1
        taken = _letters(question.answer)
        unit = stems(unit_of(question.answer))  # numbers of one unit share it
        answer = stems(question.answer) - unit or {taken}
        near = stems(question.text).union(*map(stems, question.sentences))
        wrong: list[str] = []
        seen = {"", taken, *self._right.get(_letters(question.text), ())}
        for text in sorted(question.options, key=lambda text: _step(turn ^ zlib.crc32(text.encode()))):
            if _letters(text) not in seen and len(wrong) < count - 1:
                seen.add(_letters(text))
                wrong.append(text)
        for drawn in self._candidates(question, turn, TRIES * count):
            if len(wrong) == count - 1:
                break
            letters, own = drawn.letters, drawn.words - unit
            if letters in seen or not own.isdisjoint(answer) or taken in letters or letters in taken:
                continue
            if own and own <= near:
                continue
            seen.add(letters)
            wrong.append(drawn.text if question.language == "de" else _in_case_of(question.answer, drawn.text))
        else:
            made = (number for number in other_numbers(question.answer, turn) if _letters(number) not in seen)
            wrong += islice((number for number in made if not stems(number) <= near), count - 1 - len(wrong))
        if len(wrong) < count - 1:
            return replace(question, options=())
        place = _step(turn) % count
        return replace(question, options=(*wrong[:place], question.answer, *wrong[place:]))

    def _candidates(self, question: CuratedQuestion, turn: int, tries: int) -> Iterator[_Answer]:
        """Answers to draw from, those that betray least first."""
        kind, subject = kind_of(question.answer, question.language), _is_subject(question)
        longest = 2 * max(len(question.answer), SHORT)
        if kind.endswith(" number"):
            yield from _draw(self._units.get((kind, unit_of(question.answer)), _NOBODY), turn, tries)
            for number in other_numbers(question.answer, turn):
                yield _Answer(number, _letters(number), frozenset(words(number)))
        often = self._frequency.get((kind, subject, _letters(question.answer)), 1)
        levels = [
            self._often.get((kind, subject, often), _NOBODY),
            *(self._pools.get((kind, side), _NOBODY) for side in (subject, not subject)),
        ]
        for pool in levels:
            for drawn in _draw(pool, turn, tries):
                if len(drawn.text) <= longest:
                    yield drawn
        others = [self._pools.get((other, side), _NOBODY) for other in alike(kind) for side in (subject, not subject)]
        for pool in others:
            for drawn in _draw(pool, turn, tries):
                if len(drawn.text) <= longest and len(question.answer) <= 2 * max(len(drawn.text), SHORT):
                    yield drawn
        for pool in (*levels[1:], *others):  # whatever their lengths
            yield from _draw(pool, turn, tries)


def unit_of(answer: str) -> str:
    """What a number counts or measures, by which it would be told from others; empty for other answers.

    >>> unit_of("14 euros"), unit_of("two daughters"), unit_of("75"), unit_of("red blood cells")
    ('euros', 'daughters', '', '')
    """
    first, _, rest = answer.strip().partition(" ")
    return rest.casefold() if first[:1].isdigit() or first.lower() in NUMBER_WORDS else ""


def alike(kind: str) -> list[str]:
    """Kinds whose answers may stand beside those of a kind, the nearest first; none for numbers.

    >>> alike("en 2+ plural")
    ['en 1 plural', 'en 2+', 'en 1']
    >>> alike("en number"), alike("zh 2")
    ([], ['zh 3', 'zh 1', 'zh 4', 'zh 5'])
    """
    language, size, *mark = kind.split(" ")  # the language may be empty
    if size in ("year", "number"):
        return []
    if size.isdigit() and language in UNSPACED:
        return [
            f"{language} {n}" for n in sorted(range(1, 6), key=lambda n: (abs(n - int(size)), -n)) if n != int(size)
        ]
    sizes = ("1", "2+") if size == "1" else ("2+", "1")
    marks = (
        [["name"], ["plural"], []] if mark == ["name"] else [["plural"], []] if mark == ["plural"] else [[], ["plural"]]
    )
    found = [" ".join((language, one, *other)) for other in marks for one in sizes]
    return [other for other in found if other != kind]


def other_numbers(answer: str, turn: int) -> list[str]:
    r"""An answer with other numbers in it, in an order that `turn` decides; nothing for an answer without one.

    >>> sorted(other_numbers("1969", 1)), other_numbers("fog", 1)
    (['1949', '1957', '1964', '1973', '1978', '1984'], [])
    >>> sorted(other_numbers("8 legs", 1)), other_numbers("two hands", 0)[:2]
    (['10 legs', '12 legs', '16 legs', '4 legs', '6 legs'], ['three hands', 'four hands'])
    >>> sorted(other_numbers("\u0661\u0669\u0666\u0669", 1))[0]  # 1969
    '\u0661\u0669\u0664\u0669'
    """
    first, *rest = answer.split(" ")
    if first.lower() in NUMBER_WORDS:
        group = next(group for group in _GROUPS if first.lower() in group)
        made = [" ".join((other, *rest)) for other in group if other != first.lower()]
    elif len(answer) == 1 and answer in _DIGITS:
        made = [digit for digit in _DIGITS if digit != answer]
    elif (found := _DIGITS_OF.search(answer)) is not None:
        number, before, after = int(found[0]), answer[: found.start()], answer[found.end() :]
        others = (
            {number + step for step in (-20, -12, -5, 4, 9, 15)}
            if len(found[0]) == 4 and 1 <= number // 1000 <= 2  # noqa: PLR2004 - a year
            else {number * 2, number // 2, number * 3 // 2, number + 2, number - 2}
        )
        zero = ord(found[0][0]) - int(found[0][0])  # Arabic, Hindi and others have digits of their own
        digits = {ord("0") + n: zero + n for n in range(10)}
        written = [str(other).translate(digits) for other in sorted(others) if other > 0 and other != number]
        made = [f"{before}{other}{after}" for other in written]
    else:
        return []
    start = turn % len(made)
    return made[start:] + made[:start]


def _draw(pool: _Pool, turn: int, tries: int) -> Iterator[_Answer]:
    """`tries` answers by chance; all of them, from a place that `turn` decides, where there are no more than that.

    Places are hashes of the answers: of a corpus in which a few documents change, most draws are the same.

    Args:
        pool: What is drawn from.
        turn: From 0 to 2^31 - 1.
        tries: Most that are drawn.
    """
    answers, places = pool
    if len(answers) <= tries:
        start = bisect_left(places, turn)
        yield from answers[start:]
        yield from answers[:start]
        return
    for _ in range(tries):
        turn = _step(turn)
        yield answers[bisect_left(places, turn) % len(answers)]


def _step(turn: int) -> int:
    """A linear congruential step: cheap, and alike everywhere."""
    return (turn * 1_103_515_245 + 12_345) & 0x7FFFFFFF


def _is_subject(question: CuratedQuestion) -> bool:
    return question.form.endswith("subject")


def _letters(answer: str) -> str:
    """By which equal answers are told: *Two years* and *2 years* are one."""
    first, *rest = folded(answer).split(" ")
    return " ".join((_VALUES.get(first, first), *rest))


def _in_case_of(answer: str, drawn: str) -> str:
    """A drawn answer that begins as the right one does, so that a capital tells nothing; names stay as they are.

    >>> _in_case_of("grass", "Hay"), _in_case_of("Bees", "trees"), _in_case_of("fog", "UNESCO")
    ('hay', 'Trees', 'UNESCO')
    """
    if answer[0].isupper() and drawn[0].islower() and " " not in answer:
        return drawn[0].upper() + drawn[1:]
    if answer[0].islower() and drawn[0].isupper() and drawn[1:].islower() and " " not in drawn:
        return drawn.lower()
    return drawn


def sample(names: Iterable[str], most: int) -> list[int]:
    """At most `most` places of names, in their order; a hash of each decides, so that others change few of them.

    >>> sample(["a", "b", "c"], 5), sample(["a", "b", "c"], 2), sample(["x", "a", "b", "c"], 2)
    ([0, 1, 2], [1, 2], [2, 3])
    """
    drawn = heapq.nsmallest(most, ((zlib.crc32(name.encode()), place) for place, name in enumerate(names)))
    return sorted(place for _, place in drawn)
