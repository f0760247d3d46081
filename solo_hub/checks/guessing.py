"""Guesses what a table holds and how it is read: every guess is tried with the reader of the task it names.

Column names in several languages come first; where none is known, columns are tried by their content, and the guess is
not `sure`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from solo_hub.core.errors import InputError
from solo_hub.core.records import Gold, Question
from solo_hub.tasks.loading import LONGEST_QUESTION, load_golds, load_questions
from solo_hub.tasks.multiple_choice import MultipleChoice
from solo_hub.tasks.open_qa import OpenQA
from solo_hub.tasks.qasc import Qasc
from solo_hub.tasks.reading import is_missing
from solo_hub.tasks.text_classification import TextClassification

Rows = Sequence[tuple[int, Mapping[str, Any]]]

TEXTS = "texts"
"""The task of a table without questions: its rows are documents."""
FITS = 0.9
"""Share of the rows that a reader must understand."""
MOST_CLASSES = 50
ROW_NUMBER = "row number"
"""Mapped to `id` where the column `id` has duplicates; no column has this name, so rows are numbered."""

QUESTION = (
    "question", "question_stem", "question.stem", "query", "prompt", "stem", "sentence", "ctx", "goal", "input",
    "instruction", "frage", "pregunta", "domanda", "pergunta", "vraag", "問題", "题目", "问题", "質問", "질문",
)  # fmt: skip
OPTIONS = (
    "options", "choices", "question.choices", "endings", "candidates", "answers", "antworten", "optionen", "opciones",
    "選項", "选项", "選択肢",
)  # fmt: skip
ANSWER = (
    "answer", "answerKey", "answer_key", "correct_answer", "correct", "correct_option", "answer_index", "answers",
    "label", "gold", "target", "solution", "response", "output", "cop", "antwort", "lösung", "respuesta", "réponse",
    "risposta", "resposta", "答案", "正解", "정답",
)  # fmt: skip
CLASS = ("label", "labels", "class", "category", "intent", "topic", "sentiment", "emotion", "klasse", "kategorie")
TEXT = (
    "text", "content", "passage", "document", "body", "fact", "combinedfact", "context", "abstract", "article",
    "review", "tweet", "utterance", "sentence", "文本", "内容", "內容",
)  # fmt: skip
ID = ("id", "qid", "question_id", "uid", "key")
SOURCE = ("source", "url", "title", "file", "link")
_ONE_OF_SEVERAL = re.compile(r"(?P<stem>.*?)[ _.-]?(?P<place>[A-Za-z]|\d{1,2})")


@dataclass(frozen=True, slots=True)
class Guess:
    """How a table is read.

    Attributes:
        task: A task's name, or `TEXTS`.
        columns: `id`, `question`, `options`, `answer` (of texts `id`, `text`, `source`) and their columns.
        sure: Whether the columns were recognised by their names.
        examples: Up to two rows as they are understood.
        answered: Share of the rows with an answer.
    """

    task: str
    columns: Mapping[str, str] = field(default_factory=dict)
    sure: bool = True
    examples: tuple[str, ...] = ()
    answered: float = 0.0


def guess(rows: Rows, class_names: Callable[[str], Sequence[str]] = lambda _: ()) -> Guess | None:
    """What a table holds, by a sample of its rows; None if nothing fits.

    Args:
        rows: Row numbers from 1 and rows, with all their columns.
        class_names: The names that the dataset gives to the classes of a column.
    """
    if not rows:
        return None
    there = _columns(rows)
    for attempt in (_multiple_choice, _classification, _open_qa, _texts):
        if (found := attempt(rows, there, class_names)) is not None:
            return found
    return None


def read_as(task: str, columns: Mapping[str, str], rows: Rows, *, sure: bool = True) -> Guess | None:
    """The rows as a task reads them with these columns; None if it does not understand `FITS` of them."""
    made: Any
    if task == "text_classification":
        cells = (cell(row, columns.get("answer", "label")) for _, row in rows)
        classes = tuple(dict.fromkeys(str(value) for value in cells if not is_missing(value)))
        made = TextClassification(columns, classes if len(classes) > 1 else ("?", "??"))
    else:
        made = {"multiple_choice": MultipleChoice, "open_qa": OpenQA, "qasc": Qasc}[task](columns)
    rows = [(number, _with_paths(row, (*made.question_columns, *made.gold_columns))) for number, row in rows]
    try:
        questions = load_questions(made, rows, "", lambda _: None)
        golds = load_golds(made, rows, questions, "", lambda _: None)
    except InputError:
        return None
    if len(questions) < FITS * len(rows):
        return None
    given = sum(not is_missing(row.get(made.gold_columns[0])) for _, row in rows)
    if given and len(golds) < FITS * given:
        return None
    answers = {gold.question_id: gold for gold in golds}
    shown = tuple(_shown(question, answers.get(question.id)) for question in questions[:2])
    return Guess(task, columns, sure, shown, len(golds) / len(rows))


def _multiple_choice(rows: Rows, there: Sequence[str], class_names: Callable[[str], Sequence[str]]) -> Guess | None:  # noqa: ARG001 - one signature for all
    qasc = {*Qasc.question_columns, "answerKey", "fact1", "fact2"} <= set(there)
    if qasc and (found := read_as("qasc", {}, rows)) is not None:
        return found
    for options in (*_named(OPTIONS, there), *_several(there)):
        taken = options.split(",")
        for question, sure in _questions(rows, there, taken):
            plain = {**_id(rows, there), "question": question, "options": options}
            for answer, known in _answers(there, (*taken, question)):
                found = read_as("multiple_choice", {**plain, "answer": answer}, rows, sure=sure and known)
                if found is not None and found.answered:
                    return found
            # a list of answers is also what open questions have
            bare = read_as("multiple_choice", plain, rows, sure=sure)
            if bare is not None and options.casefold() != "answers":
                return bare
    return None


def _classification(rows: Rows, there: Sequence[str], class_names: Callable[[str], Sequence[str]]) -> Guess | None:
    if _named(QUESTION[:4], there):
        return None
    named = [column for column in there if class_names(column)]
    for label in (*named, *_named(CLASS, there)):
        values = [value for _, row in rows if not is_missing(value := cell(row, label))]
        few = len(set(map(str, values))) <= min(MOST_CLASSES, len(values) / 2)
        if not values or isinstance(values[0], list | Mapping) or not (few or label in named):
            continue
        for text, sure in _texts_by_length(rows, there, label):
            found = read_as(
                "text_classification", {**_id(rows, there), "question": text, "answer": label}, rows, sure=sure
            )
            if found is not None:
                return found
    return None


def _open_qa(rows: Rows, there: Sequence[str], class_names: Callable[[str], Sequence[str]]) -> Guess | None:  # noqa: ARG001 - one signature for all
    for question in _named(QUESTION, there):
        plain = {**_id(rows, there), "question": question}
        for answer in _named(ANSWER, there):
            found = read_as("open_qa", {**plain, "answer": answer}, rows) if answer != question else None
            if found is not None and found.answered:
                return found
        if question.casefold() in ("question", "query", "frage") and (bare := read_as("open_qa", plain, rows)):
            return bare
    return None


def _texts(rows: Rows, there: Sequence[str], class_names: Callable[[str], Sequence[str]]) -> Guess | None:  # noqa: ARG001 - one signature for all
    for text, sure in _texts_by_length(rows, there, ""):
        texts = [row[text] for _, row in rows if isinstance(row.get(text), str) and row[text].strip()]
        if len(texts) >= FITS * len(rows):
            columns = {"text": text, **_id(rows, there)}
            if sources := _named(SOURCE, there):
                columns["source"] = sources[0]
            return Guess(TEXTS, columns, sure, tuple(map(cut, texts[:2])))
    return None


def _columns(rows: Rows) -> list[str]:
    """Columns, and the fields of those that hold structs, as `column.field`."""
    names = dict.fromkeys(key for _, row in rows for key in row)
    for _, row in rows[:1]:
        names |= dict.fromkeys(
            f"{key}.{name}" for key, value in row.items() if isinstance(value, dict) for name in value
        )
    return list(names)


def _named(known: Sequence[str], there: Sequence[str]) -> list[str]:
    """Columns that have one of the known names, in the order of the names."""
    by_name = {column.casefold(): column for column in reversed(there)}
    return [by_name[name.casefold()] for name in known if name.casefold() in by_name]


def _several(there: Sequence[str]) -> Iterator[str]:
    """Columns that hold one option each, joined by commas: A, B, C; option_1, option_2; opa, opb, opc, opd."""
    groups: dict[str, list[tuple[str, str]]] = {}
    for column in there:
        if (match := _ONE_OF_SEVERAL.fullmatch(column)) and "." not in column:
            groups.setdefault(match["stem"].casefold(), []).append((match["place"].casefold(), column))
    for members in groups.values():
        places = sorted(members, key=lambda pair: (len(pair[0]), pair[0]))
        numbers = [int(place) if place.isdigit() else ord(place) - ord("a") for place, _ in places]
        if len(places) > 1 and numbers[0] in (0, 1) and numbers == list(range(numbers[0], numbers[0] + len(places))):
            yield ",".join(column for _, column in places)


def _questions(rows: Rows, there: Sequence[str], taken: Sequence[str]) -> Iterator[tuple[str, bool]]:
    """Columns that may hold the question: by name; then the texts that most often end as questions do."""
    named = [column for column in _named(QUESTION, there) if column not in taken]
    yield from ((column, True) for column in named)
    rest = [column for column in _long(rows, there) if column not in (*named, *taken)]
    asks = {
        column: sum(str(row.get(column)).rstrip().endswith(("?", "\uff1f", "____")) for _, row in rows)
        for column in rest
    }
    yield from ((column, False) for column in sorted(rest, key=lambda column: -asks[column]))


def _answers(there: Sequence[str], taken: Sequence[str]) -> Iterator[tuple[str, bool]]:
    named = [column for column in _named(ANSWER, there) if column not in taken]
    yield from ((column, True) for column in named)
    yield from ((column, False) for column in there if column not in (*named, *taken, *_named(ID, there)))


def _texts_by_length(rows: Rows, there: Sequence[str], label: str) -> Iterator[tuple[str, bool]]:
    named = [column for column in _named(TEXT, there) if column != label]
    yield from ((column, True) for column in named)
    yield from ((column, False) for column in _long(rows, there) if column not in (*named, label))


def _long(rows: Rows, there: Sequence[str]) -> list[str]:
    """Columns of text, the longest first; without identifiers and paths, which are one word."""
    lengths = {}
    for column in there:
        texts = [row[column] for _, row in rows if isinstance(row.get(column), str)]
        words = sum(len(text.split()) > 1 or not text.isascii() for text in texts)
        if texts and 2 * words > len(texts) and max(map(len, texts)) <= LONGEST_QUESTION:
            lengths[column] = sum(map(len, texts)) / len(texts)
    return sorted(lengths, key=lambda column: -lengths[column])


def _id(rows: Rows, there: Sequence[str]) -> dict[str, str]:
    """The mapping of the id: a column with as many values as there are rows, or the row's number."""
    for column in _named(ID, there):
        values = [row.get(column) for _, row in rows]
        if None not in values and len(set(map(str, values))) == len(values):
            return {"id": column}
    return {"id": ROW_NUMBER} if "id" in there else {}


def cell(row: Mapping[str, Any], path: str) -> Any:
    """The value of a column, or of a field in it."""
    if path in row:
        return row[path]
    head, _, name = path.partition(".")
    inner = row.get(head)
    return inner.get(name) if isinstance(inner, Mapping) else None


def _with_paths(row: Mapping[str, Any], columns: Sequence[str]) -> dict[str, Any]:
    return {**row, **{column: cell(row, column) for column in columns if "." in column}}


def _shown(question: Question, gold: Gold | None) -> str:
    text = cut(question.text)
    if question.options:
        text += "  [" + " | ".join(cut(option, 40) for option in question.options[:8]) + "]"
    return text + (f"  -> {cut(gold.text, 60)}" if gold else "")


def cut(text: str, longest: int = 160) -> str:
    """A text on one line, shortened.

    >>> cut("two  words", 5)
    'two…'
    """
    text = " ".join(str(text).split())
    return text if len(text) <= longest else text[: longest - 1].rstrip() + "…"
