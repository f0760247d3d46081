"""Documents are enough: questions are written from them, some are held out, the rest is learnt and published."""

from __future__ import annotations

import json
import re
import shutil

import pytest
import yaml
from datasets import load_dataset
from noise import LIBRARIES_WARN
from small_hub import WRITE, rows, run_here

from solo_hub import pipeline
from solo_hub.checks import repo_contents
from solo_hub.core.console import Console
from solo_hub.core.errors import ConfigError, InputError
from solo_hub.core.records import CuratedQuestion
from solo_hub.curation.step import STUDIED, UNSEEN
from solo_hub.evaluation.comparison import pages
from solo_hub.evaluation.comparison.opening import open_repo
from solo_hub.evaluation.report import terminal
from solo_hub.hub.connection import Connection
from solo_hub.publishing import dataset, inventory

pytestmark = LIBRARIES_WARN
LIMIT = 16  # questions to learn from


@pytest.fixture
def documents(settings):
    """The invented world's documents, and no question."""
    return {
        **settings,
        "name": "read",
        "task": {"name": "multiple_choice", "evaluation_limit": 12},
        "curation": {"limit": LIMIT, "held_out": 0.2},
        "teacher": {**settings["teacher"], "style": "text", "calibrate": False},
    }


def test_documents_alone_from_questions_to_the_hub(documents, context, hub):
    made = context(documents)
    report = pipeline.distill(made, push=True)
    curated = {row["id"]: row for row in rows(made.run.file("curated"))}
    learnt = [row for row in curated.values() if row["dropped"] is None]
    held = [row for row in curated.values() if row["dropped"] in (UNSEEN, STUDIED)]

    asked = rows(made.run.file("questions"))
    assert [row["id"] for row in asked] == [row["id"] for row in learnt]
    assert 0 < len(learnt) <= LIMIT
    # the answer is the document's, with the sentences it was written from; no teacher, so no confidence
    for label in rows(made.run.file("labels")):
        row = curated[label["question_id"]]
        assert (label["text"], label["option"]) == (
            row["answer"],
            row["options"].index(row["answer"]) if row["options"] else None,
        )
        assert (label["confidence"], label["probabilities"], label["style"]) == (None, None, "written")
        assert label["passages"] == row["documents"]
    # nobody is evaluated on what was learnt, nor are facts of the unseen part studied
    evaluated = {row["id"] for row in rows(made.run.file("held_out"))}
    assert evaluated <= {row["id"] for row in held}
    assert not evaluated & {row["id"] for row in asked}
    studied = {sentence for row in learnt for sentence in row["sentences"]}
    assert not studied & {s for row in held if row["dropped"] == UNSEEN for s in row["sentences"]}
    assert {s for row in held if row["dropped"] == STUDIED for s in row["sentences"]} <= studied
    # the report says how much of the documents is asked about, and both numbers apart
    found = report["curation"]
    assert found["learnt"] == len(learnt)
    assert found["coverage"]["asked"] == len({name for row in learnt for name in row["documents"]})
    assert found["coverage"]["documents"] == len(found["coverage"]["not_asked"]) + found["coverage"]["asked"]
    assert set(found["arms"]) >= {"base", "teacher", "student"}
    cells = found["arms"]["student"]
    n = sum(cell["n"] for part, cell in cells.items() if part != "unseen_new")
    assert n == report["n_questions"] == len(evaluated)
    # an answer that many questions share is guessed: what only the unseen have is told apart
    answers = {row["answer"].casefold() for row in learnt}
    new = [n for n in evaluated if curated[n]["dropped"] == UNSEEN and curated[n]["answer"].casefold() not in answers]
    assert cells.get("unseen_new", {"n": 0})["n"] == len(new)
    assert "What it read" in made.run.file("html").read_text("utf-8")
    # strangers get the questions with their sources
    folder = made.run.file("dataset_repo")
    loaded = load_dataset(str(folder), "curated", split="train")
    assert loaded["id"] == list(curated)
    assert loaded["dropped"].count(None) == len(learnt)
    card = (folder / "README.md").read_text("utf-8")
    assert "**the questions are generated**" in card
    assert "no teacher was asked" in card
    assert report["published"]["dataset"]["repo_id"].rpartition("/")[2].startswith("read-")
    adapter = (made.run.file("adapter_repo") / "README.md").read_text("utf-8")
    assert "## What it read" in adapter
    assert "facts not studied" in adapter

    # a finished run does no work again, and a rerun writes the same questions
    before = made.run.file("curated").read_bytes()
    assert pipeline.distill(context(documents))["curation"] == found
    again = context(documents, made.run.path.parent / "again")
    pipeline.load_questions(again)
    assert again.run.file("curated").read_bytes() == before


