"""Files of one run that no longer fit together: told with file and row, and the file they do not fit to."""

from __future__ import annotations

import dataclasses

import pytest

from solo_hub.core.errors import InputError, RunError
from solo_hub.core.records import Gold, Prediction, PseudoLabel, Question, Retrieval, Verdict
from solo_hub.run import rows as run_rows
from solo_hub.run.folder import RunFolder

QUESTIONS = [Question(f"q{n}", f"Which is {n}?", ("one", "two", "three")) for n in range(3)]
PASSAGES = [Retrieval(question.id, ()) for question in QUESTIONS]
LABELS = [PseudoLabel(q.id, 1, (0.2, 0.5, 0.3), "two", 0.5, (), 0, "text", f"key-{q.id}") for q in QUESTIONS]
VERDICTS = [Verdict(question.id, kept=question.id != "q1", reason="x") for question in QUESTIONS]
GOLDS = [Gold(question.id, 2, "three") for question in QUESTIONS]
PREDICTIONS = [Prediction(q.id, arm, 0, None, "one") for arm in ("base", "student") for q in QUESTIONS]


@pytest.fixture
def run(tmp_path):
    made = RunFolder(tmp_path)
    made.write_rows("questions", QUESTIONS)
    made.write_rows("passages", PASSAGES)
    made.write_rows("labels", LABELS)
    made.write_rows("selected", [verdict for verdict in VERDICTS if verdict.kept])
    made.write_rows("dropped", [verdict for verdict in VERDICTS if not verdict.kept])
    made.write_rows("held_out", QUESTIONS)
    made.write_rows("held_out_passages", PASSAGES)
    made.write_rows("golds", GOLDS)
    made.write_rows("predictions", PREDICTIONS)
    return made


def put(rows, index, **changed):
    return [dataclasses.replace(row, **changed) if i == index else row for i, row in enumerate(rows)]


def read(run):
    """All of it, as publishing does."""
    questions = run_rows.read_questions(run)
    run_rows.read_passages(run, questions)
    run_rows.read_verdicts(run, run_rows.read_labels(run, questions))
    return run_rows.read_evaluation(run, ["base", "student"])


def test_what_fits_together_is_read(run):
    left = read(run)
    assert left == run_rows.Evaluation(
        QUESTIONS, GOLDS, PASSAGES, {"base": PREDICTIONS[:3], "student": PREDICTIONS[3:]}
    )
    assert [v.kept for v in run_rows.read_verdicts(run, LABELS)] == [True, False, True]


def test_a_run_without_passages(run):
    run.file("held_out_passages").unlink()
    assert run_rows.read_evaluation(run).passages == PASSAGES


@pytest.mark.parametrize(
    ("name", "rows", "said"),
    [
        ("questions", [], "1-questions.jsonl: no rows"),
        ("questions", put(QUESTIONS, 2, id="q0"), "1-questions.jsonl, row 3, field 'id': duplicate id 'q0'"),
        # the file that is parallel to it tells of it, and names both
        ("questions", put(QUESTIONS, 1, id="x"), "2-passages.jsonl, row 2: question 'q1'"),
        ("passages", PASSAGES[:2], "2-passages.jsonl: 2 rows, but 1-questions.jsonl has 3"),
        ("passages", PASSAGES[1:], "2-passages.jsonl, row 1: question 'q1'"),
        ("labels", put(LABELS, 1, question_id="x"), "3-labels.jsonl, row 2: question 'x'"),
        (
            "labels",
            put(LABELS, 1, option=3),
            "3-labels.jsonl, row 2: option 3 of question 'q1', which has 3",
        ),
        ("labels", put(LABELS, 2, probabilities=(1.0,)), "3-labels.jsonl, row 3: 1 probabilities of question 'q2'"),
        ("labels", put(LABELS, 2, confidence=3.5), "3-labels.jsonl, row 3: confidence 3.5 of question 'q2'"),
        (
            "selected",
            [Verdict("x", kept=True, reason="")],
            "4-selected.jsonl, row 1, field 'question_id': 3-labels.jsonl has no",
        ),
        ("selected", [VERDICTS[0]] * 2, "4-selected.jsonl, row 2, field 'question_id': question 'q0' has a second"),
        ("selected", [VERDICTS[0]], "3-labels.jsonl, row 3: the label of question 'q2' has no verdict"),
        ("dropped", put(VERDICTS[1:2], 0, kept=True), "4-dropped.jsonl, row 1, field 'kept': True in 4-dropped.jsonl"),
        ("held_out", [], "6-questions.jsonl: no rows"),
        ("held_out", put(QUESTIONS, 0, id="x"), "6-passages.jsonl, row 1: question 'q0'"),
        ("held_out_passages", PASSAGES[::-1], "6-passages.jsonl, row 1: question 'q2'"),
        ("golds", put(GOLDS, 2, question_id="x"), "6-golds.jsonl, row 3: question 'x'"),
        ("golds", GOLDS[:1], "6-golds.jsonl: 1 rows, but 6-questions.jsonl has 3"),
        (
            "golds",
            put(GOLDS, 1, option=-1),
            "6-golds.jsonl, row 2, field 'option': option -1 of question 'q1'",
        ),
        ("predictions", [], "6-predictions.jsonl: no rows"),
        (
            "predictions",
            PREDICTIONS[:3],
            "6-predictions.jsonl: no answers of the arm 'student', which is in 6-report.json",
        ),
        ("predictions", put(PREDICTIONS, 4, arm="x"), "6-predictions.jsonl, row 5, field 'arm': one of 1 answers"),
        (
            "predictions",
            PREDICTIONS[:5],
            "6-predictions.jsonl, row 4, field 'arm': one of 2 answers",
        ),
        (
            "predictions",
            put(PREDICTIONS, 4, question_id="q0"),
            "6-predictions.jsonl, row 5, field 'question_id': the",
        ),
        ("predictions", put(PREDICTIONS, 5, option=7), "6-predictions.jsonl, row 6, field 'option': option 7"),
    ],
)
def test_what_no_longer_fits_is_told_with_its_row(run, name, rows, said):
    run.write_rows(name, rows)
    with pytest.raises(InputError) as caught:
        read(run)
    assert caught.value.message.replace(f"{run.path}/", "").startswith(said)


def test_a_run_that_has_not_been_evaluated(run):
    run.file("predictions").unlink()
    with pytest.raises(
        RunError, match=r"evaluated: 6-predictions.jsonl is missing. Complete it with `solo-hub distill"
    ):
        run_rows.read_evaluation(run)
    run.write_json("report", {})  # a step is done when its file is there: distill alone would not do it again
    with pytest.raises(RunError, match=r"is missing. Delete its 6-report.json, then complete it with `solo-hub d"):
        run_rows.read_evaluation(run)
