"""Web pages and Markdown: nothing that is said is lost, nothing that only leads around is kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from solo_hub.knowledge import markdown_text, plain_text
from solo_hub.knowledge.chunking import Span
from solo_hub.knowledge.html_text import html_spans
from solo_hub.knowledge.markdown_text import markdown_spans
from solo_hub.knowledge.pdf_text import without_broken_words
from solo_hub.knowledge.reading import read_files

FILE = Path("page.html")


def html(text):
    return [span.text for span in html_spans(text, FILE)]


def markdown(text):
    return [span.text for span in markdown_spans(text, Path("page.md"))]


@pytest.mark.parametrize(
    ("page", "expected"),
    [
        ("<!doctype html><title>T</title><p>Ice melts.<p>Steam rises.", ["Ice melts.", "Steam rises."]),
        ("<html><head><title>T</title><meta name=a><p>Ice melts.</html>", ["Ice melts."]),
        ("<head><style>p{}</style><noscript><link></noscript><body><p>Ice melts.", ["Ice melts."]),
        ("<ul><li>Ice<li>Steam</ul>", ["Ice", "Steam"]),
        ("<dl><dt>Ice<dd>melts<dt>Steam<dd>rises</dl>", ["Ice", "melts", "Steam", "rises"]),
        ("<b><p>Ice</b> melts<i><div>slowly</i> here", ["Ice melts", "slowly here"]),
        ("Ice melts.", ["Ice melts."]),
        ("<body><p>Ice melts.</body></html><p>Steam rises.", ["Ice melts.", "Steam rises."]),
        ("<html><body>Ice</body></html>melts<html><p>Steam</html><p>rises", ["Ice", "melts", "Steam", "rises"]),
        ("<?xml version='1.0' encoding='utf-8'?><html><body><p>Ice</p></body></html>", ["Ice"]),
        ("<p>H<sub>2</sub>O &amp; <b>ice</b>&nbsp;melts<!-- no -->.", ["H2O & ice melts."]),
        ("<p>Ice<br>melts.<br><br>Steam", ["Ice melts.", "Steam"]),
        ("<div><svg><path d=1></div><p>Ice melts.", ["Ice melts."]),
        ("<p>a\0b", ["a\ufffdb"]),
        ("", []),
        ("<!-- -->", []),
    ],
)
def test_valid_html_is_never_lost(page, expected):
    assert html(page) == expected


def test_what_leads_around_a_page_is_left_out():
    page = """
    <body><a class=skip-link href=#m>Skip</a><nav><a>Home</a> Somewhere</nav>
    <header><a>Log in</a><h1>Water<a class=headerlink>¶</a></h1><p>All about it.</p></header>
    <div class="sidebar left"><ul><li><a>Ice</a><li><a>Steam</a></ul></div>
    <main><div class="note"><p>Water flows.</p></div>
      <aside><p>It also freezes.</p></aside><aside><a>Related</a> <a>Links</a></aside>
      <blockquote>To flow is to live.<footer>A poet</footer></blockquote>
      <p>See <a>the long page about the sea</a>.</p><div role=search>Find</div><span aria-hidden=true>x</span>
    </main>
    <footer>© 2020 Nobody. All rights reserved.</footer><script>let a</script></body>"""
    assert html(page) == [
        "Water:",
        "All about it.",
        "Water flows.",
        "It also freezes.",
        "To flow is to live.",
        "A poet",
        "See the long page about the sea.",
    ]


@pytest.mark.parametrize(
    ("page", "expected"),
    [
        ("<nav><a>Ice</a></nav>", ["Ice"]),
        ("<body><footer><p>Ice melts.</footer>", ["Ice melts."]),
        ("<span aria-hidden=true>Ice melts.</span>", ["Ice melts."]),
        ("<div aria-hidden=true><p>Ice melts.</div><div><p>Cookies?</div>", ["Ice melts.", "Cookies?"]),
        ("<nav><a>Home</a><p>Ice melts and water flows.<p>Steam", ["Home", "Ice melts and water flows.", "Steam"]),
        ("<p>Fog<footer>Us<p>Ice melts. It flows.", ["Fog", "Us", "Ice melts.", "It flows."]),
        ("<form><p>Ice melts.</form>", ["Ice melts."]),
    ],
)
def test_a_page_of_nothing_else_is_read_all_the_same(page, expected):
    assert html(page) == expected


def test_tables_keep_their_rows():
    page = """<table><caption>Melting points</caption><thead><tr><th>Metal<th>At</thead>
    <tr><td>iron<td>1,538&nbsp;°C<tr><td>gold<td></table>"""
    assert html(page) == ["Melting points", "Metal: iron; At: 1,538 °C.", "Metal: gold."]
    assert html("<table><tr><td>iron<td>hard<tr><td>gold<td>soft</table>") == ["iron; hard.", "gold; soft."]
    layout = "<table><tr><td><h2>Ice</h2><p>It melts.<td><ul><li>cold</ul></table>"
    assert html(layout) == ["Ice:", "It melts.", "cold"]
    assert html("<table><tr><td>Ice melts. Steam rises.</table>") == ["Ice melts.", "Steam rises."]


def test_lines_of_a_page():
    page = "<html>\n<h1>Water</h1>\n\n<p>\nIce melts.\nSteam\nrises.\n<table>\n<tr><td>a<td>b\n</table>"
    assert list(html_spans(page, FILE)) == [
        Span("Water:", 2, 1),
        Span("Ice melts.", 5),
        Span("Steam rises.", 6),
        Span("a; b.", 9),
    ]


def test_lines_beyond_those_the_parser_counts_are_not_invented(tmp_path):
    path = tmp_path / "long.html"
    path.write_text("<p>first\n" + "\n" * 70_000 + "<p>last")
    sources = [document.source for document in read_files(path, limit=1, overlap=0)]
    assert sources[0] == "long.html, line 1"
    assert sources[-1] == "long.html"


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ("<meta charset=shift_jis><p>水".encode("shift_jis"), "水"),
        ("<meta http-equiv=content-type content='text/html; charset=gb2312'><p>水".encode("gb2312"), "水"),
        ("<?xml version='1.0' encoding='euc-kr'?><html><body><p>물".encode("euc-kr"), "물"),
        (b"<meta charset='iso-8859-1'><p>caf\xe9 \x93x\x94", "café \u201cx\u201d"),
        ("<p>水".encode("utf-16"), "水"),
        ("<p>水".encode("utf-8-sig"), "水"),
        ("<meta charset=utf-16><p>水".encode(), "水"),
        ("<p>水".encode(), "水"),
    ],
)
def test_a_page_is_decoded_as_it_declares(tmp_path, data, expected):
    path = tmp_path / "page.HTML"
    path.write_bytes(data)
    assert [document.text for document in read_files(path)] == [expected]


def test_markdown_is_read_as_it_is_shown():
    text = """# Water & ice

