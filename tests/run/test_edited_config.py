"""`config.yaml` of a run, edited by hand: what was made with other settings is not mixed with what comes."""

from __future__ import annotations

import pytest
import yaml

from solo_hub.core.config import build
from solo_hub.core.console import Console
from solo_hub.core.errors import RunError
from solo_hub.run import resolution
from solo_hub.run.folder import RunFolder

QUIET = Console("quiet")
SETTINGS = {"base": "me/base", "task": {"questions": "me/questions", "train_split": "train"}, "engine": {"url": None},
            "knowledge": {"passages": 0}}  # fmt: skip


@pytest.fixture
def run(tmp_path):
    made = RunFolder(tmp_path)
    config = build(SETTINGS)
    repos = {"base": {"repo_id": "me/base", "type": "model", "revision": "main", "commit": "0" * 40}}
    document = {"config_version": 1, "settings": config.model_dump(mode="json"), "resolved": {"repos": repos}}
    resolution.save(made, document)
    return made


def edit(run, change):
    document = yaml.safe_load(run.file("config").read_text("utf-8"))
    change(document)
    run.file("config").write_text("# mine\n" + yaml.safe_dump(document), "utf-8")


def reopen(run, **named):
    """As `--run DIR` alone does: with the settings that stand in the folder."""
    config = build(run.read_config()["settings"])

    def door():
        raise AssertionError("nothing is pinned anew")

    return resolution.reopen(run, config, door, QUIET, **{"update": False, **named})


def test_comments_order_and_what_touches_no_result_may_change(run):
    def change(document):
        document["settings"]["publish"]["namespace"] = "others"
        document["settings"]["engine"]["url"] = "http://127.0.0.1:8080/v1"
        document["settings"]["name"] = "another"

    edit(run, change)
    assert reopen(run).repos["base"].commit == "0" * 40


@pytest.mark.parametrize(
    ("section", "change"),
    [
        ("student", lambda settings: settings["student"].update(epochs=7)),
        ("teacher", lambda settings: settings.pop("teacher")),
        ("base", lambda settings: settings.update(base="me/other")),
        ("seed", lambda settings: settings.update(seed=3)),
    ],
)
def test_a_setting_that_touches_results_is_refused_and_named(run, section, change):
    run.file("report").write_text("{}\n")
    edit(run, lambda document: change(document["settings"]))
    with pytest.raises(RunError, match=rf"config.yaml' was edited: its '{section}'"):
        reopen(run)


def test_with_update_the_steps_it_touches_are_done_again(run, tmp_path):
    for name in ("selected", "report"):
        run.file(name).write_text("{}\n")
    run.file("adapter").mkdir()
    edit(run, lambda document: document["settings"]["student"].update(epochs=7))
    config = build(run.read_config()["settings"])
    door = type("HubClient", (), {"endpoint": "http://127.0.0.1:1", "pin": lambda *_: PINNED})()
    resolved = resolution.reopen(run, config, lambda: door, QUIET, update=True)
    assert run.has("selected")
    assert not run.has("adapter")
    assert not run.has("report")
    resolution.save(run, resolution.document(config, resolved))
    assert reopen(run).to_row() == yaml.safe_load(run.file("config").read_text("utf-8"))["resolved"]


class PINNED:
    @staticmethod
    def to_row():
        return {"repo_id": "me/other", "type": "dataset", "revision": "main", "commit": "1" * 40, "license": None}


def test_what_repos_a_run_began_with_cannot_be_edited(run):
    edit(run, lambda document: document["resolved"]["repos"]["base"].update(commit="1" * 40))
    for update in (False, True):
        with pytest.raises(RunError, match=r"was edited: its hash differs from \.sums\.json"):
            reopen(run, update=update)


def test_a_folder_of_an_older_version_has_no_hashes(run):
    edit(run, lambda document: document["settings"]["student"].update(epochs=7))
    (run.path / ".sums.json").unlink()
    assert reopen(run).repos["base"].commit == "0" * 40


def test_killed_between_hash_and_file_the_older_file_is_good(run, monkeypatch):
    def die(*_):
        raise KeyboardInterrupt

    for epochs in (7, 8):  # twice, so that the hash of what is there is not the newest but one
        document = run.read_config()
        document["settings"]["student"]["epochs"] = epochs
        with monkeypatch.context() as patched:
            patched.setattr(resolution, "write_text", die)
            with pytest.raises(KeyboardInterrupt):
                resolution.save(run, document)
        reopen(run)


def test_files_of_a_run_without_its_configuration(tmp_path):
    run = RunFolder(tmp_path)
    run.check_made_here()
    run.file("questions").write_text("{}\n")
    with pytest.raises(RunError, match=r"contains 1-questions\.jsonl but no config\.yaml"):
        run.check_made_here()
