"""A finished run of the tiny model, written by hand, and the same as a published repo."""

from __future__ import annotations

import json

import pytest
from small_hub import write_rows
from tiny_run import (
    ADAPTER,
    COMMIT,
    CORPUS,
    QUESTIONS,
    RIGHT,
    FakeClient,
    FakeConnection,
    WordEmbedder,
    report,
    write_config,
)

from solo_hub.core.records import Gold, Passage, Prediction, Retrieval
from solo_hub.evaluation.comparison.cases import ARMS
from solo_hub.run.folder import RunFolder


@pytest.fixture(scope="session")
def adapter(tiny_model, tmp_path_factory):
    """An adapter with random weights, so that the student is not the base."""
    import torch
    from tiny import load_engine

    from solo_hub.core.settings import StudentSettings
    from solo_hub.models import adapters

    engine = load_engine(tiny_model)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        adapters.attach(engine, StudentSettings(rank=4))
        for name, weight in engine.model.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(weight, std=0.2)
    folder = tmp_path_factory.mktemp("adapter")
    adapters.save(engine, folder, base="tests/tiny", commit=COMMIT)
    return folder


@pytest.fixture
def door(tiny_model, adapter, tmp_path):
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    rows = [{"id": f"s{n}", "text": text, "source": "a test"} for n, text in enumerate(CORPUS)]
    write_rows(corpus / "train.jsonl", rows)
    questions = tmp_path / "questions"
    questions.mkdir()
    rows = [{"id": q.id, "question": q.text, "options": list(q.options), "answer": 0} for q in QUESTIONS]
    write_rows(questions / "validation.jsonl", rows)
    write_rows(questions / "train.jsonl", [{**rows[0], "id": "t1"}])
    return FakeClient({
        "tests/tiny": tiny_model, "tests/corpus": corpus, "tests/questions": questions, "tests/embedder": tmp_path,
    })  # fmt: skip


@pytest.fixture
def run(tmp_path, adapter, monkeypatch):
    """The run folder."""
    import solo_hub.knowledge.source as module

    found = module.find
    monkeypatch.setattr(module, "find", lambda g, n: WordEmbedder if g == "embedders" else found(g, n))
    monkeypatch.setenv("SOLO_HUB_HOME", str(tmp_path / "home"))
    folder = RunFolder(tmp_path / "run")
    folder.path.mkdir(parents=True, exist_ok=True)
    write_config(folder.file("config"))
    folder.file("adapter").mkdir()
    for file in adapter.iterdir():
        (folder.file("adapter") / file.name).write_bytes(file.read_bytes())
    folder.write_rows("held_out", QUESTIONS)
    folder.write_rows("golds", [Gold(q.id, 0, q.options[0]) for q in QUESTIONS])
    found = (Passage("s0", CORPUS[0], 0.9, "a test"),)
    folder.write_rows("held_out_passages", [Retrieval(q.id, found if q.id == "q1" else ()) for q in QUESTIONS])
    folder.write_rows(
        "predictions",
        [
            Prediction(q.id, arm, int(not ok), (0.75, 0.25) if ok else (0.25, 0.75), q.options[int(not ok)], (), 0.1)
            for q in QUESTIONS
            for arm, ok in zip(ARMS, RIGHT[q.id], strict=True)
        ],
    )
    folder.write_json("report", report())
    folder.write_json("published", {"adapter": {"repo_id": ADAPTER, "commit": COMMIT, "url": "https://hub.test/x"}})
    return folder


@pytest.fixture
def published(run, door, tmp_path):
    """The same, as an adapter repo on the fake Hub."""
    folder = tmp_path / "published"
    folder.mkdir()
    for file in run.file("adapter").iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    (folder / "report.json").write_text(json.dumps(report()))
    (folder / "provenance.json").write_text("{}")
    (folder / "config.yaml").write_bytes(run.file("config").read_bytes())
    door.repos[ADAPTER] = folder
    return door


@pytest.fixture
def comparison(run, door):
    """The run, opened."""
    import torch

    from solo_hub.core.console import Console
    from solo_hub.evaluation.comparison.opening import open_run

    torch.set_num_threads(1)
    return open_run(run.path, lambda needs: FakeConnection(door), Console("quiet"))
