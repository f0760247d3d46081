"""Two systems on the same questions: a paired test of two files of answers, joined by id.

A file says which answers are right in one of two ways: in a column of its own (1 or 0), as the samples of
lm-evaluation-harness (`--log_samples`) do with `acc` or `exact_match`, or by answers, which are scored with the gold
answers of the questions as `external_answers` does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from solo_hub.core.config import Config
from solo_hub.core.errors import InputError
from solo_hub.evaluation.external_answers import BadRow, QuestionSet, judge_file, listed_in, reader_of
from solo_hub.evaluation.statistics import intervals, significance
from solo_hub.tasks.reading import read_id

HARNESS = ("doc_id", "filtered_resps")
"""Columns by which a file of lm-evaluation-harness is known."""
METRICS = ("acc", "exact_match", "acc_mutual_info", "acc_norm")
"""Metrics of the harness that are 1 or 0, for files of versions that do not list theirs."""

_TRUTH = {"1": True, "1.0": True, "true": True, "0": False, "0.0": False, "false": False}


@dataclass(slots=True)
class Judged:
    """The answers of one file.

    Attributes:
        right: Whether the answer is right, by question id.
        judged_by: The column that says so, or `gold answers`.
        hashes: The harness's hash of the question, by id.
        bad: Rows that were not used.
        notes: What was left out, and how answers were read.
    """

    right: dict[str, bool] = field(default_factory=dict)
    judged_by: str = "gold answers"
    hashes: dict[str, str] = field(default_factory=dict)
    bad: list[BadRow] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def compare_files(
    first: Path,
    second: Path,
    *,
    columns: Mapping[str, str],
    questions: Callable[[], QuestionSet],
    config: Config,
) -> dict[str, Any]:
    """Test whether one system is right more often than the other, on the questions that both answered.

    Args:
        first: A file of rows: .jsonl, .json, .csv, .tsv, .parquet.
        second: Another; differences are first minus second.
        columns: Names of the columns `id`, `text`, `label` and `right` where they differ, in both files.
        questions: Loads the questions with their gold answers; called if a file does not say itself what is right.
        config: How answers are read (`task.first_option`, the id column of the harness's documents).

    Returns:
        `n` (questions compared), `accuracy` of both, `only_first`, `only_second`, `difference` with its interval,
        `p_value`, `test`; `only_in` (questions in one file alone), `judged_by`, `bad_rows` and `notes` by file.

    Raises:
        InputError: A file cannot be read or says not what is right; no question is in both; the same `doc_id` is
            another question in the other file.
    """
    kinds = [reader_of(path).columns(path) for path in (first, second)]
    metrics = [_metrics(path, found) for path, found in zip((first, second), kinds, strict=True)]
    shared = [name for name in metrics[0] if name in metrics[1]]
    if all(metrics) and not shared and "right" not in columns:
        raise InputError(
            f"has the metrics {', '.join(metrics[1])}, none of which is in {first.name}.",
            file=str(second),
            hint="Compare files of the same task.",
        )
    asked: list[QuestionSet] = []

    def once() -> QuestionSet:
        if not asked:
            asked.append(questions())
        return asked[0]

    # files of the harness beside files that have ids
    document_id = config.task.columns.get("id", "id") if sum(map(bool, metrics)) == 1 else None
    both = []
    for path, found, own in zip((first, second), kinds, metrics, strict=True):
        column = columns.get("right") or next(iter(shared if all(metrics) else own), None)
        if column is None:
            both.append(_by_gold(path, once(), columns, config))
        elif column not in found:
            raise InputError(f"has no column '{column}'.", file=str(path), hint="Check --column right=NAME.")
        else:
            both.append(_by_column(path, found, column, columns, document_id=document_id))
    a, b = both
    ids = [name for name in a.right if name in b.right]
    if not ids:
        raise InputError(
            f"no question of {first.name} is in {second.name}.",
            file=str(second),
            hint="Check --column id=NAME: rows are joined by id.",
        )
    hashed = [name for name in ids if name in a.hashes and name in b.hashes]
    different = next((name for name in hashed if a.hashes[name] != b.hashes[name]), None)
    if different is not None:
        raise InputError(
            f"document {different} is another one than in {first.name} (doc_hash differs).",
            file=str(second),
            hint="Compare files of the same task.",
        )
    right = [np.array([one.right[name] for name in ids], dtype=np.float64) for one in both]
    return {
        **significance.paired(*right),
        "accuracy": [intervals.wilson(int(values.sum()), len(ids)).to_row() for values in right],
        "only_in": [len(one.right) - len(ids) for one in both],
        "judged_by": [one.judged_by for one in both],
        "bad_rows": [[row.to_row() for row in one.bad] for one in both],
        "notes": [note for one in both for note in one.notes],
    }


def _metrics(path: Path, found: Sequence[str]) -> list[str]:
    """Metrics of a file of the harness, in its order; none for other files."""
    if not set(HARNESS) <= set(found):
        return []
    _, row = next(_rows(path, ["metrics"], []), (0, {}))
    listed = row.get("metrics")
    return [name for name in (listed if isinstance(listed, list) else METRICS) if name in found]


def _by_gold(path: Path, asked: QuestionSet, columns: Mapping[str, str], config: Config) -> Judged:
    named = {name: column for name, column in columns.items() if name != "right"}
    judged, bad, notes = judge_file(path, asked, config, named)
    return Judged(judged, bad=bad, notes=notes)


def _by_column(
    path: Path, found: Sequence[str], column: str, columns: Mapping[str, str], *, document_id: str | None
) -> Judged:
    """Read ids and whether they are right; of a harness file with several filters the rows of the first.

    Args:
        path: The file.
        found: Its columns.
        column: The column that is 1 or 0.
        columns: Names of the columns.
        document_id: Key of `doc` that has the id, if the other file has no `doc_id`.
    """
    harness = set(HARNESS) <= set(found)
    name = columns.get("id") or ("doc_id" if harness else "id")
    if name not in found:
        raise InputError(f"has no column '{name}'.", file=str(path), hint="Name it with --column id=NAME.")
    judged, filters, skipped = Judged(judged_by=column), [], 0
    for number, row in _rows(path, [name, column, "filter", "doc_hash", "doc"], judged.bad):
        filters.append(row.get("filter"))
        if row.get("filter") != filters[0]:
            skipped += 1
            continue
        document, key = row.get("doc"), row.get(name)
        if harness and document_id is not None and "id" not in columns:
            key = document.get(document_id) if isinstance(document, Mapping) else None
        value = _TRUTH.get(str(row.get(column)).lower())
        own = read_id(key)
        if key in (None, ""):
            judged.bad.append(BadRow(number, f"no '{document_id or name}'"))
        elif value is None:
            judged.bad.append(BadRow(number, f"'{column}' is {str(row.get(column))[:40]}, not 1 or 0"))
        elif own in judged.right:
            judged.bad.append(BadRow(number, f"'{own}' was answered in an earlier row"))
        else:
            judged.right[own] = value
            if harness and isinstance(row.get("doc_hash"), str):
                judged.hashes[own] = row["doc_hash"]
    if skipped:
        judged.notes.append(f"{path.name}: rows of the filter '{filters[0]}'; {skipped:,} of other filters left out")
    return judged


def _rows(path: Path, wanted: Sequence[str], bad: list[BadRow]) -> Iterator[tuple[int, Mapping[str, Any]]]:
    reader = reader_of(path)
    there = set(reader.columns(path))
    yield from reader.rows(path, [name for name in wanted if name in there], listed_in(bad))
