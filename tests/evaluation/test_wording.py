from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rouge_score import tokenize

from solo_hub.evaluation.tokenization import tokens, words
from solo_hub.models.options import normalise


@given(st.text(st.characters(max_codepoint=127)))
def test_english_is_tokenized_as_rouge_score_does(text):
    assert words(text) == tokenize.tokenize(text, None)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Le café coûte 3,50 €.", ["le", "café", "coûte", "3", "50"]),
        ("cafe\u0301", ["café"]),  # a combining accent is the same letter
        ("水は100度で沸く", ["水", "は", "100", "度", "で", "沸", "く"]),
        ("물은 끓는다", ["물", "은", "끓", "는", "다"]),
        ("コーヒー", ["コー", "ヒー"]),  # a long vowel belongs to its kana
        ("Ёлка и ЧАЙ", ["ёлка", "и", "чай"]),
        ("हिन्दी भाषा", ["हिन्दी", "भाषा"]),  # vowel signs stay in the word
        ("กินข้าว", ["กิ", "น", "ข้", "า", "ว"]),
        ("\uff21\uff22\u3000\uff11\uff12", ["ab", "12"]),  # full width
        ("snake_case don't", ["snake", "case", "don", "t"]),
    ],
)
def test_every_script(text, expected):
    assert words(text) == expected


def test_symbols_count_only_where_there_is_no_word():
    assert tokens("+") == ["+"]
    assert tokens("🙂 🙂") == ["🙂", "🙂"]
    assert tokens("a + b") == ["a", "b"]


def test_empty():
    assert words("") == tokens("") == tokens(" \n") == []


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