def test_what_was_published_is_verified_reproduced_and_shown(documents, context, hub, tmp_path, monkeypatch, capfd):
    def command(*arguments):
        return run_here(hub, monkeypatch, capfd, *arguments, home=tmp_path / "home")

    documents["publish"] |= {"namespace": "tests", "dataset": "read-labels", "adapter": "read-adapter"}
    documents["evaluation"] |= {"arms": ["oracle", "gold_student"]}
    made = context(documents)
    pipeline.distill(made, push=True)
    held = {row["id"]: row for row in rows(made.run.file("held_out"))}
    curated = {row["id"]: row for row in rows(made.run.file("curated"))}

    # the oracle reads the sentences a question was written from; a student of the same words would be the same student
    answers = rows(made.run.file("predictions"))
    assert {row["arm"] for row in answers} == {"base", "teacher", "student", "oracle"}
    for row in rows(made.run.file("golds")):
        assert row["facts"] == curated[row["question_id"]]["sentences"]
        assert held[row["question_id"]]["options"][row["option"]] == curated[row["question_id"]]["answer"]

    code, out, err = command("verify", "tests/read-labels")
    assert (code, re.search(r"^pass +written questions", out, re.MULTILINE) is not None) == (0, True), err
    code, out, err = command("reproduce", "tests/read-adapter", "--run", tmp_path / "again", "--format", "json")
    assert code == 0, err
    compared = {one["name"]: one for one in json.loads(out)["compared"]}
    assert compared["same written questions"]["n"] == len(curated)
    assert {name for name, one in compared.items() if not one["equal"]} == set()

    # who has the adapter alone sees the questions it was measured on, each with its sentence
    shown = open_repo("tests/read-adapter", Connection(hub.endpoint, WRITE, tmp_path / "cache"), Console("quiet"))
    assert {case.question.id for case in shown.cases} == held.keys()
    case = shown.cases[0]
    assert f"<q>{pages.text(case.gold.facts[0])}</q>" in pages.columns(case.question, (), case.gold)

    # a sentence less, or a held-out question among the labels, is found
    folder = made.run.file("dataset_repo")
    changed = dataset.read_rows(folder, "curated")
    provenance = json.loads((folder / "provenance.json").read_text())
    for change, said in (({"sentences": []}, "which sentences"), ({"dropped": UNSEEN}, "not to be learnt")):
        learnt = next(row for row in changed if row["dropped"] is None)
        shutil.rmtree(folder / "data" / "curated")
        dataset._write_parquet(
            folder / "data" / "curated",
            [CuratedQuestion.from_row({**row, **(change if row is learnt else {})}) for row in changed],
            dataset.CURATED,
        )
        (folder / "provenance.json").write_text(json.dumps({**provenance, "files": inventory.hashes(folder)}))
        found = {check.name: check for check in repo_contents.verify(folder)}
        assert found["written questions"].state == "fail"
        assert said in found["written questions"].detail


