import bz2
import gzip
import io
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from solo_hub.core.errors import ConfigError, InputError
from solo_hub.core.records import Document
from solo_hub.hub.unusable import Unusable
from solo_hub.knowledge.chunking import Span, chunk, estimate_tokens, sentences
from solo_hub.knowledge.pdf_text import without_running_lines
from solo_hub.knowledge.plain_text import plain_spans
from solo_hub.knowledge.reading import Summary, read_files
from solo_hub.run import references


def count_words(texts):
    return [len(text.split()) for text in texts]


def test_chunks_overlap_by_whole_sentences():
    """Room for five words, two of overlap: "d e" fits the overlap and is said again, "a b c" is not."""
    spans = [Span("a b c", 1), Span("d e", 2), Span("f g", 3), Span("h", 4)]
    assert [(c.text, c.first, c.last) for c in chunk(spans, 5, 2, count_words)] == [
        ("a b c d e", 1, 2),
        ("d e f g h", 2, 4),
    ]


def test_long_sentence_is_cut_between_words():
    assert [c.text for c in chunk([Span("a b c d e f g", 1)], 3, 0, count_words)] == ["a b c", "d e", "f g"]


def test_endless_word_is_cut_between_letters():
    assert [c.text for c in chunk([Span("x" * 40, 1)], 5, 0)] == ["x" * 20, "x" * 20]


def test_chunk_empty():
    assert chunk([], 5, 2) == []
    assert list(sentences("  \n\n ")) == []


def test_overlap_must_leave_room():
    with pytest.raises(ConfigError, match="5 tokens cannot overlap by 5"):
        chunk([], 5, 5)


def test_headings_stay_with_what_they_head():
    """Room for eight words. "B" would end the first chunk: it opens the second, and is said again in the third.

    Above both stands "A", since all of it is A's section.
    """
    spans = [
        Span("A:", 1, 1),
        Span("a b c d e", 2),
        Span("B:", 3, 2),
        Span("f g h", 4),
        Span("i j", 5),
        Span("k l m n o", 6),
    ]
    assert [(c.text, c.first, c.last) for c in chunk(spans, 8, 0, count_words)] == [
        ("A: a b c d e", 1, 2),
        ("A: B: f g h i j", 3, 5),
        ("A: B: k l m n o", 6, 6),
    ]


def test_headings_alone_are_a_chunk():
    assert [c.text for c in chunk([Span("A:", 1, 1), Span("B:", 2, 2)], 8, 0, count_words)] == ["A: B:"]


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 12)), max_size=14), st.integers(1, 9), st.integers(0, 3))
def test_with_headings_no_text_is_lost_and_no_chunk_too_long(sizes, limit, overlap):
    spans = [Span(" ".join(f"{place}.{n}" for n in range(size)), place, level) for place, (level, size) in
             enumerate(sizes, start=1)]  # fmt: skip
    chunks = chunk(spans, limit, min(overlap, limit - 1), count_words)
    assert all(count <= limit for count in count_words([c.text for c in chunks]))
    said = [word for c in chunks for word in c.text.split()]
    assert list(dict.fromkeys(said)) == [word for span in spans for word in span.text.split()]
    assert [c.first for c in chunks] == sorted(c.first for c in chunks)


@given(st.lists(st.text("ab ", min_size=1).filter(str.strip), max_size=12), st.integers(2, 9), st.integers(0, 1))
def test_no_word_is_lost_and_no_chunk_too_long(texts, limit, overlap):
    spans = [Span(" ".join(text.split()), place) for place, text in enumerate(texts, start=1)]
    chunks = chunk(spans, limit, overlap, count_words)
    assert all(count <= limit for count in count_words([c.text for c in chunks]))
    if overlap == 0:
        assert " ".join(c.text for c in chunks) == " ".join(s.text for s in spans)
    assert [c.first for c in chunks] == sorted(c.first for c in chunks)


def test_text_and_markdown_keep_their_lines(tmp_path):
    (tmp_path / "notes.md").write_text("# Water\n\nIce melts.\nWater flows.\n\nSteam rises.\n", "utf-8")
    (tmp_path / "z.txt").write_text("\ufeffOne line.", "utf-8")
    assert list(read_files(tmp_path, limit=13, overlap=0)) == [
        Document("notes.md#1", "Water: Ice melts. Water flows. Steam rises.", "notes.md, lines 1-6"),
        Document("z.txt#1", "One line.", "z.txt, line 1"),
    ]


