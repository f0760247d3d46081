"""`task.unusable_rows`: one bad row or document stops a run, or is left out, listed, counted and named."""

from __future__ import annotations

import json

import pytest
from noise import LIBRARIES_WARN
from small_hub import rows, write_rows

from solo_hub import pipeline
from solo_hub.core.errors import InputError
from solo_hub.evaluation.report.terminal import left_out_lines, measured_lines
from solo_hub.knowledge.step import RunKnowledge

pytestmark = LIBRARIES_WARN

OPTIONS = ["the bear", "the bee", "the owl"]


def question(name, text, answer=0, **changed):
    return {"id": name, "question": text, "options": OPTIONS, "answer": answer, **changed}


@pytest.fixture
def own(settings, tmp_path):
    """Settings of a run over files of one's own, each with something that cannot be used."""
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "bears.md").write_text("# Bears\n\nThe bear sleeps in winter.\n\n# Owls\n\nThe owl hunts at night.\n")
    (docs / "latin.txt").write_bytes(b"Der B\xe4r schl\xe4ft.")
    (docs / "empty.html").write_text("<nav></nav>")
    asked = [question(f"q{n}", f"Who is number {n}?", n % 3) for n in range(16)]
    bad = [question("q0", "Who comes twice?"), question("b1", " "), question("b2", "Who?", options=["one", " "])]
    held_out = [question(f"h{n}", f"Who was number {n}?", n % 3) for n in range(8)]
    bad_held_out = [question("h8", "Who is silent?", None), question("h9", "Who is wrong?", "the dog"), {"id": "h10"}]
    return {
        **settings,
        "task": {
            "name": "multiple_choice",
            "questions": write_rows(tmp_path / "q.jsonl", [*asked, *bad]),
            "evaluation_questions": write_rows(tmp_path / "h.jsonl", [*held_out, *bad_held_out]),
            "unusable_rows": "leave_out",
        },
        "knowledge": {"source": str(docs), "passages": 1},
        "student": {**settings["student"], "epochs": 1},
    }


def test_left_out_rows_and_documents_are_listed_counted_and_told(context, own, tmp_path, capsys):
    made = context(own)
    made.console = type(made.console)("human")
    report = pipeline.distill(made)
    told = " ".join(capsys.readouterr().err.split())
    listed = {name: rows(tmp_path / "run" / f"{name}-left-out.jsonl") for name in (1, 2, 6)}
    assert [(row["row"], row["reason"]) for row in listed[1]] == [
        (17, "duplicate id 'q0' (also in row 1)."),
        (18, "the question is empty or not text."),
        (19, "an option is empty or not text."),
    ]
    assert [row["file"].rpartition("/")[2] for row in listed[2]] == ["empty.html", "latin.txt"]
    assert [row["row"] for row in listed[6]] == [11, 9, 10]
    assert [row["reason"] for row in listed[6]][1:] == [
        "the answer is missing.",
        "'the dog' is not an option of question 'h9'.",
    ]
    assert report["left_out"] == {"questions": 3, "documents": 2, "held_out_questions": 3}
    assert report["n_questions"] == 8
    assert len(rows(tmp_path / "run" / "1-questions.jsonl")) == 16
    for expected in ("3 questions left out", "2 documents left out", "3 held-out questions left out", "row 18"):
        assert expected in told
    assert "knowledge base: 2 chunks of 1 document" in told or "knowledge base: 1 chunk of 1 document" in told
    counted = "left out because they could not be used: 3 questions, 2 documents, 3 held-out questions"
    assert left_out_lines(report) == [counted]
    assert measured_lines(report)[-1] == counted
    assert counted.capitalize() in (tmp_path / "run" / "report.html").read_text("utf-8")


@pytest.mark.parametrize(
    ("mended", "reason"),
    [
        ((), r"h\.jsonl, row 11"),  # held-out questions are looked at first
        (("h.jsonl",), r"q\.jsonl, row 17: duplicate id 'q0'"),
        (("q.jsonl", "h.jsonl"), r"latin\.txt: is not UTF-8 text"),
    ],
)
def test_by_default_the_first_stops_the_run(context, own, tmp_path, mended, reason):
    for name in mended:
        good = rows(tmp_path / name)[:8]
        write_rows(tmp_path / name, good)
    task = {key: value for key, value in own["task"].items() if key != "unusable_rows"}
    with pytest.raises(InputError, match=reason):
        pipeline.distill(context({**own, "task": task}))


def test_an_index_that_lacks_documents_is_not_taken_for_a_whole_one(context, own, tmp_path):
    """Both policies have an index of their own; one that is there already still tells what it lacks."""
    made = context(own, tmp_path / "a")
    pipeline.find_passages(made, pipeline.load_questions(made))
    again = context(own, tmp_path / "b")
    pipeline.find_passages(again, pipeline.load_questions(again))
    assert rows(tmp_path / "b" / "2-left-out.jsonl") == rows(tmp_path / "a" / "2-left-out.jsonl")
    for name in ("q.jsonl", "h.jsonl"):
        write_rows(tmp_path / name, rows(tmp_path / name)[:8])
    strict = context({**own, "task": {**own["task"], "unusable_rows": "stop"}}, tmp_path / "c")
    with pytest.raises(InputError, match="is not UTF-8 text"):
        pipeline.find_passages(strict, pipeline.load_questions(strict))


def test_an_index_of_before_is_read_though_it_does_not_tell_its_sources(context, own):
    made = context(own)
    (made.shared(RunKnowledge).index.folder / "reading.json").unlink()
    assert pipeline.find_passages(made, pipeline.load_questions(made))
    assert not made.run.has("documents_left_out")
    (made.shared(RunKnowledge).index.folder / "reading.json").write_text(json.dumps({"rows": 1}))
    from solo_hub.knowledge.source import read_summary

    assert read_summary(made.shared(RunKnowledge).index.folder) is None
