"""How the teacher of a run answers: retrieval's say, servers, examples, filters; the same for labels and evaluation."""

from __future__ import annotations

import json

import pytest
from noise import LIBRARIES_WARN
from openai_server import OpenAIServer
from tiny import load_engine

from solo_hub import pipeline
from solo_hub.core.errors import ConfigError, InputError, Interrupted
from solo_hub.core.records import Prediction, PseudoLabel, Question, Retrieval, Verdict
from solo_hub.models.answering import Answer
from solo_hub.models.experts import Recipe, combine
from solo_hub.run.resolved import TeacherSetup
from solo_hub.teacher import calibration, deciding, decision, trials
from solo_hub.teacher import step as teacher_step

pytestmark = LIBRARIES_WARN


def with_options(settings, *, limit=16, **teacher):
    """Options are looked up one by one, which takes most of the time of these tests."""
    return {
        **settings,
        "task": {**settings["task"], "train_limit": limit},
        "knowledge": {**settings["knowledge"], "retriever": "per_option"},
        "teacher": {**settings["teacher"], "style": "text", "calibrate": True, **teacher},
    }


def label(made):
    questions = pipeline.load_questions(made)
    passages = pipeline.find_passages(made, questions)
    return questions, passages, pipeline.label(made, questions, passages)


def test_retrieval_has_its_say_in_labels_and_evaluation_alike(context, settings, tmp_path):
    alone = label(context(with_options(settings, support_weight=0, calibrate=False), tmp_path / "alone"))
    made = context(with_options(settings))
    report = pipeline.distill(made)
    recipe = decision.require_setup(made).recipe
    assert (recipe.support_weight, made.resolved.setups["teacher"].calibration["views"]) == (1.0, "model and retrieval")
    labels = made.run.read_rows("labels", PseudoLabel)
    passages = made.run.read_rows("passages", Retrieval)
    for mine, found, together in zip(alone[2], passages, labels, strict=True):
        answer = Answer(mine.option, mine.probabilities, None)
        assert combine(answer, found.option_support, recipe).probabilities == pytest.approx(
            together.probabilities, abs=1e-6
        )
    assert [row.option for row in alone[2]] != [row.option for row in labels]
    assert not {row.key for row in alone[2]} & {row.key for row in labels}
    # the confidence is what was agreed on
    mean = sum(row.confidence for row in labels) / len(labels)
    assert mean == pytest.approx(made.resolved.setups["teacher"].calibration["agreement"], abs=0.02)
    # the evaluation's teacher says the same of the same question as the teacher of the labels
    parts = report["teacher_parts"]
    assert parts["together"]["value"] == pytest.approx(report["arms"]["teacher"]["accuracy"]["value"])
    assert (report["labels"]["parts"], report["labels"]["calibration_before"]) == (None, None)  # no gold to train on
    assert report["labels"]["filters"]["dropped"] == 0
    held_out = {
        r["question_id"]: r["option_support"] for r in map(json.loads, made.run.file("held_out_passages").open())
    }
    choice = {i: max(range(len(s)), key=s.__getitem__) for i, s in held_out.items()}
    golds = {g["question_id"]: g["option"] for g in map(json.loads, made.run.file("golds").open())}
    assert parts["retrieval"]["value"] == pytest.approx(sum(choice[i] == golds[i] for i in golds) / len(golds))


def test_a_finished_run_of_an_older_version_answers_plainly():
    old = TeacherSetup.read({"style": "letter", "explains": True, "settings": {}})
    assert old == TeacherSetup(style="letter", recipe=Recipe("letter"), explains=True, settings={})
    assert old.to_row() == {"style": "letter", "explains": True, "settings": {}}
    assert old.details == []


def test_every_decision_is_in_the_identity():
    plain = TeacherSetup(style="text")
    others = [
        TeacherSetup(style="text", recipe=Recipe("text", temperature=2.0)),
        TeacherSetup(style="text", samples=3),
        TeacherSetup(style="text", examples=((Question("q", "Why?"), "because"),)),
    ]
    assert len({tuple(t.details) for t in (plain, *others)}) == 4
    for one in others:
        assert TeacherSetup.read(json.loads(json.dumps(one.to_row()))) == one


# -- a teacher behind a server -----------------------------------------------------------------------------------------


