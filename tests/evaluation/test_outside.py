from __future__ import annotations

import dataclasses
import gzip
import json
import time

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from solo_hub.core.config import build
from solo_hub.core.errors import InputError
from solo_hub.core.records import Gold, Question
from solo_hub.evaluation import external_answers
from solo_hub.evaluation.external_answers import QuestionSet

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


def score_file(path, questions, golds, *, columns=(), rouge=False, golds_count_from=0, resamples=2000, **task):
    config = build({"task": task, "evaluation": {"resamples": resamples}}, "the test")
    asked = QuestionSet(questions, golds, count_from=golds_count_from)
    return external_answers.score_file(path, asked, config, columns=dict(columns), rouge=rouge)


def write(path, rows):
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows), "utf-8")
    return path


def test_labels_by_index_letter_and_text(tmp_path, questions, golds):
    """Right answers are 0 1 2 3 0 1. Right: 0, "B", "sun", "3" (digits are an index); wrong: 1, "rain"."""
    labels = [0, "B", "sun", "3", 1, "rain"]
    file = write(tmp_path / "a.jsonl", [{"id": f"q{i}", "label": label} for i, label in enumerate(labels)])
    report = score_file(file, questions, golds)
    assert report["accuracy"]["value"] == pytest.approx(4 / 6)
    assert (report["answered"], report["bad_rows"]) == (6, [])
    assert "token_f1" not in report


def test_texts(tmp_path, questions, golds):
    """Right by text, right by letter and text, wrong, names no option, and two not answered: 2 of 6."""
    file = write(
        tmp_path / "a.jsonl",
        [
            {"id": "q0", "text": "Rain."},
            {"id": "q1", "text": "(B) snow"},
            {"id": "q2", "text": "wind"},
            {"id": "q3", "text": "no idea"},
        ],
    )
    report = score_file(file, questions, golds, rouge=True, resamples=200)
    assert report["accuracy"]["value"] == pytest.approx(2 / 6)
    assert report["unparsed"]["value"] == pytest.approx(1 / 6)
    assert report["answered"] == 4
    assert report["exact_match"]["value"] == pytest.approx(1 / 6)
    assert report["rouge1"]["value"] == pytest.approx((1 + 2 / 3) / 6)


def test_csv_and_parquet_give_the_same(tmp_path, questions, golds):
    ids, texts = [f"q{i}" for i in range(6)], ["rain", "snow", "snow", "wind, or so", "rain", 'the "sun"']
    jsonl = write(tmp_path / "a.jsonl", [{"id": i, "text": t} for i, t in zip(ids, texts, strict=True)])
    table = tmp_path / "a.csv"
    quoted = ['"' + text.replace('"', '""') + '"' for text in texts]
    table.write_text("id,text\n" + "".join(f"{i},{t}\n" for i, t in zip(ids, quoted, strict=True)), "utf-8")
    pq.write_table(pa.table({"id": ids, "text": texts, "more": ids}), tmp_path / "a.parquet")
    reports = [score_file(file, questions, golds) for file in (jsonl, table, tmp_path / "a.parquet")]
    assert reports[0] == reports[1] == reports[2]
    assert reports[0]["accuracy"]["value"] == pytest.approx(3 / 6)


def test_columns_of_another_name(tmp_path, questions, golds):
    file = write(tmp_path / "a.jsonl", [{"qid": "q0", "answer": "rain"}])
    report = score_file(file, questions, golds, columns={"id": "qid", "text": "answer"})
    assert report["accuracy"]["value"] == pytest.approx(1 / 6)


def test_free_text(tmp_path):
    questions, golds = (
        [Question("a", "?"), Question("b", "?")],
        [Gold("a", None, "The North Sea"), Gold("b", None, "Oslo")],
    )
    file = write(tmp_path / "a.jsonl", [{"id": "a", "text": "the north sea."}, {"id": "b", "text": "Bergen"}])
    report = score_file(file, questions, golds)
    assert report["accuracy"]["value"] == 0.5
    assert report["unparsed"]["value"] == 0


def test_cells_that_a_table_left_empty(tmp_path, questions, golds):
    """Where some rows have a label and others a text, tables fill up with NaN and make labels decimals."""
    ids, labels, texts = ["q0", "q1"], [0.0, float("nan")], [None, "snow"]
    file = tmp_path / "a.parquet"
    pq.write_table(pa.table({"id": ids, "label": labels, "text": texts}), file)
    report = score_file(file, questions, golds)
    assert (report["answered"], report["bad_rows"]) == (2, [])
    (tmp_path / "a.csv").write_text("id,label,text\nq0,0.0,\nq1,,snow\n")
    assert score_file(tmp_path / "a.csv", questions, golds)["accuracy"] == report["accuracy"]


