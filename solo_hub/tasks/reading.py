"""Parses cells of datasets: options, answers and references in their published formats."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Self

from solo_hub.core.errors import InputError
from solo_hub.core.parsing import parse_json
from solo_hub.core.records import Gold, Question
from solo_hub.models.numbering import Counting, find_counting, read_option
from solo_hub.models.options import LETTERS

TEXT_KEYS = ("text", "content", "value", "option", "choice")
LABEL_KEYS = ("label", "key", "letter", "id")
REFERENCE_KEYS = ("value", "text", "answer", "answers", "spans", "aliases")
"""Where datasets keep reference answers: {text: [...]} (SQuAD), {value, aliases} (TriviaQA), {spans: [...]} (DROP)."""
NOT_OPTIONS = 'Write a list, ["one", "two"], or one | two.'


def is_missing(value: Any) -> bool:
    """Whether a cell is empty: nothing, an empty text, or the not-a-number that some writers of tables leave there."""
    return value is None or value == "" or (isinstance(value, float) and math.isnan(value))


def read_id(value: Any) -> str:
    """An id as text; a whole number is written as one, though a column with an empty cell makes it a float.

    >>> read_id(7.0), read_id(7), read_id("7.0")
    ('7', '7', '7.0')
    """
    return str(int(value) if isinstance(value, float) and value.is_integer() else value)


def read_text(value: Any, column: str, setting: str) -> Any:
    """The text of a question.

    Raises:
        InputError: The cell holds fields of its own.
    """
    if isinstance(value, Mapping):
        fields = ", ".join(map(str, value)) or "none"
        raise InputError(
            f"not a string but a struct with the fields: {fields}.",
            field=column,
            hint=f"Choose one of them: task.columns.{setting}={column}.{next(iter(value), 'FIELD')}.",
        )
    return value


def read_options(value: Any, column: str) -> tuple[tuple[Any, ...], tuple[str, ...]]:
    """Options and, where they are not A, B, C, ..., the names that the dataset gives them.

    Read are a list of texts or numbers, a list of {label, text}, {text: [...], label: [...]}, {label: text}, a JSON
    text of any of these, and texts separated by ` | `. Padding with None is left out.

    Raises:
        InputError: It is none of these, has no options, or two options with one label.
    """
    if isinstance(value, str):
        value = _parse(value)
    pairs = _pairs(value)
    if pairs is None:
        raise InputError("not a list of options.", field=column, hint=NOT_OPTIONS)
    while pairs and _is_padding(pairs[-1][1]):
        pairs.pop()
    if any(label is not None for label, _ in pairs):
        pairs = [(label, text) for label, text in pairs if not _is_padding(text)]
    if not pairs:
        raise InputError("the question has no options.", field=column, hint="Use task.name=open_qa.")
    return tuple(_option(text) for _, text in pairs), read_labels([label for label, _ in pairs], column)


def read_option_columns(cells: Sequence[Any]) -> tuple[tuple[Any, ...], tuple[str, ...]]:
    """Options from one cell each; where one in the middle is empty, the others keep their letters."""
    kept = [(LETTERS[place : place + 1], cell) for place, cell in enumerate(cells) if not is_missing(cell)]
    labels = tuple(label for label, _ in kept)
    gap = labels != tuple(LETTERS[: len(labels)]) and all(labels)
    return tuple(_option(cell) for _, cell in kept), labels if gap else ()


def read_references(value: Any, column: str) -> tuple[str, ...]:
    """All reference answers of a cell, the main one first, each once; none where the question has no answer.

    Raises:
        InputError: The cell holds something else.
    """
    references: dict[str, None] = {}
    _gather(value, column, references)
    return tuple(references)


def _gather(value: Any, column: str, found: dict[str, None]) -> None:
    if isinstance(value, str) and value.lstrip().startswith("["):  # a CSV file has lists as JSON texts
        parsed = _parse(value)
        value = parsed if isinstance(parsed, list) and all(isinstance(item, str) for item in parsed) else value
    if isinstance(value, Mapping):
        parts = [value[key] for key in REFERENCE_KEYS if key in value]
        if not parts:
            raise _not_text(column)
        for part in parts:
            _gather(part, column, found)
    elif isinstance(value, list | tuple):
        for item in value:
            _gather(item, column, found)
    elif isinstance(value, str | int | float):
        if not is_missing(value) and (text := str(value).strip()):
            found[text] = None
    elif value is not None:
        raise _not_text(column)


def _not_text(column: str) -> InputError:
    return InputError("not a string.", field=column, hint="Write the answer, or a list of answers.")


def _pairs(value: Any) -> list[tuple[Any, Any]] | None:
    """Options as (label or None, text); None for something else."""
    if isinstance(value, Mapping):
        return _pairs_of_mapping(value)
    if not isinstance(value, list | tuple):
        return None
    if not any(isinstance(item, Mapping) for item in value):
        return [(None, item) for item in value]
    pairs: list[tuple[Any, Any]] = []
    for item in value:
        if not isinstance(item, Mapping):
            pairs.append((None, item))
            continue
        texts, labels = ([item[key] for key in keys if key in item] for keys in (TEXT_KEYS, LABEL_KEYS))
        if texts:
            pairs.append((labels[0] if labels else None, texts[0]))
        elif len(item) == 1:  # [{"A": "liver"}, {"B": "heart"}]
            pairs.append(next(iter(item.items())))
        else:
            return None
    return pairs


def _pairs_of_mapping(value: Mapping[str, Any]) -> list[tuple[Any, Any]] | None:
    texts = next((value[key] for key in TEXT_KEYS if isinstance(value.get(key), list)), None)
    if texts is None:
        plain = bool(value) and not any(isinstance(item, list | Mapping) for item in value.values())
        return list(value.items()) if plain else None
    labels = next((value[key] for key in LABEL_KEYS if isinstance(value.get(key), list)), None)
    if labels is None:
        return [(None, text) for text in texts]
    return list(zip(labels, texts, strict=True)) if len(labels) == len(texts) else None


def _is_padding(text: Any) -> bool:
    return text is None or (isinstance(text, float) and math.isnan(text))


def _option(text: Any) -> Any:
    """An option as text: numbers as they are written, no blanks round it; anything else is left to be refused."""
    if isinstance(text, str):
        return text.strip() or text
    return str(text) if isinstance(text, int | float) else text


def read_labels(labels: Sequence[Any], column: str) -> tuple[str, ...]:
    """The dataset's names of the options; empty where they are A, B, C, ... in this order, or not all there.

    Raises:
        InputError: Two options have one label.
    """
    if any(label is None for label in labels):
        return ()
    whole = (int(label) if isinstance(label, float) and label.is_integer() else label for label in labels)
    names = tuple(str(label).strip().strip("().:") for label in whole)
    duplicate = next((label for place, label in enumerate(names) if label in names[:place]), None)
    if duplicate is not None:
        raise InputError(
            f"duplicate option label '{duplicate}'.", field=column, hint="Make labels unique, or remove them."
        )
    return () if tuple(label.upper() for label in names) == tuple(LETTERS[: len(names)]) else names


def _parse(text: str) -> Any:
    """A cell of a text file: JSON, or options separated by ` | `; None for broken JSON."""
    if text.lstrip()[:1] in ("[", "{"):
        try:
            return parse_json(text)
        except ValueError:
            return None
    return [part.strip() for part in text.split("|")]


class Numbered:
    """A task whose answers may be numbers of options; `counting` is found for a whole column (`counted`)."""

    counting: Counting = Counting()
    decided: bool = False

    def answer(self, row: Mapping[str, Any]) -> Any:
        """The answer as it stands in the row; None where there is none."""
        raise NotImplementedError

    def unknown(self, answer: str, question: Question) -> InputError:
        """The error about an answer that is not one of the options, to be raised."""
        raise NotImplementedError

    def gold(self, row: Mapping[str, Any], question: Question) -> Gold | None:
        """The answer by the option's label, text, number or letter; None where the row has none."""
        answer = self.answer(row)
        if answer is None:
            return None
        option = read_option(answer, question, self.counting)
        if option is None:
            raise self.unknown(str(answer)[:60], question)
        return Gold(question.id, option, question.options[option])

    def count_from(self, first: int) -> Self:
        """The same task, its numbers counted from 0 or from 1 (`task.first_option`)."""
        return self._with(Counting(first))

    def counted(self, rows: Iterable[tuple[Mapping[str, Any], Question]]) -> tuple[Self, str | None]:
        """The same task, with the numbers of these rows understood, and what a user should be told about them."""
        if self.decided:
            return self, None
        counting, remark = find_counting((self.answer(row), question) for row, question in rows)
        return self._with(counting), remark

    def _with(self, counting: Counting) -> Self:
        made = copy.copy(self)
        made.counting, made.decided = counting, True
        return made
