"""From any source to an index: documents, rows, a published knowledge base, an index of one's own."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from letters import FACTS, LetterEmbedder, corpus
from tei_server import COMMIT, MODEL, TeiServer

from solo_hub.core.config import Config
from solo_hub.core.console import Console
from solo_hub.core.errors import ConfigError, InputError, ModelError, RunError
from solo_hub.core.redaction import scrub
from solo_hub.core.settings import KnowledgeSettings
from solo_hub.knowledge import reading
from solo_hub.knowledge import source as knowledge_base
from solo_hub.knowledge.index import KnowledgeIndex
from solo_hub.knowledge.published import Description, published_rows, write_published
from solo_hub.run import references


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("SOLO_HUB_HOME", str(tmp_path / "home"))


def opened(source, embedder, name=None, *, own=True, **settings):
    name = name or f"{source.name}@sha256:{references.sha256(source)}"
    made = knowledge_base.Source(source, KnowledgeSettings(**settings), str(source), own)
    return knowledge_base.open_index(made, name, embedder, Console("quiet"))


def texts(index):
    return [document.text for document in index.documents]


def rows_file(path, facts):
    path.write_text("".join(json.dumps({"id": str(n), "text": fact}) + "\n" for n, fact in enumerate(facts)))
    return path


def test_a_folder_of_documents_is_read_and_chunked(tmp_path, embedder):
    folder = tmp_path / "docs"
    (folder / "more").mkdir(parents=True)
    (folder / "notes.md").write_text("# Salt\n\nSalt draws water out.\n")
    (folder / "more" / "page.html").write_text("<p>Bees carry pollen.</p><script>no()</script>")
    index = opened(folder, embedder)
    assert {(d.id, d.source) for d in index.documents} == {
        ("more/page.html#1", "more/page.html, line 1"),
        ("notes.md#1", "notes.md, lines 1-3"),
    }
    assert not any("no()" in text for text in texts(index))


def test_one_document_is_read_whole_and_rows_are_taken_as_they_are(tmp_path, embedder):
    document = tmp_path / "notes.md"
    document.write_text("Salt draws water out. Bees carry pollen.")
    assert texts(opened(document, embedder)) == ["Salt draws water out. Bees carry pollen."]
    assert texts(opened(rows_file(tmp_path / "rows.jsonl", FACTS), embedder)) == list(FACTS)


def test_a_folder_without_text(tmp_path, embedder):
    folder = tmp_path / "empty"
    folder.mkdir()
    with pytest.raises(InputError, match="no text"):
        opened(folder, embedder)


def test_a_snapshot_with_a_readme_is_rows(tmp_path, embedder):
    """The card of a dataset repo is not one of its documents."""
    folder = tmp_path / "snapshot"
    folder.mkdir()
    (folder / "README.md").write_text("About salt.")
    rows_file(folder / "train.jsonl", FACTS[:2])
    assert texts(opened(folder, embedder, "me/corpus@abc", own=False)) == list(FACTS[:2])


def test_a_text_file_is_prose_wherever_it_lies(tmp_path, embedder):
    """Alone, in a folder, and in a dataset repo without rows, whose card and licence are no documents."""
    text = "Salt draws\nwater out. Bees\ncarry pollen.\n"
    for folder in ("docs", "snapshot"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "notes.txt").write_text(text)
    (tmp_path / "snapshot" / "README.md").write_text("About salt.")
    said = ["Salt draws water out. Bees carry pollen."]
    assert texts(opened(tmp_path / "docs" / "notes.txt", embedder)) == said
    assert texts(opened(tmp_path / "docs", embedder)) == said
    assert texts(opened(tmp_path / "snapshot", embedder, "me/notes@abc", own=False)) == said


def test_rows_that_cannot_be_used_are_left_out_and_told(tmp_path, embedder):
    path = tmp_path / "rows.jsonl"
    path.write_text('{"text": "Salt."}\n{"text": ""}\n{"text"\n{"text": "Bees."}\n{"id": "1", "text": "Twice."}\n')
    source = knowledge_base.Source(path, KnowledgeSettings(), str(path), own=True, unusable_rows="leave_out")
    index = knowledge_base.open_index(source, "rows@1", embedder, Console("quiet"))
    assert texts(index) == ["Salt.", "Bees."]
    summary = knowledge_base.read_summary(index.folder)
    assert (str(summary), [item.row for item in summary.left_out]) == ("2 rows", [2, 3, 5])
    strict = knowledge_base.Source(path, KnowledgeSettings(), str(path), own=True)
    with pytest.raises(InputError, match="row 2"):
        knowledge_base.open_index(strict, "rows@1", embedder, Console("quiet"))


def test_the_same_source_is_opened_not_built(tmp_path, embedder):
    file = rows_file(tmp_path / "rows.jsonl", FACTS)
    opened(file, embedder)
    asked = len(embedder.asked)
    assert opened(file, embedder).manifest.documents == len(FACTS)
    assert len(embedder.asked) == asked


def test_a_source_that_grew_embeds_its_new_texts(tmp_path):
    file = rows_file(tmp_path / "rows.jsonl", FACTS)
    opened(file, LetterEmbedder())
    embedder = LetterEmbedder()
    rows_file(file, [*FACTS, "Owls hunt at night."])
    assert opened(file, embedder).manifest.documents == len(FACTS) + 1
    assert embedder.asked == ["Owls hunt at night."]


def test_other_chunks_are_another_index(tmp_path, embedder):
    document = tmp_path / "notes.md"
    document.write_text(" ".join(f"This is sentence number {n} of the notes." for n in range(40)))
    assert len(opened(document, embedder, chunk_tokens=30, chunk_overlap=0).documents) > len(
        opened(document, embedder, chunk_tokens=200, chunk_overlap=0).documents
    )


READ = {3: "4c090fd7754aa843", 4: "4c090fd7754aa843", 5: "4c090fd7754aa843"}
"""Version of the readers -> hash of what they make of the files below."""


def test_other_readers_are_another_index(tmp_path, embedder, monkeypatch):
    """An index outlives the version that made it: readers that give other passages must not find it.

    Where this fails, what is read of these files has changed: raise `reading.VERSION`, and add the hash here.
    """
    folder = tmp_path / "docs"
    folder.mkdir()
    sentences = " ".join(f"This is sentence number {n} of the notes." for n in range(40))
    (folder / "notes.md").write_text(f"# Salt\n\n{sentences}\n\n- one\n- two\n")
    (folder / "page.html").write_text("<html><body><h1>Bees</h1><p>Bees carry <b>pollen</b>.<p>Far.</body></html>")
    (folder / "plain.txt").write_text("First.\n\nSecond.\n")
    rows_file(folder / "rows.jsonl", FACTS[:2])
    made = opened(folder, embedder, chunk_tokens=30, chunk_overlap=10)
    told = json.dumps([[d.id, d.text, d.source] for d in made.documents])
    assert hashlib.sha256(told.encode()).hexdigest()[:16] == READ[reading.VERSION]
    source = knowledge_base.Source(folder, KnowledgeSettings(), "docs", own=True)
    before = knowledge_base.index_folder("docs", source, "letters@1")
    monkeypatch.setattr(reading, "VERSION", 0)
    assert knowledge_base.index_folder("docs", source, "letters@1") != before


def test_an_index_of_ones_own_is_opened_where_it_lies(tmp_path, index, embedder):
    assert opened(index.folder, embedder).folder == index.folder
    with pytest.raises(RunError, match="was built with"):
        opened(index.folder, LetterEmbedder("letters@2"))


# -- published -------------------------------------------------------------------------------------


@pytest.fixture
def snapshot(tmp_path, index):
    folder = tmp_path / "snapshot"
    write_published(index, folder, Description("", 0, 0, ""))
    return folder


def test_published_vectors_are_taken_over(snapshot, index):
    embedder = LetterEmbedder()
    taken = opened(snapshot, embedder, "me/base@abc", own=False)
    assert embedder.asked == []
    assert np.array_equal(taken.vectors, index.vectors)
    assert list(taken.documents) == corpus()


def test_another_embedder_embeds_published_texts_anew(snapshot):
    embedder = LetterEmbedder("letters@2")
    assert texts(opened(snapshot, embedder, "me/base@abc", own=False)) == list(FACTS)
    assert embedder.asked == list(FACTS)


def test_the_same_index_gives_the_same_bytes(snapshot, tmp_path, index):
    write_published(index, tmp_path / "again", Description("", 0, 0, ""))
    for path in snapshot.rglob("*.*"):
        assert path.read_bytes() == (tmp_path / "again" / path.relative_to(snapshot)).read_bytes()


def test_the_manifest_tells_what_is_there(snapshot, index):
    description = Description.read(snapshot)
    assert (description.embedder, description.dimension, description.documents) == ("letters@1", 26, len(FACTS))
    assert description.text_hash == index.manifest.text_hash
    words = pq.read_table(snapshot / "index" / "words.parquet").to_pylist()
    assert len(words) == description.words
    water = next(row for row in words if row["word"] == "water")
    assert sorted(water["documents"]) == [n for n, fact in enumerate(FACTS) if "water" in fact.lower()]
    about = json.loads(pq.read_metadata(snapshot / "index" / "words.parquet").metadata[b"analysis"])
    assert about == asdict(index.lexicon.analysis)
    assert about["language"] == "en"
    assert Description.read(snapshot / "data") is None


@pytest.mark.parametrize(
    ("vector", "said"),
    [([0.0] * 26, "not of length 1"), ([float("nan")] * 26, "not of length 1"), (None, "manifest's dimension")],
)
def test_vectors_that_cannot_be_searched_are_refused(snapshot, vector, said):
    path = next((snapshot / "data").glob("*.parquet"))
    table = pq.read_table(path)
    rows = table.to_pylist()
    rows[3]["embedding"] = vector
    pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), path)
    with pytest.raises(InputError, match=said):
        list(published_rows(snapshot, Description.read(snapshot)))


def test_a_dimension_the_manifest_does_not_tell(snapshot):
    manifest = json.loads((snapshot / "manifest.json").read_text())
    (snapshot / "manifest.json").write_text(json.dumps({**manifest, "dimension": 13}))
    with pytest.raises(InputError, match="manifest's dimension 13"):
        list(published_rows(snapshot, Description.read(snapshot)))


@pytest.mark.parametrize("change", [{"format_version": 2}, {"colour": "red"}])
def test_manifests_that_are_refused(snapshot, change):
    manifest = json.loads((snapshot / "manifest.json").read_text())
    (snapshot / "manifest.json").write_text(json.dumps({**manifest, **change}))
    with pytest.raises(InputError, match="manifest"):
        Description.read(snapshot)


def test_a_snapshot_without_data(tmp_path, snapshot):
    for path in (snapshot / "data").iterdir():
        path.unlink()
    with pytest.raises(InputError, match="no data files"):
        list(published_rows(snapshot, Description.read(snapshot)))


# -- behind a server -------------------------------------------------------------------------------


@pytest.fixture
def served():
    made = []

    def make(server, **options):
        given = KnowledgeSettings(embedder="tei", embedder_options={"urls": [server.url], **options})
        made.append(
            knowledge_base.make_embedder(given, lambda: pytest.fail("no model is needed here"), f"{MODEL}@{COMMIT}")
        )
        return made[-1]

    yield make
    for embedder in made:
        embedder.close()


def test_tei_gives_the_index_that_the_model_itself_gives(tmp_path, monkeypatch, served):
    file = rows_file(tmp_path / "rows.jsonl", FACTS)
    monkeypatch.setenv("OUR_TEI", "secret")
    with TeiServer(LetterEmbedder(), token="secret") as server:
        embedder = served(server, token_variable="OUR_TEI")
        index = opened(file, embedder)
        assert index.manifest.embedder == f"{MODEL}@{COMMIT}"
        asked = len(server.requests)
        again = opened(file, LetterEmbedder(f"{MODEL}@{COMMIT}"))  # in process, at the same commit: the same index
        assert again.manifest.generation == index.manifest.generation
        assert len(server.requests) == asked


def test_the_token_of_an_embedder_is_remembered_whoever_embeds(monkeypatch, served):
    monkeypatch.setenv("OUR_TEI", "tulips-of-no-known-shape")
    monkeypatch.setattr(knowledge_base, "find", lambda *_: type("Theirs", (), {
        "served": True, "__init__": lambda *_, **__: None, "close": lambda _: None,
    }))  # fmt: skip
    with TeiServer(LetterEmbedder()) as server:
        served(server, token_variable="OUR_TEI")
    assert scrub("tulips-of-no-known-shape") == "***"


def test_tei_serving_another_commit_is_refused(tmp_path, served):
    with TeiServer(LetterEmbedder(), commit="f" * 40) as server, pytest.raises(ModelError, match="not"):
        opened(rows_file(tmp_path / "rows.jsonl", FACTS), served(server))


def test_vectors_of_another_length_than_the_index_are_refused(tmp_path, served):
    class Short(LetterEmbedder):
        def embed(self, found, progress=None):
            return super().embed(found)[:, :5]

    with TeiServer(Short()) as server:
        embedder = served(server)
        KnowledgeIndex.build(corpus(), LetterEmbedder(embedder.identity), tmp_path / "own")
        opened(tmp_path / "own", embedder)
        with pytest.raises(ModelError, match="vectors of dimension 5, not 26"):
            embedder.embed(["a question"])


def test_servers_need_an_address_and_models_do_not():
    with pytest.raises(ConfigError, match="needs the URL"):
        knowledge_base.make_embedder(KnowledgeSettings(embedder="tei"), lambda: None, "m@1")
    urls = {"urls": ["http://127.0.0.1:1"]}
    with pytest.raises(ConfigError, match="runs in this process and has no options"):
        knowledge_base.make_embedder(KnowledgeSettings(embedder_options=urls), lambda: None, "m@1")


@pytest.mark.parametrize("url", ["127.0.0.1:80", "http://ann:pw@host", "http://host/?key=1", "ftp://host"])
def test_addresses_have_no_secrets_in_them(url):
    """They are written down and published."""
    with pytest.raises(ValueError, match="URL"):
        KnowledgeSettings(embedder="tei", embedder_options={"urls": ["http://127.0.0.1:1", url]})


# -- what a setting means --------------------------------------------------------------------------


def test_a_folder_is_told_by_its_files(tmp_path):
    folder = tmp_path / "docs"
    folder.mkdir()
    (folder / "a.md").write_text("one")
    config = Config.model_validate({"knowledge": {"source": str(folder)}})
    assert references.local("knowledge", config.knowledge.source, "dataset") == folder
    before = references.sha256(folder)
    (folder / ".hidden").write_text("x")
    assert references.sha256(folder) == before
    (folder / "a.md").rename(folder / "b.md")
    assert references.sha256(folder) != before
