"""Multiple choice from any dataset, with a column mapping."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from solo_hub.core.errors import ConfigError, InputError, nearest
from solo_hub.core.records import Question
from solo_hub.tasks.reading import Numbered, is_missing, read_id, read_option_columns, read_options, read_text

DEFAULTS = {"id": "id", "question": "question", "options": "options", "answer": "answer"}


class MultipleChoice(Numbered):
    """Questions with options.

    `options` names one column (a list of texts, numbers or {label, text}; {text: [...], label: [...]}; {label: text};
    a JSON text of these, or texts separated by ` | ` as a CSV file has them), or several columns separated by commas,
    one option each. `answer` names a column with the option's label where the options have labels, its text, its
    number, or its letter, also as a sentence ("The answer is B."). Numbers count from 0 or from 1
    (`task.first_option`; else found from the whole column, see `reading.find_counting`). A column may be a path,
    `question.stem`. `id` may be missing from the dataset; the row number then serves.

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
        text = read_text(row[self.columns["question"]], self.columns["question"], "question")
        if len(self.option_columns) > 1:
            options, labels = read_option_columns([row[name] for name in self.option_columns])
        else:
            options, labels = read_options(row[self.option_columns[0]], self.option_columns[0])
        return Question(read_id(number if is_missing(identifier) else identifier), text, options, labels)

    def answer(self, row: Mapping[str, Any]) -> Any:
        """The answer as it stands in the row; None where there is none."""
        answer = row.get(self.columns["answer"])
        return None if is_missing(answer) else answer

    def unknown(self, answer: str, question: Question) -> InputError:
        """The error about an answer that is not one of the options."""
        return InputError(
            f"'{answer}' is not an option of question '{question.id}'.",
            field=self.columns["answer"],
            hint=f"Write the option's label, text, letter, or number, counted from {self.counting.first} here "
            "(task.first_option).",
        )


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
