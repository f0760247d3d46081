from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from solo_hub.checks import repo_contents as verification
from solo_hub.knowledge.published import Description
from solo_hub.publishing import inventory
from solo_hub.publishing.adapter import fill_adapter_folder
from solo_hub.publishing.adapter_card import AdapterVersion
from solo_hub.publishing.dataset import fill_dataset_folder
from solo_hub.publishing.dataset_card import Change, DatasetVersion


@pytest.fixture
def dataset(documents, names, tmp_path):
    folder = tmp_path / "dataset"
    fill_dataset_folder(folder, documents, names, DatasetVersion("v1", "v1", (Change("v1", 4, 4, 0, 0),)))
    return folder


@pytest.fixture
def adapter(documents, names, tmp_path):
    folder = tmp_path / "adapter"
    fill_adapter_folder(folder, documents, names, AdapterVersion("v1", "e" * 40, "v1"))
    return folder


def findings(folder, **asked):
    return {check.name: check.detail for check in verification.verify(folder, **asked) if check.state == "fail"}


def failed(folder, **asked):
    """What is wrong besides the file's hash, which is no longer the published one in any of these tests."""
    found = findings(folder, **asked)
    found.pop("files", None)
    return found


def test_what_was_published_is_whole_and_true(dataset, adapter):
    asked = []

    def exists(*link):
        asked.append(link)
        return True

    assert findings(dataset, exists=exists) == {}
    assert findings(adapter, exists=exists, probe=lambda _: 2.5) == {}
    assert ("acme/tiny-instruct", "model", "a" * 40) in asked
    assert ("ada/town-tiny-instruct-pseudo-labels", "dataset", "e" * 40) in asked
    assert ("ada/town-tiny-instruct-solo-adapter", "model", "v1") in asked


def test_what_nobody_asked_for_is_neither_right_nor_wrong(adapter):
    open_checks = {check.name for check in verification.verify(adapter) if check.state == "skipped"}
    assert open_checks == {
        "linked base",
        "linked questions",
        "linked knowledge",
        "linked embedder",
        "linked dataset",
        "adapter changes its base",
    }


def rewrite(path, before, after):
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after, 1))


def test_a_number_changed_in_the_table_is_found(adapter):
    before, table = (adapter / "README.md").read_text().split("## Results")
    changed = table.replace("44.8 % (41.6 to 48.0)", "54.8 % (41.6 to 48.0)", 1)
    assert changed != table
    (adapter / "README.md").write_text(f"{before}## Results{changed}")
    assert failed(adapter) == {"numbers of the card": "the card's result table does not match the report"}


def test_a_number_changed_in_the_verdict_is_found(adapter):
    rewrite(adapter / "README.md", "44.8 % (41.6 to 48.0)", "54.8 % (41.6 to 48.0)")
    assert failed(adapter) == {"numbers of the card": "the card's verdict does not match the report"}


def test_a_number_changed_in_the_metadata_is_found(adapter):
    rewrite(adapter / "README.md", "value: 0.44816", "value: 0.54816")
    assert "0.54816" in failed(adapter)["numbers of the card"]


def test_a_number_changed_in_the_report_is_found(adapter):
    rewrite(adapter / "report.json", "0.44816", "0.44817")
    assert set(failed(adapter)) == {"numbers of the card"}


def test_rows_that_were_exchanged_are_found(dataset, documents, names, tmp_path):
    kept, everything = (dataset / "data" / name / "train-00000-of-00001.parquet" for name in ("kept", "all"))
    everything.write_bytes(kept.read_bytes())
    assert "3 rows, but provenance.json lists 4" in failed(dataset)["rows"]
    rewrite(dataset / "provenance.json", '"rows": 4', '"rows": 3')
    assert "do not match the hash" in failed(dataset)["rows"]


def test_a_configuration_that_is_not_the_kept_rows_is_found(dataset):
    kept, everything = (dataset / "data" / name / "train-00000-of-00001.parquet" for name in ("kept", "all"))
    kept.write_bytes(everything.read_bytes())
    assert failed(dataset) == {"configuration kept": "4 rows; 3 are marked as kept"}


def test_an_unknown_card_key_is_found(dataset):
    rewrite(dataset / "README.md", "license:", "licence:")
    assert failed(dataset) == {"card": "unknown to the Hub: licence"}


def test_another_base_is_found(adapter):
    rewrite(adapter / "adapter_config.json", "a" * 40, "f" * 40)
    assert set(failed(adapter)) == {"base"}


def test_an_adapter_without_effect_is_found(adapter):
    assert "0 nats" in failed(adapter, probe=lambda _: 0.0)["adapter changes its base"]


def test_a_secret_is_found(adapter):
    (adapter / "notes.txt").write_text("hf_" + "aB3" * 12)
    assert failed(adapter) == {"secrets": "looks like a secret: notes.txt (Hugging Face token)"}


