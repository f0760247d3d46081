"""Score answers of other systems from a file: columns `id` and `text` or `label`.

A bad row does not stop the rest: it is listed with its number and the problem. A question without a usable answer
counts as wrong, so a system cannot gain by skipping questions; `answered` is the number of answers. Questions without a
gold answer (SQuAD 2.0's unanswerable ones) are left out and counted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from solo_hub.core.config import Config
from solo_hub.core.errors import InputError
from solo_hub.core.records import Gold, Question
from solo_hub.core.rows import Record
from solo_hub.evaluation.scoring import bert_scorer, best_of, metric
from solo_hub.evaluation.statistics import intervals
from solo_hub.hub.formats import FORMATS, Delimited, Format, JsonLines, OnError, find_format
from solo_hub.models.numbering import Counting, find_counting, read_option
from solo_hub.models.options import equals_any, find_option
from solo_hub.tasks.reading import is_missing, read_id

# As `hub.formats`, but rows of tables are numbered as an editor counts lines.
_BY_LINE: dict[str, Format] = {".csv": Delimited(",", number_lines=True), ".tsv": Delimited("\t", number_lines=True)}


@dataclass(frozen=True, slots=True)
class BadRow(Record):
    """A row that was not scored.

    Attributes:
        row: Its number as an editor counts lines (Parquet: rows), from 1.
        problem: What is wrong with it.
    """

    row: int
    problem: str


@dataclass(frozen=True, slots=True)
class QuestionSet:
    """Questions with gold answers, to score predictions on.

    Attributes:
        questions: The questions.
        golds: The gold answers of those that have one.
        place: Their source: a repo with its commit, a file, or a run.
        count_from: Number of the first option in the data's own answers.
        notes: How ambiguous answers were interpreted.
    """

    questions: Sequence[Question]
    golds: Sequence[Gold]
    place: str = ""
    count_from: int = 0
    notes: tuple[str, ...] = ()


def score_file(
    path: Path,
    asked: QuestionSet,
    config: Config,
    *,
    columns: Mapping[str, str],
    rouge: bool = False,
    bert_score_model: Path | None = None,
) -> dict[str, Any]:
    """Score a file of answers.

    `label` is the chosen option: its label in the dataset, its number, its letter, or its text; it comes before `text`
    where a file has both. `text` is the answer as written, and names an option by its text or letter (see
    `models.options`); on questions without options it is compared with the references, of which the best counts.

    Args:
        path: A file of rows (.jsonl, .json, .csv, .tsv, .parquet); CSV with a header line.
        asked: The questions; those without a gold answer are left out.
        config: What numbers count from (`task.first_option`), resamples and seed, the repo of BERTScore's model.
        columns: Names of the columns `id`, `text` and `label` where they differ.
        rouge: Also compute ROUGE of `text` (about a minute for a million short answers).
        bert_score_model: Folder of the model with which BERTScore of `text` is computed too.

    Returns:
        `n_questions`, `answered`, `accuracy` and `unparsed` with intervals; `exact_match`, `token_f1` and ROUGE where
        the file has texts; `left_out` (questions without a known answer), `notes` (how `label` was read) and `bad_rows`
        (`row`, `problem`).

    Raises:
        InputError: The file cannot be read, or lacks the columns; no questions, or none with a gold answer.
        DependencyError: A metric's package is missing.
    """
    given = _read_file(path, asked, config, columns)
    taken, n, right = given.taken, len(given.golds), _right(given)
    free = np.array([gold.option is None for gold in given.golds])
    unparsed = taken & ~free & (given.chosen < 0)
    report: dict[str, Any] = {
        "n_questions": n,
        "answered": int(taken.sum()),
        "accuracy": intervals.wilson(int(right.sum()), n).to_row(),
        "unparsed": intervals.wilson(int(unparsed.sum()), n).to_row(),
    }
    if any(text is not None for text in given.texts):
        texts, references = [text or "" for text in given.texts], [gold.references for gold in given.golds]
        scores = best_of(metric("exact_match", "evaluate", "Scoring texts").score_items, texts, references)
        if rouge:
            scores |= best_of(metric("rouge", "rouge-score", "ROUGE").score_items, texts, references)
        if bert_score_model is not None:
            scorer = bert_scorer(bert_score_model, config.evaluation.bert_score_model.partition("@")[0])
            scores["bert_score_f1"] = best_of(scorer.score_items, texts, references)["f1"]
        resamples, seed = config.evaluation.resamples, config.seed
        report |= {name: intervals.bootstrap_mean(values, resamples, seed).to_row() for name, values in scores.items()}
    report |= {"left_out": given.left_out, "notes": [*asked.notes, *given.notes]}
    return {**report, "bad_rows": [item.to_row() for item in given.bad]}


def judge_file(
    path: Path, asked: QuestionSet, config: Config, columns: Mapping[str, str]
) -> tuple[dict[str, bool], list[BadRow], list[str]]:
    """Whether each answer of a file is right; see `score_file`.

    Returns:
        Right or wrong by question id, of the questions that were answered; bad rows; notes.
    """
    given = _read_file(path, asked, config, columns)
    right = _right(given)
    judged = {gold.question_id: bool(right[i]) for i, gold in enumerate(given.golds) if given.taken[i]}
    return judged, given.bad, [*asked.notes, *given.notes]


@dataclass(frozen=True, slots=True)
class _Given:
    """The answers of a file, aligned with the questions that have a gold answer."""

    golds: list[Gold]
    taken: Any
    chosen: Any
    texts: list[str | None]
    bad: list[BadRow]
    notes: list[str]
    left_out: int


def _read_file(path: Path, asked: QuestionSet, config: Config, columns: Mapping[str, str]) -> _Given:
    questions, golds, first_option = asked.questions, asked.golds, config.task.first_option
    if not questions:
        raise InputError("there are no questions to score.", hint="Check --questions and its split.")
    gold_by_id = {gold.question_id: gold for gold in golds}
    unknown = {question.id for question in questions if question.id not in gold_by_id}
    questions = [question for question in questions if question.id in gold_by_id]
    if not questions:
        raise InputError(
            f"none of the {len(unknown)} questions has a gold answer.",
            hint="Score on a split that has answers; task.columns.answer names their column.",
        )
    names = {"id": "id", "text": "text", "label": "label", **columns}
    place = {question.id: i for i, question in enumerate(questions)}
    bad: list[BadRow] = []
    taken = np.zeros(len(questions), dtype=bool)
    chosen = np.full(len(questions), -1)
    texts: list[str | None] = [None] * len(questions)
    rows = [(number, row) for number, row in _rows(path, names, bad) if read_id(row.get(names["id"])) not in unknown]
    counting, remark = Counting(first_option or 0), None
    if first_option is None:
        named = ((row.get(names["label"]), place.get(read_id(row.get(names["id"])))) for _, row in rows)
        labels = ((label, questions[at]) for label, at in named if label is not None and at is not None)
        counting, remark = find_counting(labels, asked.count_from)
    for number, row in rows:
        answer = _read(row, names, questions, place, counting)
        if isinstance(answer, str):
            bad.append(BadRow(number, answer))
        elif taken[answer.place]:
            bad.append(BadRow(number, f"question '{questions[answer.place].id}' was answered in an earlier row"))
        else:
            taken[answer.place] = True
            chosen[answer.place] = -1 if answer.option is None else answer.option
            texts[answer.place] = answer.text
    ordered = [gold_by_id[question.id] for question in questions]
    notes = [f"{path.name}, column '{names['label']}': {remark}"] if remark else []
    if unknown:
        notes.append(left_out(len(unknown), len(unknown) + len(questions)))
    bad.sort(key=lambda item: item.row)
    return _Given(ordered, taken, chosen, texts, bad, notes, len(unknown))


def listed_in(bad: list[BadRow]) -> OnError:
    """Adds each row that cannot be read to a list."""
    return lambda error: bad.append(BadRow(error.row or 0, error.reason.rstrip(".")))


def left_out(count: int, total: int) -> str:
    """A sentence with the number of questions without gold answers."""
    has, is_ = ("has", "is") if count == 1 else ("have", "are")
    return f"{count:,} of {total:,} questions {has} no gold answer and {is_} left out"


@dataclass(frozen=True, slots=True)
class _Answer:
    place: int
    option: int | None
    text: str | None


def _read(
    row: Mapping[str, Any],
    names: Mapping[str, str],
    questions: Sequence[Question],
    place: Mapping[str, int],
    counting: Counting,
) -> _Answer | str:
    """Read one row; a string says what is wrong with it."""
    raw, label, text = (row.get(names[name]) for name in ("id", "label", "text"))
    where = place.get(read_id(raw))
    if raw in (None, "") or where is None:
        return f"no '{names['id']}'" if raw in (None, "") else f"question '{raw}' is not among the questions"
    if is_missing(text) and not isinstance(text, str):
        text = None
    if text is not None and not isinstance(text, str):
        return f"'{names['text']}' is a {type(text).__name__}, not text"
    question = questions[where]
    if not is_missing(label):
        option = read_option(label, question, counting)
        if option is None:
            return f"'{names['label']}' {label!r} is not one of the {len(question.options)} options"
        return _Answer(where, option, text)
    if text is None:
        return f"neither '{names['label']}' nor '{names['text']}'"
    return _Answer(where, find_option(text, question.options, labels=question.labels), text)


def reader_of(path: Path) -> Any:
    """The reader of a file; of text formats the one that goes on after a line that cannot be read.

    Raises:
        InputError: There is no such file, or its format is not read.
    """
    if not path.is_file():
        raise InputError("file not found.", file=str(path), hint="Check the path.")
    reader = find_format(path)
    return next((by_line for ending, by_line in _BY_LINE.items() if FORMATS[ending] is reader), reader)


def _rows(path: Path, names: Mapping[str, str], bad: list[BadRow]) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Read rows with their numbers; rows that cannot be read go to `bad`."""
    reader = reader_of(path)
    wanted = list(names.values())
    if not isinstance(reader, JsonLines):  # whose rows need not all have the same keys
        found = reader.columns(path)
        _check_columns(found, names, path)
        wanted = [name for name in wanted if name in found]
    yield from reader.rows(path, wanted, listed_in(bad))


def _check_columns(found: Sequence[str], names: Mapping[str, str], path: Path) -> None:
    if names["id"] not in found or not {names["text"], names["label"]} & set(found):
        wanted = f"'{names['id']}' and '{names['text']}' or '{names['label']}'"
        raise InputError(
            f"lacks the columns {wanted}; it has {', '.join(found) or 'none'}.", file=str(path), hint="Rename them."
        )


def _right(given: _Given) -> Any:
    """Whether each answer is right, `(questions,)`; without one it is not."""
    right_option = np.array([-2 if gold.option is None else gold.option for gold in given.golds])
    free = right_option == -2  # noqa: PLR2004 - no option: free text
    right = (given.chosen == right_option) & ~free
    for i in np.flatnonzero(free & given.taken).tolist():
        written = given.texts[i]
        right[i] = written is not None and equals_any(written, given.golds[i].references)
    return right
