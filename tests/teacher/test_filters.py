"""What is dropped before selection: each filter by hand, all counted, nothing lost."""

from __future__ import annotations

import doctest

import pytest
from hypothesis import given
from hypothesis import strategies as st

from solo_hub.core.records import Passage, PseudoLabel, Question, Retrieval
from solo_hub.core.settings import FilterSettings
from solo_hub.teacher import filters
from solo_hub.teacher.filters import CHECKS, Labelled, Similar, apply, parts_of, stems

OFF = {name: 0.0 if isinstance(field.default, float) else False for name, field in FilterSettings.model_fields.items()}


def label(name, text="melting snow", option=0, confidence=0.5, agreement=None, passages=("p",)):
    return PseudoLabel(name, option, None, text, confidence, passages, 0, "text", "k", agreement=agreement)


def case(*labels, questions=None, passages=("Snow that melts makes rivers rise.",), held_out=()):
    asked = questions or [f"What makes river {i} rise?" for i in range(len(labels))]
    return Labelled(
        labels,
        [Question(row.question_id, text, ("melting snow", "a bear")) for row, text in zip(labels, asked, strict=True)],
        [Retrieval(row.question_id, tuple(Passage("p", text, 1.0) for text in passages)) for row in labels],
        [Question(f"h{i}", text) for i, text in enumerate(held_out)],
    )


def free(name, text, option=None):
    """A question without options, and its answer."""
    return Labelled([label(name, text, option)], [Question(name, "Why?")], [Retrieval(name, ())])


def dropped(labelled, **on):
    result = apply(labelled, FilterSettings(**{**OFF, **on}))
    return {verdict.question_id: verdict.reason for verdict in result.dropped}


def test_every_setting_is_a_filter():
    assert set(CHECKS) - {"round_trip"} == set(FilterSettings.model_fields)  # curation.check is its setting


def test_none_is_on():
    labels = (label("a", "", None), label("b", confidence=0.0))
    result = apply(case(*labels), FilterSettings(**OFF))
    assert (result.kept, result.dropped, result.counts) == (labels, (), {})


def test_no_labels():
    result = apply(Labelled((), (), ()), FilterSettings(unsupported=True, near_duplicates=0.5))
    assert (result.kept, result.dropped) == ((), ())
    assert set(result.counts.values()) == {0}


def test_an_answer_that_is_no_option():
    assert dropped(case(label("a", "the moon", None), label("b")), unparsed=True) == {
        "a": "filter: the answer is none of the options"
    }


def test_free_text_needs_no_option():
    assert dropped(free("a", "the moon"), unparsed=True) == {}


@pytest.mark.parametrize("text", ["", " ", "...", "?!"])
def test_an_empty_answer(text):
    assert dropped(free("a", text), unparsed=True) == {"a": "filter: the answer is empty"}


@pytest.mark.parametrize(
    "text",
    ["I'm sorry, I can't help with that.", "I am not sure.", "I don't know", "As an AI language model, I", "N/A",
     "There is not enough information to say.", "None of the above", "It is impossible to say", "Sorry."],
)  # fmt: skip
def test_a_refusal(text):
    assert dropped(free("a", text), unparsed=True) == {"a": "filter: the teacher declined to answer"}


@pytest.mark.parametrize("text", ["the unknown soldier", "islands", "sorrel", "I can", "nation", "a sorry sight"])
def test_what_only_looks_like_a_refusal(text):
    assert dropped(free("a", text), unparsed=True) == {}


def test_an_option_that_declines_is_an_answer():
    assert dropped(case(label("a", "none of the above", 1)), unparsed=True) == {}


def test_low_confidence_and_none_at_all():
    labels = (label("a", confidence=0.29), label("b", confidence=0.3), label("c", confidence=None))
    assert dropped(case(*labels), min_confidence=0.3) == {"a": "filter: confidence below 0.3"}


def test_an_answer_that_changes():
    labels = (label("a", agreement=0.25), label("b", agreement=0.75), label("c"))
    assert set(dropped(case(*labels), min_agreement=0.5)) == {"a"}


@pytest.mark.parametrize(
    ("text", "caught"),
    [("melting snow", False), ("snowy", False), ("a bear", True), ("ice", False), ("glaciers", True)],
)
def test_passages_that_do_not_mention_the_answer(text, caught):
    """ "ice" has no word long enough to be looked for, so nothing is held against it."""
    assert bool(dropped(case(label("a", text)), unsupported=True)) is caught


