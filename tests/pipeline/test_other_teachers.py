"""A teacher that is not the base: another model, in this process or on a server, for a language model or an encoder."""

from __future__ import annotations

import json
import math

import pytest
import yaml
from noise import LIBRARIES_WARN
from openai_server import OpenAIServer
from small_hub import WRITE, rows, run_here, small_settings, texts_of_classes
from tiny import load_engine, save_model
from transformers_server import transformers_server

from solo_hub import pipeline
from solo_hub.core.errors import ConfigError, RunError
from solo_hub.core.records import Prediction, PseudoLabel, Question, Retrieval, Verdict
from solo_hub.hub.client import HubClient
from solo_hub.teacher import decision
from solo_hub.teacher.labelling import label_key
from solo_hub.teacher.step import read_cached

pytestmark = LIBRARIES_WARN
OTHER = "tests/other"


@pytest.fixture(scope="module")
def other(hub, tmp_path_factory):
    """A model with other weights and another tokenizer than the base, on the Hub; its folder."""
    folder = save_model(tmp_path_factory.mktemp("other"), seed=7, tokens=300)
    (folder / "README.md").write_text("---\nlicense: mit\n---\nAnother random model.\n")
    HubClient(hub.endpoint, WRITE, tmp_path_factory.mktemp("cache")).push(folder, OTHER, "model", message="other")
    return folder


@pytest.fixture
def taught(settings, other):
    """Settings of a run in which the other model teaches."""
    return {
        **settings,
        "task": {**settings["task"], "train_limit": 16, "evaluation_limit": 8},
        "teacher": {**settings["teacher"], "style": "text", "base": OTHER},
        "student": {**settings["student"], "epochs": 1},
        "evaluation": {**settings["evaluation"], "arms": ["teacher_zero_shot"]},
        "publish": {
            "allow_no_gain": True,
            "namespace": "tests",
            "dataset": "other-labels",
            "adapter": "other-adapter",
        },
    }


def label_all(made):
    questions = pipeline.load_questions(made)
    return pipeline.label(made, questions, pipeline.find_passages(made, questions))


def test_another_model_teaches_and_everything_says_so(context, taught, other, tmp_path, hub, monkeypatch, capfd):
    made = context(taught)
    report = pipeline.distill(made, push=True)
    commit = made.resolved.repos["teacher"].commit
    identity = decision.identity(made.teacher, decision.require_setup(made))
    assert identity.startswith(f"{OTHER}@{commit} transformers")
    assert report["teachers"] == [OTHER]

    # the labels and the evaluation's teacher are the other model's, the base stays the base
    itself = {**taught, "base": OTHER, "teacher": {**taught["teacher"], "base": []}}
    theirs = label_all(context(itself, tmp_path / "alone"))
    labels = made.run.read_rows("labels", PseudoLabel)
    assert [row.probabilities for row in labels] == [row.probabilities for row in theirs]
    arms = {arm: [] for arm in report["arms"]}
    for row in made.run.read_rows("predictions", Prediction):
        arms[row.arm].append(row.option)
    assert set(arms) == {"base", "teacher", "student", "teacher_zero_shot"}
    assert arms["teacher"] != arms["base"]

    # every text names who taught, and none says that the base taught itself
    published = report["published"]
    for name in ("dataset_repo", "adapter_repo"):
        card = (made.run.file(name) / "README.md").read_text()
        assert "itself" not in card.replace("A language model teaches itself", "")
        assert f"[`{OTHER}`](/{OTHER}/tree/{commit})" in card
        assert "self-distillation" not in card
    space = made.client.pull(made.client.pin(published["space"]["repo_id"], "space"), allow=["README.md"])
    card = (space / "README.md").read_text()
    assert "itself" not in card
    assert f"- **teacher**: {OTHER}, another model than the base" in card
    assert OTHER in yaml.safe_load(card.split("---")[1])["models"]
    assert published["collection"]["title"].endswith("that learned from other")
    page = made.run.file("html").read_text()
    assert f"the answers of {OTHER}, the teacher" in page
    licence = yaml.safe_load((made.run.file("dataset_repo") / "README.md").read_text().split("---")[1])
    assert OTHER in (made.run.file("dataset_repo") / "config.yaml").read_text()
    assert licence["license"]

    # a finished run loads nothing again
    again = context(taught)
    monkeypatch.setattr(type(again.teacher), "engine", property(lambda _: pytest.fail("nothing is asked again")))
    assert pipeline.distill(again, push=True)["published"] == published
    monkeypatch.undo()

    # and others can check it and make it again
    assert run_here(hub, monkeypatch, capfd, "verify", "tests/other-adapter", home=tmp_path / "home")[0] == 0
    where = ("--run", tmp_path / "mine", "--format", "json")
    code, out, err = run_here(
        hub, monkeypatch, capfd, "reproduce", "tests/other-labels", *where, home=tmp_path / "home"
    )
    assert (code, json.loads(out)["reproduced"]) == (0, True), err
    assert f"{OTHER}@{commit}" in (tmp_path / "mine" / "config.yaml").read_text()


