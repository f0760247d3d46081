"""Text to tokens in any script, for overlap metrics."""

from __future__ import annotations

import re
import unicodedata

_ASCII_WORD = re.compile(r"[a-z0-9]+")

# Scripts written without blanks between words, and Hangul, whose particles are glued to their word: a character is a
# token. (first, last) code points; later planes hold Han extensions.
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
_PROLONGED = "ー"  # lengthens the kana before it; a letter by Unicode's reckoning


def _stands_alone(character: str) -> bool:
    code = ord(character)
    return any(first <= code <= last for first, last in _CHARACTER_SCRIPTS)


def words(text: str) -> list[str]:
    """Split into lower-case tokens: runs of letters and digits; single characters where a script has no blanks.

    On plain English (ASCII) this is exactly rouge-score's default tokenizer without stemming. Elsewhere accents stay
    (rouge-score cuts "café" to "caf"), combining marks stay with their letter, and Chinese, Japanese, Korean, Thai,
    Lao, Khmer and Burmese give one token a character (rouge-score gives none, hence its 0 for identical Chinese texts).

    >>> words("Le café coûte 3,50 €.")
    ['le', 'café', 'coûte', '3', '50']
    >>> words("水は100度で沸く")
    ['水', 'は', '100', '度', 'で', '沸', 'く']
    """
    if text.isascii():
        return _ASCII_WORD.findall(text.lower())
    found: list[str] = []
    in_word = False  # the next letter belongs to the last token
    open_token = False  # the next combining mark belongs to the last token
    for character in unicodedata.normalize("NFKC", text).lower():
        kind = unicodedata.category(character)
        if kind[0] == "M" or character == _PROLONGED:
            if open_token:
                found[-1] += character
        elif kind[0] not in "LN":
            in_word = open_token = False
        elif in_word and not _stands_alone(character):
            found[-1] += character
        else:
            found.append(character)
            in_word, open_token = not _stands_alone(character), True
    return found


def tokens(text: str) -> list[str]:
    """Like `words`, but a text without any word ("+", "?!", "🙂") gives its characters, so that it can equal itself.

    >>> tokens("+ -")
    ['+', '-']
    """
    return words(text) or [character for character in unicodedata.normalize("NFKC", text) if not character.isspace()]
