"""The whole path, from Hub repos to Hub repos, with a model of a few thousand parameters."""

from __future__ import annotations

import html
import json
import shutil

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from noise import LIBRARIES_WARN
from small_hub import small_settings, write_rows

import solo_hub
from solo_hub import pipeline
from solo_hub.core.errors import ConfigError, InputError, NotAllowedError, RunError
from solo_hub.hub import HubClient
from solo_hub.run.folder import RunFolder

pytestmark = LIBRARIES_WARN
FILES = (
    "config.yaml", "1-questions.jsonl", "2-passages.jsonl", "3-labels.jsonl", "4-selected.jsonl", "4-dropped.jsonl",
    "5-adapter/adapter_model.safetensors", "5-adapter/adapter_config.json", "6-predictions.jsonl", "6-report.json",
    "report.html", "7-dataset/README.md", "7-adapter/README.md", "7-published.json",
)  # fmt: skip


@pytest.fixture(scope="session")
def finished(hub, tmp_path_factory):
    """A finished and published run: its folder and the document it printed."""
    from solo_hub.cli.main import run

    folder = tmp_path_factory.mktemp("finished")
    config = folder / "small.yaml"
    wanted = small_settings(whole=True)
    del wanted["student"]["checkpoint_every"], wanted["evaluation"]["forgetting"]
    wanted["evaluation"]["map"] = "pca"
    config.write_text(yaml.safe_dump(wanted))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_TOKEN", hub.token)
        import contextlib
        import io

        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            where = ("--run", str(folder / "run"), "--hub", hub.endpoint)
            code = run(["distill", str(config), "--push", "--format", "json", *where])
    assert code == 0
    return folder / "run", json.loads(out.getvalue())


def test_every_file_of_the_run_folder_is_there(finished):
    folder, _ = finished
    assert [name for name in FILES if not (folder / name).exists()] == []
    assert not list(folder.glob(".5-training")), "checkpoints are left behind"
    assert not list(folder.glob("*.partial*"))


def test_the_document_has_what_other_tools_rely_on(finished):
    folder, document = finished
    assert document["run"] == str(folder)
    for arm in ("base", "teacher", "student"):
        for metric in ("accuracy", "rouge1", "rouge2", "rougeL", "bert_score_f1"):
            measure = document["arms"][arm][metric]
            assert set(measure) >= {"value", "low", "high", "n"}
            assert measure["low"] <= measure["value"] <= measure["high"]
            assert measure["n"] == 12  # as many as the settings ask for
    assert 0 <= document["paired"]["student_vs_base"]["p_value"] <= 1
    assert "gap_closed" in document
    assert document["trust"]["arms"].keys() >= {"base", "teacher", "student"}
    assert document["recitation"]["n"] > 0
    for kind in ("dataset", "adapter"):
        assert set(document["published"][kind]) >= {"repo_id", "commit", "tag", "url"}
        assert document["published"][kind]["tag"] == "v1"


def test_config_names_commit_of_everything_pulled(finished):
    folder, _ = finished
    resolved = yaml.safe_load((folder / "config.yaml").read_text())["resolved"]
    for role in ("base", "questions", "evaluation_questions", "knowledge", "embedder", "bert_score_model"):
        assert len(resolved["repos"][role]["commit"]) == 40
    assert resolved["libraries"]["torch"]
    assert resolved["teacher"]["style"] in ("letter", "text", "text_minus_prior")


def test_no_token_anywhere_in_the_folder(finished, hub):
    folder, _ = finished
    holding = [path for path in folder.rglob("*") if path.is_file() and hub.token.encode() in path.read_bytes()]
    assert holding == []


def test_a_finished_run_does_no_work_again(finished, hub, monkeypatch):
    """No model is loaded, no Hub is opened, no file is touched."""
    from solo_hub.core.config import build
    from solo_hub.core.console import Console
    from solo_hub.models import causal
    from solo_hub.run.context import RunContext
    from solo_hub.run.folder import RunFolder

    folder, document = finished

    def refuse(*_, **__):
        raise AssertionError("a finished run has nothing to do here")

    monkeypatch.setattr(causal.CausalEngine, "__init__", refuse)
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}
    settings = yaml.safe_load((folder / "config.yaml").read_text())["settings"]
    again = pipeline.distill(RunContext(build(settings), RunFolder(folder), refuse, Console("quiet")))
    assert again["arms"] == document["arms"]
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()} == before


