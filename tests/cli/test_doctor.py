"""`solo-hub doctor`: what would stop a run is found before it, and nothing is left behind."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json

import pytest
import tiny
import yaml
from noise import LIBRARIES_WARN
from sample_data import FACTS, OTHER, READ, WRITE
from small_hub import write_rows
from transformers import AutoTokenizer

from solo_hub.checks import preflight, preflight_model
from solo_hub.core import system as machine
from solo_hub.core.config import build
from solo_hub.core.console import Console
from solo_hub.core.errors import ModelError

pytestmark = LIBRARIES_WARN
SETTINGS = {
    "name": "town",
    "base": "tests/tiny",
    "task": {"name": "multiple_choice", "questions": "tests/town"},
    "knowledge": {"source": "tests/town-facts", "passages": 2, "embedding_model": "tests/tiny"},
    "evaluation": {"bert_score_model": "tests/tiny"},
    "engine": {"device": "cpu"},
}


@pytest.fixture
def doctor(command, tmp_path, monkeypatch):
    """Runs the command on the town's settings; returns exit code and findings by name."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)

    def run(*arguments, **named):
        (folder / "town.yaml").write_text(yaml.safe_dump(SETTINGS))
        code, out, err = command("doctor", "town.yaml", "--format", "json", *arguments, **named)
        document = json.loads(out)
        assert [path.name for path in folder.iterdir()] == ["town.yaml"], "a run folder was made"
        assert document["run_can_start"] is (code == 0)
        assert (code == 0) is not ("would stop the run" in err)
        return code, {check["name"]: check for check in document["checks"]}

    return run


def states(found):
    return {name: check["state"] for name, check in found.items()}


def push_rows(door, folder, name, rows, card="---\nlicense: mit\n---\n"):
    folder.mkdir()
    for split in ("train", "validation"):
        write_rows(folder / f"{split}.jsonl", [{**row, "id": f"{split}{i}"} for i, row in enumerate(rows[split])])
    (folder / "README.md").write_text(card)
    door.push(folder, name, "dataset", message="for a test", next_version_tag=False)


def test_a_run_that_can_start(doctor, door):
    before = {name: door.newest(name, "dataset") for name in ("tests/town", "tests/town-facts")}
    code, found = doctor("--push", "--namespace", "tests")
    assert code == 0
    assert {name for name, state in states(found).items() if state != "pass"} == {"log-probabilities"}
    assert found["log-probabilities"]["detail"] == "use --model to load the model for this check"
    assert found["questions, evaluation_questions"]["detail"].startswith("tests/town at ")
    assert found["questions"]["detail"] == "4 to label, 4 held out"
    assert found["end of turn"]["detail"] == "<|im_end|> (0)"
    assert "may push to tests/town-tiny-pseudo-labels" in found["token"]["detail"]
    assert found["licences"]["detail"].startswith("the adapter: apache-2.0.")
    assert {name: door.newest(name, "dataset") for name in before} == before


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"task.evaluation_limit": 2}, "4 to label, 2 of 4 held out"),
        ({"task.train_limit": 3, "task.evaluation_limit": 9}, "3 of 4 to label, 4 held out"),
    ],
)
def test_as_many_questions_are_told_as_the_run_would_take(doctor, settings, says):
    code, found = doctor(*(word for name, value in settings.items() for word in ("--set", f"{name}={value}")))
    assert (code, found["questions"]["detail"]) == (0, says)


def test_questions_that_are_also_held_out_are_told(doctor, door, tmp_path):
    def rows(*places):
        return [{"question": f"Where is town {n}?", "options": ["north", "south"], "answer": 0} for n in places]

    push_rows(door, tmp_path / "some", "tests/overlapping", {"train": rows(1, 2, 3), "validation": rows(3, 4)})
    code, found = doctor("--set", "task.questions=tests/overlapping")
    told = "2 of 3 to label, 2 held out; 1 are also held out and will not be labelled"
    assert (code, found["questions"]["detail"]) == (0, told)
    push_rows(door, tmp_path / "same", "tests/the-same", {"train": rows(1, 2), "validation": rows(1, 2)})
    code, found = doctor("--set", "task.questions=tests/the-same")
    assert (code, found["data"]["state"]) == (1, "fail")
    assert "every question is also in the held-out set" in found["data"]["detail"]