def test_a_served_teacher_gives_the_labels_of_one_in_process(context, settings, tiny_model, tmp_path):
    settings = with_options(settings)
    _, _, local = label(context(settings, tmp_path / "local"))
    with OpenAIServer(load_engine(tiny_model)) as server:
        served = {**settings, "engine": {"name": "openai", "url": server.url}}
        made = context(served, tmp_path / "served")
        _, _, labels = label(made)
        assert [row.option for row in labels] == [row.option for row in local]
        for ours, theirs in zip(local, labels, strict=True):
            assert theirs.probabilities == pytest.approx(ours.probabilities, abs=1e-3)
        assert made.resolved.engine is None  # the base's weights were not loaded
        asked = len(server.bodies)
        # elsewhere, asked more at once: nothing is paid for again
        with OpenAIServer(load_engine(tiny_model)) as other:
            moved = {**served, "engine": {**served["engine"], "url": other.url, "concurrency": 2}}
            again = context(moved, tmp_path / "served")
            assert label(again)[2] == labels
            assert other.bodies == []
        assert len(server.bodies) == asked


def test_a_server_without_log_probabilities_all_the_way(context, settings, tiny_model):
    """Labels are written and have no confidence; student and base are scored in this process; nothing is made up."""
    with OpenAIServer(load_engine(tiny_model), does="writes", tells=False) as server:
        made = context({**with_options(settings), "engine": {"name": "openai", "url": server.url},
                      "filters": {"unparsed": False}})  # fmt: skip
        report = pipeline.distill(made)
    setup = decision.require_setup(made)
    assert (setup.style, setup.recipe.style) == ("text", "letter")
    labels = made.run.read_rows("labels", PseudoLabel)
    assert {(row.confidence, row.probabilities) for row in labels} == {(None, None)}
    assert report["teacher_parts"] is None
    assert report["labels"]["calibration"] is None
    predictions = made.run.read_rows("predictions", Prediction)
    assert {p.probabilities is None for p in predictions if p.arm == "teacher"} == {True}
    assert {p.probabilities is None for p in predictions if p.arm == "student"} == {False}
    assert "text alone" in made.resolved.engines["teacher"].identity
    assert made.resolved.engine.name == "transformers"


def test_a_server_that_fails_keeps_what_was_paid(context, settings, tiny_model):
    settings = with_options(settings, limit=24, calibrate=False, batch_size=4)
    with OpenAIServer(load_engine(tiny_model)) as server:
        served = {**settings, "engine": {"name": "openai", "url": server.url, "attempts": 1}}
        made = context(served)
        questions = pipeline.load_questions(made)
        passages = pipeline.find_passages(made, questions)
        assert made.teacher.has_logprobs()
        scoring = server._answer

        def fail_later(request, body, kind):
            if len(server.bodies) > 20:
                kind = (500, "out of memory")
            scoring(request, body, kind)

        server._answer = fail_later
        with pytest.raises(Exception, match=r"does not answer: 500 out of memory \(1 attempts\)"):
            pipeline.label(made, questions, passages)
        kept = teacher_step.read_cached(made)
        assert 4 <= len(kept) < len(questions)
        server._answer = scoring
        labels = pipeline.label(context(served), questions, passages)
    assert len(labels) == len(questions)
    assert {row.key for row in labels} >= set(kept)


# -- examples ----------------------------------------------------------------------------------------------------------


def test_the_teachers_own_examples(context, settings):
    made = context(with_options(settings, shots=2, calibration_sample=16))
    questions, _, labels = label(made)
    examples = decision.require_setup(made).examples
    asked = {q.id: q for q in questions}
    assert len(examples) == 2
    for question, answer in examples:
        assert asked[question.id] == question
        assert answer in question.options
    assert len(labels) == len(questions)
    again = context(with_options(settings, shots=2, calibration_sample=16))
    assert label(again)[2] == labels


@pytest.mark.parametrize("size", [16, 30])
def test_calibrated_on_other_questions_than_the_examples_are_from(context, settings, monkeypatch, size):
    """Of 40 questions the examples take a sample of 16 and leave 24 to calibrate on; of one of 30 only 10 are left, so
    all but the examples themselves are calibrated on."""
    made = context(
        with_options(settings, limit=40, shots=2, style="letter", orders=4, calibrate=True, calibration_sample=size)
    )
    used = []
    plain = deciding.calibrate
    monkeypatch.setattr(
        deciding, "calibrate", lambda *args, **more: used.extend(q.id for q, _ in args[2]) or plain(*args, **more)
    )
    questions, passages, _ = label(made)
    shown = {question.id for question, _ in decision.require_setup(made).examples}
    pairs = list(zip(questions, passages, strict=True))
    drawn = {question.id for question, _ in deciding._sample(made, pairs, size)}
    assert len(shown) == 2
    assert shown <= drawn
    assert len(used) == size
    assert not set(used) & (drawn if len(questions) >= 2 * size else shown)


