"""Free-text questions: no options; the pseudo-label is the text the teacher writes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from solo_hub.core.errors import InputError
from solo_hub.core.records import Gold, Question
from solo_hub.tasks.multiple_choice import is_missing, map_columns

DEFAULTS = {"id": "id", "question": "question", "answer": "answer"}


class OpenQA:
    """Questions answered in the model's own words.

    Args:
        columns: Maps `id`, `question`, `answer` to the dataset's columns; what is left out has the same name.

    Raises:
        ConfigError: Something else is mapped.
    """

    def __init__(self, columns: Mapping[str, str]) -> None:
        self.columns = map_columns(columns, DEFAULTS)
        self.question_columns = (self.columns["id"], self.columns["question"])
        self.gold_columns = (self.columns["answer"],)

    def question(self, row: Mapping[str, Any], number: int) -> Question:
        """One question without options."""
        identifier = row.get(self.columns["id"])
        return Question(str(number if identifier is None else identifier), row[self.columns["question"]])

    def gold(self, row: Mapping[str, Any], question: Question) -> Gold | None:
        """The reference answer; None where the row has none."""
        answer = row.get(self.columns["answer"])
        if isinstance(answer, Mapping):  # SQuAD writes {text: [...], answer_start: [...]}
            answer = answer.get("text", answer)
        if isinstance(answer, list):  # several references: the first is the one compared with
            answer = answer[0] if answer else None
        if is_missing(answer):
            return None
        if not isinstance(answer, str | int | float):
            raise InputError("not a text.", field=self.columns["answer"], hint="Write the answer, or a list of them.")
        return Gold(question.id, None, str(answer))
