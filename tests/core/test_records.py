"""Records: every one of them survives the way through a file."""

from __future__ import annotations

import dataclasses
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from solo_hub.core import records
from solo_hub.core.errors import InputError
from solo_hub.core.files import dumps
from solo_hub.core.records import Example, Gold, Passage, PseudoLabel, Question, Retrieval, Selection, Verdict, join
from solo_hub.core.rows import Record

KINDS = [
    kind
    for kind in vars(records).values()
    if isinstance(kind, type) and issubclass(kind, Record) and kind is not Record
]

texts = st.text(st.characters(exclude_categories=["Cs"]))
shares = st.floats(0, 1)
optional_shares = st.none() | shares
FIELDS = {
    "id": texts,
    "text": texts,
    "options": st.lists(texts).map(tuple),
    "labels": st.lists(texts, max_size=3).map(tuple),
    "aliases": st.lists(texts, max_size=3).map(tuple),
    "answer": texts,
    "documents": st.lists(texts).map(tuple),
    "writer": texts,
    "form": texts,
    "sentences": st.lists(texts).map(tuple),
    "language": texts,
    "dropped": st.none() | texts,
    "question_id": texts,
    "option": st.none() | st.integers(0, 25),
    "facts": st.lists(texts).map(tuple),
    "source": texts,
    "score": st.floats(allow_nan=False, allow_infinity=False),
    "probabilities": st.none() | st.lists(shares).map(tuple),
    "confidence": optional_shares,
    "passages": st.lists(texts).map(tuple),
    "passages_dropped": st.integers(0, 100),
    "style": texts,
    "key": texts,
    "explanation": st.none() | texts,
    "option_support": st.none() | st.lists(st.floats(max_value=0, allow_infinity=False, allow_nan=False)).map(tuple),
    "agreement": optional_shares,
    "chosen": texts,
    "rejected": texts,
    "chosen_option": st.none() | st.integers(0, 25),
    "rejected_option": st.none() | st.integers(0, 25),
    "chosen_probability": shares,
    "rejected_probability": shares,
    "chosen_by": texts,
    "kept": st.booleans(),
    "reason": texts,
    "uncertainty": optional_shares,
    "weight": shares,
    "arm": texts,
    "seconds": st.floats(0, 1e6),
    "prompt_tokens": st.integers(0, 4000),
    "written_tokens": st.integers(0, 4000),
}


def values(kind):
    special = {}
    if kind is Retrieval:
        special = {"passages": st.lists(values(Passage), max_size=3).map(tuple)}
    if kind is Example:
        special = {"question": values(Question), "label": values(PseudoLabel)}
    return st.builds(
        kind, **{f.name: special[f.name] if f.name in special else FIELDS[f.name] for f in dataclasses.fields(kind)}
    )


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@given(data=st.data())
def test_a_record_is_read_back_as_it_was_written(kind, data):
    record = data.draw(values(kind))
    assert kind.from_row(json.loads(dumps(record))) == record


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_a_record_cannot_be_changed_and_says_what_its_fields_mean(kind):
    assert kind.__dataclass_params__.frozen
    assert kind.__doc__


def test_newer_files_stay_readable():
    assert Question.from_row({"id": "q", "text": "Why?", "colour": "blue"}) == Question("q", "Why?")


def test_a_missing_field_is_named():
    with pytest.raises(InputError, match="a Question row has no 'text'"):
        Question.from_row({"id": "q"})


def test_a_selection_keeps_both_halves():
    verdicts = (Verdict("a", kept=True, reason="sure"), Verdict("b", kept=False, reason="unsure"))
    selection = Selection("confidence", verdicts)
    assert selection.kept == verdicts[:1]
    assert selection.dropped == verdicts[1:]
    assert selection.kept_share == 0.5


def test_a_selection_empty():
    selection = Selection("confidence", ())
    assert (selection.kept, selection.dropped, selection.kept_share) == ((), (), 0.0)


def label(question_id):
    return PseudoLabel(question_id, 0, (0.9, 0.1), "yes", 0.9, (), 0, "text", "k")


def test_join_keeps_what_was_kept_with_its_weight():
    questions = [Question(name, name.upper()) for name in "cab"]
    verdicts = [
        Verdict("c", kept=True, reason="", weight=0.5),
        Verdict("a", kept=False, reason=""),
        Verdict("b", kept=True, reason=""),
    ]
    joined = join(questions, [label(name) for name in "cab"], verdicts)
    assert [(e.question.id, e.label.question_id, e.weight) for e in joined] == [("c", "c", 0.5), ("b", "b", 1.0)]
    assert join([], [], []) == []


def test_a_row_has_no_labels_and_no_aliases_where_there_are_none():
    """Files are as those of versions that knew neither, and so are the keys of what was answered."""
    plain = Question("a", "Why?", ("x", "y"))
    assert plain.to_row() == plain.asked() == {"id": "a", "text": "Why?", "options": ["x", "y"]}
    labelled = dataclasses.replace(plain, labels=("1", "2"))
    assert labelled.to_row()["labels"] == ["1", "2"]
    assert labelled.asked() == plain.asked()
    assert list(Gold("a", None, "x").to_row()) == ["question_id", "option", "text", "facts"]
    several = Gold("a", None, "x", aliases=("y",))
    assert several.to_row()["aliases"] == ["y"]
    assert several.references == ("x", "y")