def test_publishing_again_makes_no_new_version(finished, context):
    folder, document = finished
    settings = yaml.safe_load((folder / "config.yaml").read_text())["settings"]
    published = pipeline.distill(context(settings, folder), push=True)["published"]
    assert published == document["published"]


def test_everything_is_tied_together_at_its_commit(finished, hub, tmp_path):
    """The Space is tagged like the adapter; the Collection holds all that was published and all it was made from."""
    folder, document = finished
    published = document["published"]
    assert set(published) == {"dataset", "adapter", "space", "collection"}
    door = HubClient(hub.endpoint, hub.token, tmp_path / "cache")
    space = published["space"]
    assert door.pin(f"{space['repo_id']}@{published['adapter']['tag']}", "space").commit == space["commit"]
    owner = published["adapter"]["repo_id"].split("/")[0]
    held = door.collection_items(owner, published["collection"]["title"])
    assert held == [
        ("model", published["adapter"]["repo_id"]), ("dataset", published["dataset"]["repo_id"]),
        ("space", space["repo_id"]), ("model", "tests/tiny"), ("dataset", "solo-hub/invented-world-corpus"),
        ("dataset", "solo-hub/invented-world"), ("model", "sentence-transformers/all-MiniLM-L6-v2")]  # fmt: skip
    card = (folder / "7-adapter" / "README.md").read_text()
    assert f"/spaces/{space['repo_id']}/tree/{published['adapter']['tag']})" in card


def scrambled(hub, tmp_path):
    """The world with answers and facts of both splits replaced by nonsense, as local files."""
    from solo_hub.hub.seeds.world.world import build_world

    world = build_world(0, kinds=1, bridges=9, entities_per_bridge=2, training_phrasings=3, validation_phrasings=2)
    files = []
    for name, part, shift in (("train", world.train_rows, 0), ("held-out", world.validation_rows, 3)):
        for version in ("true", "scrambled"):
            changed = [
                row
                if version == "true"
                else {**row, "answerKey": "ABCDEFGH"[(n + shift) % 8], "fact1": "nonsense", "fact2": f"{n}"}
                for n, row in enumerate(part)
            ]
            file = tmp_path / f"{name}-{version}.parquet"
            pq.write_table(pa.Table.from_pylist([dict(row) for row in changed]), file)
            files.append(str(file))
    return files


def test_no_answer_reaches_the_label_free_path(context, hub, settings, tmp_path):
    """Labels, selection and the adapter are the same bytes when answers and facts are scrambled in both splits."""
    train, train_scrambled, held_out, held_out_scrambled = scrambled(hub, tmp_path)
    results = []
    for name, questions, evaluation in (("a", train, held_out), ("b", train_scrambled, held_out_scrambled)):
        task = {"name": "qasc", "questions": questions, "evaluation_questions": evaluation}
        made = context({**settings, "task": task}, tmp_path / name)
        asked = pipeline.load_questions(made)
        passages = pipeline.find_passages(made, asked)
        labels = pipeline.label(made, asked, passages)
        pipeline.train(made, asked, passages, labels, pipeline.select(made, asked, passages, labels), [])
        names = (
            "1-questions.jsonl",
            "2-passages.jsonl",
            "3-labels.jsonl",
            "4-selected.jsonl",
            "5-adapter/adapter_model.safetensors",
        )
        results.append([(tmp_path / name / file).read_bytes() for file in names])
    assert results[0] == results[1]


def test_passages_that_do_not_fit_are_dropped_and_counted(context, settings):
    """The tiny model reads 256 tokens: the question is never cut, passages are left out, and the row says how many."""
    made = context({**settings, "knowledge": {**settings["knowledge"], "passages": 30}})
    asked = pipeline.load_questions(made)
    labels = pipeline.label(made, asked, pipeline.find_passages(made, asked))
    assert all(row.passages_dropped > 0 for row in labels)
    assert all(len(row.passages) + row.passages_dropped == 30 for row in labels)


