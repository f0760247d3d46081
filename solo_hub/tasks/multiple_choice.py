"""Multiple choice from any dataset: a small column mapping says what is what."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from solo_hub.core.errors import ConfigError, InputError, nearest
from solo_hub.core.records import Gold, Question

DEFAULTS = {"id": "id", "question": "question", "options": "options", "answer": "answer"}


class MultipleChoice:
    """Questions with options.

    `options` names one column with a list (also `{text: [...]}`, a JSON list, or texts separated by ` | ` as a CSV
    file has them), or several columns separated by commas, one option each. `answer` names a column with the option's
    index from 0, its letter, or its text. `id` may be missing from the dataset; the row number then serves.

    Args:
        columns: Maps `id`, `question`, `options`, `answer` to the dataset's columns; what is left out keeps its name.

    Raises:
        ConfigError: Something else is mapped.
    """

    def __init__(self, columns: Mapping[str, str]) -> None:
        self.columns = map_columns(columns, DEFAULTS)
        self.option_columns = tuple(part.strip() for part in self.columns["options"].split(","))
        self.question_columns = (self.columns["id"], self.columns["question"], *self.option_columns)
        self.gold_columns = (self.columns["answer"],)

    def question(self, row: Mapping[str, Any], number: int) -> Question:
        """One question, its options in the dataset's order."""
        identifier = row.get(self.columns["id"])
        return Question(
            str(number if identifier is None else identifier), row[self.columns["question"]], self._options(row, number)
        )

    def _options(self, row: Mapping[str, Any], number: int) -> tuple[Any, ...]:
        if len(self.option_columns) > 1:
            return tuple(row[name] for name in self.option_columns if not is_missing(row[name]))
        name = self.option_columns[0]
        value = row[name]
        if isinstance(value, Mapping):
            value = value.get("text")
        if isinstance(value, str):
            value = _split(value)
        if not isinstance(value, list):
            raise InputError(
                "not a list of options.", row=number, field=name, hint='Write a list, ["one", "two"], or one | two.'
            )
        if not value:
            raise InputError("the question has no options.", row=number, field=name, hint="Use task.name=open_qa.")
        return tuple(value)

    def gold(self, row: Mapping[str, Any], question: Question) -> Gold | None:
        """The answer by index, letter or text; None where the row has none."""
        answer = row.get(self.columns["answer"])
        if is_missing(answer):
            return None
        option = find_option(answer, question)
        if option is None:
            raise InputError(
                f"'{str(answer)[:60]}' is no option of question '{question.id}'.",
                field=self.columns["answer"],
                hint="Write the option's index from 0, its letter, or its text.",
            )
        return Gold(question.id, option, question.options[option])


def map_columns(columns: Mapping[str, str], defaults: Mapping[str, str]) -> dict[str, str]:
    """A task's own names and the dataset's columns for them.

    >>> map_columns({"answer": "label"}, {"id": "id", "answer": "answer"})
    {'id': 'id', 'answer': 'label'}

    Raises:
        ConfigError: Something else is mapped.
    """
    for name in columns:
        if name not in defaults:
            raise ConfigError(f"task.columns: unknown key '{name}'.", hint=nearest(name, defaults))
    return {**defaults, **columns}


def find_option(answer: Any, question: Question) -> int | None:
    """Index of the option an answer names by text, index or letter; None when it names none."""
    count = len(question.options)
    if isinstance(answer, bool):
        return None
    if isinstance(answer, int | float):
        return int(answer) if 0 <= answer < count and answer == int(answer) else None
    text = str(answer).strip()
    if text in question.options:
        return question.options.index(text)
    if text.isascii() and text.isdecimal() and len(text) <= 3:  # noqa: PLR2004 - more options there are never
        return int(text) if int(text) < count else None
    if len(text) == 1 and text.isalpha() and text.isascii():
        place = ord(text.upper()) - ord("A")
        return place if place < count else None
    return None


def is_missing(answer: Any) -> bool:
    """Whether a cell is empty: nothing, an empty text, or the not-a-number that some writers of tables leave there."""
    return answer is None or answer == "" or (isinstance(answer, float) and math.isnan(answer))


def _split(text: str) -> list[Any] | None:
    if text.lstrip().startswith("["):
        try:
            parsed = json.loads(text)
        except ValueError:
            return None
        return parsed if isinstance(parsed, list) else None
    return [part.strip() for part in text.split("|")]
