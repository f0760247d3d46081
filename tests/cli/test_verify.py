"""`solo-hub verify`: what is published is pulled, read, and held against itself and the Hub."""

from __future__ import annotations

import json
import re

import pytest
from noise import LIBRARIES_WARN

from solo_hub.checks import repo_contents as verification
from solo_hub.checks.repo_contents import LINK_REMEDY, REMEDIES
from solo_hub.checks.result import CheckResult, lines

pytestmark = LIBRARIES_WARN
DATASET, ADAPTER = "tests/town-tiny-pseudo-labels", "tests/town-tiny-solo-adapter"


def checks(out):
    return {check["name"]: check for check in json.loads(out)["checks"]}


def test_an_adapter_as_published_is_whole_true_and_changes_its_base(command, published):
    code, out, _ = command("verify", ADAPTER, "--format", "json")
    found = checks(out)
    assert {name: check["detail"] for name, check in found.items() if check["state"] != "pass"} == {}
    assert code == 0
    assert json.loads(out)["whole_and_true"] is True
    assert found["adapter changes its base"]["detail"].startswith("largest change in log-probability")
    assert found["linked base"]["detail"].startswith("tests/tiny at ")


def test_a_dataset_as_published_loads_by_the_usual_library(command, published):
    code, out, _ = command("verify", f"{DATASET}@v1")
    assert code == 0
    assert "FAIL" not in out
    assert "all 4 rows, kept 3 rows" in out
    assert out.splitlines()[0].startswith(f"dataset {DATASET} at ")
    assert out.splitlines()[-1].endswith("checks passed")


def test_without_the_model_the_adapter_is_not_loaded_and_that_is_said(command, published, monkeypatch):
    from solo_hub.models import causal

    monkeypatch.setattr(causal, "CausalEngine", None)  # would not survive being called
    code, out, _ = command("verify", ADAPTER, "--no-model")
    assert code == 0
    assert [line.split()[0] for line in out.splitlines() if "adapter changes its base" in line] == ["skipped"]
    assert out.splitlines()[-1].endswith("checks passed; 1 skipped")


def test_what_is_wrong_is_one_line_with_what_to_do(command, published, door):
    report = published.adapter / "report.json"
    report.write_text(report.read_text().replace("0.44816", "0.54816"))
    door.push(published.adapter, "tests/changed", "model", message="change a number")
    code, out, err = command("verify", "tests/changed", "--no-model")
    assert code == 1
    wrong = [line for line in out.splitlines() if line.startswith("FAIL")]
    assert [re.split(" {2,}", line)[1].split("  ")[0] for line in wrong] == ["files", "numbers of the card"]
    assert "report.json was changed" in wrong[0]
    assert "Trust report.json, not the card" in wrong[1]
    assert "failed: files, numbers of the card" in err


def test_an_adapter_that_does_nothing_is_found_by_trying_it(command, published, door):
    from safetensors.numpy import load_file, save_file

    weights = published.adapter / "adapter_model.safetensors"
    save_file({name: 0 * value for name, value in load_file(weights).items()}, weights)
    door.push(published.adapter, "tests/idle", "model", message="take the learning out")
    code, out, _ = command("verify", "tests/idle", "--format", "json")
    assert code == 1
    assert checks(out)["adapter changes its base"]["detail"] == "largest change in log-probability: 0 nats"
    assert checks(out)["adapter changes its base"]["state"] == "fail"


def test_an_adapter_that_cannot_be_loaded_is_a_finding(command, published, door):
    config = published.adapter / "adapter_config.json"
    config.write_text(config.read_text().replace('"LORA"', '"NONESUCH"'))
    door.push(published.adapter, "tests/odd", "model", message="a kind of adapter nobody knows")
    code, out, _ = command("verify", "tests/odd", "--format", "json")
    assert code == 1
    assert "cannot be loaded" in checks(out)["adapter changes its base"]["detail"]


def test_a_link_to_a_commit_that_is_gone_is_found(command, published, door):
    provenance = published.dataset / "provenance.json"
    document = json.loads(provenance.read_text())
    document["sources"]["knowledge"]["commit"] = "f" * 40
    provenance.write_text(json.dumps(document))
    door.push(published.dataset, "tests/unlinked", "dataset", message="lose a link")
    code, out, _ = command("verify", "tests/unlinked", "--format", "json")
    assert code == 1
    assert checks(out)["linked knowledge"]["remedy"] == LINK_REMEDY
    assert checks(out)["linked questions"]["state"] == "pass"


def test_a_repo_of_somebody_else_is_one_finding(command):
    code, out, _ = command("verify", "tests/tiny", "--format", "json")
    assert code == 1
    assert list(checks(out)) == ["made by solo-hub"]


@pytest.mark.parametrize(
    ("reference", "said"),
    [
        ("tests/none", "There is neither a dataset nor a model 'tests/none'"),
        ("tests/town@v7", "has no revision 'v7'. Available: main"),
        ("not a repo", "'not a repo' is not a repo id."),
    ],
)
def test_what_is_not_there_is_told(command, reference, said):
    code, out, err = command("verify", reference)
    assert code in {1, 2}
    assert out == ""
    assert said in err


def test_a_hub_out_of_reach_is_no_finding_about_the_repo(command):
    code, out, err = command("verify", "tests/town", hub="http://127.0.0.1:9")
    assert (code, out) == (1, "")
    assert "Cannot reach http://127.0.0.1:9" in err


def test_without_torch_an_adapter_is_not_called_broken(command, published, monkeypatch):
    from importlib import util

    real = util.find_spec
    monkeypatch.setattr(util, "find_spec", lambda name, *rest: None if name == "torch" else real(name, *rest))
    code, out, _ = command("verify", ADAPTER, "--format", "json")
    monkeypatch.undo()
    assert code == 0
    assert checks(out)["adapter changes its base"]["state"] == "skipped"
    assert "pip install 'solo-hub[train]'" in checks(out)["adapter changes its base"]["remedy"]


def test_every_check_has_a_remedy(published):
    for folder in (published.dataset, published.adapter):
        names = {check.name for check in verification.verify(folder) if not check.name.startswith("linked ")}
        assert names <= set(REMEDIES)


def test_findings_are_one_line_each_with_names_aligned():
    assert lines([CheckResult("a", "pass", "one\ntwo"), CheckResult("longer", "fail", "gone.", "Do this.")]) == [
        "pass     a       one two",
        "FAIL     longer  gone. Do this.",
    ]
    assert lines([]) == []
