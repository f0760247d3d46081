"""`init`: what a folder, a file or a repo holds is recognised, and what is written is what `distill` takes."""

from __future__ import annotations

import csv
import json

import pytest
from sample_data import ROWS
from small_hub import write_rows

from solo_hub.checks import first_config, guessing, looking
from solo_hub.cli import init as init_command
from solo_hub.cli import main
from solo_hub.cli.options import read_config
from solo_hub.run import settings_checks


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.md").write_text("# The reed pond\n\nThe lantern frog lives in the reed pond.\n")
    (tmp_path / "docs" / "b.html").write_text("<p>The tulips of the garden open at nine.</p>")
    return tmp_path


def repeated(row, count=20):
    """Rows that differ in the number each text may hold."""
    return [json.loads(json.dumps(row).replace("%", str(number))) for number in range(count)]


@pytest.mark.parametrize(
    ("row", "task", "columns"),
    [
        (  # OpenBookQA
            {"id": "%", "question_stem": "The sun % is", "choices": {"text": ["hot", "cold"], "label": ["A", "B"]},
             "answerKey": "A"},
            "multiple_choice",
            {"id": "id", "question": "question_stem", "options": "choices", "answer": "answerKey"},
        ),
        (  # ARC as it was first published
            {"question": {"stem": "Is % hot?", "choices": [{"text": "y", "label": "A"}, {"text": "n", "label": "B"}]},
             "answerKey": "B"},
            "multiple_choice",
            {"question": "question.stem", "options": "question.choices", "answer": "answerKey"},
        ),
        (  # HellaSwag
            {"ind": 3, "ctx_a": "Roof", "ctx": "A man % sits on a roof. he", "endings": ["a", "b", "c"], "label": "2"},
            "multiple_choice",
            {"question": "ctx", "options": "endings", "answer": "label"},
        ),
        (  # MedMCQA
            {"question": "What is %?", "opa": "w", "opb": "x", "opc": "y", "opd": "z", "cop": 3},
            "multiple_choice",
            {"question": "question", "options": "opa,opb,opc,opd", "answer": "cop"},
        ),
        (
            {"frage": "Was ist %?", "antworten": ["ja", "nein"], "lösung": "nein"},
            "multiple_choice",
            {"question": "frage", "options": "antworten", "answer": "lösung"},
        ),
        (  # SQuAD
            {"id": "%", "title": "t", "context": "Long.", "question": "Who is %?", "answers": {"text": ["Bo", "bo"]}},
            "open_qa",
            {"id": "id", "question": "question", "answer": "answers"},
        ),
        ({"text": "I am happy % times", "label": "joy"}, "texts", {"text": "text"}),
        (
            {"id": 1, "fact": "Water % is wet.", "url": "x"},
            "texts",
            {"text": "fact", "id": "row number", "source": "url"},
        ),
        ({"字": "水是第%種液體。"}, "texts", {"text": "字"}),
    ],
)  # fmt: skip
def test_tables_are_recognised(row, task, columns):
    found = guessing.guess(list(enumerate(repeated(row), start=1)))
    assert found is not None
    assert (found.task, dict(found.columns)) == (task, columns)
    assert len(found.examples) == 2


def test_classes_are_recognised_by_their_few_values():
    rows = [{"text": f"I am {number}", "label": ["joy", "fear"][number % 2]} for number in range(20)]
    found = guessing.guess(list(enumerate(rows, start=1)))
    assert (found.task, found.answered) == ("text_classification", 1.0)


def test_nothing_fits_numbers():
    assert guessing.guess([(1, {"a": 1.5, "b": 2})]) is None
    assert guessing.guess([]) is None


def takes(path="my.yaml"):
    """The configuration as `distill` reads it."""
    config, _ = read_config(str(path), None, {}, ())
    settings_checks.check(config)
    return config


def test_documents_in_another_language_are_searched_by_words(here):
    (here / "tea.txt").write_text("臺灣的茶\n\n凍頂烏龍茶產於鹿谷鄉。帝雉生活在山上的森林。\n", "utf-8")
    assert main.run(["init", "tea.txt", "--hub", "local"]) == 0
    config, _ = read_config("my.yaml", None, {}, ())
    assert (config.knowledge.retriever, config.curation.held_out) == ("bm25", 0.2)


def test_a_file_of_a_split_gives_the_name_of_its_folder(here):
    write_rows(
        here / "biology" / "train.jsonl", repeated({"question": "Is % hot?", "options": ["y", "n"], "answer": "y"})
    )
    assert first_config.run_name("biology/train.jsonl") == "biology"


def test_a_folder_of_documents_alone(here, capfd):
    assert main.run(["init", "docs/"]) == 0
    config = takes()
    assert (config.name, config.knowledge.source) == (first_config.run_name(str(here)), "docs/")
    assert config.writers == ("cloze",)
    assert (config.student.learning_rate, config.evaluation.arms) == (2e-3, ("student_with_passages",))
    said = " ".join(capfd.readouterr().err.split())
    assert "2 documents (1 html, 1 md), language: en" in said
    assert "The lantern frog lives" in said
    assert "tulips" in said
    assert "# of the run's folder" in (here / "my.yaml").read_text()


