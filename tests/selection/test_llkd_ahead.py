"""LLKD's two conditions ahead of training, by hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from selection_cases import kept, labels

from solo_hub.core.errors import ConfigError, InputError
from solo_hub.core.plugins import InformedSelector
from solo_hub.selection.llkd_ahead import LlkdAhead
from solo_hub.selection.steps import Reason

shares = st.floats(0, 1)


def test_kept_is_what_lies_at_or_above_both_means():
    """c = .9 .8 .3 .4, mean .6: a, b. u = .6 .1 .9 .2, mean .45: a, c. Both: a."""
    made = LlkdAhead({}, 0).select_with(labels(0.9, 0.8, 0.3, 0.4), {"a": 0.6, "b": 0.1, "c": 0.9, "d": 0.2})
    assert kept(made) == "a"
    assert [verdict.uncertainty for verdict in made.verdicts] == [0.6, 0.1, 0.9, 0.2]
    assert [verdict.confidence for verdict in made.verdicts] == [0.9, 0.8, 0.3, 0.4]
    wanted = [Reason.USEFUL, Reason.STUDENT_SURE, Reason.TEACHER_UNSURE, Reason.NEITHER]
    assert [verdict.reason for verdict in made.verdicts] == wanted


def test_equal_scores_are_all_kept():
    assert kept(LlkdAhead({}, 0).select_with(labels(0.1, 0.1, 0.1), dict.fromkeys("abc", 0.7))) == "abc"


def test_nothing_to_judge_empty():
    assert LlkdAhead({}, 0).select_with([], {}).verdicts == ()


def test_labels_without_a_confidence():
    """The means are those of the labels judged: without b, c's mean is .5 and u's .4."""
    known = {"a": 0.6, "b": 1.0, "c": 0.2}
    with pytest.raises(InputError, match="1 of 3 labels have no confidence"):
        LlkdAhead({}, 0).select_with(labels(0.9, None, 0.1), known)
    assert kept(LlkdAhead({"without_confidence": "keep"}, 0).select_with(labels(0.9, None, 0.1), known)) == "ab"
    assert kept(LlkdAhead({"without_confidence": "drop"}, 0).select_with(labels(0.9, None, 0.1), known)) == "a"


def test_the_labels_alone_are_not_enough():
    with pytest.raises(ConfigError, match="the student's uncertainty") as caught:
        LlkdAhead({}, 0).select(labels(0.9))
    assert "selection.ask_student=true" in str(caught.value.hint)
    assert isinstance(LlkdAhead({}, 0), InformedSelector)


@given(st.lists(st.tuples(shares, shares), max_size=8))
def test_every_label_has_a_verdict_with_both_scores(pairs):
    made = labels(*[c for c, _ in pairs])
    known = {label.question_id: u for label, (_, u) in zip(made, pairs, strict=True)}
    verdicts = LlkdAhead({}, 0).select_with(made, known).verdicts
    assert [v.question_id for v in verdicts] == [label.question_id for label in made]
    assert all((v.confidence, v.uncertainty) == pair for v, pair in zip(verdicts, pairs, strict=True))
