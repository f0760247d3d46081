from __future__ import annotations

import doctest
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rouge_score import tokenize

import solo_hub.core.words
from solo_hub.core.words import spans, stands_alone, terms, words


def test_examples_in_docstrings():
    result = doctest.testmod(solo_hub.core.words)
    assert result.attempted
    assert not result.failed


@given(st.text(st.characters(max_codepoint=127)))
def test_english_is_tokenized_as_rouge_score_does(text):
    assert words(text) == terms(text) == tokenize.tokenize(text, None)


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
        ("H₂O, x²", ["h2o", "x2"]),
        ("snake_case don't", ["snake", "case", "don", "t"]),
        ("Wasser\u00adstoff", ["wasserstoff"]),  # a soft hyphen says where a line may end
        ("क्\u200dष", ["क्ष"]),  # a joiner says how a conjunct is drawn
        ("葛\U000e0100飾", ["葛", "飾"]),  # a variation selector, which form of the glyph
        ("ไป\u200bมา", ["ไ", "ป", "ม", "า"]),
        ("\u0301 a", ["a"]),  # a mark without a letter is nothing
    ],
)
def test_words_of_every_script(text, expected):
    assert words(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("水在100度沸騰。冰在0度融化", ["水在", "100", "度沸", "沸騰", "冰在", "0", "度融", "融化"]),
        ("DNA分子", ["dna", "分子"]),
        ("水", ["水"]),
        ("水 冰", ["水", "冰"]),  # a blank parts
        ("물은 끓는다", ["물은", "끓는", "는다"]),
        ("กินข้าว", ["กิน", "นข้", "ข้า", "าว"]),
        ("ไป\u200bมา", ["ไป", "มา"]),  # so does a blank that has no width
        ("हिन्दी भाषा", ["हिन्दी", "भाषा"]),
    ],
)
def test_terms_are_pairs_where_a_script_has_no_blanks(text, expected):
    assert terms(text) == expected


@given(st.text())
def test_composed_and_decomposed_texts_are_the_same(text):
    assert words(unicodedata.normalize("NFC", text)) == words(unicodedata.normalize("NFD", text))
    assert terms(unicodedata.normalize("NFC", text)) == terms(unicodedata.normalize("NFD", text))


@given(
    st.text(
        st.characters(categories=("L", "N", "Zs", "P", "S")).filter(
            lambda c: len(unicodedata.normalize("NFKC", c)) == 1
        )
    )
)
def test_spans_are_where_the_words_are(text):
    text = unicodedata.normalize("NFKC", text)
    found = [text[start:end].lower() for clause in spans(text) for start, end in clause]
    assert found == words(text)


def test_spans_keep_what_belongs_to_a_letter():
    text = "cafe\u0301 Wasser\u00adstoff"
    assert [[text[start:end] for start, end in clause] for clause in spans(text)] == [
        ["cafe\u0301"],
        ["Wasser\u00adstoff"],
    ]


def test_stands_alone():
    assert [stands_alone(token) for token in ("水", "水蒸", "กิ", "है", "100", "h2o")] == [True] * 3 + [False] * 3


def test_empty():
    assert words("") == terms("") == spans("") == words("·!") == []