def test_another_teacher_is_a_change_that_keeps_what_was_labelled(context, taught):
    alone = {**taught, "teacher": {**taught["teacher"], "base": []}}
    before = label_all(context(alone))
    with pytest.raises(RunError, match="belongs to another configuration"):
        context(taught)
    after = label_all(context(taught, update=True))
    assert not {row.key for row in before} & {row.key for row in after}
    back = context(alone, update=True)
    assert label_all(back) == before
    assert back.resolved.engine


def test_a_served_teacher_is_named_and_moves_without_a_change(context, taught, other):
    with OpenAIServer(load_engine(other)) as server, OpenAIServer(load_engine(other)) as elsewhere:
        served = {"base": OTHER, "engine": {"name": "openai", "url": server.url}}
        made = context({**taught, "teacher": {**taught["teacher"], "base": served}})
        labels = label_all(made)
        assert made.resolved.engines["teacher"].identity.startswith(f"{OTHER}@")
        assert made.resolved.engine is None  # the base was not loaded
        moved = {"base": OTHER, "engine": {"name": "openai", "url": elsewhere.url, "concurrency": 2}}
        assert label_all(context({**taught, "teacher": {**taught["teacher"], "base": moved}})) == labels
        assert elsewhere.bodies == []


def test_several_teachers_are_a_product_and_one_that_fails_leaves_the_others(context, taught, other, capfd):
    """The base and the other model, served by one process and the other; the first label by hand."""
    with OpenAIServer(load_engine(other)) as server:
        several = ["tests/tiny", {"base": OTHER, "engine": {"name": "openai", "url": server.url, "attempts": 1}}]
        settings = {
            **taught,
            "teacher": {**taught["teacher"], "base": several, "calibrate": True},
            "filters": {"min_agreement": 1.0},
        }
        settings["evaluation"]["arms"] = []
        made = context(settings)
        report = pipeline.distill(made)
    assert report["teachers"] == ["tests/tiny", OTHER]
    together, known = made.resolved.teachers, read_cached(made)
    (label, *rest), own = made.run.read_rows("labels", PseudoLabel), list(known.values())
    one, two = (next(r for r in own if r.question_id == label.question_id and r.key in keys) for keys in keys_of(made))
    both = zip(one.probabilities, two.probabilities, strict=True)
    scores = [math.log(p * q) / together.temperature for p, q in both]
    weights = [math.exp(score - max(scores)) for score in scores]
    assert label.probabilities == pytest.approx([weight / sum(weights) for weight in weights])
    assert label.agreement == sum(row.option == label.option for row in (one, two)) / 2
    assert {row.agreement for row in (label, *rest)} <= {0.0, 0.5, 1.0}
    # the mean confidence is how often they agree, and who disagrees is dropped
    mean = sum(row.confidence for row in (label, *rest)) / len((label, *rest))
    assert mean == pytest.approx(together.agreement, abs=0.03)  # a temperature has limits
    assert {r.question_id for r in made.run.read_rows("selected", Verdict)} == {
        row.question_id for row in (label, *rest) if row.agreement == 1.0
    }
    # each alone, on the labels and on the held-out questions
    assert {name.split("@")[0] for name in report["labels"]["teachers"]} == {"tests/tiny", OTHER}
    assert {"teacher", "teacher_1", "teacher_2"} <= report["arms"].keys()
    assert {"teacher_vs_teacher_1", "teacher_vs_teacher_2"} <= report["paired"].keys()

    # the server has gone: what was labelled by both is complete, a new run goes on with the other, and says so
    again = context(settings)
    assert pipeline.distill(again)["labels"] == report["labels"]
    new = context(settings, made.run.path.with_name("new"))
    labels = label_all(new)
    assert new.resolved.teachers.roles == ("teacher",)
    assert OTHER in str(new.resolved.repos["teacher_2"])
    assert "does not answer" in new.resolved.teachers.failed["teacher_2"]
    assert [row.option for row in labels] == [known[row.key].option for row in own if row.key in keys_of(made)[0]]


