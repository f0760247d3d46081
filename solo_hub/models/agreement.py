"""Whether an answer of a language model's server agrees with itself and with the question.

Over plain HTTP nothing tells that a byte changed on its way: a digit that became another one is still a number. But an
answer says some things twice: the log-probability of a token stands beside it and in the list of the likeliest tokens,
and the tokens of the prompt are those that were sent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Contradiction = tuple[str, int, int]
"""What is contradicted (`told`: a log-probability, `spelt`: a token), in which choice, at which token."""


class Agreement:
    """Looks for contradictions in a server's answers.

    Args:
        tokenizer: The base model's.
    """

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._spellings: dict[int, str] = {}
        self._spells = True  # whether the server spells tokens as the tokenizer does

    def contradictions(
        self, choices: Sequence[Mapping[str, Any]], places: Sequence[range], rows: Sequence[Sequence[int]]
    ) -> list[Contradiction]:
        """What an answer contradicts.

        Args:
            choices: Of the answer.
            places: For each choice, the tokens whose log-probabilities matter.
            rows: For each choice, the tokens of the prompt; none where the answer does not repeat them.
        """
        found: list[Contradiction] = [
            ("told", number, place)
            for number, (choice, some) in enumerate(zip(choices, places, strict=True))
            for place in _told_otherwise(choice)
            if place in some
        ]
        for number, (choice, row) in enumerate(zip(choices, rows, strict=True) if rows and self._spells else ()):
            spelt = (choice.get("logprobs") or {}).get("tokens")
            if isinstance(spelt, list):
                found += [
                    ("spelt", number, place)
                    for place, (theirs, token) in enumerate(zip(spelt, row, strict=False))
                    if theirs != self._spelling(token)
                ]
        return found

    def accept(self, lasting: Sequence[Contradiction]) -> None:
        """Take contradictions for the server's way: one that spells otherwise is not compared any more."""
        self._spells = self._spells and not any(what == "spelt" for what, _, _ in lasting)

    def _spelling(self, token: int) -> str:
        if token not in self._spellings:
            self._spellings[token] = self._tokenizer.decode([token])
        return self._spellings[token]


def _told_otherwise(choice: Mapping[str, Any]) -> list[int]:
    """Places of tokens whose own log-probability and that in the list of the likeliest tokens differ.

    A server that is asked for the likeliest token tells the one that stands there besides, so its number comes twice.
    """
    told = choice.get("logprobs") or {}
    spelt, values, best = (told.get(name) for name in ("tokens", "token_logprobs", "top_logprobs"))
    if not (isinstance(spelt, list) and isinstance(values, list) and isinstance(best, list)):
        return []
    return [
        place
        for place, (token, value, likeliest) in enumerate(zip(spelt, values, best, strict=False))
        if isinstance(likeliest, Mapping) and isinstance(token, str) and likeliest.get(token, value) != value
    ]
