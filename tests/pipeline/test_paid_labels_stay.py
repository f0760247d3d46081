"""Labels that are paid for survive every change of settings, also where no question or prompt of now needs them."""

from __future__ import annotations

import pytest
from noise import LIBRARIES_WARN
from small_hub import rows, write_rows

from solo_hub import pipeline
from solo_hub.teacher import step as teacher_step
from solo_hub.teacher.labelling import Teacher

pytestmark = LIBRARIES_WARN


@pytest.fixture
def settings(settings):
    """Without passages: what is looked up makes no difference here."""
    return {**settings, "knowledge": {"passages": 0}}


def labelled(made):
    asked = pipeline.load_questions(made)
    return pipeline.label(made, asked, pipeline.find_passages(made, asked))


def fewer(settings):
    return {**settings, "task": {**settings["task"], "train_limit": 4}}


def test_a_quick_try_with_fewer_questions_costs_nothing(context, settings, monkeypatch):
    made = context(settings)
    before = labelled(made)
    text = made.run.file("labels").read_bytes()
    some = labelled(context(fewer(settings), update=True))
    assert len(some) == 4 < len(before)
    assert [row["key"] for row in rows(made.run.file("labels"))] == [row.key for row in some]
    monkeypatch.setattr(Teacher, "_label_batch", lambda *_, **__: pytest.fail("labels were paid for"))
    assert labelled(context(fewer(settings))) == some
    again = context(settings, update=True)
    assert labelled(again) == before
    assert again.run.file("labels").read_bytes() == text
    assert labelled(context(settings)) == before


def test_another_prompt_and_back(context, settings, monkeypatch):
    made = context(settings)
    before = labelled(made)
    other = {**settings, "teacher": {**settings["teacher"], "prompt": "chat"}}
    assert {row.key for row in labelled(context(other, update=True))}.isdisjoint(row.key for row in before)
    monkeypatch.setattr(Teacher, "_label_batch", lambda *_, **__: pytest.fail("labels were paid for"))
    assert labelled(context(settings, update=True)) == before


def test_labels_brought_along_do_not_cost_the_teachers(context, settings, tmp_path):
    made = context(settings)
    before = labelled(made)
    asked = {question.id: question for question in pipeline.load_questions(made)}
    given = [
        {"id": name, "probabilities": [1.0, *[0.0] * (len(question.options) - 1)]} for name, question in asked.items()
    ]
    brought = {
        **settings,
        "teacher": {**settings["teacher"], "labels": write_rows(tmp_path / "labels.jsonl", given)},
    }
    again = context(brought, update=True)
    assert {row.style for row in labelled(again)} == {teacher_step.GIVEN}
    assert {row.key for row in before} <= teacher_step.read_cached(again).keys()


def test_stopped_while_labelling_something_else(context, settings, monkeypatch):
    """A file with labels of two settings in it holds all of both, and is put in order when the step is done."""
    from solo_hub.core.files import Appender

    made = context(settings)
    before = labelled(made)
    other = {**settings, "teacher": {**settings["teacher"], "prompt": "chat"}}
    append = Appender.append

    def die(self, batch):
        append(self, batch)
        raise KeyboardInterrupt

    monkeypatch.setattr(Appender, "append", die)
    with pytest.raises(KeyboardInterrupt):
        labelled(context(other, update=True))
    monkeypatch.setattr(Appender, "append", append)
    assert len(rows(made.run.file("labels"))) > len(before)
    monkeypatch.setattr(Teacher, "_label_batch", lambda *_, **__: pytest.fail("labels were paid for"))
    again = context(settings, update=True)
    assert labelled(again) == before
    assert [row["key"] for row in rows(again.run.file("labels"))] == [row.key for row in before]
    assert len(rows(again.run.path / teacher_step.EARLIER)) == settings["teacher"]["batch_size"]


def test_at_most_one_batch_of_labels_is_computed_again(context, settings, monkeypatch):
    """Stopped after the third batch was computed and before it was saved: that batch alone is computed twice."""
    from solo_hub.core.files import Appender

    made = context(settings)
    computed = []
    whole = Teacher._label_batch
    monkeypatch.setattr(
        Teacher,
        "_label_batch",
        lambda self, some, *rest: (computed.extend(q.id for q in some), whole(self, some, *rest))[1],
    )
    append = Appender.append
    saved = []

    def die(self, batch):
        if len(saved) == 2:
            raise KeyboardInterrupt
        saved.append(len(batch))
        append(self, batch)

    monkeypatch.setattr(Appender, "append", die)
    with pytest.raises(KeyboardInterrupt):
        labelled(made)
    monkeypatch.setattr(Appender, "append", append)
    labels = labelled(context(settings))
    assert len(labels) == len({row.question_id for row in labels}) == settings["task"]["train_limit"]
    assert len(computed) == len(labels) + settings["teacher"]["batch_size"]
