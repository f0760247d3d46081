"""The teacher ranks the student's closed-book answers against its own; `dpo` learns from it; it is published."""

from __future__ import annotations

import contextlib
from types import SimpleNamespace

import pytest
from noise import LIBRARIES_WARN
from small_hub import small_settings

from solo_hub import pipeline
from solo_hub.checks import repo_contents
from solo_hub.core.console import Console
from solo_hub.core.errors import ConfigError, InputError
from solo_hub.core.records import Prediction, Preference, PseudoLabel, Question
from solo_hub.models.prompts import PromptBuilder
from solo_hub.publishing.dataset import read_rows
from solo_hub.run import rows as run_rows
from solo_hub.teacher import feedback

pytest.importorskip("trl", reason="the extra 'trl' is not installed")

pytestmark = LIBRARIES_WARN


def test_a_run_by_dpo_asks_ranks_learns_and_publishes(context):
    wanted = small_settings(whole=True)
    wanted["student"] |= {"objective": "dpo", "epochs": 1}
    wanted["evaluation"]["generate"] = False
    made = context(wanted)
    report = pipeline.distill(made, push=True)
    labels = {row.question_id: row for row in made.run.read_rows("labels", PseudoLabel)}
    rows = made.run.read_rows("feedback", Preference)
    assert 0 < len(rows) < len(labels), "the tiny teacher differs from itself closed book on some questions"
    for row in rows:
        label = labels[row.question_id]
        assert row.chosen_by == "teacher"  # its label is what it finds most probable
        assert (row.chosen, row.chosen_option) == (label.text, label.option)
        assert row.rejected_probability == label.probabilities[row.rejected_option] < row.chosen_probability
    assert report["feedback"]["pairs"] == len(rows)
    assert report["training"]["examples"] == report["feedback"]["learnt"] <= len(rows)
    folder = made.run.file("dataset_repo")
    assert [Preference.from_row(row) for row in read_rows(folder, "feedback")] == rows
    assert {check.name: check.state for check in repo_contents.verify(folder)}["feedback"] == "pass"
    assert "config_name: feedback" in (folder / "README.md").read_text()
    assert "DPO" in (made.run.file("adapter_repo") / "README.md").read_text()

    # a row of another run is found
    (folder / "data" / "all").rename(folder / "data" / "elsewhere")
    assert {check.name: check.state for check in repo_contents.verify(folder)}["feedback"] == "fail"
    made.run.write_rows("feedback", [Preference("nobody", "a", "b", 0, 1, 0.9, 0.1, "teacher")])
    with pytest.raises(InputError, match="question 'nobody' is unknown"):
        run_rows.read_feedback(made.run, run_rows.read_questions(made.run))


class Scorer:
    """Finds `ice` three nats a token more probable than anything else; a word is a token."""

    context_length = 100

    def count_tokens(self, texts):
        return [len(text.split()) for text in texts]

    def score(self, prompts, continuations):
        return [
            [sum(-1.0 if word == "ice" else -4.0 for word in text.split()) for text in some] for some in continuations
        ]


def stub(monkeypatch, engine, answers):
    monkeypatch.setattr(feedback, "_closed_book", lambda *_: answers)
    monkeypatch.setattr(
        feedback.decision,
        "require_setup",
        lambda _: SimpleNamespace(builder=lambda plain: plain, recipe=SimpleNamespace(style="text"), style="text"),
    )
    teacher = SimpleNamespace(engine=engine, builder=PromptBuilder(), weights=contextlib.nullcontext)
    return SimpleNamespace(teacher=teacher, teachers=(teacher,), console=Console("quiet"))


def written(name, label, answer):
    return (
        Question(name, "What is frozen water?"),
        PseudoLabel(name, None, None, label, 0.5, (), 0, "generate", "k"),
        Prediction(name, "student", None, None, answer),
    )


def test_written_answers_are_ranked_by_the_teacher(monkeypatch):
    """Mean log p a token: `ice` -1, `a cold stone` -4; 1 / (1 + e^-3) = 0.953. The same answer is no pair."""
    rows = [written("q0", "a cold stone", "ice"), written("q1", "ice", "snow"), written("q2", "ice", " ICE ")]
    questions, labels, answers = (list(part) for part in zip(*rows, strict=True))
    found = feedback.collect(stub(monkeypatch, Scorer(), answers), questions, labels, {})
    assert [(row.question_id, row.chosen, row.chosen_by) for row in found] == [
        ("q0", "ice", "student"), ("q1", "ice", "teacher")]  # fmt: skip
    assert found[0].chosen_probability == pytest.approx(0.9526, abs=1e-4)


def test_a_teacher_without_probabilities_cannot_rank(monkeypatch):
    question, label, answer = written("q0", "snow", "ice")
    silent = SimpleNamespace(count_tokens=Scorer().count_tokens, score=lambda *_: [None], context_length=100)
    with pytest.raises(ConfigError, match="returns no log-probabilities"):
        feedback.collect(stub(monkeypatch, silent, [answer]), [question], [label], {})
    chosen = PseudoLabel("q0", 1, None, "b", None, (), 0, "text", "k")
    with pytest.raises(ConfigError, match="the label of question 'q0' has none"):
        feedback.collect(stub(monkeypatch, silent, [answer]), [question], [chosen], {})
