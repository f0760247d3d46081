"""`--plan` counts what a run then does, `--preview` shows what it would; neither keeps anything."""

from __future__ import annotations

import contextlib
import json
from types import SimpleNamespace

import pytest
import yaml
from noise import LIBRARIES_WARN
from small_hub import WRITE, run_here, small_settings

from solo_hub import pipeline
from solo_hub.checks import plan as plans
from solo_hub.checks import preflight
from solo_hub.checks.plan import Plan, StepPlan, plan
from solo_hub.checks.preview import Shown
from solo_hub.checks.rehearsal import Stopwatch, Work, nearest
from solo_hub.cli import rehearsal as printing
from solo_hub.cli.main import run
from solo_hub.core.config import build
from solo_hub.core.console import Console
from solo_hub.core.records import Document, Passage, Prediction, PseudoLabel, Question, Verdict
from solo_hub.hub.connection import Connection
from solo_hub.run.context import RunContext
from solo_hub.run.folder import RunFolder

pytestmark = LIBRARIES_WARN


def quick(**changes):
    evaluation = {"arms": [], "generate": False, "resamples": 200, "max_new_tokens": 4}
    evaluation |= {"forgetting": False, "cost_questions": 0, "map": "off"}
    return {**small_settings(whole=True), "evaluation": evaluation, **changes}


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("SOLO_HUB_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.mark.parametrize(
    "changes",
    [
        {"teacher": {"style_sample": 8, "batch_size": 8, "shots": 2, "max_new_tokens": 4}},
        {
            "task": {"name": "multiple_choice", "evaluation_limit": 12},
            "curation": {"limit": 16, "held_out": 0.2},
            "teacher": {"style": "text"},
        },
    ],
    ids=["questions", "documents alone"],
)
def test_a_finished_run_did_exactly_what_was_planned(hub, home, tmp_path, monkeypatch, capfd, changes):
    monkeypatch.setattr(plans, "WORTH_A_LINE", 0.0)
    config = build(quick(**changes))
    connection = Connection(hub.endpoint, WRITE, tmp_path / "cache")
    made = plan(config, connection, Console("human"), tmp_path)
    assert not (home / "cache" / "knowledge").exists()
    said = capfd.readouterr().err
    assert all(f"small run, {name}: " in said for name in ("training", "evaluation"))

    run, watch = RunFolder(tmp_path / "run"), Stopwatch()
    run.create()
    report = pipeline.distill(RunContext(config, run, lambda _: connection, watch))
    assert {title: work.total for title, work in watch.work.items() if work.total} == made.totals
    lines = {name: len(run.file(name).read_text("utf-8").splitlines()) for name in ("questions", "labels", "held_out")}
    assert (made.counts["questions"], made.counts["held_out_questions"]) == (lines["questions"], lines["held_out"])
    assert made.counts["labels"] == lines["labels"]
    assert made.counts["training_steps"] == report["training"]["steps"]
    assert made.counts["evaluated_answers"] == 3 * lines["held_out"]
    assert made.tokens["training"] == pytest.approx(report["training"]["tokens"], rel=0.1)
    assert all(step.seconds >= 0 for step in made.steps)


def test_a_preview_shows_prompt_label_verdict_and_student(hub, tmp_path, monkeypatch, capfd):
    config = tmp_path / "my.yaml"
    config.write_text(yaml.safe_dump(quick()))
    monkeypatch.chdir(tmp_path)
    home = tmp_path / "home"
    arguments = ("distill", config, "--preview", 2, "--run", tmp_path / "run")
    code, out, err = run_here(hub, monkeypatch, capfd, *arguments, "--format", "json", home=home)
    assert code == 0, err
    document = json.loads(out)
    assert len(document["questions"]) == 2
    for row in document["questions"]:
        assert row["question"]["text"] in row["prompt"]
        assert all(passage["text"] in row["prompt"] for passage in row["passages"])
        assert row["label"]["text"] == row["question"]["options"][row["label"]["option"]]
        assert set(row["answers"]) == {"base", "student"}
        assert row["verdict"]["reason"]
    assert not (tmp_path / "run").exists()
    assert not (home / "cache" / "knowledge").exists()


def test_a_preview_shows_no_prompt_where_no_teacher_is_asked(capsys):
    label = PseudoLabel("q", 0, None, "snow", None, ("d#1",), 0, "written", "k")
    asked = Question("q", "What makes the river rise?", ("snow", "wind"))
    base = Prediction("q", "base", 1, (0.4, 0.6), "wind")
    passages = (Passage("d#1", "Melting snow makes the river rise.", 1.0),)
    shown = Shown(asked, passages, "", label, Verdict("q", True, "every label is kept"), {"base": base})
    printing._print_shown(shown, 1, 1, Console("human"))
    out = capsys.readouterr().out
    assert "the answer is the document's own words" in out
    assert "exactly as sent" not in out


def test_an_interrupted_preview_promises_nothing(tmp_path, monkeypatch, capsys):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("solo_hub.cli.rehearsal.connect", interrupted)
    (tmp_path / "my.yaml").write_text(yaml.safe_dump(quick()))
    assert run(["distill", str(tmp_path / "my.yaml"), "--preview", "2"]) == 130
    err = capsys.readouterr().err
    assert "Interrupted; a plan or preview keeps nothing." in err
    assert "resume" not in err


