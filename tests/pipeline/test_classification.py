"""Texts into classes, the whole path: by a teacher that reads no passages, or with labels brought along."""

from __future__ import annotations

import json
import math

import pytest
from noise import LIBRARIES_WARN
from small_hub import rows, write_rows

from solo_hub import pipeline
from solo_hub.checks import verification as verifying
from solo_hub.core.console import Console
from solo_hub.core.errors import ConfigError, InputError
from solo_hub.core.records import Question
from solo_hub.teacher import imported_labels

pytestmark = LIBRARIES_WARN
CLASSES = ("rain", "frost")
PAIR = Question("a", "x", CLASSES)


@pytest.fixture
def classification(settings, tmp_path):
    """Settings of a run over two files of texts, the second with known classes; no knowledge base."""
    train = [{"id": f"t{n}", "text": f"the river {n} in spring"} for n in range(12)]
    held_out = [{"id": f"h{n}", "text": f"the bear {n} in winter", "label": n % 2} for n in range(8)]
    settings["evaluation"]["arms"] = ["base_few_shot"]
    return settings | {
        "task": {
            "name": "text_classification",
            "questions": write_rows(tmp_path / "train.jsonl", train),
            "evaluation_questions": write_rows(tmp_path / "held-out.jsonl", held_out),
            "classes": list(CLASSES),
            "template": "What is the weather? {text}",
        },
        "knowledge": {"passages": 0},
    }


def share(n):
    return (n + 1) / 13


@pytest.fixture
def labels(tmp_path):
    """Brought along, in another order than the questions, with one more row than there are questions."""
    made = [{"id": f"t{n}", "p_rain": share(n), "p_frost": 1 - share(n)} for n in reversed(range(13))]
    return write_rows(tmp_path / "labels.jsonl", made)


def test_a_teacher_without_passages(context, classification):
    opened = context(classification)
    assert "knowledge" not in opened.resolved.repos
    report = pipeline.distill(opened)
    assert set(report["arms"]) == {"base", "teacher", "student", "base_few_shot"}
    assert report["arms"]["student"]["accuracy"]["n"] == 8
    for row in rows(opened.run.file("labels")):
        assert row["text"] == CLASSES[row["option"]]
        assert sum(row["probabilities"]) == pytest.approx(1)
        assert row["passages"] == []
    assert rows(opened.run.file("questions"))[0]["text"] == "What is the weather? the river 0 in spring"


def test_labels_brought_along(context, classification, labels, monkeypatch):
    teacher = {
        **classification["teacher"],
        "labels": str(labels),
        "labels_columns": {"probabilities": "p_rain,p_frost"},
    }
    changed = classification | {"teacher": teacher, "selection": {"method": "confidence", "options": {"share": 0.5}}}
    opened = context(changed)
    report = pipeline.distill(opened)
    made = rows(opened.run.file("labels"))
    assert [row["question_id"] for row in made] == [f"t{n}" for n in range(12)]
    assert [row["option"] for row in made] == [0 if share(n) >= 0.5 else 1 for n in range(12)]
    assert made[0]["probabilities"] == pytest.approx([1 / 13, 12 / 13])
    assert made[0]["style"] == "given"
    assert set(report["arms"]) == {"base", "student", "base_few_shot"}, "who gave the labels cannot be asked"
    assert len(rows(opened.run.file("selected"))) == len(rows(opened.run.file("dropped"))) == 6

    again = context(changed)
    monkeypatch.setattr(type(again), "source", lambda *_: pytest.fail("a finished run reads nothing again"))
    assert pipeline.distill(again) == report


def test_classes_have_thresholds_of_their_own(context, classification, labels):
    """Options of a question are places, and places have none; classes are the same for all texts."""
    teacher = {
        **classification["teacher"],
        "labels": str(labels),
        "labels_columns": {"probabilities": "p_rain,p_frost"},
    }
    selection = {"method": "llkd", "options": {"per_class": True}}
    opened = context(classification | {"teacher": teacher, "selection": selection})
    questions = pipeline.load_questions(opened)
    passages = pipeline.find_passages(opened, questions)
    made = pipeline.label(opened, questions, passages)
    selection = pipeline.select(opened, questions, passages, made)
    pipeline.train(opened, questions, passages, made, selection, [])
    log = json.loads((opened.run.file("adapter") / "training.json").read_text())["log"]
    assert all(len(row["confidence_thresholds"]) == 2 for row in log)


def test_a_question_without_a_label_stops_the_run(context, classification, labels):
    write_rows(labels, rows(labels)[:-1])  # without t0
    teacher = {
        **classification["teacher"],
        "labels": str(labels),
        "labels_columns": {"probabilities": "p_rain,p_frost"},
    }
    with pytest.raises(InputError, match=r"1 of 12 questions have no label \(first: 't0'\)"):
        pipeline.distill(context(classification | {"teacher": teacher}))


def test_two_labels_of_one_question_stop_the_run(context, classification, labels):
    write_rows(labels, [*rows(labels), rows(labels)[-1]])
    teacher = {
        **classification["teacher"],
        "labels": str(labels),
        "labels_columns": {"probabilities": "p_rain,p_frost"},
    }
    with pytest.raises(InputError, match="duplicate label for question 't0'") as caught:
        pipeline.distill(context(classification | {"teacher": teacher}))
    assert "row 14" in caught.value.message


