"""What stands in a row is looked at when it is read: a value of another type is told with its field."""

from __future__ import annotations

import json

import pytest

from solo_hub.core.errors import InputError, RunError
from solo_hub.core.records import PseudoLabel, Retrieval, Verdict
from solo_hub.hub import tables
from solo_hub.run.folder import RunFolder

VERDICT = {"question_id": "q", "kept": True, "reason": "all", "confidence": 0.5, "uncertainty": None, "weight": 1}


def test_a_good_row_is_read():
    assert Verdict.from_row(VERDICT) == Verdict("q", kept=True, reason="all", confidence=0.5, weight=1)


@pytest.mark.parametrize(
    ("field", "value"),
    [("question_id", 7), ("kept", 1), ("kept", None), ("confidence", "0.5"), ("confidence", True), ("weight", None),
     ("weight", float("nan")), ("weight", 10**400), ("reason", ["all"])],
)  # fmt: skip
def test_another_type_names_the_field(field, value):
    with pytest.raises(InputError, match=f"'{field}' of a Verdict row cannot be"):
        Verdict.from_row({**VERDICT, field: value})


def test_tuples_are_looked_into():
    row = {"question_id": "q", "passages": [], "option_support": [0.5, "x"]}
    with pytest.raises(InputError, match="option_support"):
        Retrieval.from_row(row)
    assert "explanation" in PseudoLabel.__dataclass_fields__


def test_a_gzip_file_that_does_not_decompress_is_told(tmp_path):
    import gzip

    data = bytearray(gzip.compress(b'{"text": "a"}\n' * 200))
    data[12:20] = b"\xff" * 8
    file = tmp_path / "broken.jsonl.gz"
    file.write_bytes(data)
    with pytest.raises(InputError, match=r"broken\.jsonl\.gz"):
        list(tables.read_table(file))


def test_a_report_that_was_changed_is_refused(tmp_path):
    run = RunFolder(tmp_path)
    run.write_json("report", {"accuracy": 0.5})
    run.write_json("report", {"accuracy": 0.6})
    assert run.read_json("report") == {"accuracy": 0.6}
    run.file("report").write_text(json.dumps({"accuracy": 0.9}))
    with pytest.raises(RunError, match="edited after it was written"):
        run.read_json("report")


def test_killed_between_hash_and_document_the_older_document_is_good(tmp_path, monkeypatch):
    from solo_hub.run import folder as run_folder

    run = RunFolder(tmp_path)
    run.write_json("report", {"accuracy": 0.5})
    write = run_folder.write_text

    def die(path, text):
        if path == run.file("report"):
            raise KeyboardInterrupt
        write(path, text)

    monkeypatch.setattr(run_folder, "write_text", die)
    with pytest.raises(KeyboardInterrupt):
        run.write_json("report", {"accuracy": 0.6})
    assert run.read_json("report") == {"accuracy": 0.5}


def test_a_folder_of_an_older_version_has_no_hashes(tmp_path):
    run = RunFolder(tmp_path)
    run.file("report").write_text('{"accuracy": 0.5}')
    assert run.read_json("report") == {"accuracy": 0.5}


def test_rows_of_another_run_are_refused(tmp_path):
    run = RunFolder(tmp_path)
    run.file("passages").write_text('{"question_id": "a"}\n\n{"question_id": "c"}\n')
    run.check_ids("passages", ["a", "b"], "questions", ["a", "b"])
    with pytest.raises(InputError, match=r"2-passages.jsonl: 1 rows, but 1-questions.jsonl has 2"):
        run.check_ids("passages", ["a"], "questions", ["a", "b"])
    with pytest.raises(InputError, match=r"2-passages.jsonl, row 3: 2 rows, but 1-questions.jsonl has 1"):
        run.check_ids("passages", ["a", "c"], "questions", ["a"])
    # as an editor counts: a blank line is one, too
    with pytest.raises(InputError, match=r"2-passages.jsonl, row 3: question 'c', but 1-questions.jsonl has"):
        run.check_ids("passages", ["a", "c"], "questions", ["a", "b"])