def test_for_people_every_finding_is_one_line(command, tmp_path):
    config = tmp_path / "town.yaml"
    config.write_text(yaml.safe_dump(SETTINGS))
    code, out, _ = command("doctor", config)
    assert code == 0
    *lines, last = out.splitlines()
    assert {line.split()[0] for line in lines} == {"pass", "skipped"}
    assert last == "No check failed: the run can start."


def test_with_the_model_log_probabilities_are_seen(doctor):
    code, found = doctor("--model")
    assert code == 0
    assert (found["model"]["state"], found["log-probabilities"]["detail"]) == ("pass", "available")


def test_large_data_are_left_to_the_run_and_the_model_is_tried_all_the_same(doctor, monkeypatch):
    monkeypatch.setattr(preflight, "SMALL", 10)  # bytes
    code, found = doctor("--model")
    assert code == 0
    assert {name for name, state in states(found).items() if state == "skipped"} == {"questions", "teacher's prompt"}
    assert found["log-probabilities"]["state"] == "pass"


def test_a_token_that_may_only_read_stops_publishing_alone(doctor):
    code, found = doctor(token=READ)
    assert (code, found["token"]["state"]) == (0, "warn")
    code, found = doctor("--push", token=READ)
    assert (code, found["token"]["state"]) == (1, "fail")
    assert "hf auth login" in found["token"]["remedy"]


def test_no_token_is_enough_for_public_repos(doctor):
    code, found = doctor(token="")
    assert (code, found["token"]["state"]) == (0, "warn")
    assert found["knowledge"]["state"] == "pass"


def test_a_missing_base_is_named_and_the_rest_is_looked_at(doctor):
    code, found = doctor("--base", "tests/none")
    assert code == 1
    assert (found["base"]["state"], found["knowledge"]["state"]) == ("fail", "pass")
    assert "There is no model 'tests/none'" in found["base"]["detail"]
    assert found["memory, data, prompt"]["state"] == "skipped"


def test_conditions_that_were_not_accepted_are_found(doctor, door, hub, tmp_path):
    from huggingface_hub import HfApi

    push_rows(door, tmp_path / "closed", "tests/closed", {"train": FACTS, "validation": []})
    HfApi(hub.endpoint, token=door._token).update_repo_settings("tests/closed", repo_type="dataset", gated="manual")
    code, found = doctor("--knowledge", "tests/closed", token=OTHER)
    assert code == 1
    assert "is gated" in found["knowledge"]["detail"]
    assert f"Accept them at {hub.endpoint}/datasets/tests/closed" in found["knowledge"]["remedy"]


def test_a_licence_that_forbids_publishing_stops_a_run_that_would_publish(doctor, door, tmp_path):
    card = "---\nlicense: cc-by-nd-4.0\n---\n"
    push_rows(door, tmp_path / "nd", "tests/nd", {"train": FACTS, "validation": []}, card)
    code, found = doctor("--knowledge", "tests/nd")
    assert (code, found["licences"]["state"]) == (0, "warn")
    code, found = doctor("--knowledge", "tests/nd", "--push")
    assert (code, found["licences"]["state"]) == (1, "fail")
    assert "cc-by-nd-4.0" in found["licences"]["detail"]


def test_too_little_disk_and_memory(doctor, monkeypatch):
    monkeypatch.setattr(preflight, "free_disk", lambda place: 1000)
    monkeypatch.setattr(machine, "free_memory", lambda: 1_000_000)
    code, found = doctor()
    assert code == 1
    assert {name for name, state in states(found).items() if state == "fail"} == {"disk", "memory"}
    assert "1.0 MB free" in found["memory"]["detail"]
    assert "1 kB free" in found["disk"]["detail"]


