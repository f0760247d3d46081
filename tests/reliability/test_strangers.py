"""What strangers publish decides nothing on this machine: their settings, adapters, cards, YAML, JSON and HTML."""

from __future__ import annotations

import json
import re
import shutil
import time
from types import SimpleNamespace

import pytest

from solo_hub.core.errors import ConfigError, InputError, ModelError
from solo_hub.run.resolved import LocalFile, Resolved

pytestmark = [pytest.mark.filterwarnings("ignore::FutureWarning")]

LAUGHS = "a0: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]\n" for n in range(1, 40))
"""Forty lines that are a million million texts."""
ITSELF = "a: &a [*a]\n"
REPORT = '{"n_questions": 1, "base": "o/n"}'


# -- settings ------------------------------------------------------------------------------------------------------


def of_a_stranger(**settings):
    """`config.yaml` of a published run that would have its reader's secrets and files."""
    pinned = {"repo_id": "o/n", "type": "dataset", "revision": "main", "commit": "a" * 40, "license": None}
    repos = dict.fromkeys(("base", "questions", "evaluation_questions", "embedder", "bert_score_model"), pinned)
    return {"settings": settings, "resolved": {"repos": repos, "teacher": {"style": "letter"}}}


@pytest.fixture
def theirs():
    server = "http://127.0.0.1:9"
    return of_a_stranger(
        hub=server,
        task={"questions": "o/n"},
        engine={"name": "openai", "url": server, "token_variable": "AWS_SECRET_ACCESS_KEY", "trust_remote_code": True},
        knowledge={
            "source": "~/Documents",
            "passages": 4,
            "embedder": "tei",
            "embedder_urls": [server],
            "embedder_token": "OPENAI_API_KEY",
        },
        teacher={"labels": "private.jsonl", "examples": "~/private.csv", "shots": 2},
        evaluation={"arms": ["oracle", "theirs=/home/me/model"]},
    )


def test_a_run_is_reproduced_without_its_servers_and_secrets(theirs):
    """Whoever reproduces it would send questions, documents and a variable of their own to somebody else's server."""
    from solo_hub.checks.reproduction import _pinned_settings

    settings, _ = _pinned_settings(theirs["settings"], Resolved.read(theirs["resolved"]))
    assert settings["engine"] == {"name": "openai", "trust_remote_code": False, "device": "auto"}
    assert settings["knowledge"] == {"passages": 4, "embedding_model": f"o/n@{'a' * 40}"}
    assert "hub" not in settings


def test_a_reference_that_was_not_pinned_is_not_followed(theirs):
    """It would be looked for among the files of this machine."""
    from solo_hub.checks.reproduction import _pinned_settings

    settings, files = _pinned_settings(theirs["settings"], Resolved.read(theirs["resolved"]))
    assert "source" not in settings["knowledge"]
    assert settings["teacher"] == {"shots": 2}
    assert settings["evaluation"]["arms"] == ["oracle"]
    assert settings["task"] == {"questions": f"o/n@{'a' * 40}", "evaluation_questions": f"o/n@{'a' * 40}"}
    assert files == {}


class Stop(Exception):  # noqa: N818 - far enough
    pass