def test_a_run_folder_of_another_config_is_refused_and_named(context, settings):
    made = context(settings)
    pipeline.load_questions(made)
    with pytest.raises(RunError, match=r"seed is 0 there and 5 here"):
        context({**settings, "seed": 5})
    context({**settings, "student": {**settings["student"], "rank": 8}})  # nothing was trained yet
    made.run.training.mkdir()
    with pytest.raises(RunError, match=r"student\.rank is 8 there and 4 here"):
        context(settings)


def test_a_run_older_than_a_setting_has_its_default(context, settings):
    made = context(settings)
    document = yaml.safe_load(made.run.file("config").read_text())
    del document["settings"]["student"]["weight_decay"]
    made.run.file("config").write_text(yaml.safe_dump(document))
    (made.run.path / ".sums.json").unlink()  # of what this version wrote
    context(settings)


def test_update_keeps_paid_labels_and_redoes_what_changed(context, settings, monkeypatch):
    from solo_hub.teacher.labelling import Teacher

    made = context(settings)
    asked = pipeline.load_questions(made)
    passages = pipeline.find_passages(made, asked)
    pipeline.select(made, asked, passages, pipeline.label(made, asked, passages))
    before = made.run.file("labels").read_bytes()
    monkeypatch.setattr(Teacher, "label", lambda *_, **__: pytest.fail("labels were paid for"))
    changed = {**settings, "selection": {"method": "confidence", "options": {"share": 0.5}}}
    again = context(changed, update=True)
    assert not again.run.has("selected")
    selection = pipeline.select(again, asked, passages, pipeline.label(again, asked, passages))
    assert len(selection.kept) == len(asked) // 2
    assert again.run.file("labels").read_bytes() == before


def test_the_same_questions_cannot_be_learnt_and_held_out(context, settings):
    with pytest.raises(ConfigError, match="are the same"):
        context({**settings, "task": {**settings["task"], "evaluation_split": "train"}})


def test_no_write_token_is_found_out_before_any_work(context, settings):
    made = context(settings, token="hf_piperunREADtoken")
    with pytest.raises(NotAllowedError):
        pipeline.distill(made, push=True)
    assert not made.run.has("questions")


@pytest.mark.parametrize("method", ["llkd", "random"])
def test_selection_at_every_step_or_ahead(context, settings, method):
    options = {"share": 0.5} if method == "random" else {}
    made = context({**settings, "selection": {"method": method, "options": options}})
    report = pipeline.distill(made)
    assert report["selection"]["method"] == method
    if method == "llkd":
        steps = report["selection"]["steps"]
        assert 0 < steps["kept"] < steps["seen"]
    else:
        assert report["selection"]["dropped"] > 0


def test_free_text_questions_are_a_task_too(context, settings, tmp_path):
    asked = [{"id": f"q{n}", "question": f"What is number {n}?"} for n in range(12)]
    held_out = [{"id": f"h{n}", "question": f"Which is {n}?", "answer": f"the {n}"} for n in range(6)]
    task = {
        "name": "open_qa",
        "questions": write_rows(tmp_path / "asked.jsonl", asked),
        "evaluation_questions": write_rows(tmp_path / "held-out.jsonl", held_out),
    }
    made = context({**settings, "task": task, "teacher": {**settings["teacher"], "max_new_tokens": 6}})
    report = pipeline.distill(made)
    labels = [json.loads(line) for line in made.run.file("labels").read_text().splitlines()]
    assert {row["style"] for row in labels} == {"generate"}
    assert report["arms"]["student"]["accuracy"]["n"] == 6


