"""Arms beside base, teacher and student: what they read, whose weights they wear, and that nothing is asked twice."""

from __future__ import annotations

import hashlib
import json
import shutil
from types import SimpleNamespace

import pytest
from noise import LIBRARIES_WARN
from small_hub import WRITE

from solo_hub import pipeline
from solo_hub.core.errors import ConfigError, InputError, ModelError
from solo_hub.core.records import Gold, Prediction
from solo_hub.core.settings import StudentSettings
from solo_hub.evaluation.arms import arms
from solo_hub.evaluation.arms import weights as arm_weights
from solo_hub.evaluation.learnt import Learnt
from solo_hub.evaluation.report.terminal import measured_lines
from solo_hub.models.answering import NotNumbersError
from solo_hub.models.prompts import PromptBuilder
from solo_hub.run import arm_bases
from solo_hub.run.context import RunContext
from solo_hub.run.folder import RunFolder
from solo_hub.student import controls
from solo_hub.student.training import planned_steps, read_training

pytestmark = LIBRARIES_WARN


def by_arm(run):
    found = {}
    for row in run.read_rows("predictions", Prediction):
        found.setdefault(row.arm, {})[row.question_id] = row
    return found


def test_all_arms(context, settings, finished_copy, tmp_path):
    """Every built-in arm, the base's repo as a model, and the student's own folder as an adapter."""
    folder = tmp_path / "copy"
    shutil.copytree(finished_copy / "5-adapter", folder)
    changed = {**settings, "evaluation": {
        **settings["evaluation"], "arms": ["base_few_shot", "student_with_passages", "oracle", f"copy={folder}",
                                           "plain=tests/tiny"],
    }}  # fmt: skip
    again = context(changed, update=True)
    report = pipeline.distill(again)
    found = by_arm(again.run)
    names = ["base", "teacher", "student", "base_few_shot", "student_with_passages", "oracle", "copy", "plain"]
    assert list(report["arms"]) == list(found) == names
    choices = {name: {q: p.option for q, p in rows.items()} for name, rows in found.items()}
    assert choices["copy"] == choices["student"]
    assert choices["plain"] == choices["base"]
    assert choices["student"] != choices["base"]
    assert found["student_with_passages"].keys() == found["teacher"].keys()
    for question, row in found["student_with_passages"].items():
        assert row.passages == found["teacher"][question].passages
        assert found["oracle"][question].passages == ("fact-2", "fact-1")  # the best stands last
        assert found["base_few_shot"][question].prompt_tokens > 1.5 * found["base"][question].prompt_tokens
    repos = again.resolved.repos
    assert len(repos["arm_plain"].commit) == 40
    assert len(repos["arm_copy"].sha256) == 64
    assert {"oracle_vs_teacher", "student_vs_base_few_shot", "student_vs_copy"} <= report["paired"].keys()
    assert report["paired"]["student_vs_copy"]["p_value"] == 1


def test_what_is_answered_is_not_asked_again(context, settings, finished_copy, monkeypatch):
    before = by_arm(RunFolder(finished_copy))
    asked = []
    real = arms.ask
    monkeypatch.setattr(arms, "ask", lambda *args, arm, **rest: (asked.append(arm), real(*args, arm=arm, **rest))[1])
    more = {**settings, "evaluation": {**settings["evaluation"], "arms": ["oracle"], "resamples": 300}}
    again = context(more, update=True)
    pipeline.distill(again)
    assert set(asked) == {"oracle"}
    assert {name: by_arm(again.run)[name] for name in before} == before
    other = {**more, "evaluation": {**more["evaluation"], "generate": True}}
    asked.clear()
    pipeline.distill(context(other, update=True))
    assert set(asked) == {"base", "teacher", "student", "oracle"}  # with a free text it is another answer