@pytest.mark.parametrize("here", [[], ["teacher.examples=mine.csv", "evaluation.arms=[theirs=./mine]"]])
def test_what_is_not_followed_is_said_before_anything_is_asked(theirs, here, tmp_path, monkeypatch, capsys):
    from solo_hub import pipeline
    from solo_hub.checks import reproduction as reproducing
    from solo_hub.core import config
    from solo_hub.core.console import Console
    from solo_hub.hub.repos import Pinned
    from solo_hub.run.folder import RunFolder

    theirs["settings"]["engine"] = {"name": "inference", "provider": "\x1b[2Jtheirs", "model": "big/model"}
    settings, files = reproducing._pinned_settings(theirs["settings"], Resolved.read(theirs["resolved"]))
    pinned = Pinned("o/n", "dataset", "main", "a" * 40, None, "http://127.0.0.1:1")
    left_out = reproducing._left_out(theirs["settings"], settings)
    claim = reproducing.Claim(pinned, settings, files, (), None, {}, left_out=left_out)

    def stop(_):
        raise Stop

    monkeypatch.setattr(pipeline, "load_questions", stop)
    built = config.build(config.override(settings, here))
    teacher = SimpleNamespace(settings=built.engine, name="o/base")
    context = SimpleNamespace(config=built, console=Console("json"), run=RunFolder(tmp_path), teachers=(teacher,))
    with pytest.raises(Stop):
        reproducing.reproduce(context, claim, None)
    said = " ".join(capsys.readouterr().err.split())
    assert "'big/model' at Inference Providers (engine.provider='\\x1b[2Jtheirs')" in said
    assert "with your token and at your expense" in said
    for setting in ("teacher.examples", "evaluation.arms"):
        assert (f"Set your own with --set {setting}=" in said) is (not here)


class TheirDoor:
    """Of a Hub with one adapter, whose `config.yaml` and reports are what a test wants them to be."""

    endpoint = "http://127.0.0.1:1"

    def __init__(self, folder, document, report=REPORT):
        self.folder, self.document, self.report = folder, document, report

    def client(self):
        return self

    def pin(self, reference, kind):
        return type("Pinned", (), {"repo_id": reference, "commit": "a" * 40})

    def pull(self, pinned, allow):
        import yaml

        for name in allow:
            (self.folder / name).write_text(yaml.safe_dump(self.document) if name == "config.yaml" else self.report)
        return self.folder


@pytest.mark.parametrize(
    "report",
    [
        "[]",
        "7",
        '{"base": "o/n"}',
        '{"n_questions": "many", "base": "o/n"}',
        '{"n_questions": [], "base": "o/n"}',
        '{"n_questions": Infinity, "base": "o/n"}',
        '{"n_questions": 1}',
        '{"n_questions": 1, "base": "o/n", "arms": []}',
        '{"n_questions": 1, "base": "o/n", "arms": {"student": {"accuracy": 1}}}',
        '{"n_questions": 1, "base": "o/n", "paired": {"student_vs_base": {"p_value": 0.01, "difference": "x"}}}',
        "[" * 100_000,
    ],
    ids=lambda report: report[:70],
)
def test_a_report_that_is_none_is_one_sentence(theirs, tmp_path, report):
    from solo_hub.core.console import Console
    from solo_hub.core.errors import RunError
    from solo_hub.evaluation.comparison import opening

    with pytest.raises(RunError, match="'o/adapter' has a report that was not written"):
        opening.open_repo("o/adapter", TheirDoor(tmp_path, theirs, report), Console("quiet"))


@pytest.mark.parametrize("evaluation", [["x"], 7])
def test_settings_of_a_comparison_that_are_none(theirs, tmp_path, evaluation):
    from solo_hub.core.console import Console
    from solo_hub.evaluation.comparison import opening

    theirs["settings"]["evaluation"] = evaluation
    with pytest.raises(ConfigError, match="'evaluation' is a section and cannot be"):
        opening.open_repo("o/adapter", TheirDoor(tmp_path, theirs), Console("quiet"))


def test_a_comparison_without_a_base(theirs, tmp_path):
    from solo_hub.core.console import Console
    from solo_hub.core.errors import RunError
    from solo_hub.evaluation.comparison import opening

    del theirs["resolved"]["repos"]["base"]
    with pytest.raises(RunError, match=r"config\.yaml' is not the configuration of a run"):
        opening.open_repo("o/adapter", TheirDoor(tmp_path, theirs), Console("quiet"))


def test_a_comparison_asks_no_server_of_a_stranger(theirs, tmp_path, monkeypatch):
    from solo_hub.core.console import Console
    from solo_hub.evaluation.comparison import opening

    found = []

    def stop(settings, *_):
        found.append(settings)
        raise Stop

    monkeypatch.setattr(opening, "make_context", stop)
    with pytest.raises(Stop):
        opening.open_repo("o/adapter", TheirDoor(tmp_path, theirs), Console("quiet"))
    assert found[0]["engine"] == {"name": "openai", "trust_remote_code": False}
    assert not {"embedder", "embedder_urls", "embedder_token"} & set(found[0]["knowledge"])


