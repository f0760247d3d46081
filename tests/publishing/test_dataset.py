from __future__ import annotations

import dataclasses
import json

import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from publishing.conftest import folder_bytes, make_config
from solo_hub.core.errors import InputError
from solo_hub.models.prompts import PromptBuilder
from solo_hub.publishing import dataset
from solo_hub.publishing.dataset_card import COLUMNS, Change, DatasetVersion
from solo_hub.publishing.documents import rows

V1 = DatasetVersion("v1", "v1", (Change("v1", 4, 4, 0, 0),))


def test_two_fills_of_the_same_documents_give_the_same_bytes(documents, names, tmp_path):
    for name in ("one", "two"):
        dataset.fill_dataset_folder(tmp_path / name, documents, names, V1)
    assert folder_bytes(tmp_path / "one") == folder_bytes(tmp_path / "two")


def test_another_day_and_another_folder_change_nothing(documents, names, tmp_path):
    config = make_config()
    config["resolved"]["created"] = "2027-12-31T23:59:59Z"
    dataset.fill_dataset_folder(tmp_path / "one", documents, names, V1)
    dataset.fill_dataset_folder(tmp_path / "two", dataclasses.replace(documents, config=config), names, V1)
    assert folder_bytes(tmp_path / "one") == folder_bytes(tmp_path / "two")


def test_what_lay_in_the_folder_before_is_gone(documents, names, tmp_path):
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "stale.parquet").write_text("x")
    dataset.fill_dataset_folder(tmp_path / "old", documents, names, V1)
    parquet = {f"data/{name}/train-00000-of-00001.parquet" for name in ("all", "kept", "messages")}
    assert set(folder_bytes(tmp_path / "old")) == parquet | {"README.md", "config.yaml", "provenance.json"}


@pytest.fixture
def _offline_cache(monkeypatch, tmp_path):
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


@pytest.mark.usefixtures("_offline_cache")
def test_load_dataset_reads_both_configurations_with_types(documents, names, tmp_path):
    from datasets import Value, load_dataset

    folder = tmp_path / "repo"
    dataset.fill_dataset_folder(folder, documents, names, V1)
    cache = str(tmp_path / "cache")
    kept = load_dataset(str(folder), split="train", cache_dir=cache)  # the default configuration
    everything = load_dataset(str(folder), "all", split="train", cache_dir=cache)
    assert kept["id"] == ["q1", "q2", "q3"]
    assert everything["kept"] == [True, True, True, False]
    assert everything.column_names == list(COLUMNS) == dataset.SCHEMA.names
    assert everything[3]["reason"] == "teacher unsure"
    assert everything.features["label"] == Value("int32")
    assert everything.features["options"].feature == Value("string")
    assert everything.features["probabilities"].feature == Value("float64")
    assert everything[0]["passages"][0] == {
        "id": "p1",
        "text": "The clock of Orlo shows the tide.",
        "score": 0.81,
        "source": "town",
    }
    assert everything[0]["probabilities"] == [0.1, 0.7, 0.15, 0.05]


@pytest.mark.usefixtures("_offline_cache")
def test_kept_labels_are_conversations_too(documents, names, tmp_path):
    """The question as the student is asked, and what it learns: a letter where options are listed; no citations."""
    from datasets import load_dataset

    label = dataclasses.replace(documents.labels[0], explanation="The clock shows it [1].")
    documents = dataclasses.replace(documents, labels=(label, *documents.labels[1:]))
    dataset.fill_dataset_folder(tmp_path / "repo", documents, names, V1)
    found = load_dataset(str(tmp_path / "repo"), "messages", split="train", cache_dir=str(tmp_path / "cache"))
    assert found["id"] == ["q1", "q2", "q3"]
    question = documents.questions[0]
    asked, said = found[0]["messages"]
    assert asked == {"role": "user", "content": PromptBuilder().ask(question, documents.example.style).text}
    assert said == {"role": "assistant", "content": f"{label.text}. The clock shows it."}
    row = rows(documents)[0]
    listed = dataset.conversation(row, "letter")["messages"]
    assert f"A. {question.options[0]}\n" in listed[0]["content"]
    assert listed[1]["content"].startswith("ABCD"[row.label.option] + ". ")


@pytest.mark.usefixtures("_offline_cache")
def test_load_dataset_reads_free_text_labels_with_every_optional_field_empty(bare, names, tmp_path):
    from datasets import load_dataset

    dataset.fill_dataset_folder(tmp_path / "repo", bare, names, V1)
    for name in ("kept", "all"):
        found = load_dataset(str(tmp_path / "repo"), name, split="train", cache_dir=str(tmp_path / "cache"))
        assert found.column_names == list(COLUMNS)
        assert found[0]["text"] == "Nobody."
        assert (found[0]["label"], found[0]["probabilities"], found[0]["options"], found[0]["passages"]) == (
            None,
            None,
            [],
            [],
        )


def test_a_selection_that_kept_nothing_is_not_published_empty(documents, names, tmp_path):
    none_kept = tuple(dataclasses.replace(verdict, kept=False) for verdict in documents.verdicts)
    with pytest.raises(InputError, match="none of the 4 pseudo-labels was kept"):
        dataset.fill_dataset_folder(tmp_path / "repo", dataclasses.replace(documents, verdicts=none_kept), names, V1)
    with pytest.raises(InputError, match="none of the 0 pseudo-labels was kept"):
        dataset.fill_dataset_folder(tmp_path / "repo", dataclasses.replace(documents, labels=()), names, V1)
    assert not (tmp_path / "repo").exists()


