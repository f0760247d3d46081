"""Documents are enough: questions are written from them, some are held out, the rest is learnt and published."""

from __future__ import annotations

import json

import pytest
import yaml
from datasets import load_dataset
from noise import LIBRARIES_WARN

from solo_hub import pipeline
from solo_hub.core.errors import ConfigError, InputError
from solo_hub.curation.step import STUDIED, UNSEEN

pytestmark = LIBRARIES_WARN


@pytest.fixture
def documents(settings):
    """The invented world's documents, and no question."""
    return {
        **settings,
        "name": "read",
        "task": {"name": "multiple_choice", "evaluation_limit": 40},
        "curation": {"limit": 40, "held_out": 0.2},
        "teacher": {**settings["teacher"], "style": "text", "calibrate": False},
    }


def rows(path):
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def test_documents_alone_from_questions_to_the_hub(documents, context, hub):
    made = context(documents)
    report = pipeline.distill(made, push=True)
    curated = {row["id"]: row for row in rows(made.run.file("curated"))}
    learnt = [row for row in curated.values() if row["dropped"] is None]
    held = [row for row in curated.values() if row["dropped"] in (UNSEEN, STUDIED)]

    asked = rows(made.run.file("questions"))
    assert [row["id"] for row in asked] == [row["id"] for row in learnt]
    assert 0 < len(learnt) <= 40
    # the answer is the document's, with the sentences it was written from; no teacher, so no confidence
    for label in rows(made.run.file("labels")):
        row = curated[label["question_id"]]
        assert (label["text"], label["option"]) == (
            row["answer"],
            row["options"].index(row["answer"]) if row["options"] else None,
        )
        assert (label["confidence"], label["probabilities"], label["style"]) == (None, None, "written")
        assert label["passages"] == row["documents"]
    # nobody is evaluated on what was learnt, nor are facts of the unseen part studied
    evaluated = {row["id"] for row in rows(made.run.file("held_out"))}
    assert evaluated <= {row["id"] for row in held}
    assert not evaluated & {row["id"] for row in asked}
    studied = {sentence for row in learnt for sentence in row["sentences"]}
    assert not studied & {s for row in held if row["dropped"] == UNSEEN for s in row["sentences"]}
    assert {s for row in held if row["dropped"] == STUDIED for s in row["sentences"]} <= studied
    # the report says how much of the documents is asked about, and both numbers apart
    found = report["curation"]
    assert found["learnt"] == len(learnt)
    assert found["coverage"]["asked"] == len({name for row in learnt for name in row["documents"]})
    assert found["coverage"]["documents"] == len(found["coverage"]["not_asked"]) + found["coverage"]["asked"]
    assert set(found["arms"]) >= {"base", "teacher", "student"}
    n = sum(cell["n"] for cell in found["arms"]["student"].values())
    assert n == report["n_questions"] == len(evaluated)
    assert "What it read" in made.run.file("html").read_text("utf-8")
    # strangers get the questions with their sources
    folder = made.run.file("dataset_repo")
    loaded = load_dataset(str(folder), "curated", split="train")
    assert loaded["id"] == list(curated)
    assert loaded["dropped"].count(None) == len(learnt)
    card = (folder / "README.md").read_text("utf-8")
    assert "**the questions are generated**" in card
    assert "no teacher was asked" in card
    assert report["published"]["dataset"]["repo_id"].rpartition("/")[2].startswith("read-")
    adapter = (made.run.file("adapter_repo") / "README.md").read_text("utf-8")
    assert "## What it read" in adapter
    assert "facts nobody asked about" in adapter

    # a finished run does no work again, and a rerun writes the same questions
    before = made.run.file("curated").read_bytes()
    assert pipeline.distill(context(documents))["curation"] == found
    again = context(documents, made.run.path.parent / "again")
    pipeline.load_questions(again)
    assert again.run.file("curated").read_bytes() == before


def test_the_teacher_checks_what_was_written(documents, context):
    """With the source before it, the teacher must give the document's answer; else the label is dropped."""
    made = context({**documents, "curation": {**documents["curation"], "check": "teacher"}})
    questions = pipeline.load_questions(made)
    passages = pipeline.find_passages(made, questions)
    labels = pipeline.label(made, questions, passages)
    selection = pipeline.select(made, labels)
    answers = {row["id"]: row for row in rows(made.run.file("curated"))}
    assert all(label.style != "written" for label in labels)
    wrong = {
        label.question_id
        for label in labels
        if label.option is not None
        and label.option != answers[label.question_id]["options"].index(answers[label.question_id]["answer"])
    }
    reasons = {verdict.question_id: verdict.reason for verdict in selection.dropped}
    assert wrong, "a random model is wrong somewhere"
    assert {
        name for name, reason in reasons.items() if reason == "filter: the teacher contradicts the document"
    } >= wrong
    assert not wrong & {verdict.question_id for verdict in selection.kept}


def test_written_questions_beside_the_users_own(settings, context):
    """The user's questions are labelled by the teacher, written ones by their documents; both are learnt."""
    mixed = {
        **settings,
        "curation": {"writers": ["cloze"], "limit": 10},
        "task": {**settings["task"], "train_limit": 8},
    }
    made = context(mixed)
    questions = pipeline.load_questions(made)
    assert len(questions) == 18
    labels = pipeline.label(made, questions, pipeline.find_passages(made, questions))
    assert [label.style == "written" for label in labels] == [False] * 8 + [True] * 10
    assert not [row for row in rows(made.run.file("curated")) if row["dropped"] in (UNSEEN, STUDIED)]


def test_no_documents_are_ever_a_default(settings, context):
    with pytest.raises(ConfigError, match="nothing to learn from"):
        context({**settings, "task": {"name": "multiple_choice"}, "knowledge": {}})
    with pytest.raises(ConfigError, match="No documents are configured for the teacher"):
        context({**settings, "knowledge": {"passages": 4}})


def test_documents_without_a_sentence_are_named(documents, context, tmp_path):
    corpus = tmp_path / "corpus.jsonl"
    corpus.write_text('{"id": "a", "text": "Rain."}\n{"id": "b", "text": "?"}\n', "utf-8")
    made = context({**documents, "knowledge": {"source": str(corpus), "passages": 2}})
    with pytest.raises(InputError, match=r"corpus.jsonl: no question could be written from the 2 documents"):
        pipeline.load_questions(made)


def test_a_run_killed_after_writing_goes_on_with_the_same_questions(documents, context, monkeypatch):
    made = context(documents)
    pipeline.load_questions(made)
    made.run.file("questions").unlink()
    monkeypatch.setattr("solo_hub.curation.step._write", lambda _: pytest.fail("written again"))
    again = context(documents)
    written = pipeline.load_questions(again)
    assert [q.id for q in written] == [row["id"] for row in rows(made.run.file("curated")) if row["dropped"] is None]
    assert yaml.safe_load(made.run.file("config").read_text())["resolved"]["curated"]["learnt"] == len(written)