def test_an_unknown_column_is_named(context, classification, labels):
    teacher = {**classification["teacher"], "labels": str(labels), "labels_columns": {"probability": "p_rain"}}
    with pytest.raises(ConfigError, match="unknown key 'probability'"):
        pipeline.distill(context(classification | {"teacher": teacher}))


@pytest.mark.parametrize(
    ("row", "names", "expected"),
    [
        ({"p": [0.25, 0.75]}, ["p"], (0.25, 0.75)),
        ({"p": "[0.25, 0.75]"}, ["p"], (0.25, 0.75)),
        ({"a": "0.25", "b": "0.75"}, ["a", "b"], (0.25, 0.75)),
        ({"p": [0.333, 0.667]}, ["p"], (0.333, 0.667)),
        ({"p": [0.5, 0.505]}, ["p"], (0.5 / 1.005, 0.505 / 1.005)),
        ({"p": [0, 1]}, ["p"], (0.0, 1.0)),
    ],
)
def test_probabilities_of_a_row(row, names, expected):
    assert imported_labels.probabilities(row, names, PAIR) == pytest.approx(expected)


@pytest.mark.parametrize(
    "given",
    [
        [0.5],
        [0.2, 0.3, 0.5],
        [],
        "0.5",
        "[broken",
        None,
        0.5,
        [0.5, 0.6],
        [-0.5, 1.5],
        [math.nan, 1],
        ["a", 1],
        [None, 1],
    ],
)
def test_what_are_no_probabilities(given):
    with pytest.raises(InputError, match="question 'a'"):
        imported_labels.probabilities({"p": given}, ["p"], PAIR)


def test_of_equal_probabilities_the_first_option_is_taken():
    label = imported_labels.make_label(PAIR, (0.5, 0.5), "k")
    assert (label.option, label.text, label.confidence) == (0, "rain", 0.5)


# -- an encoder as the student -------------------------------------------------------------------------------------

ENCODER = "sentence-transformers/all-MiniLM-L6-v2"


@pytest.fixture
def encoder(classification, labels):
    """Texts of two kinds, with labels that are right: half of them are of the river, half of the bear."""
    texts = [f"the {'river' if n % 2 else 'bear'} {n} of the north" for n in range(12)]
    write_rows(classification["task"]["questions"], [{"id": f"t{n}", "text": text} for n, text in enumerate(texts)])
    sure = [{"id": f"t{n}", "probabilities": [0.9, 0.1] if n % 2 else [0.1, 0.9]} for n in range(12)]
    return classification | {
        "base": ENCODER,
        "engine": {"name": "classifier"},
        "task": {**classification["task"], "template": "{text}"},
        "teacher": {"labels": write_rows(labels, sure)},
        "selection": {"method": "llkd", "options": {"momentum": 0.5, "per_class": True}},
        "student": {"epochs": 12, "batch_size": 6, "rank": 4, "learning_rate": 0.005},
        "evaluation": {"resamples": 200, "cost_questions": 0, "map": "off"},
        "publish": {"allow_no_gain": True},
    }


def test_an_encoder_learns_classes_and_a_stranger_loads_it(context, encoder, hub, tmp_path):
    import torch
    from peft import PeftModel
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    opened = context(encoder)
    report = pipeline.distill(opened, push=True)
    assert set(report["arms"]) == {"base", "student"}
    assert report["forgetting"] is None
    log = json.loads((opened.run.file("adapter") / "training.json").read_text())["log"]
    assert log[-1]["loss"] < log[0]["loss"]
    assert any(row["kept"] < row["batch"] for row in log)
    assert set(report["published"]) == {"dataset", "adapter", "collection"}, "the Space asks a language model"
    card = (opened.run.file("adapter_repo") / "README.md").read_text()
    assert "AutoModelForSequenceClassification" in card
    assert "AutoModelForCausalLM" not in card
    assert "pipeline_tag: text-classification" in card
    assert "taught itself" not in card

    folder = opened.client.pull(opened.client.pin(report["published"]["adapter"]["repo_id"], "model"))
    base = opened.source("base")
    model = AutoModelForSequenceClassification.from_pretrained(base, num_labels=2)
    model = PeftModel.from_pretrained(model, folder).eval()
    texts = ["the river 1 of the north", "the bear 2 of the north"]
    with torch.inference_mode():
        inputs = AutoTokenizer.from_pretrained(base)(texts, return_tensors="pt", padding=True)
        probabilities = model(**inputs).logits.softmax(-1)
    assert probabilities.argmax(1).tolist() == [0, 1]
    questions = [Question("a", text, CLASSES) for text in texts]
    ours = opened.engine.score([opened.builder.ask(q, "class") for q in questions], [CLASSES, CLASSES])
    verified = verifying.verify_repo(opened.client, report["published"]["adapter"]["repo_id"], Console("quiet"))
    assert [result.name for result in verified.results if result.state == "fail"] == []
    assert torch.tensor(ours).exp().tolist() == [pytest.approx(row, abs=1e-4) for row in probabilities.tolist()]


def test_an_encoder_is_no_teacher(context, encoder):
    with pytest.raises(ConfigError, match="cannot be its own teacher"):
        context(encoder | {"teacher": {}})


def test_an_encoder_needs_classes(context, encoder):
    task = {key: value for key, value in encoder["task"].items() if key not in ("classes", "template")}
    with pytest.raises(ConfigError, match="the task open_qa has no classes"):
        context(encoder | {"task": task | {"name": "open_qa"}})
