"""A card says nothing of a run that another kind of run would have done: passages, teachers, units of a loss."""

from __future__ import annotations

import copy
import dataclasses
import re

import pytest

from publishing.conftest import make_config, make_report
from solo_hub.publishing.adapter import adapter_licence
from solo_hub.publishing.adapter_card import AdapterVersion, adapter_card
from solo_hub.publishing.dataset import dataset_licence
from solo_hub.publishing.dataset_card import Change, DatasetVersion, dataset_card
from solo_hub.publishing.documents import rows


@pytest.fixture
def cards(names):
    def render(documents):
        version = DatasetVersion("v1", "v1", (Change("v1", 4, 4, 0, 0),))
        texts = (
            dataset_card(documents, rows(documents), names, dataset_licence(documents), version),
            adapter_card(documents, names, adapter_licence(documents), AdapterVersion("v1", "e" * 40, "v1")),
        )
        return [re.sub(r"\s+", " ", text.split("\n---\n", 1)[1]) for text in texts]

    return render


def changed(documents, *, without=(), report=None, settings=None, resolved=None, **repos):
    config = copy.deepcopy(make_config(**repos))
    for role in without:
        del config["resolved"]["repos"][role]
    config["settings"] |= settings or {}
    config["resolved"] |= resolved or {}
    return dataclasses.replace(documents, config=config, report=report or make_report())


def silent(documents):
    """The same labels, made without passages."""
    labels = tuple(dataclasses.replace(label, passages=()) for label in documents.labels)
    return dataclasses.replace(
        documents, retrievals=(), labels=labels, example=dataclasses.replace(documents.example, teacher=None)
    )


def test_a_run_with_passages_says_where_from(documents, cards):
    dataset, adapter = cards(documents)
    assert "with passages from [`acme/town-facts`]" in adapter
    assert "the teacher sees passages" in adapter
    assert "2. **Retrieval:** up to 2 passages per question from [`acme/town-facts`]" in dataset
    assert "embedder of the retriever" in dataset


def test_a_run_without_knowledge_speaks_of_no_passages(documents, cards):
    report = make_report()
    report["arms"]["teacher"]["passages"] = False
    dataset, adapter = cards(changed(silent(documents), without=["knowledge"], report=report))
    assert "**No retrieval.**" in dataset
    assert "answered from the question alone." in dataset
    assert "The prompt for one of the questions: ```" in dataset
    for said in ("these passages", "the retrieved passages", "Retrieval:**", "Passages left out", "embedder"):
        assert said not in dataset
    assert "and without passages: it answered" in adapter
    assert "| Teacher (base) |" in adapter
    assert "and so does the teacher, as this run has no passages." in adapter
    for said in (
        "teacher sees passages",
        "only the teacher saw the passages",
        "*without* the passages",
        "of the retriever",
    ):
        assert said not in adapter


def test_imported_labels_have_no_teacher(documents, cards):
    report = make_report()
    del report["arms"]["teacher"]
    report["paired"] = {"student_vs_base": report["paired"]["student_vs_base"]}
    report["labels"] |= {"style": "given", "accuracy": None}
    labels = {"repo_id": "acme/votes", "type": "dataset", "commit": "9" * 40, "license": "mit"}
    dataset, adapter = cards(changed(silent(documents), without=["knowledge"], report=report, labels=labels))
    assert "2. **Labels**, with the probability of every option, from [`acme/votes`]" in dataset
    assert "no model was asked" in dataset
    for text in (dataset, adapter):
        assert "Their mean confidence, as imported, is 61.2 %." in text
        for said in ("**Teacher:**", "The teacher's", "teacher answered", "these passages", "Solo Distillation)"):
            assert said not in text, said
    assert "The student learned what the labels say" in adapter
    assert "where known" in adapter
    assert "the teacher sees" not in adapter


@pytest.mark.parametrize(
    ("objective", "said"),
    [
        ("sft", "cross-entropy of the answer and its end token, in nats per token"),
        ("kl", "divergence of the student's option probabilities from the teacher's, in nats per question"),
        ("online", "the teacher, which is evaluated in each step"),
        ("theirs", "that of the objective theirs"),
    ],
)
def test_a_loss_is_told_in_its_own_unit(documents, cards, objective, said):
    _, adapter = cards(changed(documents, settings={"student": {"objective": objective}}))
    assert said in adapter
    assert "| final training loss | 1.234 |" in adapter