@pytest.mark.parametrize("settings", [{"engine": "openai"}, {"knowledge": ["x"]}, {"teacher": 7}])
def test_settings_that_are_none(settings):
    from solo_hub.core.config import untrusted_settings

    with pytest.raises(ConfigError, match="published settings are invalid"):
        untrusted_settings(settings)


# -- YAML and JSON -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bomb", [LAUGHS, ITSELF, "a: " + "[" * 100_000, "a: " + "x" * (1 << 23)])
def test_yaml_that_unfolds_without_end(tmp_path, bomb):
    """In a configuration, a dataset's card, and a published run."""
    from solo_hub.checks.reproduction import parse_yaml
    from solo_hub.core.config import override, read_file
    from solo_hub.hub.layouts import splits_of
    from solo_hub.publishing import frontmatter

    begun = time.process_time()
    (tmp_path / "config.yaml").write_text(bomb)
    with pytest.raises(ConfigError, match="not valid YAML"):
        read_file(tmp_path / "config.yaml")
    with pytest.raises(ConfigError, match="cannot read the value"):
        override({}, [f"task.columns={bomb}"])
    card = f"---\n{bomb}\n---\n"
    (tmp_path / "README.md").write_text(card)
    (tmp_path / "train.jsonl").write_text("{}\n")
    with pytest.raises(InputError, match="not valid YAML"):
        splits_of(tmp_path)
    with pytest.raises(InputError, match="cannot be read"):
        frontmatter.split(card)
    import yaml

    with pytest.raises(yaml.YAMLError):
        parse_yaml(bomb)
    assert time.process_time() - begun < 30


@pytest.fixture(params=["libyaml", "without"])
def untrusted(request, monkeypatch):
    """The module as it is with and without libyaml."""
    import yaml

    if request.param == "without":
        monkeypatch.delattr(yaml, "CSafeLoader", raising=False)
    elif not hasattr(yaml, "CSafeLoader"):
        pytest.skip("PyYAML has no libyaml here")
    return loaded_anew()


def loaded_anew():
    """The module, loaded with the libyaml that is there now."""
    import importlib.util

    from solo_hub.core import parsing

    spec = importlib.util.spec_from_file_location("parsing_anew", parsing.__file__)
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


@pytest.mark.parametrize(("version", "used"), [((0, 2, 5), False), ((0, 2, 6), True)])
def test_an_older_libyaml_which_ends_no_nesting_is_not_used(monkeypatch, version, used):
    import yaml

    if not hasattr(yaml, "CSafeLoader"):
        pytest.skip("PyYAML has no libyaml here")
    monkeypatch.setattr(yaml._yaml, "get_version", lambda: version)
    assert (loaded_anew().PlainLoader.__mro__[1] is yaml.CSafeLoader) is used


@pytest.mark.parametrize(
    ("text", "said", "line"),
    [
        (LAUGHS, "aliases expand", 0),
        (ITSELF, "aliases expand", 0),
        ("a: " + "[" * 100_000, "nest", None),
        ("? " * 100_000, "nest", None),
        ("- " * 100_000, "nest", None),
        ("a: 1\nb: c: d", "mapping values are not allowed", 1),
        ("a: 1\nb: *none", "undefined alias", 1),
        ("a: 1\nb: [", "expected the node content|did not find expected node content", None),
        ("a: !!python/object/apply:os.system ['true']", "could not determine a constructor", 0),
        ("a: 2024-13-45", "month must be", None),
        ("a: \0", "character", None),
        ("a: \ud800", "character", None),
    ],
    ids=lambda value: ascii(value)[:30],
)
def test_yaml_is_refused_alike_with_and_without_libyaml(untrusted, text, said, line):
    import yaml

    with pytest.raises(yaml.YAMLError) as refused:
        untrusted.parse_yaml(text)
    assert re.search(said, getattr(refused.value, "problem", None) or str(refused.value))
    if line is not None:
        assert refused.value.problem_mark.line == line