def test_a_text_a_line_is_told_to_be_rows(here, capfd):
    facts = [f'"A fact is a kind of {"very " * (n % 7 * (n % 2))}short text{"." * (n % 2)}"' for n in range(30)]
    (here / "facts.txt").write_text("\n".join(facts), "utf-8")
    assert main.run(["init", "facts.txt", "--hub", "local"]) == 0
    said = " ".join(capfd.readouterr().err.split())
    assert "Every line of facts.txt looks like a text of its own" in said
    assert "{text: .}' facts.txt > facts.jsonl" in said
    assert main.run(["init", "docs/", "--to", "other.yaml"]) == 0
    assert "looks like a text" not in capfd.readouterr().err


def test_one_file_of_questions_is_split_in_two(here, capfd):
    write_rows(here / "q.jsonl", ROWS)
    assert main.run(["init", "q.jsonl", "docs", "--hub", "local", "--format", "json"]) == 0
    assert json.loads(capfd.readouterr().out)["found"][0]["kind"] == "questions"
    config = takes()
    assert (config.hub, config.task.name) == ("local", "multiple_choice")
    parts = ((here / f"q-{part}.jsonl").read_text().splitlines() for part in ("train", "held-out"))
    train, held_out = ([json.loads(line) for line in lines] for lines in parts)
    assert (len(train), len(held_out)) == (7, 1)
    assert {row["id"] for row in train} | {row["id"] for row in held_out} == {row["id"] for row in ROWS}


def test_of_questions_with_some_answers_those_are_held_out(here):
    """A half-labelled table is what this is for: the rest is learnt."""
    rows = [{"text": f"The sun {n} is up", "label": ("day", "night", "")[n % 3]} for n in range(60)]
    write_rows(here / "q.jsonl", rows)
    assert main.run(["init", "q.jsonl", "docs"]) == 0
    train, held_out = (
        [json.loads(line)["label"] for line in (here / f"q-{part}.jsonl").read_text().splitlines()]
        for part in ("train", "held-out")
    )
    assert len(held_out) == 8
    assert all(held_out)
    assert train.count("") == 20


def test_two_files_are_told_apart_by_their_names(here):
    write_rows(here / "dev.jsonl", ROWS[4:])
    with (here / "train.csv").open("w") as file:
        csv.writer(file).writerows(
            [["question", "A", "B", "answer"], *[[f"Is {n} odd?", "yes", "no", "A"] for n in range(9)]]
        )
    assert main.run(["init", "dev.jsonl", "train.csv", "docs", "--name", "odd", "--to", "odd.yaml"]) == 0
    config = takes("odd.yaml")
    assert (config.task.questions, config.task.evaluation_questions) == ("train.csv", "dev.jsonl")
    assert (config.name, config.task.columns) == ("odd", {"options": "A,B"})


def test_a_dataset_repo_with_its_splits(command, capfd):
    code, _, err = command("init", "tests/town", "tests/town-facts", "--base", "tests/tiny")
    assert code == 0, err
    config = takes()
    assert (config.name, config.task.evaluation_split, config.task.questions) == ("town", "validation", "tests/town")
    assert (config.knowledge.source, config.base) == ("tests/town-facts", "tests/tiny")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nothing"], "nothing: no such file or folder."),
        (["docs", "facts.jsonl"], "both documents"),
        (["bare.jsonl", "docs"], "no answers"),
        (["numbers.csv"], "neither questions nor texts were recognised in its columns: a, b"),
        (["classes.csv", "docs"], "numbers without names (0, 1"),
        (["mixed"], "q.jsonl: looks like questions, but lies in a folder of documents"),
        (["docs", "--to", "facts.jsonl"], "facts.jsonl: exists already"),
        (["docs", "--set", "student.rank=0"], "student.rank"),
    ],
)
def test_what_cannot_be_used_is_one_sentence(here, capfd, arguments, said):
    write_rows(here / "facts.jsonl", [{"text": "The frog eats flies."}])
    write_rows(here / "bare.jsonl", repeated({"question": "Is % odd?", "options": ["yes", "no"]}))
    (here / "numbers.csv").write_text("a,b\n1,2\n")
    (here / "classes.csv").write_text("text,label\n" + "".join(f"I am {n} today,{n % 2}\n" for n in range(20)))
    write_rows(here / "mixed" / "q.jsonl", ROWS)
    (here / "mixed" / "a.md").write_text("A text.\n")
    assert main.run(["init", *arguments]) in (1, 2)
    assert said in " ".join(capfd.readouterr().err.split())
    assert not (here / "my.yaml").exists()
    assert not [*here.glob("*-train.jsonl")]


def test_a_terminal_is_asked_where_a_guess_is_unsure(here, monkeypatch):
    write_rows(
        here / "q.jsonl", repeated({"nr": "%", "was": "Is % more than that?", "eins": "yes it is", "loes": "no"})
    )
    questions = []

    def ask(question, default):
        questions.append(question)
        return {"q.jsonl: which column is the text?": "was"}.get(question, default)

    found = looking.look("q.jsonl", pytest.fail, ask)
    assert (found.guess.task, found.guess.columns["text"]) == ("texts", "was")
    assert questions == ["q.jsonl: which column is the text?"]
    monkeypatch.setattr(init_command.click, "prompt", lambda *_, **named: f" {named['default']} ")
    assert init_command._ask("Which?:", "that") == "that"
