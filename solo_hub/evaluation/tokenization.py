"""Text to tokens for overlap metrics: those of `solo_hub.core.words`, and signs where there is no word."""

from __future__ import annotations

import unicodedata

from solo_hub.core.words import words


def tokens(text: str) -> list[str]:
    """Like `words`, but a text without any word ("+", "?!", "🙂") gives its characters, so that it can equal itself.

    >>> tokens("+ -")
    ['+', '-']
    """
    return words(text) or [character for character in unicodedata.normalize("NFKC", text) if not character.isspace()]
