"""A knowledge base of its own: built from documents, changed, published, and used by a run without embedding again."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from noise import LIBRARIES_WARN
from small_hub import READ, run_here

from solo_hub.cli.main import run

pytestmark = LIBRARIES_WARN


@pytest.fixture
def index(hub, tmp_path, monkeypatch, capsys):
    """Runs `solo-hub index --to kb` in this process; returns exit code, document and what was said."""
    folder = tmp_path / f"kb{abs(hash(str(tmp_path))) % 10**8}"  # the Hub is shared by all tests

    def go(*arguments, to=folder):
        line = ("index", "--to", to, "--format", "json", *arguments)
        code, out, said = run_here(hub, monkeypatch, capsys, *line, home=tmp_path / "home")
        return code, json.loads(out) if code == 0 else None, said

    go.folder = folder
    return go


@pytest.fixture
def documents(tmp_path):
    folder = tmp_path / "docs"
    folder.mkdir()
    (folder / "salt.md").write_text("Salt draws water out of food. Salting is a way of dehydrating.")
    (folder / "animals.txt").write_text("Bees carry pollen.\n\nOwls hunt at night.")
    (folder / "iron.html").write_text("<h1>Iron</h1><p>A magnet attracts iron.</p><script>x = 1</script>")
    return folder


@pytest.fixture
def stranger(hub, tmp_path):
    """Runs Python as somebody with a token that only reads and nothing of ours around; returns what it prints."""

    def go(*arguments):
        kept = {key: value for key, value in os.environ.items() if not key.startswith("HF_")}
        given = {"HF_ENDPOINT": hub.endpoint, "HF_TOKEN": READ, "HF_HOME": str(tmp_path / "hf")}
        line = [sys.executable, *arguments]
        done = subprocess.run(line, env=kept | given, capture_output=True, text=True, check=False, timeout=200)
        assert done.returncode == 0, done.stderr[-2000:]
        return done.stdout

    return go


def test_built_changed_and_published(index, documents, stranger, tmp_path):
    code, built, _ = index("--knowledge", documents, "--push")
    assert code == 0
    assert (built["passages"], built["embedded"], built["published"]["tag"]) == (3, 3, "v1")
    assert built["published"]["changed"]

    _, again, _ = index("--push")
    assert (again["published"]["tag"], again["published"]["changed"]) == ("v1", False)

    (tmp_path / "news.md").write_text("Whales sing.")
    (documents / "salt.md").write_text("Salt draws water out of food.")
    _, changed, _ = index(
        "--add", tmp_path / "news.md", "--add", documents / "salt.md", "--remove", "animals.txt", "--push", "-m", "new"
    )
    assert (changed["passages"], changed["embedded"], changed["published"]["tag"]) == (3, 2, "v2")

    script = (
        "import json, sys; from datasets import load_dataset\n"
        "rows = [load_dataset(sys.argv[1], revision=r, split='train', cache_dir=sys.argv[2]) for r in ('v1', 'v2')]\n"
        "print(json.dumps([{x['id']: [x['text'], x['source'], len(x['embedding'])] for x in r} for r in rows]))"
    )
    printed = stranger("-c", script, changed["published"]["repo_id"], str(tmp_path / "datasets"))
    first, second = json.loads(printed)
    assert set(first) == {"salt.md#1", "animals.txt#1", "iron.html#1"}
    assert second["salt.md#1"] == ["Salt draws water out of food.", "salt.md, line 1", 384]
    assert set(second) == {"salt.md#1", "news.md#1", "iron.html#1"}


def test_a_run_takes_the_published_vectors(index, context, settings, hub, monkeypatch):
    """The run's passages are those of the corpus itself, and its embedder never meets the corpus."""
    from solo_hub import pipeline
    from solo_hub.knowledge.embedding import SentenceTransformerEmbedder

    monkeypatch.setenv("TQDM_DISABLE", "1")
    _, done, _ = index("--knowledge", "solo-hub/invented-world-corpus", "--push", "--name", "world-base")
    asked = []
    embed = SentenceTransformerEmbedder.embed

    def counted(self, texts, progress=None):
        asked.extend(texts)
        return embed(self, texts, progress)

    plain = context(settings)
    expected = pipeline.find_passages(plain, pipeline.load_questions(plain))
    monkeypatch.setattr(SentenceTransformerEmbedder, "embed", counted)
    settings["knowledge"]["source"] = f"{done['published']['repo_id']}@v1"
    with_base = context(settings, index.folder.parent / "other-run")
    questions = pipeline.load_questions(with_base)
    found = pipeline.find_passages(with_base, questions)
    assert [[p.id for p in r.passages] for r in found] == [[p.id for p in r.passages] for r in expected]
    assert set(asked) <= {question.text for question in questions}


