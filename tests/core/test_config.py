"""Settings: one place, checked strictly, frozen, and every one of them explained."""

from __future__ import annotations

import re

import pydantic
import pytest
import yaml

from solo_hub.core import config, report_settings, settings
from solo_hub.core.config import (
    Config,
    NoOptions,
    build,
    describe,
    override,
    presets,
    read_file,
    read_options,
    read_preset,
)
from solo_hub.core.errors import ConfigError
from solo_hub.core.parsing import parse_yaml
from solo_hub.core.settings import RETIRED, Section


@pytest.mark.parametrize("name", presets())
def test_every_preset_is_valid_and_named_after_itself(name):
    made = build(read_preset(name))
    assert made.name == name


def test_the_presets_that_the_documentation_names_are_there():
    assert {"demo", "qasc-small", "qasc", "thesis"} <= set(presets())


def test_an_empty_configuration_is_the_defaults():
    assert build({}) == Config()


def test_a_configuration_survives_yaml():
    made = build({"name": "x", "student": {"target_modules": ["q_proj", "v_proj"], "learning_rate": "1e-4"}})
    assert build(yaml.safe_load(yaml.safe_dump(made.model_dump(mode="json")))) == made


def test_every_setting_has_a_description():
    rows = describe()
    assert len(rows) == len({key for key, _, _ in rows}) > 40
    for key, _, text in rows:
        assert len(text) > 10, key
        assert text.endswith("."), key


@pytest.mark.parametrize(
    ("data", "said", "hint"),
    [
        ({"studnet": {}}, "unknown key 'studnet'", "Did you mean 'student'?"),
        ({"student": {"epoch": 1}}, "unknown key 'student.epoch'", "Did you mean 'epochs'?"),
        ({"task": {"zzz": 1}}, "unknown key 'task.zzz'", "Known: classes, columns, "),
    ],
)
def test_an_unknown_key_names_the_nearest(data, said, hint):
    with pytest.raises(ConfigError) as caught:
        build(data, "my.yaml")
    assert caught.value.message == f"my.yaml: {said}."
    assert hint in caught.value.hint


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("student.epochs", 0),
        ("student.epochs", float("inf")),
        ("student.learning_rate", float("nan")),
        ("student.learning_rate", float("inf")),
        ("student.learning_rate", "fast"),
        ("student.rank", 0),
        ("student.rank", 1.5),
        ("student.dropout", 1),
        ("student.adapter", "prefix"),
        ("student.target_modules", 3),
        ("teacher.style", "letters"),
        ("knowledge.passages", -1),
        ("task.columns", "question"),
        ("task.train_limit", 0),
        ("seed", -1),
        ("seed", 2**31),
        ("name", "../escape"),
        ("name", ""),
        ("name", "a\n"),
        ("name", "x" * 65),
        ("base", None),
        ("evaluation.resamples", 10),
    ],
)
def test_a_bad_value_is_named_with_its_key(key, value):
    data = {}
    config.put(data, key, value)
    with pytest.raises(ConfigError, match=f"'{key}' cannot be") as caught:
        build(data)
    assert caught.value.hint == f"See the setting '{key}' in `solo-hub distill --help`."


def test_a_long_bad_value_is_cut():
    with pytest.raises(ConfigError) as caught:
        build({"name": "x" * 500})
    assert len(caught.value.message) < 250


def test_keys_that_are_no_words():
    with pytest.raises(ConfigError, match="'3'"):
        build({3: "x"})
    with pytest.raises(ConfigError, match="student"):
        build({"student": {True: "x"}})


def test_another_version_of_the_format_is_refused():
    assert build({"config_version": 1}) == Config()
    with pytest.raises(ConfigError, match="unsupported config_version 2"):
        build({"config_version": 2})


def test_settings_are_frozen():
    made = build({})
    with pytest.raises(pydantic.ValidationError, match="frozen"):
        made.seed = 1
    with pytest.raises(pydantic.ValidationError, match="frozen"):
        made.student.epochs = 1


@pytest.mark.parametrize(
    ("assignment", "key", "value"),
    [
        ("student.epochs=5", ("student", "epochs"), 5.0),
        ("student.learning_rate=2e-5", ("student", "learning_rate"), 2e-5),
        ("student.target_modules=[q_proj, v_proj]", ("student", "target_modules"), ("q_proj", "v_proj")),
        ("base=a/b=c", ("base",), "a/b=c"),
        ("task.train_limit=", ("task", "train_limit"), None),
        ("evaluation.generate=false", ("evaluation", "generate"), False),
        (" seed =3", ("seed",), 3),
    ],
)
def test_assignments_are_read_as_yaml(assignment, key, value):
    made = build(override({}, [assignment]))
    for name in key:
        made = getattr(made, name)
    assert made == value


