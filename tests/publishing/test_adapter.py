from __future__ import annotations

import dataclasses
import json

import pytest

from publishing.conftest import BASE_COMMIT, folder_bytes, make_adapter, make_config
from solo_hub.core.errors import InputError, ModelError
from solo_hub.publishing.adapter import check_weights, fill_adapter_folder, read_header
from solo_hub.publishing.adapter_card import AdapterVersion

V1 = AdapterVersion("v1", "e" * 40, "v1")


def test_two_fills_give_the_same_bytes(documents, names, tmp_path):
    for name in ("one", "two"):
        fill_adapter_folder(tmp_path / name, documents, names, V1)
    assert folder_bytes(tmp_path / "one") == folder_bytes(tmp_path / "two")


def test_the_configuration_is_pinned_to_the_base_commit(documents, names, tmp_path):
    fill_adapter_folder(tmp_path / "repo", documents, names, V1)
    config = json.loads((tmp_path / "repo" / "adapter_config.json").read_text())
    assert (config["base_model_name_or_path"], config["revision"]) == ("acme/tiny-instruct", BASE_COMMIT)
    assert config["target_modules"] == ["q_proj", "v_proj"]  # peft's order changes from save to save


def write_log(folder, losses):
    log = [{"step": step, "loss": loss, "learning_rate": 1e-4} for step, loss in enumerate(losses, start=1)]
    (folder / "training.json").write_text(json.dumps({"steps": len(log), "log": log}))


def test_only_what_belongs_there_is_published(documents, names, tmp_path):
    (documents.adapter / "checkpoint-50").mkdir()
    (documents.adapter / "optimizer.pt").write_bytes(b"x")
    write_log(documents.adapter, [2.0, 1.5, 1.0])
    fill_adapter_folder(tmp_path / "repo", documents, names, V1)
    weights = {"adapter_config.json", "adapter_model.safetensors"}
    words = {"README.md", "config.yaml", "provenance.json", "report.json", "training.json", "training-curve.svg"}
    assert set(folder_bytes(tmp_path / "repo")) == weights | words
    assert "](training-curve.svg)" in (tmp_path / "repo" / "README.md").read_text()


def test_without_a_log_there_is_no_curve_empty(documents, names, tmp_path):
    write_log(documents.adapter, [])
    fill_adapter_folder(tmp_path / "repo", documents, names, V1)
    assert not (tmp_path / "repo" / "training-curve.svg").exists()
    assert "training-curve" not in (tmp_path / "repo" / "README.md").read_text()


def test_the_report_is_published_as_it_is(documents, names, tmp_path):
    fill_adapter_folder(tmp_path / "repo", documents, names, V1)
    assert json.loads((tmp_path / "repo" / "report.json").read_text()) == documents.report


def test_the_published_report_names_no_folder_of_this_machine(documents, names, tmp_path):
    report = {**documents.report, "metrics": {"bert_score": {"model": "/home/somebody/models/embedder"}}}
    fill_adapter_folder(tmp_path / "repo", dataclasses.replace(documents, report=report), names, V1)
    assert json.loads((tmp_path / "repo" / "report.json").read_text())["metrics"] == {
        "bert_score": {"model": "embedder"}
    }


def test_an_adapter_that_changes_nothing_is_refused(tmp_path):
    make_adapter(tmp_path / "zero", zero=True)
    with pytest.raises(ModelError, match="has no effect"):
        check_weights(tmp_path / "zero" / "adapter_model.safetensors")


def test_broken_weights_are_refused_in_one_sentence(tmp_path):
    path = make_adapter(tmp_path / "a") / "adapter_model.safetensors"
    whole = path.read_bytes()
    with pytest.raises(ModelError, match="no adapter weights"):
        check_weights(tmp_path / "nowhere.safetensors")
    for cut in range(len(whole)):
        path.write_bytes(whole[:cut])
        with pytest.raises(ModelError, match=r"not a safetensors file|truncated"):
            check_weights(path)
    path.write_bytes(b"\xff" * 8 + whole[8:])
    with pytest.raises(ModelError, match="not a safetensors file"):
        check_weights(path)
    path.write_bytes(whole)
    check_weights(path)
    assert "base_model.model.layer.lora_A.weight" in read_header(path)


def test_weights_without_lora_matrices_are_refused(tmp_path):
    import numpy as np
    from safetensors.numpy import save_file

    save_file({"w": np.ones(2)}, tmp_path / "w.safetensors")
    with pytest.raises(ModelError, match="no LoRA weights"):
        check_weights(tmp_path / "w.safetensors")


@pytest.mark.parametrize("content", ["{", "[]", '"x"', '{"r": 4, "task_type": "\\ud800"}'])
def test_a_broken_adapter_configuration_is_refused(documents, names, tmp_path, content):
    (documents.adapter / "adapter_config.json").write_text(content)
    with pytest.raises((ModelError, InputError), match="adapter_config"):
        fill_adapter_folder(tmp_path / "repo", documents, names, V1)


def test_a_base_that_forbids_derived_works(documents, names, tmp_path):
    config = make_config(base={"repo_id": "a/b", "type": "model", "commit": "a" * 40, "license": "cc-by-nc-nd-4.0"})
    with pytest.raises(InputError, match=r"a/b \(base\) is under"):
        fill_adapter_folder(tmp_path / "repo", dataclasses.replace(documents, config=config), names, V1)


def test_further_texts_are_published_and_listed(documents, names, tmp_path):
    name = ".eval_results/qasc.yaml"
    more = dataclasses.replace(documents, adapter_files={name: "- value: 0.5\n"})
    fill_adapter_folder(tmp_path / "repo", more, names, V1)
    assert (tmp_path / "repo" / name).read_text() == "- value: 0.5\n"
    assert name in json.loads((tmp_path / "repo" / "provenance.json").read_text())["files"]