def test_control_students(context, settings, tmp_path):
    """Trained like the student, as many samples a step, on labels that differ; kept for the next evaluation."""
    settings["student"]["epochs"] = 1
    first = {**settings, "selection": {"method": "unixkd"}}
    made = context(first)
    pipeline.distill(made)
    names = ["random_student", "shuffled_student"]
    more = {**first, "evaluation": {**first["evaluation"], "arms": ["gold_student", *names]}}
    again = context(more, update=True)  # what it learnt from has no known answers: no gold student
    report = pipeline.distill(again)
    assert list(report["arms"]) == ["base", "teacher", "student", *names]
    assert {f"student_vs_{name}" for name in names} <= report["paired"].keys()
    own = read_training(again.run.file("adapter"))
    for name in names:
        control = read_training(controls.folder(again, name))
        assert control.steps == own.steps
        assert [row["kept"] for row in control.log] == [row["kept"] for row in own.log]
        assert control.largest_change > 0
    weights = [hashlib.sha256((controls.folder(again, n) / "adapter_model.safetensors").read_bytes()) for n in names]
    assert len({digest.hexdigest() for digest in weights}) == 2
    page = again.run.file("html").read_text("utf-8")
    assert "trained in the same way on <b>random options</b>" in page
    assert any("answers of other questions" in line for line in measured_lines(report))
    before = controls.folder(again, "random_student").stat().st_mtime_ns
    pipeline.distill(context({**more, "evaluation": {**more["evaluation"], "resamples": 300}}, update=True))
    assert controls.folder(again, "random_student").stat().st_mtime_ns == before, "not trained again"
    pipeline.distill(context({**more, "student": {**settings["student"], "rank": 2}}, update=True))
    assert controls.folder(again, "random_student").stat().st_mtime_ns != before, "of another student"


def test_a_control_of_a_student_that_stopped_early_learns_as_long(tmp_path):
    done = SimpleNamespace(steps=7, log=({"step": 1},))
    student = StudentSettings(epochs=10, batch_size=4, patience=2, objective="kl", log_to=("tensorboard",))
    run = SimpleNamespace(config=SimpleNamespace(student=student, seed=0), run=RunFolder(tmp_path))
    settings, selector = controls._as_the_student(run, done, 18)
    assert planned_steps(18, settings) == 7
    assert (settings.patience, settings.objective, settings.log_to, selector) == (None, "sft", (), None)


def test_examples_are_pseudo_labels(context, settings):
    made = context(settings)
    questions = pipeline.load_questions(made)
    passages = pipeline.find_passages(made, questions)
    labels = pipeline.label(made, questions, passages)
    learnt = Learnt(questions, passages, labels, pipeline.select(made, questions, passages, labels), [], None)
    told = {(q.text, a) for q, a in arms._examples(made, learnt)}
    style = made.resolved.style
    asked = {q.id: q for q in questions}
    given = {(asked[row.question_id].text, "ABCDEFGH"[row.option] if style == "letter" else row.text) for row in labels}
    assert len(told) == 5
    assert told <= given


def test_no_oracle_without_facts(context, settings):
    del settings["evaluation"]["arms"]
    made = context(settings)
    names = [arm.name for arm in arms.chosen(made, [Gold("q", 0, "a")])]
    assert names == ["base", "teacher", "student", "base_few_shot", "student_with_passages"]


@pytest.mark.parametrize(
    ("arm", "said"),
    [("mine", "unknown arm 'mine': use base_few_shot"), ("teacher=tests/tiny", "a name that is not a built-in arm's"),
     ("Mine=a/b", "lower-case letters"),
     ("x=", "NAME=REPO")],
)  # fmt: skip
def test_names_that_are_none(context, settings, arm, said):
    with pytest.raises(ConfigError, match=said):
        context({**settings, "evaluation": {"arms": [arm]}})


def test_no_such_folder(context, settings):
    with pytest.raises(InputError, match="no such folder"):
        context({**settings, "evaluation": {"arms": ["mine=./nowhere"]}})


def test_an_adapter_for_another_shape(context, settings, finished_copy, tmp_path):
    """An adapter whose weights do not fit is told of in a sentence."""
    from safetensors.numpy import load_file, save_file

    folder = tmp_path / "bent"
    shutil.copytree(finished_copy / "5-adapter", folder)
    weights = load_file(folder / "adapter_model.safetensors")
    save_file({name: value[:1] for name, value in weights.items()}, folder / "adapter_model.safetensors")
    again = context({**settings, "evaluation": {**settings["evaluation"], "arms": [f"bent={folder}"]}}, update=True)
    with pytest.raises(ModelError, match="cannot be loaded"):
        pipeline.distill(again)


