"""Word tokenization for any script: one tokenizer for retrieval, evaluation and filters."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from itertools import groupby, pairwise

_ASCII_WORD = re.compile(r"[a-z0-9]+")

# Scripts written without spaces between words, and Hangul, whose particles are attached to their word: each character
# is a token. (first, last) code points; later planes hold Han extensions.
_CHARACTER_SCRIPTS = (
    (0x0E00, 0x0EFF),  # Thai, Lao
    (0x1000, 0x109F),  # Myanmar
    (0x1100, 0x11FF),  # Hangul jamo
    (0x1780, 0x17FF),  # Khmer
    (0x2E80, 0x2FDF),  # Han radicals
    (0x3005, 0x3007),  # Han iteration mark, zero
    (0x3040, 0x31FF),  # Hiragana, Katakana, Bopomofo, Hangul compatibility jamo
    (0x3400, 0x4DBF),  # Han extension A
    (0x4E00, 0x9FFF),  # Han
    (0xAC00, 0xD7FF),  # Hangul syllables
    (0xF900, 0xFAFF),  # Han compatibility
    (0x1B000, 0x1B16F),  # Kana extensions
    (0x20000, 0x3FFFF),  # Han extensions B and later
)
_PROLONGED = "ー"  # lengthens the kana before it; Unicode classifies it as a letter
# Soft hyphens, joiners, direction marks and variation selectors: typography without meaning. Not the zero width space,
# which separates words in Thai and Khmer.
_INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u180b-\u180f\u200c-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f\ufe00-\ufe0f\ufeff"
    "\U000e0100-\U000e01ef]"
)

_LETTER, _CHARACTER, _MARK, _SEPARATOR = range(4)

Span = tuple[int, int]
"""Start and end offset of a token."""


def words(text: str) -> list[str]:
    """Split into lower-case tokens: runs of letters and digits; single characters in scripts without spaces.

    On plain English (ASCII) this is exactly rouge-score's default tokenizer without stemming. Elsewhere accents stay
    (rouge-score cuts "café" to "caf"), composed and decomposed ones are the same, combining marks stay with their
    letter, H₂O is H2O (NFKC), and Chinese, Japanese, Korean, Thai, Lao, Khmer and Burmese give one token a character
    (rouge-score gives none, hence its 0 for identical Chinese texts).

    >>> words("Le café coûte 3,50 €.")
    ['le', 'café', 'coûte', '3', '50']
    >>> words("水は100度で沸く")
    ['水', 'は', '100', '度', 'で', '沸', 'く']
    """
    if text.isascii():
        return _ASCII_WORD.findall(text.lower())
    return [token for clause in _clauses(text) for token in clause]


def terms(text: str) -> list[str]:
    """Like `words`, but with character bigrams for scripts without spaces: most Chinese words have two characters.

    A character without such a neighbour is a token by itself.

    >>> terms("H₂O在100度沸騰")
    ['h2o', '在', '100', '度沸', '沸騰']
    """
    if text.isascii():
        return _ASCII_WORD.findall(text.lower())
    return [term for clause in _clauses(text) for term in _paired(clause)]


def stands_alone(token: str) -> bool:
    """Whether a token of `words` or `terms` is of a script without spaces, where each character is a token."""
    return _kind(token[0]) == _CHARACTER


def folded(text: str) -> str:
    r"""A text by which equal ones are told, whatever their case, blanks, Unicode form and invisible marks.

    >>> folded("Caf\u00e9  \uff15") == folded("CAFE\u0301 5\u200f"), folded("x\u00b2")
    (True, 'x2')
    """
    if not text.isascii():
        text = _INVISIBLE.sub("", unicodedata.normalize("NFKC", text))
    return " ".join(text.casefold().split())


def _paired(clause: list[str]) -> Iterator[str]:
    for unspaced, tokens in groupby(clause, stands_alone):
        run = list(tokens)
        if unspaced and len(run) > 1:
            yield from map("".join, pairwise(run))
        else:
            yield from run


def spans(text: str) -> list[list[Span]]:
    """Spans of the tokens in a text, grouped by clause: no space or punctuation between the tokens of one group.

    >>> spans("水 H2O在")
    [[(0, 1)], [(2, 5), (5, 6)]]
    """
    clauses: list[list[Span]] = []
    in_clause = False  # the next letter belongs to the last clause,
    in_word = False  # and to its last token
    for index, character in enumerate(text):
        kind = _kind(character)
        if kind == _SEPARATOR:
            in_clause = in_word = False
        elif in_clause and (kind == _MARK or (in_word and kind == _LETTER)):
            clauses[-1][-1] = (clauses[-1][-1][0], index + 1)
        elif kind != _MARK:
            if not in_clause:
                clauses.append([])
            clauses[-1].append((index, index + 1))
            in_clause, in_word = True, kind == _LETTER
    return clauses


def _clauses(text: str) -> list[list[str]]:
    plain = _INVISIBLE.sub("", unicodedata.normalize("NFKC", text)).lower()
    return [[plain[start:end] for start, end in clause] for clause in spans(plain)]


@lru_cache(maxsize=20_000)
def _kind(character: str) -> int:
    category = unicodedata.category(character)
    if category[0] == "M" or character == _PROLONGED or _INVISIBLE.match(character):
        return _MARK
    if category[0] not in "LN":
        return _SEPARATOR
    code = ord(character)
    return _CHARACTER if any(first <= code <= last for first, last in _CHARACTER_SCRIPTS) else _LETTER