def test_the_loss_of_an_encoder_is_that_of_a_class(documents, cards):
    example = dataclasses.replace(documents.example, style="class", prior=None, continuations=())
    _, adapter = cards(dataclasses.replace(documents, example=example))
    assert "cross-entropy of the class, in nats per text" in adapter
    assert "it is the base." not in adapter, "with the adapter off the head is gone, too"
    assert "solo-hub serve" not in adapter, "it is no language model"


def test_how_to_use_it_elsewhere(documents, cards, names):
    _, adapter = cards(documents)
    for command in ("serve", "export"):
        assert re.search(rf"`solo-hub {command} {re.escape(names.adapter)}@v\d+[ `]", adapter)


@pytest.mark.parametrize(
    ("student", "rank"),
    [({"rank": 16}, 16), ({"rank": 24}, 32), ({"rank": 4}, 8), ({"rank": 600}, None), ({"adapter": "dora"}, None)],
)
def test_vllm_is_told_a_rank_that_it_takes(documents, cards, student, rank):
    _, adapter = cards(changed(documents, settings={"student": student}))
    assert (f" --lora-modules student=./student --max-lora-rank {rank} " in adapter) is (rank is not None)
    assert ("vllm serve" in adapter) is (rank is not None)


def test_a_teacher_behind_a_server_is_told(documents, cards):
    engine = {"name": "openai", "identity": "acme/tiny-instruct@aaaa served tiny log-probabilities"}
    for text in cards(changed(documents, resolved={"teacher_engine": engine})):
        assert (
            "answered through a server (engine openai, acme/tiny-instruct@aaaa served tiny log-probabilities)" in text
        )
    assert not any("through a server" in text for text in cards(documents))


def test_other_teachers_are_named_and_nobody_taught_itself(documents, cards):
    one = {"repo_id": "acme/big", "type": "model", "revision": "main", "commit": "c" * 40, "license": "mit"}
    other = {**one, "repo_id": "acme/bigger"}
    together = {"roles": ["teacher", "teacher_2"], "temperature": 1.5, "agreement": 0.75, "n": 4, "failed": {}}
    alone = changed(documents, teacher=one)
    both = changed(documents, teacher=one, teacher_2=other, resolved={"teachers": together})
    for given, named in ((alone, ("acme/big",)), (both, ("acme/big", "acme/bigger"))):
        for text in cards(given):
            assert "taught itself" not in text
            assert "self-distillation" not in text
            assert all(f"`{name}`" in text for name in named)
    assert "Pairs of teachers agree in 75 % of cases" in cards(both)[0]


def test_examples_that_were_given_are_human_labels(documents, cards):
    given = [[{"id": "e", "text": "Who?"}, "the mayor"]] * 3
    said = "The teacher's prompt begins with 3 labelled examples"
    resolved = {"teacher": {"style": "text", "examples": given}}
    dataset, _ = cards(changed(documents, settings={"teacher": {"examples": "shots.jsonl"}}, resolved=resolved))
    assert said in dataset
    assert "No human label was used" not in dataset
    dataset, _ = cards(changed(documents, settings={"teacher": {"shots": 3}}, resolved=resolved))
    assert said not in dataset, "examples of its own are its own labels"
    assert "No human label was used" in dataset


def test_what_was_lost_elsewhere_was_measured(documents, cards):
    report = make_report()
    report["forgetting"] = {"text": {"ratio": {"value": 1.02, "low": 1.01, "high": 1.03}}}
    _, adapter = cards(changed(documents, report=report))
    assert (
        "see Forgetting above"
        in adapter.split("## Limits")[1].split("## Licence")[0].split("exactly the prompt above")[1]
    )


def test_local_knowledge_that_was_published_is_named_by_its_repo_and_its_file(documents, cards):
    made_from = {"file": "/home/ada/facts.txt", "sha256": "f" * 64}
    repo = {"repo_id": "ada/facts-knowledge-base", "type": "dataset", "commit": "8" * 40, "made_from": made_from}
    for text in cards(changed(documents, knowledge=repo)):
        assert f"ada/facts-knowledge-base/tree/{'8' * 40}" in text
        assert "published from the file or folder `facts.txt`" in text
        assert "/home/ada" not in text