def test_yes_no_on_and_off_are_texts(tmp_path):
    """As in YAML 1.2: answers and classes are named so; where a truth value is wanted they are one."""
    (tmp_path / "my.yaml").write_text("task: {classes: [yes, no]}\nevaluation: {generate: off}\n")
    made = build(override(read_file(tmp_path / "my.yaml"), ["evaluation.map=off"]))
    assert made.task.classes == ("yes", "no")
    assert (made.evaluation.map, made.evaluation.generate) == ("off", False)


def test_numbers_are_read_as_they_look(tmp_path):
    """As in YAML 1.2: a leading zero is no sign of base 8, and a time of day is a text; what is written reads back."""
    (tmp_path / "my.yaml").write_text(
        "seed: 010\ntask: {classes: [1:30, 08, 1e3, x]}\nstudent: {learning_rate: 1e-3}\n"
    )
    made = build(read_file(tmp_path / "my.yaml"))
    assert (made.seed, made.student.learning_rate) == (10, 0.001)
    assert made.task.classes == ("1:30", "08", "1e3", "x")
    texts = ["010", "1:30", "-.5", "+.7", "1_0", "0x1F", "1.", ".5e+3", "1.5e-3", "0o17", "yes", "~", "=", "08"]
    assert parse_yaml(yaml.safe_dump(texts)) == texts


def test_later_assignments_win_and_the_original_stays():
    data = {"student": {"epochs": 1}}
    assert override(data, ["student.epochs=2", "student.epochs=3"]) == {"student": {"epochs": 3}}
    assert data == {"student": {"epochs": 1}}
    assert override(data, []) == data


@pytest.mark.parametrize(
    ("assignment", "said"),
    [
        ("student.epochs", "has no value"),
        ("=3", "has no value"),
        ("seed.x=1", "'seed' is a value, not a section"),
        ("name={a", "cannot read the value"),
        ("name=2024-13-45", "cannot read the value"),  # YAML takes it for a date, and there is no such day
    ],
)
def test_an_assignment_that_is_none(assignment, said):
    with pytest.raises(ConfigError, match=said):
        override({"seed": 0}, [assignment])


def test_an_empty_section_in_a_file_is_the_defaults():
    assert build({"student": None}) == Config()
    assert override({"student": None}, ["student.rank=4"]) == {"student": {"rank": 4}}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: b: c", "not valid YAML at line 1"),
        ("- 1\n- 2", "is a list, not a mapping"),
        ("just words", "is a str, not a mapping"),
        ("a: 2024-13-45", "not valid YAML"),
        ("[" * 1200, "not valid YAML"),
        ("!!python/object/apply:os.system ['true']", "not valid YAML at line 1"),
    ],
)
def test_a_file_that_is_no_configuration(tmp_path, text, said):
    path = tmp_path / "my.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=said) as caught:
        read_file(path)
    assert str(path) in caught.value.message


def test_a_file_empty_missing_or_not_text(tmp_path):
    (tmp_path / "empty.yaml").write_text("# nothing\n")
    assert read_file(tmp_path / "empty.yaml") == {}
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    for name in ("missing.yaml", "binary.yaml", "."):
        with pytest.raises(ConfigError, match="Cannot read the configuration"):
            read_file(tmp_path / name)


def test_a_preset_that_is_none_names_the_nearest():
    with pytest.raises(ConfigError, match="Unknown preset 'qasc-smal'") as caught:
        read_preset("qasc-smal")
    assert "Did you mean 'qasc-small'?" in caught.value.hint


@pytest.mark.parametrize(
    "where", [{"name": "a\ud800"}, {"task": {"columns": {"\ud800": "x"}}}, {"evaluation": {"arms": ["\ud800"]}}]
)
def test_half_a_character_is_named_wherever_it_stands(where):
    """YAML's escapes can write one; what would fail later, in a file or a request, is told here."""
    with pytest.raises(ConfigError, match="lone surrogate"):
        build(where)


class Options(Section):
    share: float = pydantic.Field(0.5, gt=0, le=1)
    words: str = ""


def test_options_are_read_strictly():
    assert read_options(Options, {"share": 0.25}, "selection method 'x'", "selection.options").share == 0.25
    for given, says in (
        ({"shar": 1}, r"^selection method 'x': unknown option 'shar'\. .*share"),
        ({"share": 2}, r"^selection method 'x': 'share' cannot be 2: Input should be .* 1\. .*`selection\.options`"),
        ({"words": ["long"] * 99}, r"'words' cannot be \['long', .{20,70}\.\.\.: Input should be"),
    ):
        with pytest.raises(ConfigError, match=says):
            read_options(Options, given, "selection method 'x'", "selection.options")


def test_options_empty():
    assert read_options(NoOptions, {}, "objective 'sft'", "student.objective_options") == NoOptions()