def test_html_gives_what_a_reader_sees(tmp_path):
    page = tmp_path / "page.html"
    page.write_text(
        "<html><head><title>T</title><style>p{}</style></head><body>\n<p>Ice <b>melts</b> &amp; flows.</p>\n"
        "<script>alert(1)</script><ul><li>Steam</li><li>rises</li></ul></body></html>",
        "utf-8",
    )
    (document,) = read_files(page)
    assert document == Document("page.html#1", "Ice melts & flows. Steam rises", "page.html, lines 2-3")


def pdf(*pages):
    """A PDF with one line of text a page, by hand: objects, their offsets, a trailer."""
    objects = ["<< /Type /Catalog /Pages 2 0 R >>"]
    kids = " ".join(f"{3 + 2 * i} 0 R" for i in range(len(pages)))
    objects.append(f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>")
    font = "<< /Font << /F1 << /Type /Font /Subtype /Type1 /BaseFont /Helvetica >> >> >>"
    for i, text in enumerate(pages):
        content = f"BT /F1 12 Tf 72 720 Td ({text}) Tj ET" if text else ""
        objects.append(
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Resources {font} /Contents {4 + 2 * i} 0 R >>"
        )
        objects.append(f"<< /Length {len(content)} >>\nstream\n{content}\nendstream")
    data, offsets = b"%PDF-1.4\n", []
    for number, body in enumerate(objects, start=1):
        offsets.append(len(data))
        data += f"{number} 0 obj\n{body}\nendobj\n".encode()
    start = len(data)
    data += f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n".encode() + b"".join(
        f"{o:010d} 00000 n \n".encode() for o in offsets
    )
    return data + f"trailer << /Size {len(objects) + 1} /Root 1 0 R >>\nstartxref\n{start}\n%%EOF\n".encode()


def test_pdf_keeps_its_pages(tmp_path, caplog):
    pytest.importorskip("pypdf", reason="pypdf is not installed")
    path = tmp_path / "paper.pdf"
    path.write_bytes(pdf("Ice melts.", "", "Steam rises."))
    assert list(read_files(path)) == [Document("paper.pdf#1", "Ice melts. Steam rises.", "paper.pdf, pages 1-3")]
    assert "1 of 3 pages" in caplog.text


def test_pdf_empty(tmp_path):
    pytest.importorskip("pypdf", reason="pypdf is not installed")
    path = tmp_path / "scan.pdf"
    path.write_bytes(pdf(""))
    with pytest.raises(InputError, match="no page has text"):
        list(read_files(path))


def test_jsonl_rows_keep_their_source(tmp_path):
    path = tmp_path / "facts.jsonl"
    path.write_text(
        '{"text": "Ice melts."}\n{"id": "b", "text": "One two three. Four five six.", "source": "a book"}\n', "utf-8"
    )
    assert list(read_files(path, limit=4, overlap=0)) == [
        Document("facts.jsonl#1", "Ice melts.", "facts.jsonl, row 1"),
        Document("facts.jsonl#2", "One two three.", "a book"),
        Document("facts.jsonl#3", "Four five six.", "a book"),
    ]


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("a.txt", b"\xff\xfe", r"contains no text"),
        ("a.txt", b"\xe4", r"a\.txt: is not UTF-8 text \(byte 0xE4, which is '\u00e4' in Windows-1252\)"),
        ("a.txt", b"a\0b", r"a\.txt: contains NUL characters"),
        ("a.txt", b" \n", "contains no text"),
        ("a.html", b"<meta charset=x-none><p>a", r"declares the unknown encoding 'x-none'"),
        ("a.html", b"<meta charset=base64><p>a", r"declares the unknown encoding 'base64'"),
        ("a.html", b"<meta charset=shift_jis><p>\x81\xff", r"is not valid cp932"),
        ("a.txt.gz", b"no gzip", r"a\.txt\.gz: cannot be read"),
        ("a.html", b"<style>p{}</style>", "contains no text"),
        ("a.pdf", b"not a pdf", "not a readable PDF"),
        ("a.docx", b"x", r"unsupported file format '\.docx'"),
        ("a.jsonl", b"{", r"row 1: not valid JSON"),
        ("a.jsonl", b'{"text": 5}', r"row 1, field 'text'"),
    ],
)
def test_bad_files(tmp_path, name, data, said):
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(InputError, match=said):
        list(read_files(path))


def test_other_files_of_a_folder_are_told(tmp_path, caplog):
    (tmp_path / "a.txt").write_text("Ice melts.")
    (tmp_path / "b.docx").write_text("x")
    (tmp_path / ".hidden.txt").write_text("no")
    assert len(list(read_files(tmp_path))) == 1
    assert "1 files" in caplog.text
    assert ".docx" in caplog.text


