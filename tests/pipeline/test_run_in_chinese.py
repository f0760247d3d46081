"""A run in Traditional Chinese, and one whose knowledge is in another language than its questions."""

from __future__ import annotations

import json

import pytest
import yaml
from noise import LIBRARIES_WARN
from small_hub import WRITE, rows, run_here, small_settings
from traditional_chinese import QUESTIONS, SENTENCES

from solo_hub import pipeline
from solo_hub.evaluation.report.terminal import measured_lines

pytestmark = LIBRARIES_WARN
LEARNT = 12  # questions to learn from; the other eight are held out


def write(path, made):
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in made), "utf-8")
    return str(path)


def chinese_settings(folder, sentences=SENTENCES):
    asked = [
        {"id": f"q{n}", "question": text, "options": options, "answer": right}
        for n, (text, options, right, _) in enumerate(QUESTIONS)
    ]
    corpus = [{"id": str(n), "text": text} for n, text in enumerate(sentences)]
    settings = small_settings()
    return settings | {
        "name": "chinese",
        "task": {
            "name": "multiple_choice",
            "questions": write(
                folder / "q.jsonl", [{k: row[k] for k in row if k != "answer"} for row in asked[:LEARNT]]
            ),
            "evaluation_questions": write(folder / "held-out.jsonl", asked[LEARNT:]),
        },
        "knowledge": {"source": write(folder / "corpus.jsonl", corpus), "passages": 3, "retriever": "bm25"},
    }


@pytest.fixture(scope="module")
def finished(hub, tmp_path_factory):
    """A finished and published run: its folder."""
    from solo_hub.cli.main import run

    folder = tmp_path_factory.mktemp("chinese")
    settings = chinese_settings(folder)
    settings["publish"] |= {"knowledge": True}
    (folder / "c.yaml").write_text(yaml.safe_dump(settings, allow_unicode=True), "utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_TOKEN", WRITE)
        patch.setenv("SOLO_HUB_HOME", str(folder / "home"))
        where = ("--run", str(folder / "run"), "--hub", hub.endpoint)
        assert run(["distill", str(folder / "c.yaml"), "--push", *where]) == 0
    return folder / "run"


def test_every_question_gets_the_sentence_that_answers_it(finished):
    gold = {f"q{n}": str(place) for n, (*_, place) in enumerate(QUESTIONS)}
    found = rows(finished / "2-passages.jsonl") + rows(finished / "6-passages.jsonl")
    assert len(found) == len(QUESTIONS)
    assert all(gold[row["question_id"]] in [p["id"] for p in row["passages"]] for row in found)


def test_numbers_are_sensible(finished):
    report = json.loads((finished / "6-report.json").read_text("utf-8"))
    assert report["passages"] == {"questions": {"n": 12, "without": 0}, "held_out": {"n": 8, "without": 0}}
    assert not [line for line in measured_lines(report) if "without any passage" in line]
    assert all(0 <= arm["accuracy"]["value"] <= 1 for arm in report["arms"].values())
    # options were chosen and nothing was written
    assert "there is no ROUGE or BERTScore" in (finished / "report.html").read_text("utf-8")


def test_report_and_cards_are_legible(finished):
    """Texts stand in them as they are written: no escapes, no question marks, nothing decoded twice."""
    told = {path.name: path.read_text("utf-8") for path in (finished / "report.html", finished / "1-questions.jsonl")}
    told |= {f"{name}": (finished / name / "README.md").read_text("utf-8") for name in ("7-dataset", "7-adapter")}
    assert all("�" not in text and "\\u" not in text.replace("\\u003", "") for text in told.values())
    assert QUESTIONS[LEARNT][0] in told["report.html"]
    assert any(text in told["report.html"] for text in SENTENCES)
    assert any(text in told["7-dataset"] for text, *_ in QUESTIONS)
    assert "No passage was found" not in told["7-dataset"]


def test_the_knowledge_base_says_how_its_words_were_made(finished, hub, tmp_path):
    import pyarrow.parquet as pq

    from solo_hub.hub import HubClient

    published = json.loads((finished / "7-published.json").read_text("utf-8"))["knowledge"]
    door = HubClient(hub.endpoint, WRITE, tmp_path)
    folder = door.pull(door.pin(f"{published['repo_id']}@{published['commit']}", "dataset"))
    card = (folder / "README.md").read_text("utf-8")
    assert "no stemming" in card
    assert SENTENCES[0] in card
    words = pq.ParquetFile(folder / "index" / "words.parquet")
    assert json.loads(words.metadata.metadata[b"analysis"])["language"] == ""
    assert {"霧河", "312", "k7"} <= set(words.read()["word"].to_pylist())


def test_questions_without_a_passage_are_warned_of(hub, tmp_path, monkeypatch, capfd):
    """Three English sentences know nothing of a Chinese world; what was found for no question is no success."""
    settings = chinese_settings(tmp_path, ("Ice melts.", "Bees make honey.", "The K7 flies."))
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(settings, allow_unicode=True), "utf-8")
    arguments = ("index", tmp_path / "c.yaml", "--run", tmp_path / "run")
    code, _, err = run_here(hub, monkeypatch, capfd, *arguments, home=tmp_path / "home")
    assert code == 0
    assert "Warning: 10 of 12 questions have no passage (first: 'q0')" in err
    assert "the retriever 'bm25' found none in" in err


def test_the_report_keeps_how_many_got_no_passage(context, tmp_path):
    settings = chinese_settings(tmp_path, ("Ice melts.", "Bees make honey.", "The XR flies."))
    settings["student"]["epochs"] = 1
    report = pipeline.distill(context(settings))
    assert report["passages"] == {"questions": {"n": 12, "without": 12}, "held_out": {"n": 8, "without": 7}}
    assert "without any passage: 12 of 12 training questions, 7 of 8 held-out questions" in measured_lines(report)
    page = (tmp_path / "run" / "report.html").read_text("utf-8")
    assert "for 12 of 12 training questions and 7 of 8 held-out questions" in page
