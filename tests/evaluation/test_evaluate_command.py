"""`solo-hub evaluate` where no model is asked: --power, --predictions, --harness."""

from __future__ import annotations

import json

import pytest
import yaml
from small_hub import write_rows

from solo_hub.cli import main
from solo_hub.run.folder import RunFolder

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


@pytest.fixture
def run(tmp_path, questions, golds, predictions):
    folder = RunFolder(tmp_path / "run")
    folder.path.mkdir(parents=True, exist_ok=True)
    repo = {"repo_id": "allenai/qasc", "type": "dataset", "commit": "c0ffee"}
    folder.file("config").write_text(yaml.safe_dump({
        "settings": {"base": "a/b", "task": {"name": "qasc", "evaluation_split": "validation",
                                             "evaluation_limit": None}},
        "resolved": {"repos": {"evaluation_questions": repo}, "teacher": {"style": "text"}},
    }))  # fmt: skip
    folder.write_rows("held_out", questions)
    folder.write_rows("golds", golds)
    folder.write_rows("predictions", [row for rows in predictions.values() for row in rows])
    pair = {"n": 6, "only_first": 2, "only_second": 0}
    report = {"arms": {"base": {"accuracy": {"value": 1 / 3}}}, "n_questions": 6, "paired": {"student_vs_base": pair}}
    folder.write_json("report", report)
    return folder.path


def answer(*arguments):
    return main.run(["evaluate", *map(str, arguments)])


def test_power(capsys):
    assert answer("--power", "--gain", "0.05", "--accuracy", "0.3", "--format", "json") == 0
    told = json.loads(capsys.readouterr().out)["power"]
    assert told["base_accuracy"] == 0.3
    assert [row["gain"] for row in told["gains"]] == [0.05]


def test_power_of_a_run(run, capsys):
    assert answer("--power", "--run", run) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "over 33.3 %" in out
    assert "33.3 % of the answers differ, as in this run" in out
    assert "6 questions detect no gain of any size." in out


def test_predictions_on_a_run(run, tmp_path, capsys):
    file = tmp_path / "a.csv"
    file.write_text("qid,answer\nq0,rain\nq1,snow\nq9,rain\n")
    assert answer("--predictions", file, "--run", run, "--column", "id=qid", "--column", "text=answer") == 0
    out, err = capsys.readouterr()
    assert "2 of 6" in " ".join(out.split())
    assert "row 4: question 'q9' is not among the questions" in out
    assert "1 rows were not scored" in err


def test_predictions_on_a_file(tmp_path, capsys):
    rows = [{"id": f"q{i}", "question": "Which?", "options": ["a", "b"], "answer": i % 2} for i in range(4)]
    asked = write_rows(tmp_path / "asked.jsonl", rows)
    file = tmp_path / "a.jsonl"
    file.write_text('{"id": "q0", "label": "a"}\n{"id": "q1", "text": "a"}\n')
    assert answer("--predictions", file, "--questions", asked, "--task", "multiple_choice", "--format", "json") == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["n_questions"], told["answered"], told["accuracy"]["value"]) == (4, 2, 0.25)
    assert (told["left_out"], told["unusable"]) == (0, [])


def test_harness(run, tmp_path, capsys):
    assert answer("--harness", tmp_path / "task", "--run", run) == 0
    text = (tmp_path / "task" / "qasc_solo.yaml").read_text()
    assert "c0ffee" in text
    assert "--tasks qasc_solo" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--power", "--predictions", "x.jsonl"], 2, "cannot be combined"),
        (["--power", "--arm", "a=b/c"], 2, "cannot be combined"),
        (["--power", "--gain", "0"], 2, "not in the range"),
        (["--predictions", "x.jsonl", "--column", "key=id"], 2, "--column key is invalid"),
        (["--predictions", "x.jsonl", "--run", "nowhere"], 1, "has not been evaluated"),
        (["--harness", "x", "--run", "nowhere"], 1, "not a run folder"),
        (["--power", "--run", "nowhere"], 1, "does not exist yet"),
        (["--arm", "base=a/b"], 2, "a name that is not a built-in arm's"),
    ],
)
def test_wrong_use(arguments, code, said, capsys):
    assert answer(*arguments) == code
    assert said in " ".join(capsys.readouterr().err.split())