def test_files_are_read_when_their_turn_comes(tmp_path):
    """A folder of any size costs the memory of one file: the second is not opened before the first is used up."""
    (tmp_path / "a.txt").write_text("Ice melts.")
    (tmp_path / "b.txt").write_bytes(b"\xff")
    documents = read_files(tmp_path)
    assert next(documents).text == "Ice melts."
    with pytest.raises(InputError, match=r"not UTF-8"):
        next(documents)


def test_an_encoding_mark_is_followed(tmp_path):
    for encoding in ("utf-8-sig", "utf-16", "utf-32"):
        (tmp_path / f"{encoding}.txt").write_bytes("Ice melts \u2013 always.".encode(encoding))
    assert {document.text for document in read_files(tmp_path)} == {"Ice melts \u2013 always."}
    assert len(list(read_files(tmp_path))) == 3


@pytest.mark.parametrize("ending", [".gz", ".BZ2"])
def test_compressed_documents(tmp_path, ending):
    pack = {".gz": gzip.compress, ".BZ2": bz2.compress}[ending]
    (tmp_path / f"notes.md{ending}").write_bytes(pack(b"# Water\n\nIce melts.\n"))
    assert [document.text for document in read_files(tmp_path)] == ["Water: Ice melts."]


def bad_folder(folder):
    """Three documents that are read, four that cannot be, and one that is empty."""
    folder.mkdir()
    (folder / "good.md").write_text("Ice melts.\n")
    (folder / "page.html").write_text("<p>Water flows.")
    (folder / "rows.jsonl").write_text('{"text": "Steam rises."}\n{"text": ""}\n{"text"\n{"text": "Fog lifts."}\n')
    (folder / "empty.txt").write_text("\n")
    (folder / "latin.txt").write_bytes(b"B\xe4r")
    (folder / "scan.pdf").write_bytes(pdf(""))
    (folder / "torn.pdf").write_bytes(b"%PDF-1.4")
    return folder


def test_unusable_files_and_rows_stop_or_are_left_out_and_listed(tmp_path):
    pytest.importorskip("pypdf", reason="pypdf is not installed")
    folder = bad_folder(tmp_path / "docs")
    with pytest.raises(InputError, match=r"latin\.txt: is not UTF-8 text"):
        list(read_files(folder))
    unusable, summary = Unusable("leave_out"), Summary()
    found = list(read_files(folder, unusable=unusable, summary=summary))
    assert [document.text for document in found] == ["Ice melts.", "Water flows.", "Steam rises.", "Fog lifts."]
    assert found[-1].source == "rows.jsonl, row 4"
    assert str(summary) == "4 chunks of 2 documents and 2 rows"
    told = {(Path(item.file).name, item.row): item.reason for item in summary.left_out}
    assert list(told) == [
        ("empty.txt", None),
        ("latin.txt", None),
        ("rows.jsonl", 2),
        ("rows.jsonl", 3),
        ("scan.pdf", None),
        ("torn.pdf", None),
    ]
    assert told["empty.txt", None] == "contains no text."
    assert Summary.from_row(summary.to_row()) == summary


def test_a_file_without_text_is_listed_under_either_policy(tmp_path):
    (tmp_path / "a.txt").write_text("Ice melts.")
    (tmp_path / "b.txt").write_text("")
    (tmp_path / "c.html").write_text("<script>let a</script>")
    summary = Summary()
    assert len(list(read_files(tmp_path, summary=summary))) == 1
    assert [Path(item.file).name for item in summary.left_out] == ["b.txt", "c.html"]
    assert str(summary) == "1 chunk of 1 document"


def test_a_locked_pdf_is_named(tmp_path):
    pypdf = pytest.importorskip("pypdf", reason="pypdf is not installed")
    writer = pypdf.PdfWriter()
    writer.append(io.BytesIO(pdf("Ice melts.")))
    writer.encrypt("secret", algorithm="RC4-128")
    writer.write(tmp_path / "locked.pdf")
    with pytest.raises(InputError, match=r"locked\.pdf: is encrypted with a password"):
        list(read_files(tmp_path))
    writer.encrypt("", "owner", algorithm="AES-256")
    writer.write(tmp_path / "locked.pdf")
    assert [document.text for document in read_files(tmp_path)] == ["Ice melts."]