@pytest.mark.parametrize(("words", "asked"), [(5, 16), (200, 6), (4000, 4)])
def test_fewer_long_prompts_are_timed_on_a_cpu(words, asked):
    """Six passages of 200 words have some 1,200 tokens: 8,000 are read after six questions."""
    rehearsal = SimpleNamespace(documents=[Document("d", "lake " * words)])
    planner = SimpleNamespace(rehearsal=rehearsal, device="cpu", config=build(quick(knowledge={"passages": 6})))
    assert plans._Planner._held_out(planner) == asked
    assert plans._Planner._held_out(SimpleNamespace(**{**vars(planner), "device": "cuda"})) == 16


def test_longer_documents_than_most_were_timed():
    short, long = Document("a", "word " * 10, ""), Document("b", "word " * 40, "")
    planner = plans._Planner.__new__(plans._Planner)
    planner.rehearsal = SimpleNamespace(embedded=[long], documents=[short, short, short, long])
    planner.watch = Stopwatch()
    planner.watch.work["embedding passages"] = Work(total=100, done=100, first=(50, 5.0), last=10.0, seconds=10.0)
    assert planner._seconds("embedding passages", "documents", {"embedding passages": 1000}) == pytest.approx(
        planner.watch.work["embedding passages"].seconds_for(437), rel=0.01
    )


def test_seconds_grow_at_the_rate_after_the_first_call():
    """16 items in 10 seconds, of which loading takes 6; then 4 seconds for 16."""
    assert Work(total=32, done=32, first=(16, 10.0), last=14.0, seconds=14.0).seconds_for(160) == 10 + 9 * 4
    saving = Work(total=32, done=32, first=(16, 10.0), last=14.0, seconds=17.0)  # once, after the last item
    assert saving.seconds_for(160) == 10 + 9 * 4 + 3
    assert Work(total=16, done=16, first=(16, 10.0), last=10.0, seconds=10.0).seconds_for(32) == 20
    assert Work().seconds_for(32) == 0


def test_the_documents_nearest_to_the_questions_are_taken_in_their_order():
    documents = [Document(str(n), text) for n, text in enumerate(["the red fox", "a stone", "a fox", "red foxes run"])]
    some = nearest(documents, [Question("q", "Where is the red fox?", ("run", "sleep"))], 2)
    assert [document.id for document in some] == ["0", "3"]
    assert nearest(documents, [], 4) == documents


@pytest.fixture
def planned(monkeypatch):
    """A plan that took no time: two steps, an hour and a half."""
    steps = [
        StepPlan("labels", "400 questions", 1800.0, 2_000_000_000),
        StepPlan("training", "75 steps", 3600.0, None, 5000),
    ]
    made = Plan({"questions": 400}, {"labelling": 400}, {"prompts": 60_000}, steps, 9.0, ["the disk is small."])
    monkeypatch.setattr(plans, "plan", lambda *_: made)
    monkeypatch.setattr(printing, "_ready", contextlib.contextmanager(lambda _, mode: iter([(None, Console(mode))])))


def test_a_plan_is_a_table_with_a_sentence(planned, tmp_path, capsys):
    assert printing.print_plan(build(quick()), tmp_path, "human", None) == 0
    out, err = capsys.readouterr()
    assert [line.split() for line in out.splitlines()][1:4] == [
        ["labels", "400", "questions", "30", "min", "2.00", "GB", "-"],
        ["training", "75", "steps", "1", "h", "0", "min", "-", "5", "kB"],
        ["all", "1", "h", "30", "min", "2.00", "GB", "5", "kB"],
    ]
    assert "60,000 in the teacher's prompts" in out
    assert "In all about 1 h 30 min on this machine, timed on a small run of 9 s." in out
    assert "Nothing was kept or pushed." in out
    assert "the disk is small." in err


@pytest.mark.parametrize("known", [True, False])
def test_money_for_a_job(planned, tmp_path, capsys, monkeypatch, known):
    """0.02 USD a minute is 1.20 an hour, and 1.80 for an hour and a half."""
    price = SimpleNamespace(name="t4-small", pretty_name="Nvidia T4", unit_cost_usd=0.02, unit_label="minute")
    monkeypatch.setattr("solo_hub.run.jobs.backends.hardware", lambda _: {"t4-small": price} if known else {})
    assert printing.print_plan(build(quick()), tmp_path, "human", "t4-small") == 0
    out = capsys.readouterr().out
    if known:
        assert "t4-small (Nvidia T4): 1.20 USD an hour, 1.80 USD if it is as fast as this machine." in out
    else:
        assert "This Hub names no price for 't4-small'; `hf jobs hardware` lists flavors and prices." in out


@pytest.mark.parametrize("free", [10**15, 1000], ids=["enough", "too little"])
def test_cheap_checks_are_made_at_the_start(hub, home, tmp_path, monkeypatch, capsys, free):
    monkeypatch.setattr(preflight, "free_disk", lambda place: free)
    run, console = RunFolder(tmp_path / "run"), Console("human")
    run.create()
    connection = Connection(hub.endpoint, WRITE, tmp_path / "cache")
    preflight.at_start(RunContext(build(quick()), run, lambda _: connection, console), console)
    err = capsys.readouterr().err
    assert ("  checked: " in err and len(err.splitlines()) == 1) is (free > 1000)
    assert ("Warning: disk: about" in err and "Free some space" in err) is (free == 1000)
