"""What is worth asking in a sentence of any language, without a grammar: a number, or the rarest words.

How rare a word is, the corpus itself says. A question is made where the language's few words are known (`scripts`), and
a gap in the sentence always.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator

from solo_hub.curation.content import words
from solo_hub.curation.forms import Asked
from solo_hub.curation.frequencies import SMALL, Frequencies
from solo_hub.curation.scripts import GAP, UNSPACED, EvaluationSet, asking
from solo_hub.curation.unspaced import ask_unspaced

LEAST_WORDS = 4
LONGEST_ANSWER = 5  # words after a copula
ASKED = 3  # words asked for in one sentence
COMMON = math.log(8)  # idf of a word in every eighth document: it binds, whatever the language

_FINAL = re.compile("[\\s.,;:!\u0964\u061f\u061b?]+$")
_WORD = re.compile('[^\\s.,;:!?()\\[\\]"\u201c\u201d\u00ab\u00bb\u0964\u060c\u061b\u061f\u2026]+')


def ask_anywhere(sentence: str, language: str, corpus: Frequencies) -> list[Asked]:
    """Questions about a sentence of any language, the best first."""
    if language in UNSPACED:
        return ask_unspaced(sentence, language, corpus)
    return list(_ask_spaced(_FINAL.sub("", sentence), asking(language, sentence), corpus))


def _ask_spaced(sentence: str, known: EvaluationSet | None, corpus: Frequencies) -> Iterator[Asked]:
    places = [match.span() for match in _WORD.finditer(sentence)]
    if len(places) < LEAST_WORDS:
        return
    found = [sentence[begin:end] for begin, end in places]
    if known:
        yield from _definition(sentence, places, found, known)
    numbers = [n for n, word in enumerate(found) if word.isdigit()]
    for n in dict.fromkeys([*numbers[:1], *_rarest(found, corpus)][:ASKED]):
        begin, end = places[n]
        yield Asked("gap", f"{sentence[:begin]}{GAP}{sentence[end:]}.", found[n])


def _definition(
    sentence: str, places: list[tuple[int, int]], found: list[str], known: EvaluationSet
) -> Iterator[Asked]:
    """*X is what?* in a language whose *is* and *what* are known."""
    for n, word in enumerate(found[1:6], 1):
        if word in known.copulas and n + 1 < len(found):
            rest = sentence[places[n + 1][0] :]
            if len(found) - n - 1 <= LONGEST_ANSWER and "," not in rest:
                yield Asked("end", f"{sentence[: places[n][1]]} {known.what}{known.mark}", rest)
            return


def _rarest(found: list[str], corpus: Frequencies) -> list[int]:
    """Places of the words worth asking for, the rarest first."""
    scored = []
    for n, word in enumerate(found):
        stems = words(word)
        if not stems or (len(word) < 3 and word.isascii()):  # noqa: PLR2004 - `de`, `la`
            continue
        idf = corpus.idf(stems[0]) if corpus.documents >= SMALL else COMMON
        if idf >= COMMON:
            scored.append((-idf - len(word) / 10, n))  # in a small corpus all words are rare, and long ones say more
    return [n for _, n in sorted(scored)]