Ice **melts** in [the sun](https://example.org/sun "warm").
It `flows`.

- Steam rises.
- ![A cloud](cloud.png) drifts.

> Quoted.

```python
print("x")
```

| Metal | Melts at |
|:--|--:|
| iron | 1,538 °C |
| *gold* | |

<!-- a comment -->
<p align="center">Centred.</p>

Setext
------
A<br>b <span>c</span>.
"""
    assert markdown(text) == [
        "Water & ice:",
        "Ice melts in the sun.",
        "It flows.",
        "Steam rises.",
        "A cloud drifts.",
        "Quoted.",
        'print("x")',
        "Metal: iron; Melts at: 1,538 °C.",
        "Metal: gold.",
        "Centred.",
        "Setext:",
        "A b c.",
    ]


def test_markdown_keeps_its_lines():
    text = (
        "---\ntitle: Water\ntags: [a]\n---\n\nIce melts.\nSteam rises.\n\n| a | b |\n|--|--|\n| c | d |\n\n<p>\nFog.\n"
    )
    assert list(markdown_spans(text, Path("x.md"))) == [
        Span("Water:", 1, 1),
        Span("Ice melts.", 6),
        Span("Steam rises.", 7),
        Span("a: c; b: d.", 11),
        Span("Fog.", 14),
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("---\r\ntitle: T\r\n---\r\n# Own\r\n", ["Own:"]),
        ("+++\ntitle = 'T'\n+++\nIce.\n", ["Ice."]),
        ("---\ntags: [a]\n---\n", []),
        ("---\nIce melts.\n---\n", ["Ice melts."]),
        ("---\n- a: [\n---\nIce.\n", ["a: [", "Ice."]),
        ("", []),
        ("| a | b |\n|--|--|\n", ["a; b."]),
    ],
)
def test_front_matter_is_left_out(text, expected):
    assert markdown(text) == expected


def test_a_long_document_is_parsed_in_parts(monkeypatch):
    """Cut where a block begins, never within a fence or a list; lines go on."""
    part = "# A\n\nIce.\n\n```\na\n\nb\n```\n\n- one\n\n  still one\n\n~~~~\n~~~\n\nc\n~~~~\n\n"
    text = "---\ntitle: T\n---\n" + part * 3
    whole = list(markdown_spans(text, Path("x.md")))
    assert len(whole) == 3 * 8
    monkeypatch.setattr(markdown_text, "PART", 3)
    assert list(markdown_spans(text, Path("x.md"))) == whole


def test_headings_without_text_and_marks():
    assert html("<h2> </h2><h2>Ice?</h2><h2>水</h2>") == ["Ice?", "水\uff1a"]


def test_a_typesetters_letters_are_words(tmp_path):
    (tmp_path / "a.html").write_text("<p>The \ufb02oor is de&shy;hu&shy;midi\ufb01ed.</p>", "utf-8")
    assert [row.text for row in read_files(tmp_path)] == ["The floor is dehumidified."]


@pytest.mark.parametrize(
    ("page", "expected"),
    [
        ("a dehumid-\nifier", "a dehumidifier\n"),
        ("a well-\nknown mill, known well", "a well-known\n mill, known well"),
        ("a mill-\nwheel; the millwheel of a mill has a wheel", "a millwheel\n; the millwheel of a mill has a wheel"),
        ("the 14-\nday rule of Smith-\nJones", "the 14-\nday rule of Smith-\nJones"),
    ],
)
def test_words_broken_at_the_end_of_a_line_are_joined(page, expected):
    assert without_broken_words([page]) == [expected]


def test_the_parts_of_a_document_count_lines_as_the_parser_does(monkeypatch):
    """A form feed, or a line separator, ends a line for `str.splitlines` alone."""
    monkeypatch.setattr(markdown_text, "PART", 3)
    text = "One\x0c\u2028two.\n\nThree.\n\nFour.\n"
    assert [(part, before) for part, before in markdown_text._parts(text)][1:] == [("Three.\n\n", 2), ("Four.\n", 4)]


def test_whether_a_heading_has_prose_below_is_known_from_its_first_sentence():
    """Reading on to the end of a long paragraph, for each of its lines, took minutes."""

    class Lines(list):
        read = 0

        def __getitem__(self, place):
            self.read += 1
            return super().__getitem__(place)

    lines = Lines(["Alpha", "It is a letter."] * 1000)
    assert all(plain_text._is_prose(lines, start) for start in range(0, 1000, 2))
    assert lines.read < 5 * 500
    assert plain_text._is_prose(["Alpha", "", "Beta", "It is a letter."], 0)
    assert not plain_text._is_prose(["Alpha", "Beta", "", "It is a letter."], 0)
