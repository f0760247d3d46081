"""A whole run on questions as strangers publish them: labels that are not letters, paths, several references."""

from __future__ import annotations

import json

import pytest
from small_hub import write_rows

from solo_hub import pipeline
from solo_hub.core.records import Gold, Prediction, Question
from solo_hub.evaluation import external_predictions as outside_answers
from solo_hub.evaluation.golds import golds
from solo_hub.knowledge.step import RunKnowledge
from solo_hub.tasks.step import questions
from solo_hub.teacher.labelling import label_key

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")

METALS = ("wood", "iron", "glass")


def nested(number, answer=None):
    options = [{"label": label, "text": text} for label, text in zip("123", METALS, strict=True)]
    return {
        "id": f"q{number}",
        "question": {"stem": f"Which is a metal, {number}?", "choices": options, "answer": "a secret"},
        **({} if answer is None else {"answerKey": answer}),
    }


@pytest.fixture
def remarks(monkeypatch):
    from solo_hub.core.console import Console

    said = []
    monkeypatch.setattr(Console, "note", lambda _self, text: said.append(text))
    return said


def test_labels_and_paths(context, settings, tmp_path):
    """Questions keep the dataset's labels; no prompt and no key of a label depends on them."""
    task = {
        "name": "multiple_choice",
        "questions": write_rows(tmp_path / "train.jsonl", [nested(n) for n in range(9)]),
        "evaluation_questions": write_rows(tmp_path / "held.jsonl", [nested(n, "2") for n in range(20, 25)]),
        "columns": {"question": "question.stem", "options": "question.choices", "answer": "answerKey"},
    }
    made = context({**settings, "task": task})
    pipeline.distill(made)
    questions = made.run.read_rows("questions", Question)
    assert questions[0] == Question("q0", "Which is a metal, 0?", METALS, ("1", "2", "3"))
    assert "a secret" not in made.run.file("questions").read_text("utf-8")
    assert [gold.option for gold in made.run.read_rows("golds", Gold)] == [1] * 5
    plain = Question("q0", "Which is a metal, 0?", METALS)
    retrieval = made.shared(RunKnowledge).retriever.retrieve([plain], 4)[0]
    assert label_key(questions[0], retrieval, "x") == label_key(plain, retrieval, "x")
    asked = outside_answers.of_run(made.run)
    assert asked.questions[0].labels == ("1", "2", "3")
    before = made.run.file("predictions").read_bytes()
    again = context({**settings, "task": task})
    again.run.file("report").unlink()
    pipeline.distill(again)
    assert again.run.file("predictions").read_bytes() == before


def test_several_references_and_questions_without_an_answer(context, settings, tmp_path, remarks):
    """SQuAD 2.0: unanswerable questions are left out and counted, before the limit is applied."""
    rows = [
        {"id": f"h{n}", "question": f"What is {n}?", "answers": {"text": ["rain", "the rain"] if n % 2 else []}}
        for n in range(8)
    ]
    task = {
        "name": "open_qa",
        "questions": write_rows(tmp_path / "train.jsonl", [{"id": f"t{n}", "question": f"Why {n}?"} for n in range(9)]),
        "evaluation_questions": write_rows(tmp_path / "held.jsonl", rows),
        "columns": {"answer": "answers"},
        "evaluation_limit": 3,
    }
    made = context({**settings, "task": task})
    report = pipeline.distill(made)
    assert report["n_questions"] == 3
    assert any("4 of 8 questions have no gold answer and are left out" in said for said in remarks)
    golds = made.run.read_rows("golds", Gold)
    assert all(gold.references == ("rain", "the rain") for gold in golds)
    assert report["metrics"]["references"]["questions_with_several"] == 3
    assert "Reference" in made.run.file("html").read_text("utf-8")


def test_numbers_from_one_are_reported(context, settings, tmp_path, remarks):
    rows = [
        {"id": f"h{n}", "question": f"Which {n}?", "options": list(METALS), "answer": str(1 + n % 3)} for n in range(4)
    ]
    task = {
        "name": "multiple_choice",
        "questions": write_rows(
            tmp_path / "train.jsonl", [{"question": f"Is it {n}?", "options": ["yes", "no"]} for n in range(8)]
        ),
        "evaluation_questions": write_rows(tmp_path / "held.jsonl", rows),
    }
    made = context({**settings, "task": task})
    assert [gold.option for gold in golds(made, "evaluation_questions", questions(made, "evaluation_questions"))] == [
        0,
        1,
        2,
        0,
    ]
    (said,) = remarks
    assert said.endswith(
        "held.jsonl, column 'answer': numbers count from 1, as none is 0 and 3 is that of the last option; "
        "set task.first_option=0 if not"
    )


def test_no_known_answer_at_all(context, settings, tmp_path):
    from solo_hub.core.errors import InputError
    from solo_hub.evaluation.arms import arms

    task = {
        "name": "open_qa",
        "questions": write_rows(tmp_path / "train.jsonl", [{"question": "Why?"}]),
        "evaluation_questions": write_rows(tmp_path / "held.jsonl", [{"question": "Who?", "answer": []}]),
    }
    with pytest.raises(InputError, match="no held-out question has a gold answer"):
        arms.held_out(context({**settings, "task": task}))


def test_a_case_with_several_references_is_right_by_any_of_them():
    """What a Space and `solo-hub compare` show agrees with the report."""
    from solo_hub.evaluation.comparison.cases import Case

    gold = Gold("q", None, "William Blake", aliases=("Blake",))
    case = Case(Question("q", "Who?"), gold, (Prediction("q", "student", None, None, "Blake!"),))
    assert Case.from_row(json.loads(json.dumps(case.to_row()))) == case
    assert case.right("student") is True