def test_examples_of_the_user(context, settings, tmp_path):
    file = tmp_path / "examples.jsonl"
    file.write_text('{"question": "What is rain?", "answer": "water"}\n{"question": "Why?", "answer": "because"}\n')
    made = context(with_options(settings, shots=1, examples=str(file)))
    label(made)
    ((question, answer),) = decision.require_setup(made).examples
    assert (question.text, answer) == ("What is rain?", "water")
    builder = decision.require_setup(made).builder(made.teacher.builder)
    prompt = builder.ask(Question("q", "What is fog?"), "text").text
    assert prompt.startswith("Question: What is rain?\nAnswer: water\n\nQuestion: What is fog?")
    assert builder.ask(question, "text") == made.teacher.builder.ask(question, "text")  # nobody is shown the answer


@pytest.mark.parametrize(
    ("line", "said"),
    [('{"question": "What?"}', "field 'answer'"), ('{"question": " ", "answer": "x"}', "row 1, field 'question'")],
)
def test_examples_that_are_none(tmp_path, line, said):
    file = tmp_path / "examples.jsonl"
    file.write_text(line + "\n")
    with pytest.raises(InputError, match=said):
        deciding.read_examples(str(file), "text")


def test_examples_with_letters(tmp_path):
    file = tmp_path / "examples.jsonl"
    file.write_text('{"question": "What?", "answer": "b", "options": ["a", "b"]}\n')
    assert deciding.read_examples(str(file), "letter")[0][1] == "B"
    file.write_text('{"question": "What?", "answer": "The answer is B.", "options": {"A": "rain", "B": "fog"}}\n')
    assert deciding.read_examples(str(file), "letter")[0][1] == "B"
    file.write_text('{"question": "What?", "answer": "b", "options": 7}\n')
    with pytest.raises(InputError, match="row 1, field 'options': not a list of options"):
        deciding.read_examples(str(file), "letter")
    file.write_text('{"question": "What?", "answer": "c", "options": ["a", "b"]}\n')
    with pytest.raises(InputError, match="not one of the options"):
        deciding.read_examples(str(file), "letter")
    with pytest.raises(ConfigError, match="does not exist"):
        deciding.read_examples("owner/name", "text")


# -- filters -----------------------------------------------------------------------------------------------------------


def test_what_filters_drop_is_kept_with_its_reason(context, settings):
    made = context({**with_options(settings), "filters": {"min_confidence": 0.5, "unsupported": True}})
    questions, passages, labels = label(made)
    selection = pipeline.select(made, questions, passages, labels)
    dropped = made.run.read_rows("dropped", Verdict)
    low = {row.question_id for row in labels if row.confidence < 0.5}
    assert low <= {v.question_id for v in dropped}
    assert {v.reason for v in dropped if v.reason.startswith("filter:")} & {"filter: confidence below 0.5"}
    assert len(selection.kept) + len(dropped) == len(questions)
    assert made.resolved.filtered["min_confidence"] == len(low)
    again = context({**with_options(settings), "filters": {"min_confidence": 0.5, "unsupported": True}})
    assert pipeline.select(again, questions, passages, labels) == selection


def test_ctrl_c_in_a_trial_loses_at_most_a_batch(context, settings, tmp_path, monkeypatch):
    """In the second batch of the calibration; the second start asks the model only what it has not answered."""
    settings = with_options(settings, limit=24, style="auto", calibration_sample=16)
    whole = label(context(settings, tmp_path / "whole"))
    made, calls = context(settings), []
    score = type(made.engine).score

    def counted(engine, prompts, continuations):
        calls.append(repr((prompts, continuations)))
        return score(engine, prompts, continuations)

    monkeypatch.setattr(type(made.engine), "score", counted)
    batches = iter(range(100))

    def interrupt(*arguments, **named):
        if next(batches) == 1:
            raise KeyboardInterrupt
        return over_orders(*arguments, **named)

    over_orders = calibration.over_orders
    monkeypatch.setattr(calibration, "over_orders", interrupt)
    with pytest.raises(Interrupted, match="since the last save"):
        label(made)
    assert "teacher" not in made.resolved.setups
    before, calls[:] = list(calls), []
    assert label(context(settings)) == whole
    # the test for log-probabilities is made by every process
    assert {call for call in calls if call in before} == {before[0]}
    assert not (made.run.path / trials.FILE).exists()
