"""`solo-hub evaluate --predictions` on questions in the shapes in which they are published."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from small_hub import write_rows

from solo_hub.cli import main

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")

SHARED = Path(__file__).parents[3] / "shared" / "cases"
ARC = "task.columns={options: choices, answer: answerKey}"
COLUMNS = 'task.columns={options: "answerA,answerB,answerC", answer: label}'
INDEX = "task.columns={answer: answer_idx}"
NESTED = "task.columns={question: question.stem, options: question.choices, answer: answer_idx}"
OPEN = "task.name=open_qa"
SQUAD = "task.columns={answer: answers}"


def score(capsys, questions, predictions, *settings):
    """The document of the command."""
    given = [part for setting in settings for part in ("--set", setting)]
    arguments = ["--predictions", str(predictions), "--questions", str(questions), "--task", "multiple_choice", *given]
    code = main.run(["evaluate", *arguments, "--format", "json"])
    out, err = capsys.readouterr()
    assert code == 0, err
    return json.loads(out)


def workers(*labels):
    """Questions with the same three options in a column each."""
    options = {"answerA": "rest", "answerB": "run", "answerC": "read"}
    return [{"id": f"s{n}", "question": f"What next, {n}?", **options, "label": x} for n, x in enumerate(labels)]


def said_by(kind, *answers):
    return [{"id": f"s{n}", kind: answer} for n, answer in enumerate(answers)]


BOOK = {"id": "b", "question": "Who wrote it?"}
ORGAN = {"id": "d", "question": "Which organ pumps blood?", "answer_idx": "B"}


@pytest.mark.parametrize(
    ("rows", "answers", "settings", "accuracy", "said"),
    [
        ([{"id": "b", "question": "Metal?", "answerKey": "2",
           "choices": {"text": ["wood", "iron", "glass"], "label": ["1", "2", "3"]}}],
         [{"id": "b", "text": "iron"}], [ARC], 1, ""),
        ([{"id": "b", "question": "Metal?", "answerKey": "A",
           "choices": {"text": ["wood", "iron", "glass"], "label": ["C", "A", "B"]}}],
         [{"id": "b", "label": "A"}], [ARC], 1, ""),
        (workers("1", "2", "3"), said_by("text", "rest", "run", "read"),
         [COLUMNS], 1, "numbers count from 1, as none is 0 and 3 is that of the last option"),
        (workers("1", "2", "1"), said_by("text", "rest", "run", "rest"),
         [COLUMNS], 1, "numbers are taken to count from 1, as none is 0 and they are written as text"),
        (workers("1", "2", "1"), said_by("text", "run", "read", "run"),
         [COLUMNS, "task.first_option=0"], 1, ""),
        (workers("1", "2", "3"), said_by("label", 1, 2, 3), [COLUMNS], 1,
         "column 'label': numbers count from 1"),
        ([{"id": "g", "question": "Heterozygous?", "options": ["AA", "Aa", "aa"], "answer": "Aa"}],
         [{"id": "g", "text": "Aa."}], [], 1, ""),
        ([{**ORGAN, "question": {"stem": "Pumps?", "choices": [{"label": "A", "text": "liver"},
           {"label": "B", "text": "heart"}]}}], [{"id": "d", "text": "(b) heart"}], [NESTED], 1, ""),
        ([{**ORGAN, "options": {"A": "liver", "B": " heart", "C": None}}],
         [{"id": "d", "text": "The correct answer is B."}], [INDEX], 1, ""),
        ([{"id": "d", "question": "Two and two?", "options": [3, 4, 5], "answer": 4}], [{"id": "d", "text": "4"}],
         [], 1, "the options themselves"),
        ([{**BOOK, "answer": ["William Blake", "Blake"]}], [{"id": "b", "text": "blake"}], [OPEN], 1, ""),
        ([{**BOOK, "answer": {"value": "Blake", "aliases": ["W. Blake"]}}],
         [{"id": "b", "text": "W. Blake"}], [OPEN], 1, ""),
        ([{**BOOK, "answers": {"text": ["Blake"]}}, {"id": "u", "question": "Who did not?", "answers": {"text": []}}],
         [{"id": "b", "text": "Blake"}, {"id": "u", "text": "nobody"}], [OPEN, SQUAD], 1,
         "1 of 2 questions has no gold answer and is left out"),
    ],
)  # fmt: skip
def test_right_answers_are_right(tmp_path, capsys, rows, answers, settings, accuracy, said):
    files = write_rows(tmp_path / "q.jsonl", rows), write_rows(tmp_path / "p.jsonl", answers)
    document = score(capsys, *files, *settings)
    assert document["accuracy"]["value"] == accuracy
    assert document["bad_rows"] == []
    assert bool(document["notes"]) == bool(said)
    assert said in " ".join(document["notes"])


@pytest.mark.shared
@pytest.mark.parametrize(
    ("case", "questions", "predictions", "settings", "accuracy", "said"),
    [
        ("01-arc-numeric-labels", "q", "pred", [ARC], 1, ""),
        ("01-arc-numeric-labels", "q-permuted", "pred-permuted", [ARC], 1, ""),
        ("02-one-based-answers", "q", "pred", [COLUMNS], 1, "count from 1"),
        ("02-one-based-answers", "q-last", "pred", [COLUMNS], 0.5, "count from 1"),
        ("03-genetics-case-options", "q", "pred", [], 1, ""),
        ("05-option-structs", "q-dict", "pred", [INDEX], 1, ""),
        ("05-option-structs", "q-structs", "pred", [INDEX], 1, ""),
        ("05-option-structs", "q-padded", "pred", [INDEX], 1, ""),
        ("05-option-structs", "q-padded-dict", "pred", [INDEX], 1, ""),
        ("05-option-structs", "q-nested", "pred", [NESTED], 1, ""),
        ("05-option-structs", "q-numbers", "pred", [INDEX], 0, "count from 0"),  # it answers another question
        ("30-several-references", "q", "pred", [OPEN], 1, ""),
        ("30-several-references", "q2", "pred", [OPEN], 1, ""),
        ("30-several-references", "q3", "pred3", [OPEN, SQUAD], 1, "1 of 2 questions has no gold answer"),
    ],
)
def test_cases_out_of_public_bug_reports(capsys, case, questions, predictions, settings, accuracy, said):
    if not SHARED.is_dir():
        pytest.skip("needs the cases beside the repository (../shared/cases)")
    folder = SHARED / case
    document = score(capsys, folder / f"{questions}.jsonl", folder / f"{predictions}.jsonl", *settings)
    assert document["accuracy"]["value"] == accuracy
    assert said in " ".join(document["notes"])


def test_people_are_told(tmp_path, capsys):
    questions, predictions = tmp_path / "q.jsonl", tmp_path / "p.jsonl"
    write_rows(questions, workers("1", "2", None))
    write_rows(predictions, said_by("text", "rest", "run", "run"))
    arguments = ["--predictions", predictions, "--questions", questions, "--task", "multiple_choice", "--set", COLUMNS]
    assert main.run(["evaluate", *map(str, arguments)]) == 0
    out, err = capsys.readouterr()
    assert "column 'label': numbers are taken to count from 1" in " ".join(err.split())
    assert "1 of 3 questions has no gold answer and is left out" in " ".join(err.split())
    assert "2 of 2 questions" in " ".join(out.split())
