"""Free-text questions: no options; the pseudo-label is the text the teacher writes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from solo_hub.core.records import Gold, Question
from solo_hub.tasks.multiple_choice import map_columns
from solo_hub.tasks.reading import is_missing, read_id, read_references, read_text

DEFAULTS = {"id": "id", "question": "question", "answer": "answer"}


class OpenQA:
    """Questions answered in the model's own words.

    The answer is a text, or several references of which the best counts: a list, SQuAD's {text: [...]}, TriviaQA's
    {value, aliases}. Rows without any (SQuAD 2.0's unanswerable questions) have no known answer.

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
        text = read_text(row[self.columns["question"]], self.columns["question"], "question")
        return Question(read_id(number if is_missing(identifier) else identifier), text)

    def gold(self, row: Mapping[str, Any], question: Question) -> Gold | None:
        """The reference answers; None where the row has none."""
        references = read_references(row.get(self.columns["answer"]), self.columns["answer"])
        return Gold(question.id, None, references[0], aliases=references[1:]) if references else None
