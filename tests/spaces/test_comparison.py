"""Answers of the three arms, on a model of a few thousand parameters and a Hub of folders."""

from __future__ import annotations

import dataclasses

import pytest
import yaml
from noise import PEFT_WARNS
from tiny_run import ADAPTER, CORPUS, QUESTIONS, RIGHT, FakeConnection, write_config

from solo_hub.core.console import Console
from solo_hub.core.errors import InputError, ModelError, RunError
from solo_hub.core.records import Gold, Prediction, Question
from solo_hub.evaluation.comparison import pages
from solo_hub.evaluation.comparison.asking import read_question
from solo_hub.evaluation.comparison.cases import ARMS, GROUPS, Case, excerpt, read_cases
from solo_hub.evaluation.comparison.opening import open_repo, open_run, open_space

pytestmark = [
    PEFT_WARNS,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # faiss
]


def test_three_arms_answer_a_typed_question(comparison):
    question = read_question("Which animal sleeps in caves?", "the bear\nthe river\n\nfog")
    base, teacher, student = comparison.answer(question)
    assert [a.prediction.arm for a in (base, teacher, student)] == list(ARMS)
    for answer in (base, teacher, student):
        assert sum(answer.prediction.probabilities) == pytest.approx(1)
        assert answer.prediction.probabilities[answer.prediction.option] == max(answer.prediction.probabilities)
        assert answer.prediction.seconds > 0
    # the adapter is off for the base and on for the student; the passages are the teacher's alone
    assert base.prediction.probabilities != pytest.approx(student.prediction.probabilities)
    assert base.prediction.probabilities != pytest.approx(teacher.prediction.probabilities)
    assert teacher.passages[0].text == CORPUS[0]
    assert len(teacher.passages) == 2
    assert base.passages == student.passages == ()
    assert teacher.lookup_seconds > 0 == base.lookup_seconds


def test_the_same_question_gets_the_same_answers_again(comparison):
    question = QUESTIONS[1]
    first, second = ([a.prediction.probabilities for a in comparison.answer(question)] for _ in range(2))
    assert first == second  # the adapter does not stay on


def test_a_known_question_is_given_the_passages_of_the_evaluation(comparison):
    known = Question("typed", f"  {QUESTIONS[0].text} ", QUESTIONS[0].options)
    _, teacher, _ = comparison.answer(known)
    assert [p.id for p in teacher.passages] == ["s0"]
    assert teacher.lookup_seconds == 0
    assert comparison.known(known).gold == Gold("q1", 0, "the bear")
    assert comparison.known(Question("typed", QUESTIONS[0].text, ("other", "options"))) is None


def test_without_options_the_arms_write(comparison):
    for answer in comparison.answer(read_question("Why?", "")):
        assert answer.prediction.option is None
        assert answer.prediction.probabilities is None


def test_prepare_answers_once_and_changes_nothing_in_the_run_folder(comparison, run):
    before = {p: p.stat().st_mtime_ns for p in run.path.rglob("*")}
    comparison.prepare()
    assert {p: p.stat().st_mtime_ns for p in run.path.rglob("*")} == before
    assert comparison.context.engine.device == "cpu"  # the run's own was a GPU that is not here
    assert str(comparison.context.engine.dtype) == "torch.float32"  # as the evaluation measured


def test_no_passages_wanted_none_looked_up(run, door):
    write_config(run.file("config"), knowledge={"source": "tests/corpus", "embedding_model": "x/y", "passages": 0})
    opened = open_run(run.path, lambda needs: FakeConnection(door), Console("quiet"))
    _, teacher, _ = opened.answer(read_question("Why?", "a\nb"))
    assert teacher.passages == ()
    assert teacher.note == "The teacher of this run has no passages."


@pytest.mark.filterwarnings("ignore::Warning")  # of gradio
def test_where_the_labels_were_brought_along_no_teacher_is_shown(run, door, monkeypatch):
    """Nobody was asked, so there is no column, no group of questions and no word of a teacher on the page."""
    pytest.importorskip("gradio", reason="the extra 'space' is not installed")
    from solo_hub.publishing.space import load_app

    write_config(run.file("config"), teacher={"labels": "tests/labels"})
    run.write_rows("predictions", [row for row in run.read_rows("predictions", Prediction) if row.arm != "teacher"])
    report = run.read_json("report")
    del report["arms"]["teacher"]
    run.write_json("report", report)
    opened = open_run(run.path, lambda needs: FakeConnection(door), Console("quiet"))
    monkeypatch.setattr(opened, "_look_up", lambda _: pytest.fail("there is nobody to read passages"))
    opened.prepare()
    assert [answer.prediction.arm for answer in opened.answer(QUESTIONS[0])] == ["base", "student"]
    page = str(load_app().build(opened).config)
    assert "<h1>Base, student</h1>" in page
    assert "Ask both" in page
    assert "eacher" not in page
    # q3, which both got wrong, is among those that all got wrong
    assert "All wrong (1)" in page


@pytest.mark.parametrize(
    ("text", "options", "says"),
    [
        ("  ", "", "is empty"),
        ("Why?", "one", "only one option"),
        ("Why?", "sun\n sun ", "the same"),
        ("Why?", "\n".join(str(n) for n in range(501)), "501 options"),
        ("x" * 5000, "", "Too long"),
        ("Why?", "a\n" + "x" * 500, "Too long"),
    ],
)
def test_a_question_that_cannot_be_asked(text, options, says):
    with pytest.raises(InputError, match=says):
        read_question(text, options)