def test_yaml_is_read_alike_with_and_without_libyaml(untrusted):
    text = "a: &a [1, 2.5, yes, ~, 2024-01-02, ä😀]\nb: *a\nc: {<<: {d: 3}, e: 'http://x:1'}\nf: |\n  x\n  y\n"
    from datetime import date

    items = [1, 2.5, True, None, date(2024, 1, 2), "ä😀"]
    assert untrusted.parse_yaml(text) == {"a": items, "b": items, "c": {"d": 3, "e": "http://x:1"}, "f": "x\ny\n"}


def test_yaml_that_repeats_a_little_is_read():
    from solo_hub.core.parsing import parse_yaml

    assert parse_yaml("a: &a [1, 2]\nb: *a\nc: {<<: {d: 3}}\n") == {"a": [1, 2], "b": [1, 2], "c": {"d": 3}}


@pytest.mark.parametrize("deep", ["[" * 100_000, '{"a":' * 100_000])
def test_json_that_nests_without_end(tmp_path, deep):
    from solo_hub.checks.repo_contents import verify
    from solo_hub.knowledge.embedding import SentenceTransformerEmbedder
    from solo_hub.knowledge.published import Description
    from solo_hub.run.arm_bases import _base_of

    (tmp_path / "adapter_model.safetensors").touch()
    for name in ("adapter_config.json", "modules.json", "manifest.json", "provenance.json"):
        (tmp_path / name).write_text(deep)
    with pytest.raises(ModelError, match="cannot be read"):
        _base_of(LocalFile(file=str(tmp_path), sha256="0"), lambda: None)
    with pytest.raises(ModelError, match="cannot be read"):
        SentenceTransformerEmbedder(tmp_path, "x").embed(["a"])
    assert Description.read(tmp_path) is None
    assert verify(tmp_path)[0].detail == "there is no readable provenance.json"


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        "[]",
        "{}",
        '{"format_version": 1, "sources": ["x"], "embedder": {}, "chunking": {}}',
        '{"format_version": 1, "sources": [{"file": "x"}], "embedder": {}, "chunking": {}}',
        '{"format_version": 1, "sources": [], "embedder": {}, "chunking": 7}',
        '{"format_version": 1, "sources": [], "embedder": "x", "chunking": {}}',
    ],
    ids=lambda text: text[:80],
)
def test_a_folder_whose_base_is_none(tmp_path, text):
    from solo_hub.core.config import build
    from solo_hub.core.console import Console
    from solo_hub.core.errors import RunError
    from solo_hub.knowledge.folder import KnowledgeFolder, read_about

    (tmp_path / "base.json").write_text(text)
    with pytest.raises(RunError, match=r"There is no knowledge base in|has another format"):
        _ = KnowledgeFolder(tmp_path, build({}), lambda: None, Console("quiet")).about
    assert read_about(tmp_path) is None or '"embedder": "x"' in text  # which a run does not read


# -- models --------------------------------------------------------------------------------------------------------