def test_what_is_in_the_cache_needs_no_disk(doctor, hub, tmp_path, monkeypatch):
    from solo_hub.hub import HubClient

    monkeypatch.setattr(machine, "RUN_FOLDER", 0)
    monkeypatch.setattr(machine, "INDEX_SHARE", 0)
    _, found = doctor()
    assert not found["disk"]["detail"].startswith("about 0 kB")
    cached = HubClient(hub.endpoint, WRITE, tmp_path / "home" / "cache" / "hub")
    for name, kind in (("tests/tiny", "model"), ("tests/town", "dataset"), ("tests/town-facts", "dataset")):
        cached.pull(cached.pin(name, kind))
    _, found = doctor()
    assert found["disk"]["detail"].startswith("about 0 kB needed")


def test_an_old_or_missing_library_is_named_with_the_command_that_mends_it(doctor, monkeypatch):
    real = preflight_model.machine.version_of
    versions = {"peft": "0.1.0", "pypdf": None}
    monkeypatch.setattr(
        preflight_model.machine, "version_of", lambda name: versions[name] if name in versions else real(name)
    )
    code, found = doctor()
    assert code == 1
    assert found["library peft"]["detail"].startswith("peft 0.1.0 is installed, but ")
    assert found["library pypdf"]["detail"] == "pypdf is not installed"
    assert found["library pypdf"]["remedy"].startswith("pip install 'pypdf")
    assert "libraries" not in found


@pytest.mark.parametrize(
    ("setting", "package"),
    [
        ("engine.dtype=nf4", "bitsandbytes"),
        ("student.adapter=qlora", "bitsandbytes"),
        ("student.objective=sdft", "trl"),
        ("student.log_to=[tensorboard]", "tensorboard"),
    ],
)
def test_what_only_some_settings_need_is_asked_for_with_them(doctor, monkeypatch, setting, package):
    real = preflight_model.machine.version_of
    monkeypatch.setattr(preflight_model.machine, "version_of", lambda name: None if name == package else real(name))
    assert "libraries" in doctor()[1]
    code, found = doctor("--set", setting)
    assert code == 1
    assert found[f"library {package}"]["detail"] == f"{package} is not installed"


def test_a_device_that_is_not_there(doctor):
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    code, found = doctor("--set", "engine.device=cuda")
    assert code == 1
    assert found["device"]["remedy"] == "Set engine.device=auto."


def test_plugins_that_cannot_be_used(doctor):
    code, found = doctor("--set", "knowledge.retriever=dens", "--set", "selection.options.shar=1")
    assert code == 1
    assert "Did you mean 'dense'?" in found["retriever dens"]["remedy"]
    assert "unknown option 'shar'" in found["selector all"]["detail"]


def test_passages_that_do_not_fit_are_told_and_a_question_that_does_not_stops(doctor, door, tmp_path):
    facts = [{"text": f"Number {i}: " + "the bell of Orlo rings in the fog. " * 12} for i in range(4)]
    push_rows(door, tmp_path / "long", "tests/long", {"train": facts, "validation": []})
    code, found = doctor("--knowledge", "tests/long", "--set", "knowledge.passages=4")
    assert (code, found["teacher's prompt"]["state"]) == (0, "warn")
    assert "passages left out" in found["teacher's prompt"]["detail"]
    code, found = doctor("--set", "teacher.max_new_tokens=245")
    assert (code, found["teacher's prompt"]["state"]) == (1, "fail")
    assert "longer than the model's context of 256 tokens" in found["teacher's prompt"]["detail"]


def test_data_the_run_could_not_read(doctor, door, tmp_path):
    code, found = doctor("--set", "task.evaluation_split=test")
    assert code == 1
    assert "has no split 'test'" in found["data"]["detail"]
    unanswered = {"train": [], "validation": [{"question": "Who?", "options": ["a", "b"]}]}
    push_rows(door, tmp_path / "unanswered", "tests/unanswered", unanswered)
    code, found = doctor("--set", "task.evaluation_questions=tests/unanswered")
    assert code == 1
    assert "no column 'answer' with gold answers" in found["data"]["detail"]


