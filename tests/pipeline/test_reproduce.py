"""`solo-hub reproduce`: a run that was published, run anew by somebody who has only the Hub."""

from __future__ import annotations

import json

import pytest
from noise import LIBRARIES_WARN
from small_hub import run_here

from solo_hub import pipeline

pytestmark = LIBRARIES_WARN


@pytest.fixture
def published(context, settings, tmp_path):
    """A finished run of the tiny model on the Hub, and its repos."""
    settings["publish"] |= {"namespace": "tests", "dataset": "reproduced-labels", "adapter": "reproduced-adapter"}
    with_labels = context(settings, tmp_path / "theirs")
    pipeline.distill(with_labels, push=True)
    return with_labels


@pytest.fixture
def again(hub, tmp_path, monkeypatch, capfd):
    def run(*arguments):
        return run_here(hub, monkeypatch, capfd, "reproduce", *arguments, home=tmp_path / "stranger")

    return run


def test_a_published_run_comes_out_again_and_a_false_claim_does_not(published, again, tmp_path):
    exact = ("--agreement", "1", "--tolerance", "0", "--format", "json")
    code, out, err = again("tests/reproduced-adapter@v1", "--run", tmp_path / "mine", *exact)
    document = json.loads(out)
    assert {one["name"]: one["here"] for one in document["compared"] if not one["same"]} == {}, err
    assert code == 0
    assert document["reproduced"] is True
    assert {"same label", "same selection", "student: accuracy"} <= {one["name"] for one in document["compared"]}
    mine = (tmp_path / "mine" / "config.yaml").read_text()
    assert "tests/tiny@" in mine
    assert (tmp_path / "mine" / "3-labels.jsonl").read_bytes() == published.run.file("labels").read_bytes()

    # the same run folder held against the dataset alone: nothing is run again
    code, out, _ = again("tests/reproduced-labels", "--run", tmp_path / "labels")
    assert code == 0
    assert "All 6 were reproduced" in out
    assert not (tmp_path / "labels" / "5-adapter").exists()

    # somebody claims better numbers
    report = published.run.file("adapter_repo") / "report.json"
    claimed = json.loads(report.read_text())
    claimed["arms"]["student"]["accuracy"]["value"] = 0.99
    report.write_text(json.dumps(claimed))
    published.client.push(published.run.file("adapter_repo"), "tests/reproduced-adapter", "model", message="better")
    code, out, err = again("tests/reproduced-adapter", "--run", tmp_path / "mine")
    assert code == 1
    assert [line.split()[:2] for line in out.splitlines() if "DIFFERENT" in line] == [["student:", "accuracy"]]
    assert "1 of " in err
    assert "were not reproduced: student: accuracy; of the others," in err


def test_a_run_made_from_files_asks_for_them(context, settings, again, tmp_path):
    facts = tmp_path / "facts.jsonl"
    facts.write_text(json.dumps({"id": "1", "text": "The bear sleeps in winter."}) + "\n")
    settings["knowledge"]["source"] = str(facts)
    settings["task"] |= {"train_limit": 8, "evaluation_limit": 8}
    settings["publish"] |= {"namespace": "tests", "dataset": "file-labels", "adapter": "file-adapter"}
    pipeline.distill(context(settings, tmp_path / "theirs"), push=True)
    code, _, err = again("tests/file-labels", "--run", tmp_path / "mine")
    assert code == 1
    assert "made from the file 'facts.jsonl', which is not on the Hub. Give it with --knowledge FILE" in err
    other = tmp_path / "other.jsonl"
    other.write_text(facts.read_text() + "\n")
    code, _, err = again("tests/file-labels", "--run", tmp_path / "mine", "--knowledge", other)
    assert (code, "its SHA-256 differs" in err) == (1, True)
    code, out, err = again("tests/file-labels", "--run", tmp_path / "mine", "--knowledge", facts)
    assert (code, "All 6 were reproduced" in out) == (0, True), err


def test_what_solo_hub_did_not_publish_is_one_sentence(again, tmp_path):
    code, _, err = again("tests/tiny", "--run", tmp_path / "mine")
    assert code == 1
    assert "cannot be read as a repo published by solo-hub" in err
    code, _, err = again("tests/nothing", "--run", tmp_path / "mine")
    assert code == 1
    assert "neither a dataset nor a model" in err
