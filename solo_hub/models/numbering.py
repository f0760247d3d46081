"""Parses cells that name an option, in a gold column or in a file of predictions.

Text is parsed by `options`; numbers are parsed here, with a convention inferred from the whole column.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from solo_hub.core.records import Question
from solo_hub.models.options import LETTERS, find_option


@dataclass(frozen=True, slots=True)
class Counting:
    """How numbers in a column of answers are interpreted.

    Attributes:
        first: Index of the first option, 0 or 1.
        values: Numbers are the options themselves: 4 is the option "4".
    """

    first: int = 0
    values: bool = False


def read_option(answer: Any, question: Question, counting: Counting) -> int | None:
    """Index of the option that a cell names by label, text, number or letter; None if it names none."""
    if isinstance(answer, bool):
        return find_option(str(answer), question.options)
    if not isinstance(answer, str | int | float):
        return None
    text, number = str(answer).strip(), _number(answer)
    for names in (question.labels, question.options):
        name = str(number) if names is question.labels and text.endswith(".0") and text not in names else text
        if name in names and (isinstance(answer, str) or names is question.labels):
            return names.index(name)
    if number is None or _labels_are_numbers(question):
        return find_option(text, question.options, labels=question.labels) if isinstance(answer, str) else None
    place = None if counting.values else _place(number - counting.first, question)
    if place is None and not isinstance(answer, str):
        return next((question.options.index(name) for name in (str(number), text) if name in question.options), None)
    return place


def find_counting(answers: Iterable[tuple[Any, Question]], undecided: int | None = None) -> tuple[Counting, str | None]:
    """Infer how the numbers of a column are interpreted, with a note for the user.

    A 0 means that they count from 0, a number equal to the number of options that they count from 1. If neither occurs,
    numbers stored as text ("1", "2") count from 1, as in published datasets, and others from 0.

    Args:
        answers: Cells with their questions.
        undecided: What to count from if neither occurs.
    """
    numbers = [
        (answer, number, question)
        for answer, question in answers
        if (number := _number(answer)) is not None and not _is_name(answer, question)
    ]
    seen = {number for _, number, _ in numbers}
    last = next((number for _, number, question in numbers if number == _count(question)), None)
    beyond = any(number >= _count(question) for _, number, question in numbers)
    if beyond and all({str(number), str(answer)} & set(question.options) for answer, number, question in numbers):
        return Counting(values=True), "numbers are interpreted as the options themselves, not as their indices"
    if not seen or 0 in seen:
        return Counting(), None
    if last is not None:
        first, why = 1, f"as none is 0 and {last} is that of the last option"
    elif undecided is not None:
        first, why = undecided, "like the known answers, as none is 0 and none is the number of options"
    elif len(seen) > 1 and all(isinstance(answer, str) for answer, _, _ in numbers):
        first, why = 1, "as none is 0 and they are written as text"
    else:
        first, why = 0, "as none is the number of options, though none is 0 either"
    taken = "count" if last is not None else "are taken to count"
    return Counting(first), f"numbers {taken} from {first}, {why}; set task.first_option={1 - first} if not"


def _is_name(answer: Any, question: Question) -> bool:
    text = str(answer).strip()
    return (
        text in question.labels
        or _labels_are_numbers(question)
        or (isinstance(answer, str) and text in question.options)
    )


def _labels_are_numbers(question: Question) -> bool:
    """Whether labels are numbers, so that a number is a label and not an index."""
    return bool(question.labels) and all(label.isdecimal() for label in question.labels)


def _number(answer: Any) -> int | None:
    """An integer of at most three digits, more than any number of options.

    Tables in which some cells are empty have it as 2.0.
    """
    if isinstance(answer, str):
        text = answer.strip().removesuffix(".0")
        return int(text) if text.isascii() and text.isdecimal() and len(text) <= _DIGITS else None
    if isinstance(answer, bool) or not isinstance(answer, int | float) or not 0 <= answer < 10**_DIGITS:
        return None
    return int(answer) if answer == int(answer) else None


_DIGITS = 3


def _place(place: int, question: Question) -> int | None:
    """The option at an index of the dataset's list; if an empty one was removed, letters keep the indices."""
    if _has_gap(question):
        letter = LETTERS[place : place + 1] if place >= 0 else ""
        return question.labels.index(letter) if letter in question.labels else None
    return place if 0 <= place < len(question.options) else None


def _count(question: Question) -> int:
    return LETTERS.index(question.labels[-1]) + 1 if _has_gap(question) else len(question.options)


def _has_gap(question: Question) -> bool:
    """Whether the labels are letters in order, with gaps."""
    labels = question.labels
    return (
        bool(labels)
        and all(len(label) == 1 and label in LETTERS for label in labels)
        and list(labels) == sorted(labels)
    )
