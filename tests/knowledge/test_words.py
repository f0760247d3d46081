import doctest

import pytest
from hypothesis import given
from hypothesis import strategies as st

from solo_hub.knowledge import chunking, fused, stemming, words
from solo_hub.knowledge.stemming import stem


@pytest.mark.parametrize("module", [chunking, fused, stemming, words])
def test_examples_in_docstrings(module):
    result = doctest.testmod(module)
    assert result.attempted
    assert not result.failed


# The examples of Porter's paper, one or more a rule.
PORTER = """
    caresses:caress ponies:poni cats:cat feed:feed agreed:agre plastered:plaster bled:bled motoring:motor
    sing:sing conflated:conflat troubled:troubl sized:size hopping:hop falling:fall hissing:hiss failing:fail
    filing:file happy:happi sky:sky relational:relat conditional:condit valenci:valenc digitizer:digit
    radicalli:radic vietnamization:vietnam feudalism:feudal hopefulness:hope sensibiliti:sensibl
    triplicate:triplic formative:form electrical:electr goodness:good revival:reviv allowance:allow
    inference:infer airliner:airlin replacement:replac adoption:adopt homologous:homolog effective:effect
    bowdlerize:bowdler probate:probat rate:rate cease:ceas controll:control roll:roll
"""


@pytest.mark.parametrize(("word", "expected"), [pair.split(":") for pair in PORTER.split()])
def test_porter_examples(word, expected):
    assert stem(word) == expected


@given(st.text(alphabet="abcdefghijklmnopqrstuvwxyz", min_size=1, max_size=20))
def test_stem_is_never_empty_nor_longer(word):
    assert 0 < len(stem(word)) <= len(word)


def test_scripts_without_blanks_become_pairs():
    assert words.words("水蒸気 is H2O") == ["水蒸", "蒸気", "h2o"]


def test_words_keep_other_scripts():
    assert words.words("Die Größe, вода") == ["die", "größe", "вода"]


def test_words_empty():
    assert words.words("") == []
    assert words.words("the of — !") == []