def test_many_rows_become_several_files_that_read_as_one(documents, names, tmp_path, monkeypatch):
    monkeypatch.setattr(dataset, "ROWS_PER_FILE", 3)
    dataset.fill_dataset_folder(tmp_path / "repo", documents, names, V1)
    assert [path.name for path in sorted((tmp_path / "repo/data/all").iterdir())] == [
        "train-00000-of-00002.parquet",
        "train-00001-of-00002.parquet",
    ]
    assert [row["id"] for row in dataset.read_rows(tmp_path / "repo")] == ["q1", "q2", "q3", "q4"]


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25, deadline=None)
@given(texts, st.lists(texts, min_size=1, max_size=4))
def test_any_text_is_published_and_read_back_as_it_was(documents, names, tmp_path, text, options):
    question = dataclasses.replace(documents.questions[0], text=text, options=tuple(options))
    label = dataclasses.replace(documents.labels[0], option=0, text=text)
    changed = dataclasses.replace(documents, questions=(question,), labels=(label,))
    filled = dataset.fill_dataset_folder(tmp_path / "any", changed, names, V1)
    assert dataset.read_rows(tmp_path / "any") == [row.to_row() for row in filled]


def test_provenance_names_commits_counts_and_the_adapter(documents, names, tmp_path):
    dataset.fill_dataset_folder(tmp_path / "repo", documents, names, V1)
    document = json.loads((tmp_path / "repo" / "provenance.json").read_text())
    assert document["sources"]["base"]["commit"] == "a" * 40
    assert (document["rows"], document["kept"]) == (4, 3)
    assert document["adapter"] == {"repo_id": "ada/town-tiny-instruct-solo-adapter", "tag": "v1"}
    assert document["content_sha256"] == dataset.content_hash(row.to_row() for row in rows(documents))


def test_a_source_that_forbids_it_stops_before_a_file_is_written(documents, names, tmp_path):
    config = make_config(knowledge={"repo_id": "a/b", "type": "dataset", "commit": "c" * 40, "license": "cc-by-nd-4.0"})
    with pytest.raises(InputError, match="forbids"):
        dataset.fill_dataset_folder(tmp_path / "repo", dataclasses.replace(documents, config=config), names, V1)
    assert not (tmp_path / "repo").exists()


def test_a_licence_without_identifier_comes_with_its_text(documents, names, tmp_path):
    config = make_config(knowledge={"repo_id": "a/b", "type": "dataset", "commit": "c" * 40, "license": "other"})
    dataset.fill_dataset_folder(tmp_path / "repo", dataclasses.replace(documents, config=config), names, V1)
    assert "a/b (other)" in (tmp_path / "repo" / "LICENSE.md").read_text()


def test_a_secret_in_a_question_stops_the_publication(documents, names, tmp_path):
    question = dataclasses.replace(documents.questions[0], text="Is hf_" + "aB3" * 12 + " my token?")
    with pytest.raises(InputError, match="looks like a secret"):
        dataset.fill_dataset_folder(
            tmp_path / "x", dataclasses.replace(documents, questions=(question, *documents.questions[1:])), names, V1
        )


def test_changes_are_counted_by_id():
    old = [{"id": "a", "t": 1}, {"id": "b", "t": 1}, {"id": "c", "t": 1}]
    new = [{"id": "c", "t": 1}, {"id": "b", "t": 2}, {"id": "d", "t": 1}]
    assert dataset.change("v2", "why", old, new) == Change("v2", 3, added=1, removed=1, changed=1, message="why")


def test_changes_of_nothing_empty():
    assert dataset.change("v1", "", [], []) == Change("v1", 0, 0, 0, 0)


def test_a_damaged_file_of_an_older_version_is_named(tmp_path):
    (tmp_path / "data" / "all").mkdir(parents=True)
    (tmp_path / "data" / "all" / "train-00000-of-00001.parquet").write_bytes(b"PAR1")
    with pytest.raises(InputError, match=r"train-00000-of-00001\.parquet: cannot be read"):
        dataset.read_rows(tmp_path)


def test_the_parquet_files_are_laid_out_for_the_viewer(documents, names, tmp_path):
    dataset.fill_dataset_folder(tmp_path / "repo", documents, names, V1)
    metadata = pq.ParquetFile(tmp_path / "repo/data/all/train-00000-of-00001.parquet").metadata
    assert metadata.row_group(0).column(0).compression == "ZSTD"
    assert metadata.row_group(0).column(0).has_offset_index


def test_what_changed_is_counted_without_both_versions_in_memory():
    """1 and 1.0 are the same score: Parquet reads back what JSON wrote."""
    before = ({"id": n, "passages": [{"score": 1}], "text": "x"} for n in "abc")
    after = iter(
        [
            {"id": "b", "passages": [{"score": 1.0}], "text": "x"},
            {"id": "c", "passages": [{"score": 1.5}], "text": "x"},
            {"id": "d", "passages": [], "text": "x"},
        ]
    )
    found = dataset.change("v2", "", before, after)
    assert (found.rows, found.added, found.removed, found.changed) == (3, 1, 1, 1)


def test_rows_of_several_groups_are_read_back_in_order(tmp_path, documents, monkeypatch):
    monkeypatch.setattr(dataset, "ROWS_PER_GROUP", 2)
    monkeypatch.setattr(dataset, "ROWS_PER_FILE", 3)
    joined = dataset.rows(documents)
    dataset._write_parquet(tmp_path / "data" / "all", joined)
    assert [path.name for path in sorted((tmp_path / "data" / "all").iterdir())] == [
        "train-00000-of-00002.parquet",
        "train-00001-of-00002.parquet",
    ]
    assert list(dataset.stream_rows(tmp_path)) == [row.to_row() for row in joined]