def test_nobody_is_asked_for_leave_to_run_code(fork_server, tiny_model, tmp_path):
    """transformers asks on the terminal where it was not told; a user who says yes to a question has not read it."""
    folder = tmp_path / "model"
    shutil.copytree(tiny_model, folder)
    config = json.loads((folder / "config.json").read_text())
    config |= {"model_type": "evil", "auto_map": {"AutoConfig": "evil.Evil"}}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w').close()\n")
    code = (
        "from solo_hub.models.loading import context_length\n"
        "from solo_hub.core.errors import ModelError\n"
        "from pathlib import Path\n"
        f"try: context_length(Path({str(folder)!r}), 'o/n')\n"
        "except ModelError as error: print(error)\n"
    )
    done = fork_server.run(setup=code, stdin="y\n")
    assert "has no configuration that transformers can read" in done.out
    assert "[y/N]" not in done.out
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("config.json", '{"model_type": "llama", "num_hidden_layers": "x"}'),
        ("config.json", "[" * 100_000),
        ("config.json", '{"model_type": "llama", "quantization_config": "x"}'),
        ("generation_config.json", '["x"]'),
        ("tokenizer.json", "[" * 100_000),
        ("tokenizer_config.json", "[]"),
        ("tokenizer_config.json", '{"tokenizer_class": ["x"]}'),
    ],
)
def test_a_model_folder_that_makes_libraries_stumble(tiny_model, tmp_path, file, text):
    from solo_hub.models.loading import load_model, load_tokenizer

    folder = tmp_path / "model"
    shutil.copytree(tiny_model, folder)
    (folder / file).write_text(text)
    load = load_tokenizer if file.startswith("tokenizer") else lambda path, name: load_model(path, name, "float32")
    with pytest.raises(ModelError):
        load(folder, "tests/stumbles")


ENDLESS = "((([a-z._0-9])+)+)+!"


@pytest.fixture(scope="module")
def adapter(tiny_model, tmp_path_factory):
    from tiny import load_engine

    from solo_hub.core.settings import StudentSettings
    from solo_hub.models import adapters

    engine = load_engine(tiny_model)
    adapters.attach(engine, StudentSettings(rank=4))
    folder = tmp_path_factory.mktemp("adapter")
    adapters.save(engine, folder, base="tests/tiny", commit="0" * 40)
    return folder


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"target_modules": ENDLESS}, "takes longer than 0.5 s to match"),
        ({"exclude_modules": ENDLESS}, "takes longer than 0.5 s to match"),
        ({"rank_pattern": {"(": 4, ENDLESS: 4}}, "takes longer than 0.5 s to match"),
        ({"modules_to_save": [ENDLESS]}, "takes longer than 0.5 s to match"),
        ({"r": 10**6}, "its rank is 1000000"),
        ({"rank_pattern": {"q_proj": 10**6}}, "its rank is 1000000"),
        ({"peft_type": "XLORA", "adapters": {"a": "evil/repo"}, "hidden_size": 32}, "type 'XLORA' are not supported"),
        ({"init_lora_weights": "pissa"}, "changes the base weights"),
        ({"init_lora_weights": "olora"}, "changes the base weights"),
    ],
    ids=str,
)
def test_an_adapter_that_asks_for_more_than_its_weights(tiny_model, adapter, tmp_path, monkeypatch, changes, said):
    import torch
    from tiny import load_engine

    from solo_hub.models import adapter_safety as foreign
    from solo_hub.models import adapters

    monkeypatch.setattr(foreign, "SECONDS", 0.5)
    folder = tmp_path / "adapter"
    shutil.copytree(adapter, folder)
    config = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps({**config, **changes}))
    engine = load_engine(tiny_model)
    before = engine.model.get_input_embeddings().weight.clone(), engine.model.model.layers[0].mlp.up_proj.weight.clone()
    begun = time.process_time()
    with pytest.raises(ModelError, match=r"cannot be loaded from '.*adapter_config\.json'") as refused:
        adapters.load(engine, folder)
    assert said in refused.value.message
    assert time.process_time() - begun < 10
    after = engine.model.get_input_embeddings().weight, engine.model.model.layers[0].mlp.up_proj.weight
    assert all(torch.equal(one, other) for one, other in zip(before, after, strict=True))


@pytest.mark.parametrize(
    "modules", ["all-linear", r".*\.(?:self_attn|mlp)\.(?:q_proj|v_proj|up_proj)", ["q_proj", "up_proj"]]
)
def test_patterns_as_people_write_them_are_fine(tiny_model, adapter, modules):
    from tiny import load_engine

    from solo_hub.models import adapter_safety as foreign

    names = [name for name, _ in load_engine(tiny_model).model.named_modules()]
    foreign._check_patterns({"target_modules": modules}, names)
    foreign.check(adapter, names)