def test_a_preflight_writes_the_questions_to_say_how_many(documents, hub, tmp_path, monkeypatch, capfd):
    config = tmp_path / "documents.yaml"
    config.write_text(yaml.safe_dump(documents))
    code, out, err = run_here(hub, monkeypatch, capfd, "doctor", config, home=tmp_path / "home")
    assert code == 0, err
    lines = {line.split(maxsplit=1)[1][:24].strip(): line for line in out.splitlines() if line[:4] == "pass"}
    assert re.search(r"\(cloze\): \d+ for training, held out \d+", lines["generated questions"])
    assert " of 85 passages (" in lines["generated questions"]
    assert {"licences", "teacher's prompt"} <= lines.keys()
    assert "ann/read-tiny-solo-adapter" in lines["token"]
    # without a sentence in them it would stop there
    corpus = tmp_path / "corpus.jsonl"
    corpus.write_text('{"id": "a", "text": "Rain."}\n')
    code, _, err = run_here(hub, monkeypatch, capfd, "doctor", config, "--knowledge", corpus, home=tmp_path / "home")
    assert (code, "data" in err) == (1, True)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"selection": {"method": "llkd"}}, "judges by the teacher's confidence, and no teacher is asked"),
        ({"selection": {"method": "confidence"}}, "judges by the teacher's confidence, and no teacher is asked"),
        ({"student": {"objective": "kl"}}, "no teacher is asked about written questions"),
        ({"teacher": {"labels": "solo-hub/invented-world"}}, "no answers to questions that are yet to be written"),
        ({"task": {"name": "text_classification"}}, "have no classes"),
        ({"engine": {"name": "classifier"}, "task": {"name": "text_classification"}}, "cannot learn questions written"),
    ],
)
def test_what_cannot_be_done_with_written_questions_is_said_first(documents, context, changes, said):
    with pytest.raises(ConfigError, match=said):
        context({**documents, **changes})


@pytest.mark.parametrize(
    "changes",
    [
        {"selection": {"method": "llkd", "options": {"without_confidence": "keep"}}},
        {"selection": {"method": "confidence"}, "curation": {"check": "teacher"}},
        {"student": {"objective": "kl"}, "curation": {"check": "teacher"}},
        {"selection": {"method": "random"}},
    ],
)
def test_what_can_be_done_with_written_questions_is_not_refused(documents, context, changes):
    assert context({**documents, **changes}).config.writers == ("cloze",)


def test_the_teacher_checks_what_was_written(documents, context):
    """With the source before it, the teacher must give the document's answer; else the label is dropped."""
    made = context({**documents, "curation": {**documents["curation"], "check": "teacher"}})
    questions = pipeline.load_questions(made)
    passages = pipeline.find_passages(made, questions)
    labels = pipeline.label(made, questions, passages)
    selection = pipeline.select(made, questions, passages, labels)
    answers = {row["id"]: row for row in rows(made.run.file("curated"))}
    assert all(label.style != "written" for label in labels)
    wrong = {
        label.question_id
        for label in labels
        if label.option is not None
        and label.option != answers[label.question_id]["options"].index(answers[label.question_id]["answer"])
    }
    reasons = {verdict.question_id: verdict.reason for verdict in selection.dropped}
    assert wrong, "a random model is wrong somewhere"
    assert {
        name for name, reason in reasons.items() if reason == "filter: the teacher contradicts the document"
    } >= wrong
    assert not wrong & {verdict.question_id for verdict in selection.kept}


def test_written_questions_beside_the_users_own(settings, context):
    """The user's questions are labelled by the teacher, written ones by their documents; both are learnt."""
    mixed = {
        **settings,
        "curation": {"writers": ["cloze"], "limit": 10},
        "task": {**settings["task"], "train_limit": 8, "evaluation_limit": 8},
        "evaluation": {**settings["evaluation"], "arms": ["gold_student", "shuffled_student"]},
    }
    made = context(mixed)
    questions = pipeline.load_questions(made)
    assert len(questions) == 18
    labels = pipeline.label(made, questions, pipeline.find_passages(made, questions))
    assert [label.style == "written" for label in labels] == [False] * 8 + [True] * 10
    assert not [row for row in rows(made.run.file("curated")) if row["dropped"] in (UNSEEN, STUDIED)]
    report = pipeline.distill(made)
    assert (report["curation"]["kept"], report["curation"]["own"]) == (10, 8)
    assert report["curation"]["arms"] == {}  # the user's held-out questions are all that is asked
    # the documents' words cannot be right or wrong beside themselves, and the user's answers are not known
    assert report["labels"].get("accuracy") is None
    assert "gold_student" not in report["arms"]
    assert "shuffled_student" in report["arms"]
    assert "beside 8 of the user's (56% generated)" in "\n".join(terminal.measured_lines(report))


