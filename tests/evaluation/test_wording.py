from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from solo_hub.evaluation.tokenization import tokens
from solo_hub.models.options import normalise


def test_symbols_count_only_where_there_is_no_word():
    assert tokens("+") == ["+"]
    assert tokens("🙂 🙂") == ["🙂", "🙂"]
    assert tokens("a + b") == ["a", "b"]


def test_empty():
    assert tokens("") == tokens(" \n") == []


@given(st.text(min_size=1).filter(str.strip))
def test_no_visible_text_is_without_tokens(text):
    assert tokens(text)


class TestNormalise:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("  The  Sun. ", "the sun"),
            ('"rain"', "rain"),
            ("**Rain**", "rain"),
            ("Straße", "strasse"),
            ("水。", "水"),
            ("-5", "-5"),
            (".5", ".5"),
            ("20%", "20%"),
            ("C++", "c++"),
            ("?", "?"),
            ("", ""),
        ],
    )
    def test_examples(self, text, expected):
        assert normalise(text) == expected

    @given(st.text())
    def test_case_and_blanks_do_not_matter(self, text):
        assert normalise(f"  {text}\n") == normalise(text)