def test_a_commit_that_is_gone_is_found(dataset):
    assert failed(dataset, exists=lambda repo, *_: repo != "acme/town") == {
        "linked questions": f"acme/town at {'b' * 40} does not exist"
    }


def test_every_file_of_either_repo_is_needed_and_its_loss_is_told_not_raised(dataset, adapter):
    for folder in (dataset, adapter):
        for path in [path for path in folder.rglob("*") if path.is_file()]:
            content = path.read_bytes()
            path.unlink()
            assert findings(folder), path
            path.write_bytes(content[: len(content) // 2])
            assert findings(folder), path
            path.write_bytes(content)
        assert findings(folder) == {}


def test_files_that_differ_are_named(dataset):
    (dataset / "config.yaml").unlink()
    (dataset / "README.md").write_text((dataset / "README.md").read_text() + "\nHello.\n")
    (dataset / "model.pkl").write_bytes(b"x")
    (dataset / ".gitattributes").write_text("made by the Hub")
    assert findings(dataset) == {"files": "config.yaml is missing, README.md was changed, model.pkl was added"}


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"kind": "something"}', '{"kind": ["x"]}'])
def test_a_repo_of_somebody_else_is_one_finding(tmp_path, content):
    (tmp_path / "provenance.json").write_text(content)
    assert [check.state for check in verification.verify(tmp_path)] == ["fail"]


def test_an_empty_folder_is_one_finding(tmp_path):
    assert [check.state for check in verification.verify(tmp_path)] == ["fail"]


def test_local_files_are_known_by_their_hash(dataset):
    document = json.loads((dataset / "provenance.json").read_text())
    document["sources"]["questions"] = {"file": "mine.csv", "sha256": "0" * 64}
    (dataset / "provenance.json").write_text(json.dumps(document))
    found = {check.name: check for check in verification.verify(dataset, exists=lambda *_: True)}
    assert (found["linked questions"].state, found["linked questions"].detail) == (
        "skipped",
        "a local file, identified by its hash only",
    )


@pytest.fixture
def knowledge(tmp_path):
    """A published knowledge base of two passages."""
    folder = tmp_path / "knowledge"
    (folder / "data").mkdir(parents=True)
    schema = pa.schema([*((name, pa.string()) for name in ("id", "text", "source")),
                        ("embedding", pa.list_(pa.float16(), 2))])  # fmt: skip
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(np.array([1, 0, 0.6, 0.8], dtype=np.float16)), 2)
    rows = {"id": ["1", "2"], "text": ["Owls hunt.", "Bees fly."], "source": ["", ""], "embedding": vectors}
    table = pa.table(rows, schema=schema)
    pq.write_table(table, folder / "data" / "train-00000-of-00001.parquet")
    (folder / "README.md").write_text("---\nlicense: mit\n---\n# Two passages\n")
    sources = [{"repo_id": "acme/facts", "type": "dataset", "commit": "c" * 40}, {"file": "notes.md", "sha256": "0"}]
    Description(f"acme/embedder@{'d' * 40}", 2, 2, "0" * 64, sources=tuple(sources)).write(folder)
    told = {"kind": "knowledge-base", "dataset": {"repo_id": "ada/kb", "tag": "v1"}, "documents": 2,
            "embedder": f"acme/embedder@{'d' * 40}", "files": inventory.hashes(folder)}  # fmt: skip
    (folder / "provenance.json").write_text(json.dumps(told))
    return folder


def test_a_knowledge_base_is_checked_with_what_it_was_made_from(knowledge):
    asked = []
    found = verification.verify(knowledge, exists=lambda *link: not asked.append(link))
    assert [(check.name, check.state) for check in found] == [
        ("made by solo-hub", "pass"), ("files", "pass"), ("card", "pass"), ("passages", "pass"), ("secrets", "pass"),
        ("linked embedder", "pass"), ("linked source 1", "pass"), ("linked source 2", "skipped")]  # fmt: skip
    assert asked == [("acme/embedder", "model", "d" * 40), ("acme/facts", "dataset", "c" * 40)]


@pytest.mark.parametrize(("name", "value", "said"), [("documents", 3, "2 passages, but"), ("files", {}, "")])
def test_a_knowledge_base_that_is_not_what_it_says_is_found_out(knowledge, name, value, said):
    told = json.loads((knowledge / "provenance.json").read_text())
    (knowledge / "provenance.json").write_text(json.dumps(told | {name: value}))
    found = findings(knowledge)
    assert list(found) == ["passages" if name == "documents" else "files"]
    assert said in next(iter(found.values()))


@pytest.mark.parametrize("numbers", [[1, 0, 0.6, 0.7], [1, 0, float("nan"), 1]])
def test_a_vector_that_is_not_of_length_1_is_found_out(knowledge, numbers):
    path = knowledge / "data" / "train-00000-of-00001.parquet"
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(np.array(numbers, dtype=np.float16)), 2)
    pq.write_table(pq.read_table(path).set_column(3, "embedding", vectors), path)
    assert "not of length 1" in failed(knowledge)["passages"]
