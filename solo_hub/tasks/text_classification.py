"""Text classification: a text, and classes that are the same for all texts; the classes are the question's options."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from solo_hub.core.errors import ConfigError, InputError
from solo_hub.core.records import Question
from solo_hub.tasks.multiple_choice import map_columns
from solo_hub.tasks.reading import Numbered, is_missing, read_id

DEFAULTS = {"id": "id", "question": "text", "answer": "label"}
PLACE = "{text}"
UNLABELLED = -1  # what the Hub's datasets write where a class is not known


class TextClassification(Numbered):
    """Texts to be put into classes.

    A language model is asked the text (within `template`) and answers with the name of a class, so that every class is
    an option; an encoder has an output for each class, in the same order.

    Args:
        columns: Maps `id`, `question`, `answer` to the dataset's columns; by default `id`, `text`, `label`. The answer
            is the class's name or its number, from 0 or from 1 (`task.first_option`; else found from the whole column).
        classes: Names of the classes, in the order of their numbers.
        template: What is asked; `{text}` stands for the text.

    Raises:
        ConfigError: Something else is mapped; one class, or two alike; the template has no `{text}`.
    """

    has_classes = True

    def __init__(self, columns: Mapping[str, str], classes: Sequence[str] = (), template: str = PLACE) -> None:
        if len(classes) == 1 or len(set(classes)) < len(classes):
            raise ConfigError(
                f"task.classes must be at least two distinct names, not: {', '.join(classes)}.",
                hint="Fix task.classes.",
            )
        if PLACE not in template:
            raise ConfigError(f"task.template has no placeholder for the text: '{template}'.", hint="Add {text} to it.")
        self.columns = map_columns(columns, DEFAULTS)
        self.classes, self.template = tuple(classes), template
        self.question_columns = (self.columns["id"], self.columns["question"])
        self.gold_columns = (self.columns["answer"],)

    def question(self, row: Mapping[str, Any], number: int) -> Question:
        """One text with all classes as its options."""
        identifier, text = row.get(self.columns["id"]), row[self.columns["question"]]
        if isinstance(text, str) and text.strip():
            text = self.template.replace(PLACE, text)
        return Question(read_id(number if is_missing(identifier) else identifier), text, self.classes)

    def answer(self, row: Mapping[str, Any]) -> Any:
        """The class as it stands in the row; None where there is none."""
        answer = row.get(self.columns["answer"])
        return None if is_missing(answer) or (answer == UNLABELLED and not isinstance(answer, str)) else answer

    def unknown(self, answer: str, question: Question) -> InputError:  # noqa: ARG002 - of another task
        """The error about an answer that is no class."""
        return InputError(
            f"unknown class '{answer}'; known: {', '.join(self.classes)}.",
            field=self.columns["answer"],
            hint="Set task.classes to all names, in label order.",
        )