def test_the_cards_code_finds_a_passage(index, documents, hub, stranger, tmp_path):
    _, done, _ = index("--knowledge", documents, "--push")
    from huggingface_hub import HfApi

    api = HfApi(hub.endpoint, token=READ)
    card = api.hf_hub_download(
        done["published"]["repo_id"], "README.md", repo_type="dataset", local_dir=tmp_path / "card"
    )
    text = Path(card).read_text("utf-8")
    code = re.search(r"```python\n(.*?)```", text, re.DOTALL)[1]
    code = re.sub(
        r"question = embedder.encode\(.*?, norm", "question = embedder.encode('What attracts iron?', norm", code
    )
    assert "A magnet attracts iron." in stranger("-W", "ignore", "-c", code).splitlines()[0]
    assert str(documents) not in text  # a folder of the publisher's machine is nobody's business
    assert "states no licence" in text.split("## Licence")[1]


def test_what_cannot_be_done_is_said(index, documents, tmp_path):
    assert index()[0] == 2
    code, _, said = index("--remove", "x")
    assert code == 1
    assert "no knowledge base" in said
    index("--knowledge", documents)
    for arguments, word in (
        (["--remove", "x"], "no passage or file 'x'"),
        (["--add", tmp_path / "missing.md"], "missing.md"),
        (["--remove", "salt.md", "--remove", "animals.txt", "--remove", "iron.html"], "nothing would be left"),
    ):
        code, _, said = index(*arguments)
        assert code == 1
        assert word in said
    assert run(["index", "--push"]) == 2


def test_rows_without_ids_do_not_replace_those_of_another_file(index, tmp_path):
    """Each is called by its row's number; the same file is read again, and another is refused."""
    one, other = tmp_path / "one.csv", tmp_path / "other.csv"
    one.write_text("text\nBees carry pollen.\nOwls hunt at night.\n")
    other.write_text("text\nSalt melts ice.\n")
    assert index("--knowledge", one)[1]["passages"] == 2
    code, _, said = index("--add", other)
    assert code == 1
    assert "other.csv: duplicate id '1': without ids of their own, rows are called by their numbers" in " ".join(
        said.split()
    )
    one.write_text("text\nBees carry pollen.\nOwls hunt at noon.\n")
    code, built, _ = index("--add", one)
    assert (code, built["passages"], built["embedded"]) == (0, 2, 1)


def test_a_document_that_cannot_be_used_stops_or_is_left_out(index, documents, tmp_path):
    (documents / "latin.txt").write_bytes(b"B\xe4r")
    code, _, said = index("--knowledge", documents)
    assert (code, "latin.txt: is not UTF-8 text" in said) == (1, True)
    leave_out = ("--set", "task.unusable_rows=leave_out")
    code, built, said = index("--knowledge", documents, *leave_out)
    assert (code, built["passages"]) == (0, 3)
    assert {name: built["read"][name] for name in ("documents", "rows", "chunks")} == {
        "documents": 3,
        "rows": 0,
        "chunks": 3,
    }
    assert [row["reason"][:17] for row in built["read"]["left_out"]] == ["is not UTF-8 text"]
    assert re.search(r"1 document left out: \S*latin\.txt: is not UTF-8 text", said)
    (tmp_path / "more.txt").write_bytes(b"\xe4")
    code, _, said = index("--add", tmp_path / "more.txt")
    assert (code, "more.txt: is not UTF-8 text" in said) == (1, True)


def test_a_repo_with_something_else_is_left_alone(index, documents):
    code, _, said = index("--knowledge", documents, "--push", "--namespace", "solo-hub", "--name", "invented-world")
    assert code == 1
    assert "contains something that solo-hub did not publish" in said


def test_a_secret_in_a_document_is_not_published(index, documents):
    (documents / "keys.md").write_text("The key is hf_" + "a1B2" * 9 + " as always.")
    code, _, said = index("--knowledge", documents, "--push")
    assert code == 1
    assert "looks like a secret" in said