def test_a_question_longer_than_the_context(comparison):
    with pytest.raises(InputError, match="longer than the model's context"):
        list(comparison.answer(read_question("word " * 500, "a\nb")))


def test_an_adapter_of_another_model(comparison, tmp_path):
    comparison.adapter = tmp_path
    with pytest.raises(ModelError, match="cannot be loaded"):
        comparison.prepare()


def test_not_a_run(tmp_path):
    with pytest.raises(RunError, match="is not a run folder"):
        open_run(tmp_path, None, Console("quiet"))


def test_a_run_that_is_not_finished(run, door):
    run.file("predictions").unlink()
    with pytest.raises(RunError, match="has not been evaluated"):
        open_run(run.path, lambda needs: FakeConnection(door), Console("quiet"))


# -- from a published repo ---------------------------------------------------------------------------------------------


def test_a_published_adapter_answers_like_its_run(comparison, published):
    opened = open_repo(ADAPTER, FakeConnection(published), Console("quiet"))
    question = read_question("Which animal sleeps in caves?", "the bear\nthe river")
    here, there = list(comparison.answer(question)), list(opened.answer(question))
    assert [a.prediction.probabilities for a in here] == [a.prediction.probabilities for a in there]
    assert [p.id for p in here[1].passages] == [p.id for p in there[1].passages]
    # the questions come from their own repo; what was answered in the evaluation is not there
    assert [case.question for case in opened.cases] == QUESTIONS
    assert [case.gold.option for case in opened.cases] == [0, 0, 0]
    assert not any(case.predictions for case in opened.cases)


def test_published_settings_do_not_decide_that_foreign_code_runs(run, published):
    path = published.repos[ADAPTER] / "config.yaml"
    document = yaml.safe_load(path.read_text())
    document["settings"]["engine"]["trust_remote_code"] = True
    path.write_text(yaml.safe_dump(document))
    opened = open_repo(ADAPTER, FakeConnection(published), Console("quiet"))
    assert opened.context.config.engine.trust_remote_code is False


def test_settings_of_another_version_are_left_out(run, published):
    path = published.repos[ADAPTER] / "config.yaml"
    document = yaml.safe_load(path.read_text())
    document["settings"]["student"]["from_the_future"] = 1
    document["settings"]["future"] = {"x": 1}
    path.write_text(yaml.safe_dump(document))
    opened = open_repo(ADAPTER, FakeConnection(published), Console("quiet"))
    assert opened.context.config.student.rank == 16
    assert opened.context.config.knowledge.passages == 2


def test_a_knowledge_base_that_was_not_published(run, published):
    path = published.repos[ADAPTER] / "config.yaml"
    document = yaml.safe_load(path.read_text())
    document["settings"]["knowledge"]["source"] = "docs/"  # where the run was made, not here
    document["resolved"]["repos"]["knowledge"] = {"file": "docs", "sha256": "0" * 64, "license": None}
    path.write_text(yaml.safe_dump(document))
    opened = open_repo(ADAPTER, FakeConnection(published), Console("quiet"))
    assert opened.context.connection, "its documents are not looked for"
    _, teacher, _ = opened.answer(read_question("Why?", "a\nb"))
    assert teacher.passages == ()
    assert "was not published" in teacher.note


def test_a_repo_that_is_not_ours(run, published):
    (published.repos[ADAPTER] / "config.yaml").unlink()
    with pytest.raises(RunError, match="was not published by solo-hub"):
        open_repo(ADAPTER, FakeConnection(published), Console("quiet"))


def test_a_space_that_was_not_filled(tmp_path):
    with pytest.raises(RunError, match="does not name an adapter"):
        open_space(tmp_path, Console("quiet"))


# -- wins and losses ---------------------------------------------------------------------------------------------------


def test_groups_by_who_was_right(run):
    cases = read_cases(run)
    assert [tuple(case.right(arm) for arm in ARMS) for case in cases] == list(RIGHT.values())
    members = {name: [c.question.id for c in cases if belongs(c)] for name, (_, belongs) in GROUPS.items()}
    assert members == {
        "won": ["q1"], "lost": ["q2"], "ahead": [], "behind": [], "right": [], "wrong": ["q3"],
        "all": ["q1", "q2", "q3"],
    }  # fmt: skip


def test_free_text_is_right_when_it_reads_the_same():
    said = (Prediction("q", "base", None, None, " The Sun. "), Prediction("q", "student", None, None, "moon"))
    case = Case(Question("q", "What shines?"), Gold("q", None, "the sun"), said)
    assert [case.right(arm) for arm in ARMS] == [True, None, False]


def test_a_case_survives_its_row(run):
    for case in read_cases(run):
        assert Case.from_row(case.to_row()) == case
    bare = Case(Question("q", "x"))
    assert Case.from_row(bare.to_row()) == bare


def test_an_excerpt_takes_of_every_group_and_keeps_the_order(run):
    cases = read_cases(run)
    assert [c.question.id for c in excerpt(cases, 2)] == ["q1", "q2"]
    assert excerpt(cases, 3) == cases == excerpt(cases, 99)
    assert excerpt(cases, 0) == [] == excerpt([], 5)


def test_arms_that_were_asked_besides_are_not_compared(run):
    """An evaluation asks more than three; the page has three columns, and a Space of it must start."""
    rows = run.read_rows("predictions", Prediction)
    more = [dataclasses.replace(row, arm="base_few_shot") for row in rows if row.arm == "base"]
    run.write_rows("predictions", [*rows, *more])
    assert {p.arm for case in read_cases(run) for p in case.predictions} == set(ARMS)
    assert pages.cases(read_cases(run), 0, "Every question", shown=3, total=3)
