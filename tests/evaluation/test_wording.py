from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rouge_score import tokenize

from solo_hub.evaluation.matching import first_line, match_option, normalise
from solo_hub.evaluation.tokenization import tokens, words


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


class TestMatchOption:
    OPTIONS = ("sand", "Global warming", "rapid changes occur", "b")

    @pytest.mark.parametrize(
        ("text", "option"),
        [
            ("global warming.", 1),
            ("\nSand\nQuestion: and now?", 0),
            ("(B) Global warming", 1),
            ("C. rapid changes occur", 2),
            ("c", 2),
            ("(A)", 0),
            ("b", 3),  # an option's text comes before a letter
            ("(A) Global warming", None),  # letter and text contradict each other
            ("sand and water", None),
            ('The answer is: "Sand"', 0),
            ("Answer: (C)", 2),
            ("The correct option is global warming.", 1),
            ("The answer is:", None),
            ("The answer is sand or b", None),
            ("h", None),
            ("", None),
            ("...", None),
        ],
    )
    def test_examples(self, text, option):
        assert match_option(text, self.OPTIONS) == option

    def test_options_that_read_the_same_are_not_guessed_between(self):
        assert match_option("sand", ("Sand", "sand.")) is None

    def test_an_option_that_reads_like_a_lead_in(self):
        assert match_option("the answer is sand", ("sand", "The answer is sand")) == 1

    def test_no_options_empty(self):
        assert match_option("sand", ()) is None

    @given(
        st.lists(
            st.text(min_size=1).filter(lambda t: normalise(first_line(t)) == normalise(t) != ""), min_size=1, max_size=6
        )
    )
    def test_each_distinct_option_finds_itself(self, options):
        folded = [normalise(option) for option in options]
        for i, option in enumerate(options):
            if folded.count(folded[i]) == 1:
                assert match_option(option, options) == i


def test_first_line_empty():
    assert first_line("\n \n") == ""