@pytest.mark.usefixtures("finished_copy")
def test_an_adapter_of_another_base_brings_it_along(context, settings, hub, tmp_path):
    """It answers as that base with that adapter, and the base is pinned like everything else that was pulled."""
    from tiny import load_engine, move_adapter, save_model

    from solo_hub.core.plugins import Prompt
    from solo_hub.core.settings import StudentSettings
    from solo_hub.evaluation.arms import weights as arm_weights
    from solo_hub.hub import HubClient
    from solo_hub.hub.seeds import seeding
    from solo_hub.models import adapters

    model = save_model(tmp_path / "seeds" / "models" / "tests" / "tiny-two", seed=1)
    (model / "README.md").write_text("---\nlicense: apache-2.0\n---\nAnother random model.\n")
    seeding.seed_folder(HubClient(hub.endpoint, WRITE, tmp_path / "seed-cache"), tmp_path / "seeds")
    engine = load_engine(model)
    adapters.attach(engine, StudentSettings(rank=4))
    move_adapter(engine, 0.2)
    adapters.save(engine, tmp_path / "other", base="tests/tiny-two", commit=None)
    expected = engine.score([Prompt("Question: Why?")], [[" rain", " fog"]])
    changes = {**settings["evaluation"], "arms": [f"other={tmp_path / 'other'}"]}
    again = context({**settings, "evaluation": changes}, update=True)
    repos = again.resolved.repos
    assert repos["arm_other_base"].repo_id == "tests/tiny-two", "pinned before anything is asked"
    named = arm_weights.identity(again, "arm_other")
    another = repos["arm_other_base"].model_copy(update={"commit": "0" * 40})
    again.record(repos={**repos, "arm_other_base": another})
    assert arm_weights.identity(again, "arm_other") != named, "another base gives other answers"
    again.record(repos=repos)
    with arm_weights.arm_model(again, "arm_other") as (found, _):
        assert found.score([Prompt("Question: Why?")], [[" rain", " fog"]])[0] == pytest.approx(
            expected[0], abs=0.05
        )  # bfloat16
    assert len(again.resolved.repos["arm_other_base"].commit) == 40


@pytest.mark.parametrize(
    ("named", "base"),
    [
        ({"base_model_name_or_path": "a/b", "revision": "c0ffee"}, ("a/b", "c0ffee")),
        ({"base_model_name_or_path": "/home/me/model"}, (None, None)),
        ({"base_model_name_or_path": "./model"}, (None, None)),
        ({"base_model_name_or_path": ""}, (None, None)),
        ({}, (None, None)),
    ],
)
def test_the_base_an_adapter_names(tmp_path, named, base):
    (tmp_path / "adapter_config.json").write_text(json.dumps(named))
    assert arm_bases.base_named_in(tmp_path) == base
    (tmp_path / "adapter_config.json").write_text("{")
    with pytest.raises(ModelError, match="cannot be read"):
        arm_bases.base_named_in(tmp_path)


def test_scores_that_are_no_numbers_are_the_adapters_doing(context, settings, engine, monkeypatch):
    """The base has scored before: a bit of the adapter's weights that became another is to blame, not the precision."""
    made = context(settings)
    monkeypatch.setattr(arm_weights, "evaluation_engine", lambda _: engine)
    monkeypatch.setattr(RunContext, "builder", PromptBuilder())
    said = "The scores of question 'q' are not numbers: tests/tiny overflows."
    with (
        pytest.raises(ModelError, match=r"not numbers: .* overflows with '.*/5-adapter/adapter_model\.safetensors'"),
        arm_weights.arm_model(made, "student"),
    ):
        raise NotNumbersError(said)
    with pytest.raises(NotNumbersError, match=r"overflows\.$"), arm_weights.arm_model(made, "base"):
        raise NotNumbersError(said)
