"""What a run looked things up in, on the Hub beside the run: so that a stranger can make the labels again."""

from __future__ import annotations

import json

import pytest
import yaml
from noise import LIBRARIES_WARN
from small_hub import READ, run_here, write_rows

from solo_hub import pipeline
from solo_hub.core.errors import InputError
from solo_hub.hub.client import HubClient
from solo_hub.publishing.publication import NoGainError

pytestmark = LIBRARIES_WARN


@pytest.fixture
def facts(tmp_path):
    file = tmp_path / f"facts-{abs(hash(str(tmp_path))) % 10**8}.jsonl"  # the Hub is shared by all tests
    said = ("The bear sleeps in winter.", "An owl hunts at night.", "Iron sinks.")
    write_rows(file, [{"id": str(n), "text": text} for n, text in enumerate(said)])
    return file


@pytest.fixture
def small(settings, facts):
    """Settings of a run with knowledge of its own; its repos are called after the facts."""
    settings["knowledge"]["source"] = str(facts)
    settings["task"] |= {"train_limit": 8, "evaluation_limit": 8}
    settings["publish"] |= {
        "namespace": "tests", "dataset": f"{facts.stem}-labels", "adapter": f"{facts.stem}-adapter",
        "collection": facts.stem}  # fmt: skip
    return settings


@pytest.fixture
def cli(hub, tmp_path, monkeypatch, capfd):
    def run(*arguments, home="stranger"):
        return run_here(hub, monkeypatch, capfd, *arguments, home=tmp_path / home)

    return run


def test_knowledge_of_this_machine_is_published_where_asked_and_the_run_comes_out_again(
    context, small, facts, cli, hub, tmp_path
):
    small["publish"] |= {"knowledge": True, "space": True}
    made = context(small, tmp_path / "theirs")
    published = pipeline.distill(made, push=True)["published"]
    base = published["knowledge"]
    assert (base["repo_id"], base["tag"]) == (f"tests/{facts.stem}-knowledge-base", "v1")
    for role, repo in (("dataset", "dataset_repo"), ("adapter", "adapter_repo")):
        folder = made.run.file(repo)
        assert f"{base['repo_id']}/tree/{base['commit']}" in (folder / "README.md").read_text(), role
        entry = yaml.safe_load((folder / "config.yaml").read_text())["resolved"]["repos"]["knowledge"]
        assert (entry["commit"], entry["made_from"]["file"]) == (base["commit"], facts.name)
    assert ("dataset", base["repo_id"]) in made.client.collection_items("tests", facts.stem)
    assert yaml.safe_load(made.run.file("config").read_text())["resolved"]["repos"]["knowledge"]["file"] == str(facts)

    # the same again: nothing is pushed
    assert pipeline.publish(made) == published

    # a stranger has neither the file nor a word about it
    code, out, err = cli("reproduce", f"tests/{facts.stem}-adapter", "--run", tmp_path / "mine", "--agreement", "1")
    assert code == 0, err
    assert f"{base['repo_id']}@{base['commit']}" in (tmp_path / "mine" / "config.yaml").read_text()
    code, out, err = cli("verify", f"tests/{facts.stem}-labels", "--format", "json")
    assert code == 0, err
    assert "linked knowledge" in out
    code, out, err = cli("verify", f"{base['repo_id']}@{base['commit']}")
    assert code == 0, err
    assert "3 passages, each with a vector of length 1" in out
    code, _, err = cli("verify", published["space"]["repo_id"])
    assert (code, "is a Space, which only shows other repos. Name the adapter" in err) == (1, True)


def test_it_stays_at_home_unless_asked_and_that_is_said(context, small, facts, hub, tmp_path, capfd):
    from solo_hub.core.console import Console

    made = context(small)
    made.console = Console("human")
    published = pipeline.distill(made, push=True)["published"]
    assert "knowledge" not in published
    said = " ".join(capfd.readouterr().err.split())
    assert f"the knowledge '{facts.name}' is local, so nobody else" in said
    assert "publish.knowledge=true" in said
    assert f"the file `{facts.name}`" in (made.run.file("dataset_repo") / "README.md").read_text()
    assert (
        HubClient(hub.endpoint, READ, tmp_path / "look").newest(f"tests/{facts.stem}-knowledge-base", "dataset") is None
    )


def test_a_knowledge_base_that_was_pushed_by_itself_is_named_until_it_changes(context, small, facts, cli, tmp_path):
    folder = tmp_path / facts.stem
    index = ("index", "--to", folder, "--namespace", "tests", "--format", "json")
    code, out, err = cli(*index, "--knowledge", facts, "--push")
    assert code == 0, err
    base = json.loads(out)["published"]
    small["knowledge"]["source"] = str(folder)
    first = pipeline.distill(context(small, tmp_path / "one"), push=True)["published"]
    assert first["knowledge"]["commit"] == base["commit"]

    # named by its repo it is the same knowledge base
    small["knowledge"]["source"] = f"{base['repo_id']}@v1"
    second = pipeline.distill(context(small, tmp_path / "two"), push=True)["published"]
    assert second["knowledge"] == {**first["knowledge"], "tag": "v1"}

    # other content than what was pushed
    more = tmp_path / "more.jsonl"
    more.write_text(json.dumps({"id": "9", "text": "Salt draws water."}) + "\n")
    assert cli(*index, "--add", more)[0] == 0
    small["knowledge"]["source"] = str(folder)
    assert "knowledge" not in pipeline.distill(context(small, tmp_path / "three"), push=True)["published"]


def test_where_the_run_cannot_be_published_its_knowledge_is_not_either(context, small, facts, hub, tmp_path):
    small["publish"] |= {"knowledge": True, "allow_no_gain": False}
    made = context(small)
    report = pipeline.distill(made)
    report["paired"] = {}
    made.run.write_json("report", report)
    with pytest.raises(NoGainError):
        pipeline.publish(made)
    facts.write_text(facts.read_text() + json.dumps({"id": "8", "text": "The key is hf_" + "a1B2" * 9}) + "\n")
    small["publish"]["allow_no_gain"] = True
    with pytest.raises(InputError, match="looks like a secret"):
        pipeline.distill(context(small, tmp_path / "secret"), push=True)
    door = HubClient(hub.endpoint, READ, tmp_path / "look")
    for name in ("knowledge-base", "labels", "adapter"):
        assert door.newest(f"tests/{facts.stem}-{name}", "model" if name == "adapter" else "dataset") is None


def test_a_run_without_knowledge_has_none_to_publish_empty(context, small):
    small["knowledge"] = {"source": "solo-hub/nothing", "passages": 0}
    small["publish"] |= {"knowledge": True, "space": True}
    made = context(small)
    published = pipeline.distill(made, push=True)["published"]
    assert "knowledge" not in published
    assert published["space"]["commit"]
    for name in ("dataset_repo", "adapter_repo"):
        assert "passages from" not in (made.run.file(name) / "README.md").read_text()