def test_questions_learnt_from_must_not_be_those_held_out(doctor):
    code, found = doctor("--set", "task.evaluation_split=train")
    assert code == 1
    assert "are the same" in found["data"]["detail"]


def test_local_files_are_found_or_missed(doctor, tmp_path):
    facts = tmp_path / "facts.jsonl"
    facts.write_text('{"text": "The clock of Orlo shows noon."}\n')
    code, found = doctor("--knowledge", str(facts))
    assert (code, found["knowledge"]["detail"]) == (0, f"the file {facts}, 0 kB")
    code, found = doctor("--knowledge", str(tmp_path / "none.jsonl"))
    assert (code, found["knowledge"]["state"]) == (1, "fail")


def test_a_hub_out_of_reach_is_told_once(doctor):
    code, found = doctor(hub="http://127.0.0.1:9")
    assert code == 1
    assert {name for name, state in states(found).items() if state == "fail"} == {"Hub"}
    assert found["knowledge"]["state"] == "skipped"


def test_the_embedded_hub_is_not_started_for_a_look(command, tmp_path):
    code, out, _ = command("doctor", "demo", "--format", "json", hub="local")
    assert not (tmp_path / "home").exists()
    found = {check["name"]: check for check in json.loads(out)["checks"]}
    assert found["questions, evaluation_questions"]["detail"].endswith("`solo-hub hub seed`")
    assert found["memory, data, prompt"]["state"] == "skipped"
    assert code == (1 if any(check["state"] == "fail" for check in found.values()) else 0)


def inside(folder, settings):
    return preflight_model.ModelPreflight(
        build({**SETTINGS, **settings}), {"base": folder}, None, Console("quiet"), folder, frozenset()
    )


def base_findings(folder, tmp_path, prompt="plain", engine="transformers"):
    settings = {"teacher": {"prompt": prompt}, "engine": {"name": engine}}
    looked = inside(folder, settings)
    return list(looked._base(dataclasses.replace(looked._files("base"), day=dt.date(2026, 11, 30))))


def rewrite(path, **changes):
    document = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({key: value for key, value in document.items() if value is not None}))


def test_the_end_of_a_turn_is_sought_where_the_engine_seeks_it(tmp_path):
    folder = tiny.save_model(tmp_path / "model")
    assert [f.detail for f in base_findings(folder, tmp_path)] == ["<|im_end|> (0)"]
    rewrite(folder / "generation_config.json", eos_token_id=[2, 0])
    (found,) = base_findings(folder, tmp_path)
    assert found.detail == "<|pad|> (2), <|im_end|> (0); the student is trained on the first"
    (found,) = base_findings(folder, tmp_path, "chat")
    assert found.detail == "<|im_end|> (0), <|pad|> (2); the student is trained on the first"
    (folder / "chat_template.jinja").write_text(tiny.CHAT.replace("<|im_end|>", ""))
    (found,) = base_findings(folder, tmp_path, "chat")
    assert (found.state, found.name) == ("warn", "end of turn")
    assert "which is not a token" in found.detail


def test_a_base_without_an_end_is_told(tmp_path):
    folder = tiny.save_model(tmp_path / "model")
    for name in ("config.json", "generation_config.json", "tokenizer_config.json"):
        rewrite(folder / name, eos_token_id=None, eos_token=None)
    (found,) = base_findings(folder, tmp_path)
    assert found.state == "fail"
    assert "no end-of-turn token" in found.detail


@pytest.mark.parametrize(("engine", "names"), [("transformers", 2), ("lbl2transformervec", 1)])
def test_an_embedder_that_teaches_needs_no_end_of_turn(tmp_path, engine, names):
    folder = tiny.save_model(tmp_path / "model")
    for name in ("config.json", "generation_config.json", "tokenizer_config.json"):
        rewrite(folder / name, eos_token_id=None, eos_token=None)
    teacher = {"base": "tests/tiny", "engine": {"name": engine}}
    looked = dataclasses.replace(inside(folder, {"teacher": {"base": teacher}}), models={"teacher": folder})
    assert [found.name for found in looked._files_checks("teacher")] == (
        ["tokenizer, teacher", "base files, teacher"][:names]
    )