def test_no_time_goes_into_a_teacher_that_nobody_asks(documents, context, monkeypatch):
    """How sure the teacher is, and whether it explains well, is not looked at where the documents answer."""
    monkeypatch.setattr("solo_hub.teacher.deciding.calibrate", lambda *_, **__: pytest.fail("calibrated"))
    monkeypatch.setattr("solo_hub.teacher.explanation.explains_well", lambda *_, **__: pytest.fail("explained"))
    made = context({**documents, "teacher": {**documents["teacher"], "calibrate": True, "explain": "auto"}})
    questions = pipeline.load_questions(made)
    pipeline.label(made, questions, pipeline.find_passages(made, questions))
    assert made.resolved.setups["teacher"].explained_share is None


def test_no_documents_are_ever_a_default(settings, context):
    with pytest.raises(ConfigError, match="nothing to learn from"):
        context({**settings, "task": {"name": "multiple_choice"}, "knowledge": {}})
    with pytest.raises(ConfigError, match="No documents are configured for the teacher"):
        context({**settings, "knowledge": {"passages": 4}})


def test_documents_without_a_sentence_are_named(documents, context, tmp_path):
    corpus = tmp_path / "corpus.jsonl"
    corpus.write_text('{"id": "a", "text": "Rain."}\n{"id": "b", "text": "?"}\n', "utf-8")
    made = context({**documents, "knowledge": {"source": str(corpus), "passages": 2}})
    with pytest.raises(InputError, match=r"corpus.jsonl: no questions could be generated from the 2 documents"):
        pipeline.load_questions(made)


def test_a_run_killed_after_writing_goes_on_with_the_same_questions(documents, context, monkeypatch):
    made = context(documents)
    pipeline.load_questions(made)
    made.run.file("questions").unlink()
    monkeypatch.setattr("solo_hub.curation.step._write", lambda _: pytest.fail("written again"))
    again = context(documents)
    written = pipeline.load_questions(again)
    assert [q.id for q in written] == [row["id"] for row in rows(made.run.file("curated")) if row["dropped"] is None]
    assert yaml.safe_load(made.run.file("config").read_text())["resolved"]["curated"]["learnt"] == len(written)


FACTS = {
    "rain.md": [
        "Rain falls from dark clouds.",
        "A barometer measures the pressure of the air.",
        "Frost destroys young leaves.",
    ],
    "farm.md": ["Cows eat fresh grass.", "A tractor pulls the heavy plough.", "Bees produce golden honey."],
    "sea.md": ["Whales eat tiny shrimps.", "A lighthouse warns the sailors.", "Corals build large reefs."],
    "metal.md": [
        "Magnets attract iron nails.",
        "A blacksmith heats the raw steel.",
        "Copper conducts electric current.",
    ],
}


def write_facts(folder, names):
    folder.mkdir(exist_ok=True)
    for name in FACTS:
        (folder / name).unlink(missing_ok=True)
    for name in names:
        (folder / name).write_text("\n\n".join(FACTS[name]) + "\n", "utf-8")
    return folder


