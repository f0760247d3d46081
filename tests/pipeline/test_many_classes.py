"""More classes than there are letters (banking77 has 77, CLINC 150): whatever needs no letters runs with them."""

from __future__ import annotations

import pytest
from noise import LIBRARIES_WARN
from small_hub import rows, texts_of_classes, write_rows

from solo_hub import pipeline
from solo_hub.core.errors import InputError

pytestmark = LIBRARIES_WARN
CLASSES = [f"kind {n}" for n in range(30)]


@pytest.fixture
def thirty(settings, tmp_path):
    """Texts of thirty classes, no knowledge base."""
    return settings | texts_of_classes(tmp_path, CLASSES, questions=8, held_out=[n + 24 for n in range(6)])


@pytest.fixture
def given(tmp_path):
    """Labels brought along: text n is of class n + 20."""
    sure = [0.71 if place == 20 else 0.01 for place in range(30)]
    made = [{"id": f"t{n}", "probabilities": sure[30 - n :] + sure[: 30 - n]} for n in range(8)]
    return write_rows(tmp_path / "labels.jsonl", made)


def auto(settings):
    return {**settings["teacher"], "style": "auto"}


def test_a_language_model_teaches_itself_by_text(context, thirty):
    opened = context(thirty | {"teacher": auto(thirty)})
    report = pipeline.distill(opened)
    assert {test["style"] for test in opened.resolved.setups["teacher"].style_tests} == {"text", "text_minus_prior"}
    assert all(len(row["probabilities"]) == 30 for row in rows(opened.run.file("labels")))
    assert all(
        len(row["probabilities"]) == 30 for row in rows(opened.run.file("predictions")) if row["arm"] == "student"
    )
    assert report["arms"]["student"]["accuracy"]["n"] == 6


def test_labels_brought_along_for_a_language_model(context, thirty, given):
    opened = context(thirty | {"teacher": {**auto(thirty), "labels": given}})
    questions = pipeline.load_questions(opened)
    passages = pipeline.find_passages(opened, questions)
    made = pipeline.label(opened, questions, passages)
    assert [row.option for row in made] == [20 + n for n in range(8)]
    assert opened.resolved.style in ("text", "text_minus_prior")
    selection = pipeline.select(opened, questions, passages, made)
    pipeline.train(opened, questions, passages, made, selection, [])
    assert opened.run.has("adapter")


def test_an_encoder_learns_them(context, thirty, given):
    encoder = {
        "base": "sentence-transformers/all-MiniLM-L6-v2",
        "engine": {"name": "classifier"},
        "teacher": {"labels": given},
        "student": {"epochs": 2, "batch_size": 4, "rank": 4, "learning_rate": 0.005},
    }
    opened = context(thirty | encoder)
    report = pipeline.distill(opened)
    assert report["arms"]["student"]["accuracy"]["n"] == 6
    assert opened.engine.model.config.num_labels == 30


@pytest.mark.parametrize("brought", [False, True])
def test_letters_asked_for_by_name_are_refused(context, thirty, given, brought):
    teacher = {**thirty["teacher"], "style": "letter"} | ({"labels": given} if brought else {})
    with pytest.raises(InputError, match="has 30 options, but there are 26 letters") as caught:
        pipeline.distill(context(thirty | {"teacher": teacher}))
    assert "teacher.style=text" in str(caught.value.hint)