@pytest.mark.parametrize(
    ("text", "caught"), [("會發出藍光", False), ("藍光", False), ("在山谷的湖裡", True), ("光", False), ("हिरण", True)]
)
def test_in_a_script_without_blanks_pairs_of_characters_are_looked_for(text, caught):
    """An answer need not be a whole clause of the passage; a single character is held against nobody."""
    labelled = case(label("a", text), passages=("燈尾狐在夜裡活動。牠的尾巴會發出藍光。",))
    assert bool(dropped(labelled, unsupported=True)) is caught


def test_chinese_questions_that_differ_in_a_character_are_near_duplicates():
    labels = [label(name) for name in "abc"]
    questions = ["燈尾狐的尾巴會發出什麼顏色的光", "燈尾狐的尾巴會發出什麼顏色的光呢", "鐘樓是誰設計的"]
    assert set(dropped(case(*labels, questions=questions), near_duplicates=0.8)) == {"b"}
    assert set(dropped(case(*labels, questions=questions, held_out=["鐘樓是誰設計的呢"]), leakage=0.7)) == {"c"}


def test_only_passages_that_were_read_count():
    read_none = case(label("a", "glaciers", passages=()))
    assert dropped(read_none, unsupported=True) == {}


def test_near_duplicates_keep_the_first():
    questions = ["What makes the river rise in spring?", "What makes the river rise in the spring?", "Who sleeps?",
                 "what makes the river RISE in spring"]  # fmt: skip
    labels = [label(name) for name in "abcd"]
    assert dropped(case(*labels, questions=questions), near_duplicates=0.7) == {
        "b": "filter: almost the same question as a",
        "d": "filter: almost the same question as a",
    }


def test_a_question_of_the_evaluation():
    labelled = case(label("a"), label("b"), questions=["What makes rivers rise?", "Who sleeps all winter?"],
                    held_out=["What makes rivers rise", "Who flies?"])  # fmt: skip
    assert dropped(labelled, leakage=0.8) == {"a": "filter: almost a held-out question"}


def test_a_label_goes_by_the_first_filter_and_every_filter_is_counted():
    labels = (label("a", "", None, confidence=0.1), label("b", confidence=0.1), label("c"))
    result = apply(case(*labels), FilterSettings(**{**OFF, "unparsed": True, "min_confidence": 0.2}))
    assert [row.question_id for row in result.kept] == ["c"]
    assert {v.question_id: v.reason for v in result.dropped} == {
        "a": "filter: the answer is none of the options",
        "b": "filter: confidence below 0.2",
    }
    assert result.counts == {"unparsed": 1, "min_confidence": 2}
    assert [v.confidence for v in result.dropped] == [0.1, 0.1]


@given(st.lists(st.tuples(st.sampled_from(["", "snow", "a bear"]), st.floats(0, 1), st.floats(0, 1)), max_size=8))
def test_nothing_is_lost(rows):
    labels = [label(f"q{i}", t, None if not t else 0, c, a) for i, (t, c, a) in enumerate(rows)]
    result = apply(case(*labels), FilterSettings(min_confidence=0.5, min_agreement=0.5, unsupported=True))
    assert sorted([r.question_id for r in result.kept] + [v.question_id for v in result.dropped]) == sorted(
        r.question_id for r in labels
    )


words = st.lists(st.sampled_from(["rain", "fog", "hail", "sun", "wind", "frost"]), min_size=1, max_size=7)


@given(st.lists(words, min_size=1, max_size=12), words, st.floats(0.1, 1))
def test_the_index_finds_what_looking_at_all_finds(known, asked, threshold):
    index, question = Similar(), Question("q", " ".join(asked))
    for number, some in enumerate(known):
        index.add(Question(str(number), " ".join(some)))

    def jaccard(some):
        one, other = parts_of(question), parts_of(Question("", " ".join(some)))
        return len(one & other) / len(one | other)

    expected = next((str(n) for n, some in enumerate(known) if jaccard(some) >= threshold), None)
    assert index.find(question, threshold) == expected


def test_examples_in_docstrings():
    result = doctest.testmod(filters)
    assert result.attempted
    assert not result.failed


def test_stems_meet():
    assert stems("The melting snow") & stems("It melts")
    assert stems("an ox is in") == set()