@pytest.mark.parametrize(
    ("key", "instead"),
    [
        ("hub", "HF_TOKEN"),
        ("engine.url", "engine.token_variable"),
        ("knowledge.embedder_options", "token_variable"),
    ],
)
@pytest.mark.parametrize(
    "address", ["http://ada:hunter22@host", "http://host?api_key=hunter22", "http://host#token=hunter22"]
)
def test_an_address_with_a_secret_is_refused_and_not_repeated(key, instead, address):
    data = {}
    config.put(data, key, {"urls": [address]} if key.endswith("options") else address)
    with pytest.raises(ConfigError, match=f"'{key}' cannot be .* use {instead}") as refused:
        build(data)
    assert "hunter22" not in str(refused.value)


def test_every_setting_that_is_an_address_is_checked():
    """A new one belongs into the list above; a provider is named where there is no address."""
    told = {key for key, _, text in describe() if "url" in text.casefold()}
    assert told == {"hub", "engine.url", "engine.provider", "knowledge.embedder_options"}


def test_settings_of_earlier_versions_are_read_where_their_values_are_now():
    knowledge = {"text_column": "body", "id_column": "id", "embedder_urls": ["http://h"], "embedder_attempts": 2}
    made = build({"knowledge": {**knowledge, "columns": {"source": "from"}}}).knowledge
    assert made.columns == {"text": "body", "source": "from"}
    assert made.embedder_options == {"urls": ["http://h"], "attempts": 2}


def test_settings_of_earlier_versions_that_change_nothing_are_dropped(caplog):
    usual = {"map_points": 400, "bert_score_layer": 6}
    assert build({"evaluation": usual, "filters": {"empty": True}, "student": {"held_back": 64}}) == Config()
    assert caplog.text == ""
    assert build({"evaluation": {"map_points": 20}}) == Config()
    assert "'map_points' is no longer a setting and is ignored" in caplog.text


def test_a_setting_of_earlier_versions_that_would_change_results_is_refused():
    message = r"my.yaml: 'evaluation.bert_score_layer' is no longer a setting\. evaluation.bert_score_model decides"
    with pytest.raises(ConfigError, match=message):
        build({"evaluation": {"bert_score_layer": 9}}, "my.yaml")


def test_every_retired_setting_is_gone_from_its_section():
    for old in RETIRED:
        fields = (getattr(settings, old.section, None) or getattr(report_settings, old.section)).model_fields
        assert old.name not in fields
        assert old.moved.partition(".")[0] in ("", *fields)


def test_a_secret_is_not_cut_in_two_by_a_long_value():
    urls = ["http://127.0.0.1:8000", f"http://{'a' * 30}:hunter22{'b' * 30}@host"]
    with pytest.raises(ConfigError) as refused:
        build({"knowledge": {"embedder_options": {"urls": urls}}})
    assert "hunter" not in str(refused.value)


@pytest.mark.parametrize(
    ("settings", "subject"),
    [
        ({"name": "frogs", "task": {"questions": "acme/town"}}, "frogs"),
        ({"task": {"questions": "acme/town@v1"}, "knowledge": {"source": "docs/"}}, "town"),
        ({"knowledge": {"source": "notes/my docs.pdf"}}, "my docs"),
        ({}, "run"),
    ],
)
def test_a_run_is_about_what_its_name_or_its_data_say(settings, subject):
    assert build(settings).subject == subject


@pytest.mark.parametrize(
    "text",
    ["student:\n  epochs: 1\nseed: 2\nstudent:\n  rank: 4\n", "task:\n  columns: {id: a, id: b}\n", "- {a: 1, a: 2}\n"],
)
def test_a_key_written_twice_is_refused(tmp_path, text):
    """Of two sections with one name the first would be lost."""
    file = tmp_path / "a.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError, match="duplicate key") as caught:
        read_file(file)
    assert caught.value.hint == "Keep one of them."


def test_a_key_of_another_mapping_may_be_set_again(tmp_path):
    file = tmp_path / "a.yaml"
    file.write_text("student: &same {rank: 4, alpha: 8}\nname: x\n")
    assert read_file(file)["student"] == {"rank": 4, "alpha": 8}
    file.write_text("a: &x {rank: 4}\nb: {<<: *x, rank: 5}\n")
    assert read_file(file)["b"] == {"rank": 5}


def test_true_is_no_number():
    for key in ("seed", "task.train_limit", "student.epochs", "curation.held_out"):
        with pytest.raises(ConfigError, match="should be a number"):
            build(override({}, [f"{key}=true"]))
    assert build(override({}, ["student.gradient_checkpointing=true"])).student.gradient_checkpointing


@pytest.mark.parametrize(
    ("assignment", "said"),
    [("task.classes=[1, 2]", "Put it in quotes"), ("task.classes=a,b", r"a list, \[one, two\]")],
)
def test_what_yaml_reads_as_something_else_is_told(assignment, said):
    with pytest.raises(ConfigError) as caught:
        build(override({}, [assignment]))
    assert re.search(said, str(caught.value))
