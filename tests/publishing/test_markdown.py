from __future__ import annotations

import ast
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from solo_hub.publishing.markdown import (
    Markdown,
    as_json,
    code,
    fenced,
    finish,
    inline,
    one_line,
    python_literal,
    table,
)

PARSER = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
HOSTILE = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "[click](javascript:alert(1))",
    "![x](http://evil.example/pixel.png)",
    "http://evil.example",
    "www.evil.example",
    "mail me@evil.example",
    "# heading",
    "- item",
    "1. item",
    "---",
    "===",
    "> quote",
    "```\ncode\n```",
    "`tick` ``ticks``",
    "a | b | c",
    "\\| \\` \\\\",
    "{{ 7 * 7 }}{% raw %}",
    "&amp; &lt;b&gt; &#64;",
    "**bold** _it_ ~~gone~~ $x$",
    "[ref]: http://evil.example",
    "line one\n\n\n\nline two\r\nthree",
    "\u202eright to left",
    "nul\x00bell\x07",
    "<!-- comment -->",
    "    indented",
]
some_text = st.one_of(st.sampled_from(HOSTILE), st.text(st.characters(exclude_categories=["Cs"]), max_size=60))


def leaves(source):
    """Every inline token of rendered Markdown."""
    return [child for token in PARSER.parse(source) if token.type == "inline" for child in token.children]


def shown(source):
    """What a reader sees; fails where anything but text and code comes out."""
    parts = leaves(source)
    assert {part.type for part in parts} <= {"text", "code_inline", "text_special"}, source
    return "".join(part.content for part in parts)


@settings(deadline=None, max_examples=60)
@given(some_text)
def test_inline_text_is_shown_as_it_was(text):
    assert shown(f"before ({inline(text)}) after") == f"before ({one_line(text)}) after"


@settings(deadline=None, max_examples=60)
@given(some_text)
def test_inline_text_at_the_start_of_a_line_is_no_heading_list_or_rule(text):
    if not one_line(text):
        return
    tokens = PARSER.parse(str(inline(text)))
    assert [token.type for token in tokens] == ["paragraph_open", "inline", "paragraph_close"]
    assert shown(str(inline(text))) == one_line(text)


@settings(deadline=None, max_examples=60)
@given(some_text)
def test_code_spans_show_what_they_hold(text):
    parts = leaves(f"before {code(text)} after")
    spans = [part.content for part in parts if part.type == "code_inline"]
    assert [span.strip() for span in spans] == [one_line(text)]


@settings(deadline=None, max_examples=60)
@given(some_text)
def test_a_fenced_block_is_one_block_whatever_it_holds(text):
    tokens = PARSER.parse(f"{fenced(text)}\n\nend\n")
    assert [token.type for token in tokens] == ["fence", "paragraph_open", "inline", "paragraph_close"]


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(some_text, some_text), max_size=4))
def test_cells_stay_in_their_cells(rows):
    tokens = PARSER.parse(str(table(("one", "two"), rows)))
    cells = [token for token in tokens if token.type == "td_open"]
    assert len(cells) == 2 * len(rows)
    inner = [child.type for token in tokens if token.type == "inline" for child in token.children]
    assert set(inner) <= {"text", "code_inline", "text_special"}


def test_a_table_without_rows_is_a_head():
    assert str(table(("a", "b"), [])) == "| a | b |\n|:--|--:|"


@settings(deadline=None, max_examples=60)
@given(st.text(max_size=60))
def test_python_literals_read_back_on_one_line(text):
    literal = python_literal(text)
    assert len(literal.splitlines()) == 1
    expected = text if not any("\ud800" <= sign <= "\udfff" for sign in text) else None
    if expected is not None:
        assert ast.literal_eval(literal) == expected


def test_a_record_reads_back_as_json():
    record = {
        "question": "``` </pre>",
        "options": ["a", "b"],
        "passages": [{"id": "1"}, {"id": "2"}],
        "none": None,
        "empty": [],
    }
    block = as_json(record)
    assert json.loads(block.split("\n", 1)[1].rsplit("\n", 1)[0]) == record
    assert '    {"id": "1"},\n' in block


def test_none_and_collections_are_never_printed_bare():
    for value in (None, [], {}, 1.5, True):
        with pytest.raises(TypeError):
            finish(value)


def test_our_own_markdown_passes():
    assert finish(Markdown("**x**")) == "**x**"
    assert finish("**x**") == "\\*\\*x\\*\\*"
    assert finish(3) == "3"