def keys_of(made):
    """Keys of what each teacher said."""
    asked, passages = made.run.read_rows("questions", Question), made.run.read_rows("passages", Retrieval)
    setups = [(teacher, decision.require_setup(made, teacher)) for teacher in made.teachers]
    identities = [decision.identity(*pair) for pair in setups]
    return [{label_key(q, r, one) for q, r in zip(asked, passages, strict=True)} for one in identities]


def test_an_encoder_learns_from_a_language_model_in_one_run(context, taught, tmp_path):
    """The setting of LLKD: the teacher with examples and without, and an encoder that reads the text alone."""
    settings = texts_of_classes(tmp_path, ["rain", "frost"], questions=12, held_out=[0, 1] * 4)
    settings |= {
        "base": "sentence-transformers/all-MiniLM-L6-v2",
        "engine": {"name": "classifier"},
        "teacher": {**taught["teacher"], "shots": 2, "calibration_sample": 16, "explain": "auto"},
        "student": {"epochs": 1, "batch_size": 6, "rank": 4},
        "evaluation": {**settings["evaluation"], "arms": ["teacher_zero_shot", "student_with_passages"]},
    }
    made = context(settings)
    report = pipeline.distill(made)
    assert set(report["arms"]) == {"base", "teacher", "student", "teacher_zero_shot"}
    assert made.resolved.style == "class"
    assert made.resolved.setups["teacher"].recipe.style == "text"
    assert made.resolved.setups["teacher"].explained_share is None, "without passages there is nothing to cite"
    labels = rows(made.run.file("labels"))
    assert all(sum(row["probabilities"]) == pytest.approx(1) for row in labels)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"teacher": {"base": OTHER}, "student": {"objective": "online"}}, "objective=online asks the base itself"),
        ({"teacher": {"base": OTHER, "labels": "tests/labels"}}, "no teacher is asked"),
        ({"teacher": {"base": {"base": OTHER, "engine": {"name": "classifier"}}}}, "cannot be an encoder"),
        ({"teacher": {"base": [{"bse": OTHER}]}}, "Field required|unknown key"),
    ],
)
def test_teachers_that_cannot_teach_are_refused(context, changed, message):
    with pytest.raises(ConfigError, match=message):
        context({**small_settings(whole=True), **changed})


@pytest.mark.soak
def test_a_real_server_of_another_model_is_named_wherever_one_reads_who_taught(context, taught, other, tmp_path):
    """`transformers serve`, which returns no log-probabilities: the teacher writes letters, the base learns texts."""
    with transformers_server(other, tmp_path / "log") as address:
        engine = {"name": "openai", "url": address, "model": str(other), "timeout": 600}
        teacher = {**taught["teacher"], "base": {"base": OTHER, "engine": engine}}
        evaluation = {**taught["evaluation"], "arms": [], "generate": False}
        made = context({**taught, "teacher": teacher, "evaluation": evaluation, "filters": {"unparsed": False}})
        report = pipeline.distill(made, push=True)
    assert report["teachers"] == [OTHER]
    assert "text alone" in made.resolved.engines["teacher"].identity
    assert {row.confidence for row in made.run.read_rows("labels", PseudoLabel)} == {None}
    published = report["published"]
    for name in ("dataset_repo", "adapter_repo"):
        card = (made.run.file(name) / "README.md").read_text()
        assert "itself" not in card.replace("A language model teaches itself", "")
        assert f"`{OTHER}`" in card
        assert "It answered through a server (engine openai" in card
        assert str(other.parent) not in card  # the model's path on the server is no address to publish
    space = made.client.pull(made.client.pin(published["space"]["repo_id"], "space"), allow=["README.md"])
    assert f"- **teacher**: {OTHER}, another model than the base" in (space / "README.md").read_text()
    assert f"the answers of {OTHER}, the teacher" in made.run.file("html").read_text()