@pytest.mark.parametrize("base", ["folder", "knowledge base"])
def test_documents_that_change(documents, hub, tmp_path, monkeypatch, capfd, base):
    """Questions of documents that stay keep ids and part; those of removed ones are neither asked nor published."""

    def command(*arguments):
        code, _, err = run_here(hub, monkeypatch, capfd, *arguments, home=tmp_path / "home")
        assert code == 0, err
        return err

    docs, run = write_facts(tmp_path / "docs", ["rain.md", "farm.md", "sea.md"]), tmp_path / "run"
    source, config = docs, tmp_path / "documents.yaml"
    if base == "knowledge base":
        source = tmp_path / "kb"
        command("index", "--to", source, "--knowledge", docs)
    documents["publish"] |= {"namespace": "tests", "dataset": f"changed-{base[:3]}", "adapter": f"changed-{base[:3]}-a"}
    documents |= {"knowledge": {"source": str(source), "passages": 2}, "curation": {"held_out": 0.3}}
    config.write_text(yaml.safe_dump(documents))
    command("distill", config, "--run", run, "--push", "--yes")
    before = {row["id"]: row for row in rows(run / "1-curated.jsonl")}
    assert any("whale" in row["text"].lower() + row["answer"].lower() for row in before.values())

    write_facts(docs, ["rain.md", "farm.md", "metal.md"])
    if base == "knowledge base":
        command("index", "--to", source, "--remove", "sea.md", "--add", docs / "metal.md")
    kept = (run / "1-curated.jsonl").read_bytes()
    command("distill", config, "--run", run)  # without --update a finished run stays what it is
    assert (run / "1-curated.jsonl").read_bytes() == kept
    command("distill", config, "--run", run, "--push", "--yes", "--update")
    after = {row["id"]: row for row in rows(run / "1-curated.jsonl")}

    gone = set(FACTS["sea.md"])
    stays = {name: row for name, row in before.items() if not gone & set(row["sentences"])}
    assert len(stays) < len(before)
    # the same questions with the same answers on the same side; options are drawn anew among the answers there are
    assert {name: (after[name]["text"], after[name]["dropped"]) for name in stays} == {
        name: (row["text"], row["dropped"]) for name, row in stays.items()
    }
    assert {s for name in after.keys() - before.keys() for s in after[name]["sentences"]} == set(FACTS["metal.md"])
    assert not gone & {sentence for row in after.values() for sentence in row["sentences"]}
    folder = run / "7-dataset"
    published = [*dataset.read_rows(folder, "curated"), *dataset.read_rows(folder)]
    assert not [row for row in published if gone & set(row.get("sentences") or ())]
    assert not [row for row in published if {"whales", "corals"} & set(row.get("question", "").lower().split())]
    assert {row["id"] for row in dataset.read_rows(folder)} == {n for n, row in after.items() if row["dropped"] is None}


@pytest.mark.parametrize(
    ("change", "rewritten"),
    [
        ({"knowledge": {"chunk_tokens": 64}}, True),
        ({"knowledge": {"passages": 2}}, False),
        ({"student": {"epochs": 1}}, False),
    ],
)
def test_what_is_asked_is_written_again_where_documents_are_read_in_another_way(documents, context, change, rewritten):
    made = context(documents)
    pipeline.find_passages(made, pipeline.load_questions(made))
    changed = {**documents, **{name: {**documents[name], **values} for name, values in change.items()}}
    again = context(changed, update=True)
    assert again.run.has("curated", "questions") is not rewritten


def test_three_sentences_are_enough(documents, context, tmp_path):
    corpus = tmp_path / "three.txt"
    corpus.write_text("Magnets attract iron nails. Whales eat tiny shrimps. Bees produce golden honey.\n", "utf-8")
    made = context({**documents, "knowledge": {"source": str(corpus), "passages": 2}, "curation": {"held_out": 0.4}})
    report = pipeline.distill(made)
    assert report["n_questions"] > 0
    assert report["curation"]["kept"] > 0


def test_documents_in_traditional_chinese(documents, context, tmp_path):
    """Written, held out, learnt and measured in the documents' language, with options."""
    corpus = tmp_path / "sky.txt"
    facts = (
        "\u78c1\u9435\u5438\u5f15\u9435\u91d8\u3002\u9be8\u9b5a\u5403\u5c0f\u8766\u3002\u871c\u8702\u91c0\u9020\u8702\u871c\u3002"
        "\u7261\u725b\u5403\u65b0\u9bae\u7684\u8349\u3002\u71c8\u5854\u8b66\u544a\u6c34\u624b\u3002\u53f0\u7063\u7684\u9996\u90fd\u662f\u53f0\u5317\u3002"
        "\u8718\u86db\u6709\u516b\u96bb\u8173\u3002\u6c34\u5728\u96f6\u5ea6\u7d50\u51b0\u3002\u81fa\u7063\u5927\u5b78\u5275\u7acb\u65bc1928\u5e74\u3002"
    )
    corpus.write_text(facts, "utf-8")
    made = context(
        {
            **documents,
            "name": "sky",
            "knowledge": {"source": str(corpus), "passages": 2},
            "curation": {"held_out": 0.3},
        }
    )
    report = pipeline.distill(made, push=True)
    written = rows(made.run.file("curated"))
    assert {row["language"] for row in written} == {"zh-Hant"} or {row["language"] for row in written} == {"zh"}
    assert report["n_questions"] > 0
    held = rows(made.run.file("held_out"))
    assert all(row["options"] for row in held)
    assert "\u8718\u86db" in made.run.file("html").read_text("utf-8") + made.run.file("curated").read_text("utf-8")
