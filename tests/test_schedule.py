"""Which process runs which tests: `schedule.py`."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import schedule

ROOT = Path(__file__).parents[1]


def test_what_is_named_is_there():
    assert [name for name in (*schedule.FIRST, *schedule.TOGETHER) if not (ROOT / name).exists()] == []


def test_a_file_is_not_divided_and_a_folder_only_where_it_shares_nothing():
    nodes = ("tests/run/test_jobs.py::test_a", "tests/run/test_jobs.py::test_b[x::y]", "tests/run/test_rows.py::test_a")
    assert [schedule.unit(node) for node in nodes] == [
        "tests/run/test_jobs.py", "tests/run/test_jobs.py", "tests/run/test_rows.py"]  # fmt: skip
    assert schedule.unit("tests/reliability/test_kills.py::test_a") == "tests/reliability"


def test_long_ones_begin_and_tests_of_a_file_keep_their_order():
    names = ["tests/core/test_x.py::b", "tests/core/test_x.py::a", "tests/pipeline/test_y.py::c"]
    items = [SimpleNamespace(nodeid=name) for name in names]
    schedule.order(items)
    assert [item.nodeid for item in items] == [names[2], names[0], names[1]]
