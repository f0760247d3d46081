"""Converts rows to validated questions; errors name file, row and field."""

from __future__ import annotations

import contextlib
import dataclasses
import random
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from solo_hub.core.errors import InputError
from solo_hub.core.plugins import QuestionReader, Task
from solo_hub.core.records import Gold, Question
from solo_hub.core.words import folded
from solo_hub.hub.formats import OnError, stop
from solo_hub.hub.tables import has_column
from solo_hub.tasks.reading import Numbered

LONGEST_QUESTION = 20_000  # characters; more is a document in the wrong column


def columns_to_read(task: QuestionReader, there: Sequence[str], more: Sequence[str] = ()) -> list[str]:
    """The columns of questions, and further ones, to read of a table that has the columns `there`.

    An id may be missing, the row number then serves; any other missing column is named by the reader.
    """
    wanted = (*task.question_columns, *more)
    return [name for name in wanted if has_column(name, there) or name != task.question_columns[0]]


def load_questions(
    task: QuestionReader, rows: Iterable[tuple[int, Mapping[str, Any]]], place: str, on_error: OnError = stop
) -> list[Question]:
    """Convert rows to questions.

    Args:
        task: How rows are read.
        rows: Row numbers from 1 and rows, with the task's `question_columns` only.
        place: Repo or file, for messages.
        on_error: Called with the error of an unusable row, which is then skipped; by default the first raises.

    Raises:
        InputError: No rows; a missing or empty text; a single option, or duplicate options; duplicate ids.
    """
    questions: list[Question] = []
    seen: dict[str, int] = {}
    for number, row in rows:
        try:
            question = _read(task, row, number, seen)
        except InputError as error:
            on_error(error.at(place, number))
            continue
        seen[question.id] = number
        questions.append(question)
    if not questions:
        raise InputError("there are no questions.", file=place, hint="Check task.questions and the split.")
    return questions


def _read(task: QuestionReader, row: Mapping[str, Any], number: int, seen: Mapping[str, int] = {}) -> Question:
    """The validated question of a row, whose id is not `seen`; errors do not name the row."""
    try:
        question = task.question(row, number)
    except KeyError as error:
        raise InputError(f"no column {error}.", hint="Map the dataset's columns with task.columns.") from None
    except (TypeError, AttributeError) as error:
        raise InputError(
            f"the row cannot be read ({type(error).__name__}: {error}).", hint="Check the task and its columns."
        ) from error
    if problem := _problem_of_text(question) or _problem_of_options(question.options):
        raise InputError(problem[0], hint=problem[1])
    if question.id in seen:
        raise InputError(f"duplicate id '{question.id}' (also in row {seen[question.id]}).", hint="Make ids unique.")
    return question


def _problem_of_text(question: Question) -> tuple[str, str] | None:
    if _is_blank(question.text):
        return "the question is empty or not text.", "Add the question, or remove the row."
    if len(question.text) > LONGEST_QUESTION:
        return (
            f"the question has {len(question.text)} characters.",
            "If it is a document, it belongs in the knowledge base.",
        )
    return None


def _is_blank(text: Any) -> bool:
    """Whether nothing of it can be seen: no text, blanks, or characters that have no shape of their own."""
    return not isinstance(text, str) or all(c.isspace() or unicodedata.category(c) in ("Cc", "Cf") for c in text)


def _problem_of_options(options: Sequence[str]) -> tuple[str, str] | None:
    if any(map(_is_blank, options)):
        return "an option is empty or not text.", "Add the option, or remove the row."
    if len(options) == 1:
        return "the question has only one option.", "Add options, or use task.name=open_qa."
    seen = set()
    for option in options:
        key = unicodedata.normalize("NFC", " ".join(option.split()))  # AA and Aa are two genotypes
        if key in seen:
            return f"duplicate option '{option}'.", "Options must differ; change or remove one."
        seen.add(key)
    return None


def _readable(
    task: QuestionReader, rows: Iterable[tuple[int, Mapping[str, Any]]]
) -> Iterator[tuple[Mapping[str, Any], Question]]:
    """Rows with their questions, without those that `load_questions` rejects."""
    for number, row in rows:
        with contextlib.suppress(InputError):
            yield row, _read(task, row, number)


def count_options(
    task: Task, rows: Iterable[tuple[int, Mapping[str, Any]]], place: str, note: Callable[[str], None] | None = None
) -> Task:
    """The task with the convention of its numbered answers (from 0 or from 1) inferred from the whole column.

    Args:
        task: The task; one without numbered answers is returned unchanged.
        rows: All rows, as for `load_golds`.
        place: Repo or file, for messages.
        note: Called with a message on how numbers were interpreted, unless obvious.
    """
    if not isinstance(task, Numbered):
        return task
    counted, remark = task.counted(_readable(task, rows))
    if remark and note:
        note(f"{place}, column '{task.gold_columns[0]}': {remark}")
    return counted


def load_golds(
    task: Task,
    rows: Iterable[tuple[int, Mapping[str, Any]]],
    questions: Sequence[Question],
    place: str,
    on_error: OnError = stop,
    note: Callable[[str], None] | None = None,
    *,
    required: bool = False,
) -> list[Gold]:
    """Read gold answers, for evaluation and analysis only.

    Args:
        task: How rows are read.
        rows: As for `load_questions`, with the `gold_columns` besides.
        questions: The questions; other rows are skipped, and so are further rows with the same id.
        place: Repo or file, for messages.
        on_error: Called with the error of an invalid answer, which is then skipped; by default the first raises.
        note: Called with a message on how numbers were interpreted, unless obvious.
        required: Whether it is an error that a row has no answer.

    Returns:
        The answers there are, in the order of the rows.

    Raises:
        InputError: An answer is not one of the options.
    """
    wanted = {question.id: question for question in questions}
    golds = []
    if isinstance(task, Numbered):
        rows = list(rows)
        task = count_options(task, rows, place, note)
    for number, row in rows:
        try:
            row_question = _read(task, row, number)
        except InputError:  # such a row is not one of the questions
            continue
        question = wanted.pop(row_question.id, None)
        if question is None:
            continue
        if question.labels != row_question.labels:  # files of earlier versions have no labels
            question = dataclasses.replace(question, labels=row_question.labels)
        try:
            gold = _gold(task, row, question, required=required)
        except InputError as error:
            on_error(error.at(place, number))
            continue
        if gold is not None:
            golds.append(gold)
    return golds


def _gold(task: Task, row: Mapping[str, Any], question: Question, *, required: bool) -> Gold | None:
    gold = task.gold(row, question)
    if gold is None and required:
        raise InputError("the answer is missing.", hint="Add the answer, or remove the row.")
    return gold


def sample(questions: Sequence[Question], limit: int | None, seed: int) -> list[Question]:
    """A random sample of at most `limit` questions, in their original order."""
    if limit is None or limit >= len(questions):
        return list(questions)
    chosen = sorted(random.Random(seed).sample(range(len(questions)), limit))  # noqa: S311 - a sample, not a secret
    return [questions[index] for index in chosen]


def without_overlap(questions: Sequence[Question], held_out: Sequence[Question]) -> tuple[list[Question], int]:
    """Remove questions whose text is in the held-out set, up to case, whitespace and Unicode form.

    Returns:
        The rest, and the number removed.
    """
    taken = {folded(question.text) for question in held_out}
    rest = [question for question in questions if folded(question.text) not in taken]
    return rest, len(questions) - len(rest)
