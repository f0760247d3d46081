from __future__ import annotations

import dataclasses

import pytest

from publishing.conftest import KNOWLEDGE_COMMIT, make_config
from solo_hub.core.errors import InputError
from solo_hub.core.records import Retrieval
from solo_hub.publishing.documents import basename, hub_address, published_config, rows, source
from solo_hub.run.resolved import PinnedRepo


def test_a_row_joins_question_label_verdict_and_passages_by_id(documents):
    shuffled = dataclasses.replace(documents, questions=documents.questions[::-1], verdicts=documents.verdicts[::-1])
    row = rows(shuffled)[0].to_row()
    assert (row["id"], row["question"]) == ("q1", "What does the clock of Orlo show?")
    assert (row["label"], row["label_text"], row["confidence"], row["kept"]) == (1, "the tide", 0.7, True)
    assert [passage["id"] for passage in row["passages"]] == ["p1", "p2"]
    assert row["passages"][0]["score"] == 0.81
    assert rows(shuffled) == rows(documents)


def test_rows_carry_no_known_answer(documents):
    assert not {"answer", "answerKey", "gold", "fact1"} & set(rows(documents)[0].to_row())


def test_no_labels_empty(documents):
    assert rows(dataclasses.replace(documents, labels=())) == []


def test_a_passage_that_was_not_retrieved_is_refused_with_row_and_field(documents):
    first, *rest = documents.labels
    labels = (dataclasses.replace(first, passages=("p1", "p7")), *rest)
    with pytest.raises(InputError, match=r"3-labels.jsonl, row 1, field 'passages': passage 'p7' is not among those"):
        rows(dataclasses.replace(documents, labels=labels))


def test_passages_of_a_question_nothing_was_found_for(documents):
    bare_labels = tuple(dataclasses.replace(label, passages=()) for label in documents.labels)
    found = rows(dataclasses.replace(documents, labels=bare_labels, retrievals=(Retrieval("q1", ()),)))
    assert [row.passages for row in found] == [(), (), (), ()]


def test_origins_are_read_with_their_commits(documents):
    knowledge = documents.repo("knowledge")
    assert (knowledge.repo_id, knowledge.commit, knowledge.license) == ("acme/town-facts", KNOWLEDGE_COMMIT, "mit")
    assert documents.repo("nobody") is None
    assert list(documents.resolved.repos) == ["base", "questions", "knowledge", "embedder"]


def test_every_licence_of_a_card_counts():
    entry = PinnedRepo(repo_id="a/b", type="dataset", commit="c" * 40, license="mit, cc-by-4.0")
    assert source("knowledge", entry).licences == ("mit", "cc-by-4.0")


def test_the_published_config_names_no_folder_of_this_machine_and_no_day():
    config = make_config(
        questions={"file": "/home/somebody/secret-project/mine.csv", "sha256": "0" * 64, "license": None}
    )
    config["settings"]["task"]["questions"] = "C:\\Users\\somebody\\mine.csv"
    config["settings"]["knowledge"]["source"] = "~/corpus.txt"
    config["resolved"]["endpoint"] = "http://127.0.0.1:40123"
    clean = published_config(config)
    assert "somebody" not in str(clean)
    assert clean["settings"]["task"]["questions"] == "mine.csv"
    assert clean["settings"]["knowledge"]["source"] == "corpus.txt"
    assert clean["resolved"]["repos"]["questions"]["file"] == "mine.csv"
    assert clean["resolved"]["endpoint"] == "local"
    assert "created" not in clean["resolved"]
    assert clean["settings"]["base"] == "acme/tiny-instruct"
    assert config["resolved"]["created"]  # the run's own is untouched


@pytest.mark.parametrize(
    ("endpoint", "address"),
    [
        (None, "https://huggingface.co"),
        ("https://hub.example/", "https://hub.example"),
        ("https://ada:secret1@hub.example", "https://hub.example"),
        ("http://localhost:8000", ""),
        ("http://[::1]:8000", ""),
        ("http://192.168.1.4:8000", ""),
    ],
)
def test_links_point_to_the_hub_or_to_the_root_of_a_local_one(endpoint, address):
    assert hub_address(endpoint) == address


def test_basenames_of_both_kinds_of_system():
    assert [basename(path) for path in ("/a/b.csv", "C:\\a\\b.csv", "b.csv", "")] == ["b.csv", "b.csv", "b.csv", ""]
