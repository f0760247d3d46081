"""Many rows through label, select and publish: each there once at the end, in memory that grows as is said here."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import counters
import pytest

from solo_hub.knowledge.index import EXACT_BELOW

MACHINERY = Path(__file__).parents[2] / "benchmarks" / "machinery.py"
MEGABYTES = 150
"""What a step may hold beside its libraries and its rows."""
KILOBYTES = {"index": 1.0, "passages": 8.0, "label": 6.0, "select": 8.0, "publish": 12.0}
"""What a step may hold at its peak, a question each; `index` a passage each."""
WHOLE = 1.5
"""Kilobytes a passage while all of a small corpus is scored: 64 questions at once, 16 bytes a pair, and its vector."""


def load(folder, questions, passages):
    """The benchmark with an engine that does not sleep; its table by step."""
    numbers = ("--questions", questions, "--passages", passages, "--engine-ms", 0, "--folder", folder)
    line = [sys.executable, str(MACHINERY), *map(str, numbers), "--format", "json"]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    # 1: beside an engine that takes no time, anything is too slow
    assert done.returncode in (0, 1), done.stderr[-3000:]
    assert done.stdout, done.stderr[-3000:]
    return {row["step"]: row for row in json.loads(done.stdout)["table"]}


def ids(path, key):
    """A column of a JSONL file."""
    with path.open(encoding="utf-8") as file:
        return [json.loads(line)[key] for line in file]


def published_ids(folder):
    """The ids in the Parquet files of a published split."""
    from pyarrow import parquet

    files = sorted(folder.glob("*.parquet"))
    return [row for file in files for row in parquet.read_table(file, columns=["id"]).column("id").to_pylist()]


def check(folder, questions, passages):
    table, run = load(folder, questions, passages), folder / "run"
    asked = [f"1-{number}" for number in range(questions)]
    assert ids(run / "1-questions.jsonl", "id") == asked
    for name in ("2-passages", "3-labels"):
        assert ids(run / f"{name}.jsonl", "question_id") == asked
    kept, dropped = (ids(run / f"4-{name}.jsonl", "question_id") for name in ("selected", "dropped"))
    assert sorted(kept + dropped) == sorted(asked)
    assert kept
    data = run / "7-dataset" / "data"
    assert published_ids(data / "all") == asked
    assert sorted(published_ids(data / "kept")) == sorted(kept)
    for step, row in table.items():
        assert row["rows"] == (passages if step == "index" else questions)
        grown = row["peak_rss_mb"] - row["rss_imported_mb"]
        corpus = WHOLE * passages if step == "passages" and passages < EXACT_BELOW else 0
        assert grown < MEGABYTES + (KILOBYTES[step] * row["rows"] + corpus) / 1000, (step, grown)
    counters.count("questions under load", questions)
    counters.count("passages under load", passages)


@pytest.fixture(autouse=True)
def _libraries():
    for name in ("torch", "faiss", "pyarrow"):
        pytest.importorskip(name, reason="the extras 'train' and 'retrieval' are not installed")


@pytest.mark.soak
def test_hundreds_of_rows(tmp_path):
    check(tmp_path, 300, 1_000)


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_ten_thousand_questions_and_a_hundred_thousand_passages(tmp_path):
    check(tmp_path, 10_000, 100_000)