# -- documents and cards -------------------------------------------------------------------------------------------


def read(path):
    from solo_hub.knowledge.reading import read_files

    return list(read_files(path, limit=100, overlap=10, count=lambda texts: [len(text.split()) for text in texts]))


@pytest.mark.parametrize(
    "text",
    [
        "<!--" * 200_000,
        "<a>" * 50_000 + "words",
        "".join(f"<b a={n}><p>" for n in range(20_000)),
        "<div class=menu>" * 2_000 + "<a>x</a>" * 20_000,
        "<header>" * 2_000 + "<a>x</a>" * 20_000,
    ],
    ids=["comments", "links", "reopened", "menus", "headers"],
)
def test_html_that_is_slow_for_other_parsers(tmp_path, text):
    """Tags that never end, tags that are opened anew in every paragraph, tags within tags: seconds at most."""
    (tmp_path / "page.html").write_text("<p>words</p>" + text)
    before = time.process_time()
    try:
        assert read(tmp_path / "page.html")[0].text.startswith("words")
    except InputError as error:
        assert "nested too deep" in error.message  # noqa: PT017 - some are
    assert time.process_time() - before < 10


def test_html_nested_too_deep_is_not_cut_in_silence(tmp_path):
    (tmp_path / "page.html").write_text("<p>words</p>" + "<div>" * 200_000 + "<p>last words</p>")
    with pytest.raises(InputError, match=r"page\.html: its tags are nested too deep"):
        read(tmp_path / "page.html")


@pytest.mark.parametrize("text", ["&#" + "9" * 5000 + ";", "<p>a</p><![if foo[ <p>b</p>"])
def test_html_that_makes_the_parser_stumble(tmp_path, text):
    (tmp_path / "page.html").write_text(text)
    try:
        read(tmp_path / "page.html")
    except InputError as error:
        assert "contains no text" in error.message  # noqa: PT017 - a character that is none may be left


def test_a_pdf_that_makes_the_reader_stumble(tmp_path, monkeypatch):
    """The library has errors of many kinds for a broken file; all are the file's."""
    import pypdf

    def stumble(*_):
        raise AssertionError("for the type checker")

    monkeypatch.setattr(pypdf, "PdfReader", stumble)
    (tmp_path / "page.pdf").write_bytes(b"%PDF-1.4")
    with pytest.raises(InputError, match=r"page\.pdf: not a readable PDF"):
        read(tmp_path / "page.pdf")


@pytest.mark.parametrize(
    "where",
    [
        "http://127.0.0.1:9/x.jsonl",
        "hf://datasets/o/n/x.jsonl",
        "zip://a::b",
        "/etc/passwd",
        "../x.jsonl",
        "a/../../x",
        "~/x",
    ],
)
def test_a_published_card_that_names_data_elsewhere_is_not_followed(tmp_path, monkeypatch, where):
    """The library `datasets` would ask that server, or read that file."""
    import datasets

    from solo_hub.checks.verification import load_with_datasets

    monkeypatch.setattr(datasets, "get_dataset_config_names", lambda *_: pytest.fail("it was followed"))
    files = [{"split": "train", "path": ["data/*.parquet", where]}]
    card = {"configs": [{"config_name": "kept", "data_files": files}]}
    (tmp_path / "README.md").write_text(f"---\n{json.dumps(card)}\n---\n")
    found = load_with_datasets(tmp_path)
    assert (found.state, where in found.detail) == ("fail", True)


@pytest.mark.parametrize("name", [".huggingface.yaml", "README.md"])
def test_a_card_only_the_library_can_read_is_not_followed(tmp_path, monkeypatch, name):
    import datasets

    from solo_hub.checks.verification import load_with_datasets

    monkeypatch.setattr(datasets, "get_dataset_config_names", lambda *_: pytest.fail("it was followed"))
    (tmp_path / name).write_text("\n---  \nconfigs: [{data_files: /etc/passwd}]\n---\n")
    assert name in load_with_datasets(tmp_path).detail