def test_ids_that_a_table_made_decimals(tmp_path, questions, golds):
    """A column of whole numbers with an empty cell: the rows with an id are found, the one without is told."""
    numbered = [dataclasses.replace(question, id=str(number)) for number, question in enumerate(questions)]
    right = [dataclasses.replace(gold, question_id=str(number)) for number, gold in enumerate(golds)]
    file = tmp_path / "a.parquet"
    pq.write_table(pa.table({"id": [0.0, 1.0, float("nan")], "label": [0, 0, 0]}), file)
    report = score_file(file, numbered, right)
    assert (report["answered"], len(report["bad_rows"])) == (2, 1)


def test_bad_rows_are_listed_by_number_and_stop_nothing(tmp_path, questions, golds):
    file = write(
        tmp_path / "a.jsonl",
        [
            {"id": "q0", "label": 0},
            "{not json",
            "[1, 2]",
            {"id": "elsewhere", "label": 0},
            {"label": 0},
            {"id": "q1"},
            {"id": "q1", "label": 9},
            {"id": "q1", "label": True},
            {"id": "q1", "label": "hail"},
            {"id": "q1", "text": 7},
            "",
            {"id": "q0", "label": 1},
            {"id": "q1", "label": 1},
        ],
    )
    report = score_file(file, questions, golds)
    assert report["accuracy"]["value"] == pytest.approx(2 / 6)
    problems = {row["row"]: row["problem"] for row in report["bad_rows"]}
    assert list(problems) == [2, 3, 4, 5, 6, 7, 8, 9, 10, 12]
    assert problems[2].startswith("not valid JSON (")
    assert problems[3] == "a JSON list, not an object"
    assert problems[4] == "question 'elsewhere' is not among the questions"
    assert problems[6] == "neither 'label' nor 'text'"
    assert problems[7] == "'label' 9 is not one of the 4 options"
    assert problems[12] == "question 'q0' was answered in an earlier row"


def test_bad_csv_rows_keep_the_number_an_editor_shows(tmp_path, questions, golds):
    """A quoted answer over two lines moves all numbers below it."""
    file = tmp_path / "a.csv"
    file.write_text('id,text\nq0,"rain\nmore"\nq1\nq2,sun,too much\nq3,wind\n', "utf-8")
    report = score_file(file, questions, golds)
    assert report["bad_rows"] == [
        {"row": 4, "problem": "(line 4) has 1 cells, the header has 2"},
        {"row": 5, "problem": "(line 5) has 3 cells, the header has 2"},
    ]
    assert report["accuracy"]["value"] == pytest.approx(2 / 6)


def test_every_kind_of_file_of_rows_is_read(tmp_path, questions, golds):
    """The same reader as for questions: JSON lists, tab-separated and compressed files come with it."""
    rows = [{"id": "q0", "text": "rain"}, {"id": "q1", "text": "snow"}]
    (tmp_path / "a.json").write_text(json.dumps(rows), "utf-8")
    (tmp_path / "a.tsv").write_text("id\ttext\nq0\train\nq1\tsnow\n", "utf-8")
    (tmp_path / "a.jsonl.GZ").write_bytes(gzip.compress("".join(json.dumps(row) + "\n" for row in rows).encode()))
    for name in ("a.json", "a.tsv", "a.jsonl.GZ"):
        report = score_file(tmp_path / name, questions, golds)
        assert (report["answered"], report["bad_rows"]) == (2, [])
        assert report["accuracy"]["value"] == pytest.approx(2 / 6)


def test_a_broken_quote_of_a_table_is_one_bad_row(tmp_path, questions, golds):
    file = tmp_path / "a.csv"
    file.write_text('id,text\nq0,rain\n"q1"x,snow\nq2,sun\n', "utf-8")
    report = score_file(file, questions, golds)
    assert report["answered"] == 2
    assert [(row["row"], "cannot be read" in row["problem"]) for row in report["bad_rows"]] == [(3, True)]


def test_hundred_thousand_rows_take_seconds(tmp_path):
    n = 100_000
    questions = [Question(f"q{i}", "?", ("rain", "snow", f"sun {i}")) for i in range(n)]
    golds = [Gold(f"q{i}", i % 3, questions[i].options[i % 3]) for i in range(n)]
    file = write(tmp_path / "a.jsonl", (f'{{"id": "q{i}", "label": {i % 2}}}' for i in range(n)))
    started = time.process_time()
    report = score_file(file, questions, golds)
    assert time.process_time() - started < 10
    assert report["accuracy"]["value"] == pytest.approx(1 / 3, abs=1e-4)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.csv", "key,text\nq0,rain\n", "lacks the columns 'id' and 'text' or 'label'; it has key, text"),
        ("a.csv", "", "has no header"),
        ("a.parquet", "not parquet", "not a readable Parquet file"),
        ("a.txt", "rain", "is prose and has no rows"),
        ("missing.jsonl", None, "file not found"),
    ],
)
def test_unusable_files(tmp_path, questions, golds, name, content, words):
    if content is not None:
        (tmp_path / name).write_text(content, "utf-8")
    with pytest.raises(InputError, match=words):
        score_file(tmp_path / name, questions, golds)