def test_from_python_a_run_is_records_and_data_frames(finished, hub):
    folder, document = finished
    run = solo_hub.load_run(folder)
    assert run.config.student.rank == 4
    assert run.published == document["published"]
    rows = [json.loads(line) for line in (folder / "3-labels.jsonl").read_text("utf-8").splitlines()]
    assert [label.to_row() for label in run.labels] == rows
    assert [verdict.question_id for verdict in run.selection] == [label.question_id for label in run.labels]

    labels, selection = run.labels.to_pandas(), run.selection.to_pandas()
    assert list(labels["question"]) == [question.text for question in run.questions]
    assert list(labels["confidence"]) == [row["confidence"] for row in rows]
    assert selection["kept"].sum() == len((folder / "4-selected.jsonl").read_text("utf-8").splitlines())
    assert list(selection["text"]) == list(labels["text"])
    accuracy = run.predictions.to_pandas().groupby("arm")["right"].mean()
    report = run.report.to_pandas()
    for arm, measured in document["arms"].items():
        assert accuracy[arm] == pytest.approx(measured["accuracy"]["value"])
        assert report.loc[arm, "accuracy_high"] == measured["accuracy"]["high"]


def test_labels_and_answers_are_conversations_too(finished, hub, tmp_path):
    """As trainers of chat models read them: from the folder, and from the published dataset."""
    from datasets import load_dataset

    folder, document = finished
    run = solo_hub.load_run(folder)
    client = HubClient(hub.endpoint, hub.token, tmp_path / "cache")
    pulled = client.pull(client.pin(f"{document['published']['dataset']['repo_id']}@v1", "dataset"))
    published = load_dataset(str(pulled), "messages", split="train", cache_dir=str(tmp_path / "datasets"))
    assert published.to_list() == run.messages()
    assert [row["id"] for row in run.messages()] == [verdict.question_id for verdict in run.selection if verdict.kept]
    asked, said = run.messages("student")[0]["messages"]
    assert asked["content"].startswith(f"Question: {run.held_out[0].text}")
    assert said == {"role": "assistant", "content": next(p.text for p in run.predictions if p.arm == "student")}
    with pytest.raises(InputError, match="no answers of the arm 'nobody'"):
        run.messages("nobody")


def test_a_notebook_shows_the_report(finished, tmp_path):
    """In a frame: neither its styles nor its ids meet those of the notebook."""
    shown = solo_hub.load_run(finished[0])._repr_html_()
    assert shown.startswith("<iframe")
    assert html.unescape(shown.split('srcdoc="')[1].split('"')[0]) == (finished[0] / "report.html").read_text("utf-8")
    shutil.copy(finished[0] / "config.yaml", tmp_path)
    assert solo_hub.load_run(tmp_path)._repr_html_() is None


def test_from_python_a_finished_run_is_a_no_op_and_another_configuration_is_refused(finished, capfd):
    folder, _ = finished
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir() if path.name[0] in "1234567r"}
    run = solo_hub.distill(run=folder)
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert run.report["n_questions"] == 12
    out, err = capfd.readouterr()
    assert out == ""
    assert "12 held-out questions" in err
    with pytest.raises(RunError, match=r"student\.epochs"):
        solo_hub.distill(run.config, run=folder, student={"epochs": 7}, progress=False)
    assert capfd.readouterr().err == ""


def test_the_published_student_answers_as_it_did_in_the_evaluation(finished, hub, monkeypatch):
    folder, document = finished
    monkeypatch.setenv("HF_TOKEN", hub.token)
    student = solo_hub.Student.from_pretrained(f"{document['published']['adapter']['repo_id']}@v1", hub=hub.endpoint)
    from solo_hub.run.rows import read_evaluation

    evaluation = read_evaluation(RunFolder(folder))
    for question, expected in list(zip(evaluation.questions, evaluation.predictions["student"], strict=True))[:4]:
        answer = student.answer(question.text, question.options)
        assert answer.option == expected.option
        assert answer.probabilities == pytest.approx(expected.probabilities, abs=1e-5)
        assert answer.text == question.options[answer.option]
    assert student.answer("What makes the river rise?").option is None
    for options, problem in ((["a"], "only one option"), (["a", "a"], "the same"), (["a", " ", "b"], "empty")):
        with pytest.raises(InputError, match=problem):
            student.answer("What makes the river rise?", options)