@pytest.mark.parametrize(
    ("template", "detail"),
    [
        ("{{ raise_exception('not for you') }}", "cannot be rendered: not for you."),
        ("{{ messages[0].content }}{% if add_generation_prompt %}<think>{% endif %}", "opens a thinking block"),
    ],
)
def test_a_chat_template_that_cannot_be_used_is_told(tmp_path, template, detail):
    folder = tiny.save_model(tmp_path / "model")
    (folder / "chat_template.jinja").write_text(template)
    (found,) = base_findings(folder, tmp_path, "chat")
    assert (found.state, detail in found.detail) == ("fail", True)
    assert found.remedy.startswith("Set teacher.prompt=plain, or choose ")
    counter = preflight_model.TokenCounter(AutoTokenizer.from_pretrained(folder), 10, "tests/tiny")
    with pytest.raises(ModelError, match="tests/tiny"):
        counter.chat("Who?")


def test_what_is_not_followed_or_fixed_is_told(tmp_path):
    folder = tiny.save_model(tmp_path / "model")
    rewrite(folder / "generation_config.json", repetition_penalty=1.1)
    (folder / "chat_template.jinja").write_text("{{ strftime_now('%d %b %Y') }}" + tiny.CHAT)
    told = [(f.state, f.detail) for f in base_findings(folder, tmp_path, "chat")[1:]]
    assert told == [
        ("pass", "decoding settings of the base are ignored (repetition_penalty=1.1): decoding is greedy"),
        ("pass", "the chat template prints the date; this run always uses 2026-11-30"),
    ]
    *_, last = base_findings(folder, tmp_path, engine="inference")
    assert last.detail.startswith("the provider renders the chat template with the current date")


def test_the_doctor_looks_at_all_that_the_run_pulls(doctor, tmp_path):
    """A folder of documents is as good a source as a repo; an adapter that is asked beside the others must be there."""
    documents = tmp_path / "documents"
    documents.mkdir()
    (documents / "town.md").write_text("The owl lives in the tower.")
    _, found = doctor("--knowledge", documents, "--set", "evaluation.arms=[other=tests/missing]")
    assert found["knowledge"] == {**found["knowledge"], "state": "pass", "detail": f"the folder {documents}"}
    assert found["arm_other"]["state"] == "fail"
    assert "tests/missing" in found["arm_other"]["detail"]


@pytest.mark.parametrize(
    ("version", "bounds", "expected"),
    [
        ("2.13.0+cpu", ">=2.8", ""),
        ("5.23.0", "<6,>=5.20", ""),
        ("6.0.0", "<6,>=5.20", "x 6.0.0 is installed, but <6,>=5.20 is required"),
        (None, ">=1", "x is not installed"),
        ("1.0", "", ""),
    ],
)
def test_versions_are_held_against_their_bounds(version, bounds, expected):
    assert preflight_model.problem_of("x", bounds, version) == expected


def test_what_the_embedder_wants_before_texts_is_told(doctor, door, tmp_path):
    folder = tiny.save_encoder(tmp_path / "embedder")
    (folder / "config_sentence_transformers.json").write_text('{"prompts": {"query": "q: ", "passage": "p: "}}')
    (folder / "README.md").write_text("---\nlicense: other\nlicense_name: own-terms\n---\n")
    door.push(folder, "tests/prompted", "model", message="for a test", next_version_tag=False)
    _, found = doctor("--set", "knowledge.embedding_model=tests/prompted")
    assert found["embedder prompts"]["detail"] == "'q: ' before queries, 'p: ' before documents, from its repo"
    assert "own-terms" in found["embedder"]["detail"]
    assert "embedder prompts" not in doctor()[1]