def test_not_text(tmp_path, questions, golds):
    (tmp_path / "a.jsonl").write_bytes(b'{"id": "q0", "text": "\xff"}\n')
    with pytest.raises(InputError, match="UTF-8"):
        score_file(tmp_path / "a.jsonl", questions, golds)


def test_questions_without_a_known_answer_are_left_out_and_counted(tmp_path, questions, golds):
    """An answer to one of them is no mistake of the file."""
    file = write(tmp_path / "a.jsonl", [{"id": "q0", "text": "rain"}, {"id": "q5", "text": "rain"}])
    report = score_file(file, questions, golds[:5])
    assert (report["n_questions"], report["answered"], report["left_out"], report["bad_rows"]) == (5, 1, 1, [])
    assert report["accuracy"]["value"] == pytest.approx(1 / 5)
    with pytest.raises(InputError, match="none of the 6 questions has a gold answer"):
        score_file(file, questions, [])


@pytest.mark.parametrize(
    ("labels", "more", "right", "said"),
    [
        ([1, 2, 3, 4], {}, 4, "numbers count from 1, as none is 0 and 4 is that of the last option"),
        (["1", "2", "3", "4"], {}, 4, "numbers count from 1"),
        ([0, 1, 2, 3], {}, 4, ""),
        ([1, 2, 3, 1], {}, 0, "numbers are taken to count from 0"),
        (
            [1, 2, 3, 1],
            {"golds_count_from": 1},
            3,
            "numbers are taken to count from 1, like the known answers",
        ),
        ([1, 2, 3, 1], {"first_option": 1}, 3, ""),
        (["(B)", "The answer is C.", "a", "**d**"], {}, 1, ""),
    ],
)
def test_numbers_as_labels(tmp_path, questions, golds, labels, more, right, said):
    """The first four right answers are the options 0, 1, 2, 3 of four (the first question has five)."""
    some = [question if question.id != "q0" else questions[1] for question in questions[:4]]
    some = [Question(f"q{i}", question.text, question.options) for i, question in enumerate(some)]
    file = write(tmp_path / "a.jsonl", [{"id": f"q{i}", "label": label} for i, label in enumerate(labels)])
    report = score_file(file, some, golds[:4], **more)
    assert report["accuracy"]["value"] == pytest.approx(right / 4)
    assert bool(report["notes"]) == bool(said)
    assert said in "".join(report["notes"])


def test_ids_that_a_table_made_decimals_say_what_numbers_count_from(tmp_path, questions, golds):
    some = [Question(str(i), "what falls", questions[1].options) for i in range(4)]
    known = [dataclasses.replace(gold, question_id=str(i)) for i, gold in enumerate(golds[:4])]
    file = write(tmp_path / "a.jsonl", [{"id": float(i), "label": i + 1} for i in range(4)])
    report = score_file(file, some, known)
    assert report["accuracy"]["value"] == 1
    assert "numbers count from 1" in "".join(report["notes"])
    assert score_file(file, some, known[:3])["bad_rows"] == []


def test_labels_of_the_dataset(tmp_path):
    question, gold = Question("q", "?", ("wood", "iron"), ("2", "1")), Gold("q", 1, "iron")
    for row in ({"label": "1"}, {"label": 1}, {"text": "(1)"}, {"text": "1. iron"}, {"text": "Iron."}):
        report = score_file(write(tmp_path / "a.jsonl", [{"id": "q", **row}]), [question], [gold])
        assert report["accuracy"]["value"] == 1, row


def test_the_best_of_several_references_counts(tmp_path):
    questions = [Question("a", "?"), Question("b", "?")]
    golds = [Gold("a", None, "William Blake", aliases=("Blake",)), Gold("b", None, "in 1804")]
    file = write(tmp_path / "a.jsonl", [{"id": "a", "text": "blake."}, {"id": "b", "text": "1804"}])
    report = score_file(file, questions, golds, rouge=True)
    assert report["accuracy"]["value"] == report["exact_match"]["value"] == 0.5
    assert report["token_f1"]["value"] == report["rouge1"]["value"] == pytest.approx((1 + 2 / 3) / 2)


def test_empty(tmp_path, questions, golds):
    report = score_file(write(tmp_path / "a.jsonl", []), questions, golds)
    assert (report["answered"], report["accuracy"]["value"], report["bad_rows"]) == (0, 0.0, [])
    with pytest.raises(InputError, match="no questions"):
        score_file(tmp_path / "a.jsonl", [], [])
