"""The page: everything foreign is text, numbers are true, marks are where they should be."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st
from noise import PEFT_WARNS
from tiny_run import HOSTILE, report

from solo_hub.core.records import Gold, Passage, Prediction, Question
from solo_hub.evaluation.comparison import pages
from solo_hub.evaluation.comparison.asking import Origin, ShownAnswer
from solo_hub.evaluation.comparison.cases import ARMS, Case, read_cases
from solo_hub.evaluation.report.format import coarse_percent

pytestmark = PEFT_WARNS  # the adapter that this folder's tests share may be made here


class Reader(HTMLParser):
    """Tags with their attributes, and the text a person reads."""

    def __init__(self, page):
        super().__init__(convert_charrefs=True)
        self.tags, self.said = [], ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.said += data


def answered(arm, option=0, text="x", passages=(), **more):
    return ShownAnswer(Prediction("q", arm, option, (0.75, 0.25), text, (), 0.5), passages, **more)


@given(st.text())
def test_foreign_text_is_text(value):
    read = Reader(pages.text(value))
    assert read.tags == []
    assert not re.search(r"[<>`${}@]", pages.text(value))  # neither HTML nor the page's templates see anything


def test_options_beyond_the_letters_are_numbered():
    question = Question("q", "Which?", tuple(f"kind {n}" for n in range(28)))
    given = Prediction("q", "base", 27, (1 / 28,) * 28, "kind 27", (), 0.5)
    said = Reader(pages.columns(question, [ShownAnswer(given, ())], None)).said
    assert "Zkind 25" in said
    assert "28kind 27" in said


def test_hostile_text_everywhere():
    question = Question("q", HOSTILE, (HOSTILE, "b"))
    passages = (Passage("s", HOSTILE, 1.0, HOSTILE),)
    answers = [answered(arm, text=HOSTILE, passages=passages, note=HOSTILE) for arm in ARMS]
    case = Case(question, Gold("q", 0, HOSTILE), tuple(a.prediction for a in answers), passages)
    origin = Origin(HOSTILE, "javascript:alert(1)", {"base": HOSTILE})
    for page in (
        pages.columns(question, answers, case.gold),
        pages.picker([case]),
        pages.cases([case], 0, "All", shown=1, total=1),
        pages.heading(origin, {**report(), "base": HOSTILE}),
        pages.status(answers, question),
        pages.problem(HOSTILE),
    ):
        read = Reader(page)
        assert HOSTILE in read.said
        assert not {tag for tag, _ in read.tags} & {"img", "script", "a"}
        assert not any(name.startswith("on") for _, attributes in read.tags for name in attributes)
        assert "${" not in page
        assert "{{" not in page


def test_a_column_shows_choice_probabilities_answer_and_time():
    question = Question("q", "What falls?", ("rain", "stone"))
    page = pages.columns(question, [answered("teacher", text="wet rain", lookup_seconds=0.25)], Gold("q", 1, "stone"))
    said = Reader(page).said
    assert "75 %" in said
    assert "25 %" in said
    assert "wrong" in said  # in a word, not by colour alone
    assert "rain chosen" in said
    assert "stone gold answer" in said
    assert "wet rain" in said
    assert "0.50 s, after 0.25 s of retrieval" in said
    assert said.count("Waiting") == 2  # base and student have not answered


def test_words_of_answer_and_question_are_marked_by_their_stems():
    page = pages.marked("Rains fell; the stones <b> stayed.", {"rain"}, {"stone"})
    assert page == (
        "<mark class='in-answer'>Rains</mark> fell; the <mark class='in-question'>stones</mark> &lt;b&gt; stayed."
    )
    assert pages.marked("", {"rain"}, set()) == ""


def test_in_a_script_without_blanks_words_are_marked_and_not_their_clause():
    page = pages.marked("水在100度沸騰,冰在0度融化", {"100", "度沸", "沸騰"}, {"融化"})
    assert page == "水在<mark class='in-answer'>100度沸騰</mark>,冰在0度<mark class='in-question'>融化</mark>"


@pytest.mark.parametrize(
    ("share", "says"), [(0, "0 %"), (1, "100 %"), (0.001, "< 1 %"), (0.9999, "> 99 %"), (0.5, "50 %")]
)
def test_percent(share, says):
    assert coarse_percent(share) == says


def test_accuracy_with_intervals_as_the_report_has_it():
    read = Reader(pages.accuracy(report()))
    assert read.said.count("33.3 %") == 6  # each arm in the table and in the verdict
    assert read.said.count("6.0 to 79.0 %") == 3
    assert "no gain is clear" in read.said
    assert ("th", {"scope": "row"}) in read.tags


def test_accuracy_of_an_empty_report():
    assert "0 held-out questions" in Reader(pages.accuracy({"n_questions": 0, "arms": {}})).said


def test_cases_tell_their_place_and_open(run):
    found = read_cases(run)
    read = Reader(pages.cases(found[:2], 10, "Every question", shown=12, total=240))
    assert "11 to 12 of 12 (evaluation of 240 questions)" in read.said
    assert sum(tag == "details" and attributes.get("class") == "case" for tag, attributes in read.tags) == 2
    assert "no questions" in Reader(pages.cases([], 0, "All wrong", shown=0, total=240)).said
