"""Two files of answers, joined by id: McNemar's test on what both answered."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from small_hub import write_rows

from solo_hub.cli import main
from solo_hub.evaluation.statistics import intervals, significance
from solo_hub.evaluation.statistics.significance import mcnemar_exact

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


def samples(path, right, *, metric="acc", question="what falls", **more):
    """As lm-evaluation-harness 0.4 writes them: a document a row, both kinds of answers, the metrics."""
    return write_rows(path, [{
        "doc_id": n, "doc": {"id": f"q{n}", "question": f"{question} {n}"}, "target": "0",
        "arguments": {"gen_args_0": {"arg_0": "Question: ...", "arg_1": " rain"}},
        "resps": [[["-1.5", "False"]]], "filtered_resps": [["-1.5", "False"]], "filter": "none",
        "metrics": [metric, "acc_norm"], "doc_hash": f"{question}-{n}", "prompt_hash": "p", "target_hash": "t",
        metric: float(value), "acc_norm": 0.0, **more,
    } for n, value in enumerate(right)])  # fmt: skip


def compare(capsys, *arguments):
    code = main.run(["evaluate", "--format", "json", *map(str, arguments)])
    out, err = capsys.readouterr()
    return (json.loads(out) if code == 0 else code), " ".join(err.split())


def test_by_hand():
    """Of 6 questions the first alone is right on 2, the second alone on 1: p = 2 * (1 + 3) / 8, cut at 1."""
    first, second = [1.0, 1, 1, 0, 0, 1], [0.0, 0, 1, 1, 0, 1]
    import numpy as np

    found = significance.paired(np.array(first), np.array(second))
    assert (found["n"], found["only_first"], found["only_second"], found["p_value"]) == (6, 2, 1, 1.0)
    assert found["difference"] == intervals.paired_difference(2, 1, 6).to_row()


def test_samples_of_the_harness(tmp_path, capsys):
    """Ten documents of one system, of the other the first eight and two that the first lacks."""
    one = samples(tmp_path / "samples_one.jsonl", [1] * 9 + [0])
    two = samples(tmp_path / "samples_two.jsonl", [0] * 7 + [1] * 5)
    found, _ = compare(capsys, "--predictions", one, "--against", two)
    assert (found["n"], found["only_first"], found["only_second"]) == (10, 7, 1)
    assert found["p_value"] == pytest.approx(mcnemar_exact(7, 1))
    assert found["difference"]["value"] == pytest.approx(0.6)
    assert [row["value"] for row in found["accuracy"]] == pytest.approx([0.9, 0.3])
    assert found["only_in"] == [0, 2]
    assert found["judged_by"] == ["acc", "acc"]

    assert main.run(["evaluate", "--predictions", str(one), "--against", str(two)]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "10 questions that both answered" in out
    assert "samples_one.jsonl - samples_two.jsonl: +60.0 points" in out
    assert "McNemar's exact test" in out


def test_another_metric_and_more_than_one_filter(tmp_path, capsys):
    """The first filter's rows count, and the others are told; `acc_norm` only where it is asked for."""
    one = samples(tmp_path / "one.jsonl", [1, 1], metric="exact_match", filter="strict-match")
    rows = [json.loads(line) for line in Path(one).read_text().splitlines()]
    write_rows(one, [*rows, *({**row, "filter": "flexible-extract", "exact_match": 0.0} for row in rows)])
    two = samples(tmp_path / "two.jsonl", [0, 1], metric="exact_match")
    found, _ = compare(capsys, "--predictions", one, "--against", two)
    assert [row["value"] for row in found["accuracy"]] == [1.0, 0.5]
    assert found["notes"] == ["one.jsonl: rows of the filter 'strict-match'; 2 of other filters left out"]
    found, _ = compare(capsys, "--predictions", one, "--against", two, "--column", "right=acc_norm")
    assert [row["value"] for row in found["accuracy"]] == [0.0, 0.0]
    assert found["judged_by"] == ["acc_norm", "acc_norm"]


def test_answers_against_samples_of_the_harness(tmp_path, capsys):
    """Answers are scored with the questions; the harness's rows are joined by the id in their document."""
    asked = write_rows(tmp_path / "asked.jsonl", [
        {"id": f"q{n}", "question": "What falls?", "options": ["rain", "snow"], "answer": "rain"} for n in range(3)
    ])  # fmt: skip
    said = [{"id": "q0", "text": "rain"}, {"id": "q1", "text": "snow"}, {"id": "q7"}]
    mine = write_rows(tmp_path / "mine.jsonl", said)
    theirs = samples(tmp_path / "samples.jsonl", [0, 0, 1])
    found, err = compare(capsys, "--predictions", mine, "--against", theirs, "--questions", asked,
                       "--task", "multiple_choice")  # fmt: skip
    assert not isinstance(found, int), err
    assert (found["n"], found["only_first"], found["only_second"], found["only_in"]) == (2, 1, 0, [0, 1])
    assert found["judged_by"] == ["gold answers", "acc"]
    assert found["bad_rows"] == [[{"row": 3, "problem": "question 'q7' is not among the questions"}], []]
    both, _ = compare(capsys, "--predictions", mine, "--against", mine, "--questions", asked, "--task",
                      "multiple_choice")  # fmt: skip
    assert (both["n"], both["p_value"], both["difference"]["value"]) == (2, 1.0, 0.0)


def test_a_column_that_says_what_is_right(tmp_path, capsys):
    one, two = tmp_path / "one.csv", tmp_path / "two.csv"
    one.write_text("qid,ok\na,1\nb,0\nc,true\nc,1\nd,maybe\n")
    two.write_text("qid,ok\nc,0\nb,False\na,1.0\n")
    found, _ = compare(capsys, "--predictions", one, "--against", two, "--column", "id=qid", "--column", "right=ok")
    assert (found["n"], found["only_first"], found["only_second"]) == (3, 1, 0)
    assert [row["problem"] for row in found["bad_rows"][0]] == [
        "'c' was answered in an earlier row", "'ok' is maybe, not 1 or 0",
    ]  # fmt: skip


def test_what_cannot_be_compared_is_one_sentence(tmp_path, capsys):
    one = samples(tmp_path / "one.jsonl", [1, 0])
    other = samples(tmp_path / "other.jsonl", [1, 0], question="who sleeps")
    plain = write_rows(tmp_path / "plain.jsonl", [{"id": "x", "text": "rain", "ok": 1}])
    for arguments, code, said in (
        (["--against", one], 2, "--against needs --predictions"),
        (["--predictions", one, "--against", other], 1, "document 0 is another one than in one.jsonl"),
        (["--predictions", one, "--against", plain], 2, "No questions given"),
        (["--predictions", one, "--against", tmp_path / "none.jsonl"], 1, "file not found"),
        (["--predictions", one, "--against", plain, "--column", "right=ok"], 1, "one.jsonl: has no column 'ok'"),
        (["--predictions", plain, "--against", plain, "--column", "right=ok", "--column", "id=ids"], 1, "'ids'"),
        (["--predictions", one, "--against", samples(tmp_path / "f1.jsonl", [1], metric="f1", metrics=["f1"])], 1,
         "has the metrics f1, none of which is in one.jsonl"),
    ):  # fmt: skip
        assert compare(capsys, *arguments)[0] == code, arguments
        main.run(["evaluate", *map(str, arguments)])
        assert said in " ".join(capsys.readouterr().err.split())
