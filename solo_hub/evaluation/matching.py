"""Does a written answer name an option?"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence

# What may stand around an answer without changing it. Not "-", "%" or a leading ".": -5 is not 5, and .5 is not 5.
_BEFORE = " \"'`*_([{“”\u2018\u2019«»„\u201a「『\uff08¿¡"
_AFTER = _BEFORE + ".,;:!?…)]}、。\uff0c\uff01\uff1f\uff1a\uff1b」』\uff09"
_LETTERED = re.compile(r"^\(?([a-z])[).:]\s*(.*)$", re.DOTALL)
_LEAD_IN = re.compile(
    r"^\s*(the\s+)?((correct|right|best)\s+)?(answer|option|choice)(\s+is\b|\s*:)[\s:]*", re.IGNORECASE
)
_LETTER = re.compile(r"^\(?([a-z])[).:]?$")


def normalise(text: str) -> str:
    """Fold what does not change an answer: case, Unicode form, runs of blanks, punctuation and blanks at the ends.

    >>> normalise("  The  Sun. ")
    'the sun'
    """
    plain = text if text.isascii() else unicodedata.normalize("NFKC", text)
    folded = " ".join(plain.casefold().split())
    # An answer that is nothing but punctuation ("+", "?") is left as it is: nothing would remain of it.
    return folded.lstrip(_BEFORE).rstrip(_AFTER) or folded


def first_line(text: str) -> str:
    """Take the first line that says anything.

    Below it, a model that does not stop goes on with a question of its own making.
    """
    return next((line.strip() for line in text.splitlines() if line.strip()), "")


def match_option(text: str, options: Sequence[str], fold: Callable[[str], str] = normalise) -> int | None:
    """Find the option a written answer names.

    In this order: the answer is an option to the letter; its first line, normalised, is an option's text; it is a
    letter and an option's text ("(C) rain"); it is a letter alone ("C", "(c)", "C."). If none of that holds, the same
    is tried without an English lead-in ("The answer is: rain").

    Args:
        text: The answer as written.
        options: The options in their order.
        fold: `normalise`, or the same with a memory.

    Returns:
        The option's index; None when the answer names none of them, or two options read the same.
    """
    if text in options and options.count(text) == 1:
        return options.index(text)
    folded = [fold(option) for option in options]
    line = first_line(text)
    found = _named(line, folded, fold)
    lead_in = _LEAD_IN.match(line)
    return _named(line[lead_in.end() :], folded, fold) if found is None and lead_in else found


def _named(raw: str, options: Sequence[str], fold: Callable[[str], str]) -> int | None:
    answer = fold(raw)
    if not answer:
        return None
    if answer in options:
        return options.index(answer) if options.count(answer) == 1 else None
    raw = raw.casefold()
    lettered = _LETTERED.match(raw)
    if lettered and fold(lettered[2]) in options:
        index = options.index(fold(lettered[2]))
        return index if ord(lettered[1]) - ord("a") == index and options.count(options[index]) == 1 else None
    letter = _LETTER.match(raw)
    if letter:
        index = ord(letter[1]) - ord("a")
        return index if index < len(options) else None
    return None
