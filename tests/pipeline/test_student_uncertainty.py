"""The base asked closed book ahead of training: both scores stand in the files, and no answer is paid for twice."""

from __future__ import annotations

import numpy as np
import pytest
from noise import LIBRARIES_WARN
from small_hub import rows, texts_of_classes, write_rows

from solo_hub import pipeline
from solo_hub.core.errors import ConfigError, InputError
from solo_hub.core.records import Question
from solo_hub.selection import base_uncertainty

pytestmark = LIBRARIES_WARN
CLASSES = ["rain", "frost", "fog"]


@pytest.fixture
def weather(settings, tmp_path):
    """Ten texts of three classes, with labels brought along that grow surer, four texts a batch."""
    sure = [{"id": f"t{n}", "probabilities": [0.9 - n / 20, 0.05 + n / 40, 0.05 + n / 40]} for n in range(10)]
    made = settings | texts_of_classes(tmp_path, CLASSES, questions=10, held_out=[n % 3 for n in range(4)])
    made["evaluation"]["arms"] = []
    return made | {
        "teacher": {"style": "text", "batch_size": 4, "labels": write_rows(tmp_path / "labels.jsonl", sure)},
        "selection": {"method": "confidence", "ask_student": True},
    }


def labelled(made):
    questions = pipeline.load_questions(made)
    passages = pipeline.find_passages(made, questions)
    return questions, passages, pipeline.label(made, questions, passages)


def scores(made):
    found = [*rows(made.run.file("selected")), *rows(made.run.file("dropped"))]
    return {row["question_id"]: row["uncertainty"] for row in found}


def test_both_scores_stand_in_both_files_and_in_the_report(context, weather):
    made = context(weather)
    report = pipeline.distill(made)
    found = scores(made)
    assert len(found) == 10
    assert all(row["confidence"] is not None for row in rows(made.run.file("dropped")))
    question = Question("t3", "the river 3", tuple(CLASSES))
    builder = made.builder
    with made.engine.adapter(False):
        (by_hand,) = made.engine.score([builder.ask(question, "text")], [builder.continuations(question, "text")])
    p = np.exp(by_hand) / np.exp(by_hand).sum()
    assert found["t3"] == pytest.approx(float(-(p * np.log(p)).sum() / np.log(3)), abs=0.01), "asked in bfloat16"
    asked = report["selection"]["student_asked"]
    assert (asked["questions"], asked["mean_uncertainty"]) == (10, pytest.approx(np.mean(list(found.values()))))
    assert asked["seconds"] > 0


def test_nobody_asks_by_default(context, weather, monkeypatch):
    monkeypatch.setattr(base_uncertainty, "choose", lambda *_: pytest.fail("asked"))
    made = context(weather | {"selection": {"method": "confidence"}})
    rows_so_far = labelled(made)
    pipeline.select(made, *rows_so_far)
    assert set(scores(made).values()) == {None}
    assert not (made.run.path / base_uncertainty.FILE).exists()


def test_an_interrupted_run_asks_for_the_rest_alone(context, weather, monkeypatch):
    """Ten texts in batches of four: the second batch fails, the first stays paid for, six are asked then."""
    made, asked, choose = context(weather), [], base_uncertainty.choose
    rows_so_far = labelled(made)

    def fails_then(engine, builder, questions, prompts, style):
        if asked and not made.run.has("selected") and len(asked) == 4:
            asked.append("lost")
            raise KeyboardInterrupt
        asked.extend(question.id for question in questions)
        return choose(engine, builder, questions, prompts, style)

    monkeypatch.setattr(base_uncertainty, "choose", fails_then)
    with pytest.raises(KeyboardInterrupt):
        pipeline.select(made, *rows_so_far)
    assert not made.run.has("selected")
    pipeline.select(context(weather), *rows_so_far)
    assert asked == [*(f"t{n}" for n in range(4)), "lost", *(f"t{n}" for n in range(4, 10))]

    first = scores(made)
    other = context(weather | {"selection": {"method": "llkd_ahead", "ask_student": True}}, update=True)
    monkeypatch.setattr(base_uncertainty, "choose", lambda *_: pytest.fail("asked twice"))
    selection = pipeline.select(other, *rows_so_far)
    assert scores(other) == first
    assert 0 < len(selection.kept) < 10


def test_another_base_or_style_is_asked_anew(context, weather, tmp_path):
    made = context(weather)
    rows_so_far = labelled(made)
    pipeline.select(made, *rows_so_far)
    before = scores(made)
    teacher = {**weather["teacher"], "style": "text_minus_prior"}
    other = context(weather | {"teacher": teacher}, update=True)
    rows_so_far = labelled(other)
    pipeline.select(other, *rows_so_far)
    assert all(scores(other)[name] != before[name] for name in before)


def test_a_damaged_answer_is_named(context, weather):
    made = context(weather)
    rows_so_far = labelled(made)
    write_rows(made.run.path / base_uncertainty.FILE, [{"key": "k", "uncertainty": 1.5, "seconds": 0.1}])
    with pytest.raises(InputError, match="uncertainty must be between 0 and 1") as caught:
        pipeline.select(made, *rows_so_far)
    assert "row 1" in caught.value.message


def test_an_encoder_is_not_asked(context, weather):
    encoder = {"base": "sentence-transformers/all-MiniLM-L6-v2", "engine": {"name": "classifier"}}
    teacher = {key: value for key, value in weather["teacher"].items() if key != "style"}
    made = context(weather | encoder | {"teacher": teacher})
    rows_so_far = labelled(made)
    with pytest.raises(ConfigError, match="an encoder's head is untrained"):
        pipeline.select(made, *rows_so_far)


def test_free_text_is_not_asked(context, weather):
    with pytest.raises(ConfigError, match="question 'free' has no options"):
        base_uncertainty.ask(context(weather), [Question("free", "Why?")])
