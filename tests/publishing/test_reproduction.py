"""What was published against what was made anew; every share and difference worked by hand."""

from __future__ import annotations

import dataclasses
import json

import pytest

from publishing.conftest import make_report
from solo_hub.checks.tolerances import Compared, Tolerances, compare_labels, compare_reports, compare_weights, sentence
from solo_hub.publishing.documents import rows

EXACT = Tolerances(agreement=1.0, numbers=0.0)


def published(documents):
    return [row.to_row() for row in rows(documents)]


def values(found):
    return {one.name: (one.published, one.here, one.n) for one in found}


def test_the_same_run_agrees_with_itself_exactly(documents):
    found = compare_labels(published(documents), documents.labels, documents.verdicts, EXACT)
    assert values(found) == {
        "same questions": (1, 1, 4),
        "same passages": (1, 1, 4),
        "same label": (1, 1, 4),
        "difference of probabilities": (0, 0, 4),
        "mean confidence": (pytest.approx(0.7), pytest.approx(0.7), 4),
        "same selection": (1, 1, 4),
    }
    assert all(one.equal for one in found)
    assert sentence(found) == "All 6 were reproduced: all identical."


def test_each_difference_is_counted_where_it_belongs(documents):
    """Of four labels one is another option, one had other passages, one was dropped instead of kept."""
    a, b, c, d = documents.labels
    labels = [
        dataclasses.replace(a, option=2, text="rain", confidence=0.3, probabilities=(0.1, 0.3, 0.55, 0.05)),
        dataclasses.replace(b, passages=("p2", "p1")),
        c,
        d,
    ]
    verdicts = [dataclasses.replace(v, kept=v.kept and v.question_id != "q3") for v in documents.verdicts]
    found = compare_labels(published(documents), labels, verdicts, Tolerances(agreement=0.8, numbers=0.05))
    assert values(found) == {
        "same questions": (1, 1, 4),
        "same passages": (1, 0.75, 4),
        "same label": (1, 0.75, 4),
        "difference of probabilities": (0, pytest.approx(0.4 / 4), 4),
        "mean confidence": (pytest.approx(0.7), pytest.approx(0.6), 4),
        "same selection": (1, 0.75, 4),
    }
    assert [one.same for one in found] == [True, False, False, False, False, False]


def test_questions_that_went_or_came_are_no_agreement(documents):
    """One of four is missing: 3 of 4. One came besides: 4 of 5."""
    fewer = compare_labels(published(documents), documents.labels[1:], documents.verdicts, EXACT)
    assert [(one.name, one.here) for one in fewer[:2]] == [("same questions", 0.75), ("same passages", 0.75)]
    more = (*documents.labels, dataclasses.replace(documents.labels[0], question_id="q9"))
    assert compare_labels(published(documents), more, documents.verdicts, EXACT)[0].here == 0.8


def test_free_answers_are_the_same_words(bare):
    said = compare_labels(published(bare), bare.labels, bare.verdicts, EXACT)
    assert all(one.same for one in said)
    other = [dataclasses.replace(bare.labels[0], text="Somebody.")]
    assert not compare_labels(published(bare), other, bare.verdicts, EXACT)[2].same


def test_every_number_of_every_arm_is_compared_and_no_time():
    report = make_report()
    found = compare_reports(report, report, EXACT)
    assert {one.name for one in found} == {
        "base: accuracy", "base: rougeL", "teacher: accuracy", "teacher: rougeL", "student: accuracy",
        "student: accuracy_generated", "student: rouge1", "student: rouge2", "student: rougeL",
        "student: bert_score_f1"}  # fmt: skip
    assert all(one.same for one in found)
    assert found[0] == Compared("base: accuracy", 0.27321, 0.27321, 926, 0.0)


def test_a_number_may_be_off_by_what_is_allowed_and_no_more():
    report, again = make_report(), make_report()
    again["arms"]["student"]["accuracy"]["value"] += 0.02
    again["arms"]["student"]["rougeL"]["value"] -= 0.0201
    del again["arms"]["teacher"]
    found = {one.name: one.same for one in compare_reports(report, again, Tolerances())}
    assert found == dict.fromkeys(found, True) | {
        "student: rougeL": False, "teacher: accuracy": False, "teacher: rougeL": False}  # fmt: skip


def test_nothing_to_compare_empty(documents):
    found = compare_labels([], [], [], EXACT)
    assert [one.n for one in found] == [0, 0, 0, 0, 0, 0]
    assert compare_reports({}, {}, EXACT) == []
    assert compare_reports(make_report(), {}, EXACT)[0].here is None
    assert json.dumps([one.to_row() for one in compare_reports(make_report(), {}, EXACT)])


def test_the_outcome_is_told_in_a_sentence():
    equal = Compared("a", 0.5, 0.5, 9, 0.02)
    near = Compared("b", 0.5, 0.51, 9, 0.02)
    far = Compared("c", 0.5, 0.6, 9, 0.02)
    gone = Compared("d", 0.5, None, 9, 0.02)
    assert [one.outcome for one in (equal, near, far, gone)] == ["equal", "within", "DIFFERENT", "missing"]
    assert sentence([equal, near]) == "All 2 were reproduced: 1 identical, 1 within tolerance (b)."
    assert sentence([equal, far, gone]) == ("2 of 3 were not reproduced: c, d; of the others, 1 identical.")
    assert sentence([far]) == "1 of 1 were not reproduced: c."
    assert sentence([near] * 6).endswith("6 within tolerance (b, b, b, b and others).")


def test_other_bytes_of_an_adapter_are_told_and_no_fault():
    assert compare_weights(None, "a" * 64) == []
    assert [(one.outcome, one.same) for one in compare_weights("a", "a")] == [("equal", True)]
    assert [(one.outcome, one.same) for one in compare_weights("a", "b")] == [("differs, not counted", True)]
    assert sentence([*compare_weights("a", None), Compared("x", 1, 1, 9, 0)]) == (
        "1 of 2 were not reproduced: bytes of the adapter; of the others, 1 identical."
    )
    assert sentence([*compare_weights("a", "b"), Compared("x", 1, 1, 9, 0)]) == (
        "All 1 were reproduced: all identical; bytes of the adapter: differs, not counted."
    )
    assert [(one.outcome, one.same) for one in compare_weights("a", None)] == [("missing", False)]
