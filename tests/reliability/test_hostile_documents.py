"""Documents and cards of strangers: slow HTML, broken PDFs, data that lie elsewhere."""

from __future__ import annotations

import json
import time

import pytest

from solo_hub.core.errors import InputError


def read(path):
    from solo_hub.knowledge.reading import read_files

    return list(read_files(path, limit=100, overlap=10, count=lambda texts: [len(text.split()) for text in texts]))


@pytest.mark.parametrize(
    "text",
    [
        "<!--" * 200_000,
        "<a>" * 50_000 + "words",
        "".join(f"<b a={n}><p>" for n in range(20_000)),
        "<div class=menu>" * 2_000 + "<a>x</a>" * 20_000,
        "<header>" * 2_000 + "<a>x</a>" * 20_000,
    ],
    ids=["comments", "links", "reopened", "menus", "headers"],
)
def test_html_that_is_slow_for_other_parsers(tmp_path, text):
    """Tags that never end, tags that are opened anew in every paragraph, tags within tags: seconds at most."""
    (tmp_path / "page.html").write_text("<p>words</p>" + text)
    before = time.process_time()
    try:
        assert read(tmp_path / "page.html")[0].text.startswith("words")
    except InputError as error:
        assert "nested too deep" in error.message  # noqa: PT017 - some are
    assert time.process_time() - before < 10


def test_html_nested_too_deep_is_not_cut_in_silence(tmp_path):
    (tmp_path / "page.html").write_text("<p>words</p>" + "<div>" * 200_000 + "<p>last words</p>")
    with pytest.raises(InputError, match=r"page\.html: its tags are nested too deep"):
        read(tmp_path / "page.html")


@pytest.mark.parametrize("text", ["&#" + "9" * 5000 + ";", "<p>a</p><![if foo[ <p>b</p>"])
def test_html_that_makes_the_parser_stumble(tmp_path, text):
    (tmp_path / "page.html").write_text(text)
    try:
        read(tmp_path / "page.html")
    except InputError as error:
        assert "contains no text" in error.message  # noqa: PT017 - or an invalid character is left


def test_a_pdf_that_makes_the_reader_stumble(tmp_path, monkeypatch):
    """The library has errors of many kinds for a broken file; all are the file's."""
    import pypdf

    def stumble(*_):
        raise AssertionError("for the type checker")

    monkeypatch.setattr(pypdf, "PdfReader", stumble)
    (tmp_path / "page.pdf").write_bytes(b"%PDF-1.4")
    with pytest.raises(InputError, match=r"page\.pdf: not a readable PDF"):
        read(tmp_path / "page.pdf")


@pytest.mark.parametrize(
    "where",
    [
        "http://127.0.0.1:9/x.jsonl",
        "hf://datasets/o/n/x.jsonl",
        "zip://a::b",
        "/etc/passwd",
        "../x.jsonl",
        "a/../../x",
        "~/x",
    ],
)
def test_a_published_card_that_names_data_elsewhere_is_not_followed(tmp_path, monkeypatch, where):
    """The library `datasets` would ask that server, or read that file."""
    import datasets

    from solo_hub.checks.verification import load_with_datasets

    monkeypatch.setattr(datasets, "get_dataset_config_names", lambda *_: pytest.fail("it was followed"))
    files = [{"split": "train", "path": ["data/*.parquet", where]}]
    card = {"configs": [{"config_name": "kept", "data_files": files}]}
    (tmp_path / "README.md").write_text(f"---\n{json.dumps(card)}\n---\n")
    found = load_with_datasets(tmp_path)
    assert (found.state, where in found.detail) == ("fail", True)


@pytest.mark.parametrize("name", [".huggingface.yaml", "README.md"])
def test_a_card_only_the_library_can_read_is_not_followed(tmp_path, monkeypatch, name):
    import datasets

    from solo_hub.checks.verification import load_with_datasets

    monkeypatch.setattr(datasets, "get_dataset_config_names", lambda *_: pytest.fail("it was followed"))
    (tmp_path / name).write_text("\n---  \nconfigs: [{data_files: /etc/passwd}]\n---\n")
    assert name in load_with_datasets(tmp_path).detail
