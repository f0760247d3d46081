"""The content words of a text: what questions and answers are compared by.

Stems without stop words, by English rules whatever the language: forms of one question meet, and in other scripts the
rules change nothing.
"""

from __future__ import annotations

from solo_hub.knowledge.words import Analysis

_ANALYSIS = Analysis("en", "")


def words(text: str) -> list[str]:
    """Stems of the content words of a text, in order.

    >>> words("What do the plants need?")
    ['plant', 'need']
    """
    return _ANALYSIS.words(text)
