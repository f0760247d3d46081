"""Forgetting, cost and the map, measured on a small run."""

from __future__ import annotations

import subprocess
import weakref

import pytest
from noise import LIBRARIES_WARN
from small_hub import write_rows

from solo_hub import pipeline
from solo_hub.core.console import Console
from solo_hub.core.records import Gold, PseudoLabel, Question, Selection
from solo_hub.core.system import peak_memory, resident_memory
from solo_hub.evaluation.arms import cost, measurements
from solo_hub.evaluation.learnt import Learnt

pytestmark = LIBRARIES_WARN


@pytest.fixture
def measured(settings, monkeypatch):
    monkeypatch.setattr(measurements, "MAP_POINTS", 20)
    changes = {"arms": [], "forgetting": True, "map": "pca", "cost_questions": 5}
    return {**settings, "evaluation": {**settings["evaluation"], **changes}}


@pytest.fixture
def _forked(fork_server, monkeypatch):
    """The processes that measure cost are forked, and need no time to import."""

    def run(line, *, input, **_):  # noqa: A002 - as in subprocess
        done = fork_server.run(module=line[-1], stdin=input)
        return subprocess.CompletedProcess(line, done.code, done.out, done.err)

    monkeypatch.setattr(cost.subprocess, "run", run)


@pytest.mark.usefixtures("_forked")
def test_everything_is_measured(context, measured, monkeypatch):
    """The teacher's process holds a knowledge base that the student's does not, and its prompts are longer.

    Five questions are to be asked about cost; as soon as that takes long, three are enough.
    """
    monkeypatch.setattr(cost, "FEWEST", 3)
    monkeypatch.setattr(cost, "LONG", 0.0)
    report = pipeline.distill(context(measured))
    lost = report["forgetting"]
    assert lost["text"]["perplexity"]["base"] > 1
    assert lost["text"]["ratio"]["low"] <= lost["text"]["ratio"]["value"] <= lost["text"]["ratio"]["high"]
    assert lost["second_task"]["n_questions"] == 180
    assert set(lost["second_task"]["arms"]) == {"base", "student"}
    costs = report["cost"]
    assert costs["n_questions"] == 3
    assert list(costs["arms"]) == ["base", "teacher", "student"]
    assert costs["conditions"]["batch_size"] == 1
    teacher, student = costs["arms"]["teacher"], costs["arms"]["student"]
    assert teacher["lookup"] > 0 == student["lookup"]
    assert teacher["prompt_tokens"] > student["prompt_tokens"] > 0
    assert teacher["memory"]["knowledge"] > 0 == student["memory"]["knowledge"]
    assert teacher["memory"]["peak"] > student["memory"]["peak"] > student["memory"]["libraries"] > 0
    assert student["latency"]["p95"] >= student["latency"]["p50"] > 0
    places = report["map"]
    # no answer is known to the questions of the invented world that are learnt from
    assert (places["method"], len(places["original"]), len(places["pseudo"])) == ("pca", 0, 20)


def test_map_where_answers_are_known(context, measured):
    """Answers equal to the teacher's lie where the teacher's lie."""
    made = context(measured)
    questions = [Question(f"q{i}", f"What is {i}?", ("rain", "fog")) for i in range(30)]
    labels = [PseudoLabel(q.id, 0, None, "rain", 0.9, (), 0, "text", "k") for q in questions]
    golds = [Gold(q.id, i % 2, q.options[i % 2]) for i, q in enumerate(questions)]
    places = measurements._map(made, Learnt(questions, [], labels, Selection("all", ()), [], None, golds))
    assert len(places["original"]) == len(places["pseudo"]) == 20
    same = sum(a == b for a, b in zip(places["original"], places["pseudo"], strict=True))
    assert 0 < same < 20


