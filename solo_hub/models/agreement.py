"""Consistency checks of a model server's responses: with themselves and with the request.

Plain HTTP does not detect corrupted bytes: a changed digit is still a number. But responses are redundant: a token's
log-probability is given with the token and in the list of the likeliest tokens, and the prompt's tokens are those that
were sent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Contradiction = tuple[str, int, int]
"""What is contradicted (`value`: a log-probability, `token`: a token), in which choice, at which token."""


class Agreement:
    """Finds contradictions in a server's responses.

    Args:
        tokenizer: The base model's.
    """

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._spellings: dict[int, str] = {}
        self._spells = True  # whether the server's token strings equal the tokenizer's

    def contradictions(
        self, choices: Sequence[Mapping[str, Any]], places: Sequence[range], rows: Sequence[Sequence[int]]
    ) -> list[Contradiction]:
        """Find the contradictions in a response.

        Args:
            choices: The response's choices.
            places: For each choice, the tokens whose log-probabilities are used.
            rows: For each choice, the prompt's tokens; empty if the response does not echo them.
        """
        contradictions: list[Contradiction] = [
            ("value", number, place)
            for number, (choice, used) in enumerate(zip(choices, places, strict=True))
            for place in _inconsistent_values(choice)
            if place in used
        ]
        for number, (choice, row) in enumerate(zip(choices, rows, strict=True) if rows and self._spells else ()):
            tokens = (choice.get("logprobs") or {}).get("tokens")
            if isinstance(tokens, list):
                contradictions += [
                    ("token", number, place)
                    for place, (string, token) in enumerate(zip(tokens, row, strict=False))
                    if string != self._spelling(token)
                ]
        return contradictions

    def accept(self, lasting: Sequence[Contradiction]) -> None:
        """Accept repeated contradictions as the server's behaviour; differing token strings are then ignored."""
        self._spells = self._spells and not any(what == "token" for what, _, _ in lasting)

    def _spelling(self, token: int) -> str:
        if token not in self._spellings:
            self._spellings[token] = self._tokenizer.decode([token])
        return self._spellings[token]


def _inconsistent_values(choice: Mapping[str, Any]) -> list[int]:
    """Positions of tokens whose log-probability differs from that in the list of the likeliest tokens.

    A server asked for the likeliest token also lists the actual one, so its log-probability occurs twice.
    """
    logprobs = choice.get("logprobs") or {}
    tokens, values, best = (logprobs.get(name) for name in ("tokens", "token_logprobs", "top_logprobs"))
    if not (isinstance(tokens, list) and isinstance(values, list) and isinstance(best, list)):
        return []
    return [
        place
        for place, (token, value, likeliest) in enumerate(zip(tokens, values, best, strict=False))
        if isinstance(likeliest, Mapping) and isinstance(token, str) and likeliest.get(token, value) != value
    ]
