"""Inputs out of public bug reports (`../shared/cases`): read, or one sentence that names the real trouble."""

from __future__ import annotations

from pathlib import Path

import pytest

from solo_hub.core.errors import InputError
from solo_hub.core.settings import TaskSettings
from solo_hub.hub.tables import class_names, read_table
from solo_hub.hub.unusable import Unusable
from solo_hub.knowledge.reading import Summary, read_files
from solo_hub.run.task import make_task
from solo_hub.tasks.loading import load_questions

CASES = Path(__file__).parents[3] / "shared/cases"
pytestmark = [
    pytest.mark.shared,
    pytest.mark.skipif(not CASES.is_dir(), reason="needs the cases beside the repository (../shared/cases)"),
]


@pytest.mark.parametrize(
    ("name", "trouble"),
    [
        ("data.json", "its rows in the field 'data'"),
        ("columns.json", "a JSON document of columns"),
        ("concat.jsonl", "a second value follows the first"),
        ("pretty.jsonl", "one JSON document over several lines"),
        ("nan.jsonl", "NaN is not a JSON number"),
        ("mac.csv", "line ends are CR only"),
        ("utf16.jsonl", "is UTF-16 text"),
        ("cp1252.csv", "which is 'ù' in Windows-1252"),
    ],
)
def test_shapes_that_are_named(name, trouble):
    with pytest.raises(InputError, match=trouble):
        list(read_table(CASES / "07-json-shapes" / name))


@pytest.mark.parametrize(("name", "count"), [("crlf-bom.jsonl", 1), ("embedded.csv", 2)])
def test_shapes_that_are_read(name, count):
    task = make_task(TaskSettings(name="multiple_choice"))
    questions = load_questions(task, read_table(CASES / "07-json-shapes" / name), name)
    assert [question.options for question in questions] == [("yes", "no")] * count


@pytest.mark.parametrize("name", ["corpus.JSONL.GZ", "corpus.jsonl.bz2"])
def test_compressed_corpora(name):
    """The third of them is not an archive: 24 bytes with the mark of one. Real ones are read in `test_tables`."""
    assert all(row["text"].strip() for _, row in read_table(CASES / "26-zst" / name))
    assert list(read_files(CASES / "26-zst" / name))


@pytest.mark.parametrize(
    ("name", "left", "rows"),
    [("04-duplicate-options/q.jsonl", ["m2"], [1]), ("33-one-bad-row/q.jsonl", ["0", "1", "2"], [4, 5, 6])],
)
def test_unusable_rows(name, left, rows):
    task, file = make_task(TaskSettings(name="multiple_choice")), CASES / name
    with pytest.raises(InputError, match=f"row {rows[0]}"):
        load_questions(task, read_table(file), name, Unusable())
    unusable = Unusable("leave_out")
    questions = load_questions(task, read_table(file, on_error=unusable), name, unusable)
    assert ([question.id for question in questions], [item.row for item in unusable.left_out]) == (left, rows)


def test_unusable_documents():
    folder = CASES / "23-docs-one-bad-file/docs"
    with pytest.raises(InputError, match=r"latin1\.txt: is not UTF-8 text"):
        list(read_files(folder))
    summary = Summary()
    found = {document.id for document in read_files(folder, unusable=Unusable("leave_out"), summary=summary)}
    assert found == {"good.md#1", "utf16.txt#1"}
    names = ["empty.txt", "latin1.txt", "locked.pdf", "scan.pdf"]
    assert [Path(str(item.file)).name for item in summary.left_out] == names


def test_a_declared_encoding():
    assert [document.text for document in read_files(CASES / "24-html-charset/docs")] == ["水は摂氏百度で沸騰する。"]


def test_class_names_of_a_card():
    assert class_names(CASES / "32-class-names-in-card/ds", split="train", column="label") == ("sad", "glad")
