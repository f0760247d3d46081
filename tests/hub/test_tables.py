"""Reading rows: formats, columns, numbers, and every broken file as one sentence."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pyarrow as pa
import pytest
from hub_helpers import fill
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from solo_hub.core.errors import InputError, UsageError
from solo_hub.hub import formats
from solo_hub.hub.tables import local_file, read_columns, read_table, sha256_of

ROWS = [
    {"id": "q1", "question": "Which?", "choices": {"text": ["a", "b"], "label": ["A", "B"]}, "answerKey": "A"},
    {"id": "q2", "question": "Où?", "choices": {"text": ["c", "d"], "label": ["A", "B"]}, "answerKey": "B"},
]


def write(folder: Path, ending: str, rows) -> Path:
    """The rows as a file of that kind."""
    file = folder / f"rows{ending}"
    if ending == ".parquet":
        parquet.write_table(pa.Table.from_pylist(rows), file, row_group_size=1)
    elif ending == ".json":
        file.write_text(json.dumps(rows))
    elif ending == ".jsonl.gz":
        file.write_bytes(gzip.compress("".join(json.dumps(row) + "\n" for row in rows).encode()))
    else:
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


@pytest.mark.parametrize("ending", [".parquet", ".jsonl", ".json", ".jsonl.gz"])
def test_nested_rows_come_out_as_they_went_in(tmp_path, ending):
    file = write(tmp_path, ending, ROWS)
    assert list(read_table(file)) == [(1, ROWS[0]), (2, ROWS[1])]
    assert list(read_table(file, columns=["choices", "id"], limit=1)) == [
        (1, {"choices": {"text": ["a", "b"], "label": ["A", "B"]}, "id": "q1"})
    ]
    assert read_columns(file) == list(ROWS[0])
    assert list(read_table(file, columns=[])) == [(1, {}), (2, {})]


def test_columns_that_are_not_named_are_not_read_from_parquet(tmp_path):
    """The bytes of the answer column are destroyed; the label-free columns still read."""
    file = write(tmp_path, ".parquet", ROWS)
    footer = parquet.ParquetFile(file).metadata
    data = bytearray(file.read_bytes())
    for group in range(footer.num_row_groups):
        for index in range(footer.num_columns):
            column = footer.row_group(group).column(index)
            if column.path_in_schema == "answerKey":
                start = column.dictionary_page_offset or column.data_page_offset
                data[start : start + column.total_compressed_size] = b"\xff" * column.total_compressed_size
    file.write_bytes(data)
    assert [row for _, row in read_table(file, columns=["id", "question"])] == [
        {"id": "q1", "question": "Which?"},
        {"id": "q2", "question": "Où?"},
    ]
    with pytest.raises(InputError, match=r"rows\.parquet, row 1: corrupt data from this row on"):
        list(read_table(file, columns=["answerKey"]))


def test_csv_cells_stay_text(tmp_path):
    file = fill(tmp_path, {"x.csv": '\ufeffid,text\r\n007,"a, ""b""\nc"\r\n\r\n8,\r\n'}) / "x.csv"
    assert list(read_table(file)) == [(1, {"id": "007", "text": 'a, "b"\nc'}), (3, {"id": "8", "text": ""})]
    assert list(read_table(file, columns=["text"], limit=1)) == [(1, {"text": 'a, "b"\nc'})]
    assert list(read_table(fill(tmp_path, {"x.tsv": "a\tb\n1,2\t3\n"}) / "x.tsv")) == [(1, {"a": "1,2", "b": "3"})]


def test_a_long_document_in_a_cell(tmp_path):
    file = fill(tmp_path, {"x.csv": f"text\n{'w ' * 200_000}\n"}) / "x.csv"
    assert len(next(read_table(file))[1]["text"]) == 400_000


def test_a_text_file_is_prose_not_rows(tmp_path):
    file = fill(tmp_path, {"x.txt": "one\n\n  two \r\nthree"}) / "x.txt"
    with pytest.raises(InputError, match=r"x\.txt: a \.txt file is prose and has no rows.*\.jsonl"):
        read_table(file)


@pytest.mark.parametrize("ending", [".jsonl", ".json"])
def test_no_rows_empty(tmp_path, ending):
    file = fill(tmp_path, {f"x{ending}": "\n"}) / f"x{ending}"
    assert list(read_table(file)) == []


def test_no_rows_of_tables_empty(tmp_path):
    assert list(read_table(fill(tmp_path, {"x.csv": "a,b\n"}) / "x.csv", columns=["a"])) == []
    empty = tmp_path / "x.parquet"
    parquet.write_table(pa.table({"a": pa.array([], pa.string())}), empty)
    assert list(read_table(empty)) == []


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        ("x.jsonl", b'{"a": 1}\n{"a": \n', r"x\.jsonl, row 2: not valid JSON"),
        ("x.jsonl", b'{"a": 1}\n\n[1]\n', r"row 3: a JSON list, not an object"),
        ("x.jsonl", b'{"a": NaN}\n', r"row 1: not valid JSON \(NaN is not a JSON number\)\. Write null instead"),
        ("x.json", b'[{"a": NaN}]', r"not valid JSON \(NaN is not a JSON number\)\. Write null instead"),
        ("x.jsonl", b'{"a": 1}\n{"a": 2}{"a": 3}\n', r"row 2: .* a second value follows the first at character 9"),
        ("x.jsonl", b'{"a": 1}\r{"a": 2}\r', r"row 1: line ends are CR only"),
        ("x.csv", b"a,b\r1,2\r3,4\r", r"x\.csv: line ends are CR only"),
        ("x.jsonl", b'{\n  "a": 1\n}\n', r"x\.jsonl: one JSON document over several lines"),
        ("x.jsonl", b'[\n{"a": 1},\n{"a": 2}]\n', r"x\.jsonl: the file is one JSON list.*Rename it to x\.json"),
        (
            "x.json",
            b'{"version": "1", "data": [{"a": 1}]}',
            r"document with its rows in the field 'data'.*jq -c '\.data",
        ),
        ("x.json", b'{\n"version": "1",\n"data": [{"a": 1}]}', r"document with its rows in the field 'data'"),
        ("x.json", b'{"a": {"0": "x", "1": "y"}, "b": {"0": 1, "1": 2}}', r"columns, not of rows.*pandas"),
        ("x.jsonl", '{"a": 1}\n'.encode("utf-16"), r"row 1: is UTF-16 text, not UTF-8"),
        ("x.jsonl", '{"a": 1}\n'.encode("utf-16-le"), r"row 1: contains NUL characters: UTF-16 text"),
        ("x.csv", "a,b\n1,caf\u00e9\n".encode("cp1252"), r"row 2: is not UTF-8 text \(byte 0xE9, which is '\u00e9' in"),
        ("x.jsonl.zst", b"not zstd", r"cannot be read"),
        ("x.jsonl.bz2", b"not bzip", r"cannot be read"),
        ("x.jsonl", b'{"a": "\\ud800"}\n', r"row 1: not valid JSON \(a lone surrogate"),
        ("x.jsonl", b'{"a": 1}\n{"a": "\xff"}\n', r"row 2: is not UTF-8"),
        ("x.jsonl", b'{"a": ' + b"[" * 200_000 + b"\n", r"row 1: not valid JSON"),
        ("x.json", b'[{"a": 1}, 2]', r"row 2: a JSON int"),
        ("x.json", b"[{", r"x\.json: not valid JSON"),
        ("x.csv", b"", r"row 1: has no header"),
        ("x.csv", b"a,a\n1,2\n", r"field 'a': duplicate column in the header"),
        ("x.csv", b'a,b\n1,"x\ny"\n1,2,3\n', r"row 2: \(line 4\) has 3 cells, the header has 2"),
        ("x.csv", b'a,b\n1,"x\n', r"line \d cannot be read"),
        ("x.csv", b"a,b\n1,\xe9\n", r"row 2: is not UTF-8"),
        ("x.parquet", b"PAR1 nonsense", r"x\.parquet: not a readable Parquet file"),
        ("x.parquet", b"", r"not a readable Parquet file"),
        ("x.jsonl.gz", b"not gzip", r"cannot be read"),
        ("x.xlsx", b"PK", r"unsupported file format. Use one of: \.parquet, \.jsonl"),
    ],
)
def test_broken_files_are_one_sentence_with_file_and_row(tmp_path, file, content, said):
    path = fill(tmp_path, {file: content}) / file
    with pytest.raises(InputError, match=said) as caught:
        list(read_table(path))
    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("ending", [".gz", ".GZ", ".bz2", ".zst"])
def test_compressed_rows(tmp_path, ending):
    """Two members in one file, as tools that append write them, are one stream."""
    import bz2

    def zstd(data):
        return pa.compress(data, codec="zstd", asbytes=True)

    packed = {".gz": gzip.compress, ".bz2": bz2.compress, ".zst": zstd}[ending.lower()]
    file = tmp_path / f"Rows.JSONL{ending}"
    file.write_bytes(packed(b'{"a": 1}\n{"a"') + packed(b": 2}\n"))
    assert list(read_table(file)) == [(1, {"a": 1}), (2, {"a": 2})]
    assert local_file(str(file)) == file
    file.write_bytes(file.read_bytes()[:-6])
    with pytest.raises(InputError, match="cannot be read"):
        list(read_table(file))


def test_broken_rows_can_be_left_out(tmp_path):
    """With `on_error` reading goes on; the numbers of the rows that are left stay theirs."""
    broken = []
    lines = fill(tmp_path, {"x.jsonl": '{"a": 1}\n{"a":\n\n[1]\n{"a": 2}\n'}) / "x.jsonl"
    assert list(read_table(lines, on_error=broken.append)) == [(1, {"a": 1}), (5, {"a": 2})]
    assert [error.row for error in broken] == [2, 4]
    cells = fill(tmp_path, {"x.csv": 'a,b\n1,2\n3\n"4"x,5\n6,7\n'}) / "x.csv"
    assert list(read_table(cells, on_error=broken.append)) == [(1, {"a": "1", "b": "2"}), (4, {"a": "6", "b": "7"})]
    assert len(broken) == 4
    listed = fill(tmp_path, {"x.json": '[{"a": 1}, 2, {"a": 3}]'}) / "x.json"
    assert [number for number, _ in read_table(listed, on_error=broken.append)] == [1, 3]


def test_a_row_that_looks_like_a_table_is_a_row(tmp_path):
    """Only a file that is one such document is refused; a row may hold a list of objects."""
    row = {"id": "1", "choices": [{"label": "A", "text": "x"}]}
    file = fill(tmp_path, {"x.json": json.dumps(row) + "\n" + json.dumps(row) + "\n"}) / "x.json"
    assert len(list(read_table(file))) == 2
    assert list(read_table(fill(tmp_path, {"y.jsonl": json.dumps(row)}) / "y.jsonl")) == [(1, row)]


def test_missing_columns_name_those_there(tmp_path):
    with pytest.raises(InputError, match=r"field 'answerkey': no such column. Did you mean 'answerKey'\?"):
        read_table(write(tmp_path, ".parquet", ROWS), columns=["answerkey"])
    with pytest.raises(InputError, match="separated by ';'"):
        read_table(fill(tmp_path, {"x.csv": "id;text\n1;2\n"}) / "x.csv", columns=["id"])


def test_a_key_that_only_some_rows_have(tmp_path):
    file = fill(tmp_path, {"x.jsonl": '{"a": 1}\n{"a": 2, "b": 3}\n'}) / "x.jsonl"
    assert [row for _, row in read_table(file, columns=["b"])] == [{"b": None}, {"b": 3}]


def test_missing_file(tmp_path):
    with pytest.raises(InputError, match="no such file or folder"):
        read_table(tmp_path / "none.csv")


def test_numbers_go_on_across_the_files_of_a_split(tmp_path):
    folder = fill(tmp_path / "d", {f"data/train-0000{i}-of-00002.jsonl": '{"a": 1}\n{"a": 2}\n' for i in range(2)})
    assert [number for number, _ in read_table(folder, split="train")] == [1, 2, 3, 4]
    (folder / "data/train-00001-of-00002.jsonl").write_text('{"b": 1}\n')
    rows = read_table(folder, split="train", columns=["a"])
    with pytest.raises(InputError, match=r"00001-of-00002\.jsonl, field 'a'"):
        list(rows)


def test_a_wrong_split_names_those_there(tmp_path):
    folder = fill(tmp_path / "d", {"train.csv": "a\n1\n", "validation.csv": "a\n2\n"})
    with pytest.raises(UsageError, match=r"no split 'valid'. Did you mean 'validation'\? Known: train, validation"):
        read_table(folder, split="valid")
    with pytest.raises(UsageError, match="several splits"):
        read_table(folder)


def test_what_names_a_file_and_what_a_repo(tmp_path):
    file = fill(tmp_path, {"q.csv": "a\n"}) / "q.csv"
    assert local_file(str(file)) == file
    assert local_file("allenai/qasc") is None
    assert local_file("allenai/qasc@v1") is None
    for missing in ("data/questions.csv", "./x", "/no/such", "q.jsonl.gz"):
        with pytest.raises(InputError, match="no such file"):
            local_file(missing)


def test_sha256(tmp_path):
    """SHA-256 of the empty input, a well-known value."""
    assert sha256_of(fill(tmp_path, {"x": ""}) / "x").startswith("e3b0c44298fc1c149afbf4c8996fb924")


values = st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.text() | st.lists(st.text(), max_size=3)
table_rows = st.lists(st.fixed_dictionaries({"a": values, "b": values}), max_size=8)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=table_rows)
def test_jsonl_round_trip(tmp_path, rows):
    file = tmp_path / "x.jsonl"
    file.write_text("".join(json.dumps(row, ensure_ascii=True) + "\n" for row in rows), "utf-8", newline="")
    assert [row for _, row in read_table(file, columns=["a"])] == [{"a": row["a"]} for row in rows]


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=300), ending=st.sampled_from([*formats.FORMATS, ".jsonl.gz"]))
def test_any_bytes_are_rows_or_a_sentence(tmp_path, content, ending):
    file = fill(tmp_path, {f"x{ending}": content}) / f"x{ending}"
    try:
        assert all(isinstance(row, dict) for _, row in read_table(file))
    except InputError as error:
        assert str(file) in str(error)  # noqa: PT017 - both outcomes are fine
