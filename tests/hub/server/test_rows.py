"""The first rows of a dataset on its page: each format, what is cut, and what cannot be read."""

from __future__ import annotations

import base64
import gzip
import io
import json

import pytest

from solo_hub.hub.server import rows

pa = pytest.importorskip("pyarrow")
from pyarrow import parquet  # noqa: E402

ROWS = [
    {"id": f"q{n}", "question": "Why? " * 200 if n == 1 else "Why?", "n": n, "share": n / 7, "choices": ["a", "b"],
     "answer": None if n % 2 else "a", "raw": bytes(n)}
    for n in range(50)
]  # fmt: skip


def as_parquet(table, **options):
    out = io.BytesIO()
    parquet.write_table(pa.Table.from_pylist(table), out, **options)
    return out.getvalue()


@pytest.fixture
def dataset(server, repo):
    """Make a dataset of files, and read its first rows."""
    name = repo.split("/")[1]
    server("POST", "/api/repos/create", body={"name": name, "type": "dataset"})

    class Made:
        path = f"/datasets/ana/{name}"
        api = f"/api/datasets/ana/{name}"

        def put(self, files):
            lines = [{"key": "header", "value": {"summary": "add"}}]
            for path, data in files.items():
                content = base64.b64encode(data.encode() if isinstance(data, str) else data).decode()
                lines.append({"key": "file", "value": {"path": path, "content": content, "encoding": "base64"}})
            body = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
            assert server("POST", f"{self.api}/commit/main", body=body).status == 200
            return self

        def preview(self, split=None):
            hub = server.hub.core
            found = hub.repos.find("dataset", "ana", name)
            commit = hub.history.resolve(found, "main")
            from solo_hub.hub.server.info import card_data

            return rows.preview(hub, commit, card_data(hub, commit) or {}, split)

        def page(self, query=""):
            answer = server("GET", self.path + query, token=None)
            assert answer.status == 200
            return answer.body.decode()

    return Made()


def texts(preview):
    return [[cell.text for cell in row] for row in preview.rows]


def test_parquet(dataset):
    shown = dataset.put({"data/train-00000-of-00001.parquet": as_parquet(ROWS)}).preview()
    kinds = ["string", "string", "int64", "float64", "list<element: string>", "string", "binary"]
    assert shown.columns == list(zip(ROWS[0], kinds, strict=True))
    assert (len(shown.rows), shown.total, shown.split, shown.problem) == (rows.MAX_ROWS, 50, "train", "")
    assert texts(shown)[2] == ["q2", "Why?", "2", "0.285714", '["a", "b"]', "a", "2 bytes"]
    assert [cell.kind for cell in shown.rows[1]] == ["text", "text", "number", "number", "other", "null", "other"]
    assert len(shown.rows[1][1].text) <= rows.MAX_CELL
    assert shown.rows[1][1].text.endswith("…")


def test_a_large_file_is_not_read_through(dataset, server, monkeypatch):
    table = [{"text": base64.b64encode(bytes(f"{n}" * 60, "ascii")).decode()} for n in range(40_000)]
    data = as_parquet(table, compression="none", use_dictionary=False, data_page_size=64 * 1024)
    dataset.put({"train.parquet": data})
    read = []
    store = server.hub.core.content
    original = store.read

    def counted(sha256, start=0, stop=None):
        read.append(stop - start)
        return original(sha256, start, stop)

    monkeypatch.setattr(store, "read", counted)
    shown = dataset.preview()
    assert (shown.total, len(shown.rows)) == (40_000, rows.MAX_ROWS)
    assert sum(read) < 1_000_000 < len(data)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("train.jsonl", '{"a": 1, "b": "x"}\n\n{"a": 2.5, "b": null, "c": [1]}\n'),
        ("train.json", '[{"a": 1, "b": "x"}, {"a": 2.5, "b": null, "c": [1]}]'),
        ("train.csv", "a,b,c\r\n1,x,null\r\n2.5,,[1]\r\n"),
        ("train.tsv", "a\tb\tc\n1\tx\tnull\n2.5\t\t[1]\n"),
    ],
)
def test_text_formats(dataset, name, text, packed):
    data = gzip.compress(text.encode()) if packed else text
    shown = dataset.put({name + (".gz" if packed else ""): data}).preview()
    assert [column for column, _ in shown.columns] == ["a", "b", "c"]
    assert texts(shown) == [["1", "x", "null"], ["2.5", "" if "sv" in name else "null", "[1]"]]
    assert shown.problem == ""
    assert shown.total is None


