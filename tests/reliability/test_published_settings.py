"""Settings, adapters and reports that strangers publish decide nothing on this machine."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from solo_hub.core.errors import ConfigError
from solo_hub.run.resolved import Resolved

REPORT = '{"n_questions": 1, "base": "o/n"}'


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
            "embedder_options": {"urls": [server], "token_variable": "OPENAI_API_KEY"},
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
    assert not {"embedder", "embedder_options"} & set(found[0]["knowledge"])


@pytest.mark.parametrize("as_list", [True, False])
def test_a_strangers_teacher_runs_no_code_and_asks_no_server(as_list):
    from solo_hub.core.config import build, untrusted_settings

    theirs = {"base": "o/n", "engine": {"name": "transformers", "trust_remote_code": True, "url": "http://e.org"}}
    made = untrusted_settings({"teacher": {"base": [theirs] if as_list else theirs}})
    (model,) = build(made).teacher.base
    assert (model.engine.trust_remote_code, model.engine.url) == (False, None)
    assert untrusted_settings({"teacher": {"base": "o/n"}})["teacher"] == {"base": "o/n"}


@pytest.mark.parametrize("settings", [{"engine": "openai"}, {"knowledge": ["x"]}, {"teacher": 7}])
def test_settings_that_are_none(settings):
    from solo_hub.core.config import untrusted_settings

    with pytest.raises(ConfigError, match="published settings are invalid"):
        untrusted_settings(settings)