def test_other_texts_and_another_task(context, measured, tmp_path):
    text = write_rows(tmp_path / "text.jsonl", [{"text": f"This is the text number {i} of a few."} for i in range(4)])
    rows = [{"id": i, "question": f"Which {i}?", "options": ["rain", "fog"], "right": i % 2} for i in range(8)]
    task = write_rows(tmp_path / "task.jsonl", rows)
    changes = {"general_text": text, "second_task": task, "second_task_columns": {"answer": "right"},
               "second_task_limit": 5, "cost_questions": 0, "map": "off"}  # fmt: skip
    made = context({**measured, "evaluation": {**measured["evaluation"], **changes}})
    report = pipeline.distill(made)
    assert report["forgetting"]["text"]["texts"] == 4
    assert report["forgetting"]["second_task"]["n_questions"] == 5
    assert report["forgetting"]["second_task"]["source"].startswith("task.jsonl@sha256:")
    assert (report["cost"], report["map"]) == (None, None)


def test_nothing_when_nothing_is_wanted(context, settings):
    off = {"forgetting": False, "cost_questions": 0, "map": "off"}
    made = context({**settings, "evaluation": {**settings["evaluation"], **off}})
    nothing = dict.fromkeys(("forgetting", "recitation", "cost", "map"))
    assert measurements.additional_measurements(made, [], Learnt([], [], [], Selection("all", ()), [], None)) == nothing


@pytest.fixture
def warned(monkeypatch):
    """What the console has warned of."""
    told = []
    monkeypatch.setattr(Console, "warn", lambda _, text: told.append(text))
    return told


@pytest.mark.usefixtures("_forked")
def test_a_process_that_fails_is_a_warning(context, measured, warned):
    """What the evaluation has found by then is not lost: the report has no cost."""
    made = context(measured)
    made.record(setups={})  # no run gets here without a style
    assert cost.measure(made, [Question("q", "Why?", ("a", "b"))]) is None
    (told,) = warned
    assert told.startswith("The cost of the arm 'teacher' could not be measured: ")
    assert "set evaluation.cost_questions=0" in told


@pytest.mark.parametrize(
    ("program", "why"),
    [
        ("import time; time.sleep(60)", "it took more than 1 seconds"),
        ("pass", "its process returned no result"),
        ("print('no JSON')", "its process returned no result"),
        ("print(5)", "its process returned no result"),
        ("import os; os.kill(os.getpid(), 9)", "its process ended with -9"),
        (None, "No such file"),
    ],
)
def test_whatever_happens_to_the_process_is_a_warning(context, measured, monkeypatch, warned, tmp_path, program, why):
    made, plain = context(measured), cost.subprocess.run
    command = [str(tmp_path / "nothing")] if program is None else [cost.sys.executable, "-c", program]
    monkeypatch.setattr(cost.subprocess, "run", lambda _, **more: plain(command, **more))
    monkeypatch.setattr(cost, "TIMEOUT", 1)
    assert cost.measure(made, [Question("q", "Why?", ("a", "b"))]) is None
    assert why in warned[0]


def test_an_evaluation_ends_without_its_cost(context, measured, monkeypatch):
    def fails(_):
        raise cost.ModelError("no memory left on the device")

    monkeypatch.setattr(cost, "_ask_elsewhere", fails)
    report = pipeline.distill(context(measured))
    assert report["cost"] is None
    assert report["arms"]["student"]["accuracy"]["n"] == report["n_questions"]
    assert report["forgetting"]


def test_the_base_is_not_needed_twice(context, measured, monkeypatch):
    """The process that measures loads the base; by then this one has let go of its own, and can load it again."""
    made = context(measured)
    held = weakref.ref(made.engine)
    weights = weakref.ref(next(made.engine.model.parameters()))
    assert made.builder is made.teacher.builder
    assert weights() is not None
    alive = []
    monkeypatch.setattr(cost, "_ask_elsewhere", lambda _: alive.extend([held(), weights()]) or {}.pop("nothing"))
    with pytest.raises(KeyError):
        cost.measure(made, [Question("q", "Why?", ("a", "b"))])
    assert alive == [None, None]
    assert made.engine.count_tokens(["again"])[0] > 0


def test_memory_of_this_process():
    assert 10_000_000 < resident_memory() <= peak_memory() * 1.01