def test_a_file_name_that_is_no_text_is_named(tmp_path):
    """Archives of other systems hold names in other encodings; ids and sources of passages could not be written."""
    (tmp_path / "good.txt").write_text("Ice melts.")
    (tmp_path / os.fsdecode(b"caf\xe9.txt")).write_text("Steam rises.")
    with pytest.raises(InputError, match=r"caf\\udce9.txt: the file's name is not UTF-8"):
        list(read_files(tmp_path))
    unusable = Unusable("leave_out")
    assert [d.id for d in read_files(tmp_path, unusable=unusable)] == ["good.txt#1"]
    assert len(unusable.left_out) == 1
    assert len(references.sha256(tmp_path)) == 64


def test_a_table_with_semicolons_is_named(tmp_path):
    (tmp_path / "a.csv").write_text("id;text\n1;Ice melts, and water boils.\n")
    with pytest.raises(InputError, match="separated by ';'"):
        list(read_files(tmp_path / "a.csv"))


def test_tables_beside_documents_are_read_where_they_have_the_column(tmp_path):
    (tmp_path / "facts.csv").write_text("text,source\nIce melts.,a book\n")
    (tmp_path / "settings.json").write_text('{"theme": "dark"}')
    (tmp_path / "prices.csv").write_text("item,price\nice,1\n")
    assert [(document.text, document.source) for document in read_files(tmp_path)] == [("Ice melts.", "a book")]


def test_running_lines_of_pages_are_left_out():
    """A header, a title that changes on facing pages, page numbers; what stands on two pages alone is text."""
    pages = [
        f"Annual report 2019\n{['Ice', 'Water'][n % 2]}\nFact {n} of many.\nIt goes on {'x' * n}.\nPage {n + 1} of 6"
        for n in range(6)
    ]
    kept = without_running_lines(pages)
    assert kept[3] == "Fact 3 of many.\nIt goes on xxx."
    assert without_running_lines(pages[:1]) == [pages[0].removesuffix("\nPage 1 of 6")]
    two = ["Acme, internal\nInvoice 1\nOf May.\nPaid.\n1", "Acme, internal\nInvoice 2\nOf June.\nOpen.\n2"]
    assert without_running_lines(two) == ["Invoice 1\nOf May.\nPaid.", "Invoice 2\nOf June.\nOpen."]
    assert without_running_lines(["Ice.", "Ice.", "Ice."]) == ["Ice.", "Ice.", "Ice."]
    assert without_running_lines([]) == []


@pytest.mark.parametrize(
    ("text", "headings"),
    [
        ("A history\n\nIt began in a barn\nin May. It grew.", {"A history:": 2}),
        ("The manual\nHull\nThe hull of every ferry is scraped.\nMotors\nThere are four.", {
            "The manual:": 1, "Hull:": 2, "Motors:": 2
        }),
        ("The firm has its head office in\nKelling. It lies at the sea, and\nOstrea lies there too.", {}),
        ("apples\n\npears\n\nplums", {}),
        ("1. Moor the ferry\n2. Lower the ramp of the car deck\nThen wait.", {}),
        ("茶的歷史\n\n茶來自中國。", {"茶的歷史\uff1a": 2}),
    ],
    ids=["title", "title and sections", "wrapped lines", "a list", "steps", "wide"],
)  # fmt: skip
def test_short_lines_above_prose_are_headings(text, headings):
    spans = list(plain_spans(text))
    assert {span.text: span.heading for span in spans if span.heading} == headings
    if not headings:
        assert spans == list(sentences(text))


def test_lines_of_a_list_are_sentences():
    text = 'Facts\n\n"the sun is a source of light and heat"\n"a magnet attracts iron"\nbees carry pollen\nice melts'
    assert [(span.text, span.place) for span in plain_spans(text)][1:] == [
        ('"the sun is a source of light and heat".', 3), ('"a magnet attracts iron".', 4), ("bees carry pollen.", 5),
        ("ice melts.", 6),
    ]  # fmt: skip
    wrapped = "the sun is a source\nof light and heat that\nbees like to fly in"
    assert [span.text for span in plain_spans(wrapped)] == [wrapped.replace("\n", " ")]


def test_missing_path(tmp_path):
    with pytest.raises(InputError, match="no such file or folder"):
        list(read_files(tmp_path / "nothing"))


def test_estimate():
    """ "dehydrating" has 11 letters: 3 tokens; "is" has 2: 1 token."""
    assert estimate_tokens(["dehydrating is", ""]) == [4, 0]
    assert estimate_tokens(["水在100度沸騰", "Größe"]) == [6, 2]  # five characters and a number
