"""QASC (Khot et al. 2020, arXiv 1910.11473): eight-way science questions that take two facts to answer."""

from __future__ import annotations

import string
from collections.abc import Mapping
from typing import Any

from solo_hub.core.errors import ConfigError, InputError
from solo_hub.core.records import Gold, Question
from solo_hub.tasks.reading import read_labels


class Qasc:
    """Any dataset with QASC's columns: id, question, choices {text, label}, answerKey.

    Args:
        columns: Must be empty: the columns are QASC's.

    Raises:
        ConfigError: Columns are mapped.
    """

    question_columns = ("id", "question", "choices")
    gold_columns = ("answerKey", "fact1", "fact2")

    def __init__(self, columns: Mapping[str, str]) -> None:
        if columns:
            raise ConfigError("The task qasc has fixed columns.", hint="Use task.name=multiple_choice to map columns.")

    def question(self, row: Mapping[str, Any], number: int) -> Question:
        """One question; its options in the order of `choices`."""
        choices = row["choices"]
        if not isinstance(choices, Mapping) or not isinstance(choices.get("text"), list):
            raise InputError(
                "not a {text: [...], label: [...]} value.",
                row=number,
                field="choices",
                hint="See the dataset allenai/qasc.",
            )
        if not choices["text"]:
            raise InputError("the question has no options.", row=number, field="choices", hint="Remove the row.")
        texts, labels = choices["text"], choices.get("label") or ()
        return Question(str(row["id"]), row["question"], tuple(texts), read_labels(labels[: len(texts)], "choices"))

    def gold(self, row: Mapping[str, Any], question: Question) -> Gold | None:
        """The answer's label as an index; None where the split has no answers."""
        key = row.get("answerKey")
        if key is None or key == "":
            return None
        labels = row["choices"].get("label") or list(string.ascii_uppercase)
        if key not in labels[: len(question.options)]:
            raise InputError(
                f"'{key}' is not the letter of an option of question '{question.id}'.",
                field="answerKey",
                hint="Write A, B, C, ...",
            )
        option = labels.index(key)
        facts = tuple(str(row[name]) for name in ("fact1", "fact2") if row.get(name))
        return Gold(question.id, option, question.options[option], facts)