@pytest.mark.parametrize("name", ["train.jsonl", "train.json", "train.csv"])
def test_long_text_files_are_cut_at_a_row(dataset, name):
    table = [{"a": n, "b": "y" * 70_000} for n in range(40)]
    whole = json.dumps(table) if name.endswith(".json") else "\n".join(map(json.dumps, table))
    if name.endswith(".csv"):
        whole = "a,b\n" + "".join(f"{row['a']},{row['b']}\n" for row in table)
    shown = dataset.put({name: whole}).preview()
    assert shown.problem == ""
    assert [row[0].text for row in shown.rows] == [str(n) for n in range(len(shown.rows))]
    assert 10 <= len(shown.rows) < 20


def test_one_row_that_is_too_long(dataset):
    shown = dataset.put({"train.jsonl": json.dumps({"a": "y" * 2_000_000})}).preview()
    assert (shown.rows, shown.problem) == ([], "The first row is too long to show here.")


@pytest.mark.parametrize(
    ("name", "data", "problem"),
    [
        ("train.jsonl", '{"a": 1}\n{"a": \n', "not valid JSON from character 10 on"),
        ("train.jsonl", '{"a": 1}\n[2]\n3', "not hold one object a row"),
        ("train.jsonl", "[" * 100_000, "no rows"),
        ("train.json", '{"a": ' + "[" * 100_000, "cannot be read (RecursionError)"),
        ("train.jsonl", "", "no rows"),
        ("train.csv", "", "no rows"),
        ("train.parquet", b"PAR1 not really PAR1", "The rows of 'train.parquet' cannot be read"),
        ("train.parquet", as_parquet(ROWS)[:-200], "cannot be read"),
        ("train.jsonl.gz", b"\x1f\x8bnot gzip", "cannot be read"),
        ("README.md", "---\nconfigs:\n- config_name: a\n  data_files: none.csv\n---\n", None),
    ],
)
def test_what_cannot_be_read_is_said(dataset, name, data, problem):
    shown = dataset.put({name: data}).preview()
    if problem is None:
        assert shown is None  # no data files, no table
        return
    assert problem in shown.problem
    assert "First rows" in dataset.page()


def test_spoilt_parquet_never_breaks_the_page(dataset):
    data = as_parquet(ROWS)
    for at in range(8, len(data), max(1, len(data) // 40)):
        spoilt = data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :]
        dataset.put({"train.parquet": spoilt}).page()


def test_splits_of_names_and_of_the_card(dataset):
    dataset.put({"train.csv": "a\n1\n", "test.csv": "a\n2\n", "notes/extra.csv": "b\n3\n"})
    assert dataset.preview().splits == ["train", "test"]
    assert texts(dataset.preview("test")) == [["2"]]
    assert texts(dataset.preview("no-such")) == [["1"]]
    card = "---\nconfigs:\n- config_name: x\n  data_files: notes/*.csv\n- config_name: y\n  data_files: '*.csv'\n---\n"
    shown = dataset.put({"README.md": card}).preview("y/train")
    assert shown.splits == ["x/train", "y/train"]
    assert texts(shown) == [["2"]]  # the first file of the split, by name: test.csv
    page = dataset.page("?split=x%2Ftrain")
    assert '?split=y%2Ftrain"' in page
    assert ">3</div>" in page


def test_many_columns(dataset):
    shown = dataset.put({"train.csv": ",".join(f"c{n}" for n in range(40)) + "\n" + ",".join(["1"] * 40)}).preview()
    assert (len(shown.columns), shown.more_columns) == (rows.MAX_COLUMNS, 40 - rows.MAX_COLUMNS)


def test_strangers_values_stay_text(dataset):
    evil = "<script>alert(1)</script><img src=x onerror=alert(1)>"
    page = dataset.put({"train.jsonl": json.dumps({evil: evil, "l": [evil]})}).page()
    assert "<script" not in page
    assert "<img" not in page
    assert "&lt;script&gt;" in page
    assert evil not in dataset.page("?split=" + evil.replace(" ", "+").replace("<", "%3C").replace(">", "%3E"))


def test_gated_rows_are_not_shown(dataset, server):
    dataset.put({"train.csv": "a\nhidden-value\n"})
    assert "hidden-value" in dataset.page()
    server("PUT", f"{dataset.api}/settings", body={"gated": "auto"})
    assert "hidden-value" not in dataset.page()
    assert "First rows" not in dataset.page()


def test_in_a_browser(dataset, server):
    from chromium import chromium, complaints, content_width, resize

    dataset.put({"data/train-00000-of-00001.parquet": as_parquet(ROWS), "README.md": "# Questions\n"})
    with chromium() as browser:
        for width in (390, 1200):
            resize(browser, width)
            browser.get(server.endpoint + dataset.path)
            assert content_width(browser) <= width  # the table scrolls in its own box
            assert browser.execute_script("return document.querySelectorAll('.data tbody tr').length") == rows.MAX_ROWS
            tallest = "return Math.max(...[...document.querySelectorAll('.data td')].map((td) => td.offsetHeight))"
            assert browser.execute_script(tallest) < 160
        assert complaints(browser) == []
