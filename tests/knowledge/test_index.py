import json
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from letters import FACTS, LetterEmbedder, corpus

from solo_hub.core.errors import InputError, RunError
from solo_hub.core.records import Document
from solo_hub.knowledge import building
from solo_hub.knowledge.index import KnowledgeIndex


def test_built_index_opens_with_the_same_content(index, embedder):
    opened = KnowledgeIndex.open(index.folder)
    assert list(opened.documents) == corpus()
    assert opened.vectors.shape == (len(FACTS), 26)
    assert opened.vectors.dtype == np.float16
    np.testing.assert_allclose(opened.vectors, embedder.embed(FACTS), atol=1e-3)
    assert opened.manifest.documents == len(FACTS)
    assert opened.manifest.embedder == "letters@1"


def test_documents_are_a_sequence(index):
    assert index.documents[-1] == corpus()[-1]
    assert index.documents[1:3] == corpus()[1:3]
    with pytest.raises(IndexError):
        index.documents[len(FACTS)]


def test_unchanged_corpus_is_opened_not_built(index, embedder):
    before = index.manifest.generation
    asked = len(embedder.asked)
    again = KnowledgeIndex.build(corpus(), embedder, index.folder)
    assert again.manifest.generation == before
    assert len(embedder.asked) == asked


def test_adding_embeds_only_what_is_new(index, embedder):
    embedder.asked.clear()
    changed = [Document("d1", "Salt melts ice.") if d.id == "d1" else d for d in index.documents]
    grown = KnowledgeIndex.build([*changed, Document("new", "Owls hunt at night.")], embedder, index.folder)
    assert embedder.asked == ["Salt melts ice.", "Owls hunt at night."]
    assert grown.manifest.embedded == 2
    assert [d.id for d in grown.documents] == [f"d{i}" for i in range(len(FACTS))] + ["new"]
    assert grown.documents[1].text == "Salt melts ice."
    np.testing.assert_allclose(grown.vectors, embedder.embed([d.text for d in grown.documents]), atol=1e-3)


def test_removing_embeds_nothing(index, embedder):
    embedder.asked.clear()
    less = index.remove(["d0", "d3"])
    assert embedder.asked == []
    assert [d.id for d in less.documents] == ["d1", "d2", "d4", "d5", "d6", "d7"]
    np.testing.assert_array_equal(less.vectors, np.delete(index.vectors, [0, 3], axis=0))
    assert less.lexicon.document_count == 6


def test_another_embedder_starts_anew_and_is_refused_for_search(index):
    other = LetterEmbedder("letters@2")
    with pytest.raises(RunError, match=r"was built with 'letters@1', not 'letters@2'"):
        index.check_embedder(other)
    assert KnowledgeIndex.build(corpus(), other, index.folder).manifest.embedded == len(FACTS)


def test_only_one_generation_is_left(index, embedder):
    KnowledgeIndex.build([*index.documents, Document("new", "Owls hunt.")], embedder, index.folder)
    assert len(list(index.folder.glob("index-*"))) == 1
    assert not list(index.folder.glob("building-*"))


def test_build_empty(tmp_path, embedder):
    with pytest.raises(InputError, match="no documents"):
        KnowledgeIndex.build([], embedder, tmp_path / "index")
    assert not list((tmp_path / "index").glob("building-*"))
    with pytest.raises(RunError, match="no index"):
        KnowledgeIndex.open(tmp_path / "index")


def test_failed_build_is_resumed_and_the_old_index_stays(index, monkeypatch):
    monkeypatch.setattr(building, "BATCH", 2)

    class Failing(LetterEmbedder):
        def embed(self, texts, progress=None):
            if "fact 5" in texts:
                raise MemoryError
            return super().embed(texts)

    facts = [Document(str(i), f"fact {i}") for i in range(8)]
    with pytest.raises(MemoryError):
        KnowledgeIndex.build(facts, Failing(), index.folder)
    assert list(KnowledgeIndex.open(index.folder).documents) == corpus()

    embedder = LetterEmbedder()
    done = KnowledgeIndex.build(facts, embedder, index.folder)
    assert embedder.asked == ["fact 4", "fact 5", "fact 6", "fact 7"]
    assert list(done.documents) == facts


def test_killed_build_is_resumed(tmp_path):
    """Killed without warning: what was finished is not embedded again, a torn tail is not believed."""
    script = textwrap.dedent(
        f"""
        import os, sys
        from pathlib import Path
        sys.path.insert(0, {str(__file__).rsplit("/", 1)[0]!r})
        from letters import LetterEmbedder
        from solo_hub.knowledge import building, index
        from solo_hub.core.records import Document
        building.BATCH = 3
        class Killed(LetterEmbedder):
            def embed(self, texts, progress=None):
                if "fact 7" in texts:
                    unfinished = next(Path({str(tmp_path)!r}).glob("building-*"))
                    for name in ("documents.jsonl", "vectors.f16"):
                        with (unfinished / name).open("ab") as file:
                            file.write(b"torn")
                    os._exit(9)
                return super().embed(texts)
        facts = [Document(str(i), f"fact {{i}}") for i in range(12)]
        index.KnowledgeIndex.build(facts, Killed(), Path({str(tmp_path)!r}))
        """
    )
    assert subprocess.run([sys.executable, "-c", script], check=False, timeout=120).returncode == 9
    embedder = LetterEmbedder()
    facts = [Document(str(i), f"fact {i}") for i in range(12)]
    done = KnowledgeIndex.build(facts, embedder, tmp_path)
    assert embedder.asked == [f"fact {i}" for i in range(6, 12)]
    assert list(done.documents) == facts
    np.testing.assert_allclose(done.vectors, embedder.embed([d.text for d in facts]), atol=1e-3)


@pytest.mark.parametrize(
    ("manifest", "said"),
    [
        ("{", "cannot be read"),
        ('{"format_version": 99}', "has format 99, not 1"),
        ("[]", "has format None"),
        ('{"format_version": 1}', "not an index's manifest"),
    ],
)
def test_broken_manifest(index, manifest, said):
    (index.folder / "manifest.json").write_text(manifest)
    with pytest.raises(RunError, match=said):
        KnowledgeIndex.open(index.folder)


def test_cut_file_is_noticed(index):
    vectors = index.folder / index.manifest.generation / "vectors.f16"
    vectors.write_bytes(vectors.read_bytes()[:-1])
    with pytest.raises(RunError, match="cut short"):
        KnowledgeIndex.open(index.folder)


def test_manifest_names_what_it_holds(index):
    values = json.loads((index.folder / "manifest.json").read_text())
    assert values["documents"] == len(FACTS)
    assert len(values["text_hash"]) == 64


LETTERS = "ab é水"
TEXTS = st.lists(st.text(LETTERS, min_size=1, max_size=8).map(lambda t: f"a{t}"), min_size=1, max_size=6)


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(first=TEXTS, second=TEXTS)
def test_rebuilding_equals_building(tmp_path_factory, first, second):
    """Whatever stood there before, the index holds what was asked for; known texts are not embedded again."""
    folder = tmp_path_factory.mktemp("index")
    KnowledgeIndex.build(corpus(first), LetterEmbedder(), folder)
    embedder = LetterEmbedder()
    rebuilt = KnowledgeIndex.build(corpus(second), embedder, folder)
    assert list(rebuilt.documents) == corpus(second)
    assert set(embedder.asked) == set(second) - set(first)
    np.testing.assert_allclose(rebuilt.vectors, LetterEmbedder().embed(second), atol=1e-3)


def test_search_is_exact(index, embedder):
    queries = embedder.embed(["iron", "water vapor", "xyz"])
    rows, scores = index.search(queries, 3)
    expected = queries @ np.asarray(index.vectors, dtype=np.float32).T
    np.testing.assert_array_equal(rows, np.argsort(-expected, axis=1, kind="stable")[:, :3])
    np.testing.assert_allclose(scores, np.sort(expected, axis=1)[:, ::-1][:, :3], rtol=1e-6)


def test_search_empty(index, embedder):
    rows, scores = index.search(embedder.embed([]), 3)
    assert rows.shape == scores.shape == (0, 3)
    assert index.search(embedder.embed(["iron"]), 0)[0].shape == (1, 0)
    assert index.search(embedder.embed(["iron"]), 99)[0].shape == (1, len(FACTS))


def test_what_another_index_embedded_is_copied(index, tmp_path):
    """A corpus that changed a little is another corpus: only its new texts meet the embedder."""
    embedder = LetterEmbedder()
    changed = [*corpus()[1:], Document("new", "Owls hunt at night.")]
    other = KnowledgeIndex.build(iter(changed), embedder, tmp_path / "other", reuse=[index.folder, tmp_path / "none"])
    assert embedder.asked == ["Owls hunt at night."]
    assert other.manifest.embedded == 1
    assert np.array_equal(other.vectors[0], index.vectors[1])


def test_another_embedders_vectors_are_not_copied(index, tmp_path):
    embedder = LetterEmbedder("letters@2")
    KnowledgeIndex.build(corpus(), embedder, tmp_path / "other", reuse=[index.folder])
    assert len(embedder.asked) == len(FACTS)


def test_adopted_vectors_are_kept_as_they_are(index, tmp_path):
    batches = [(corpus()[:2], index.vectors[:2]), (corpus()[2:], index.vectors[2:])]
    adopted = KnowledgeIndex.adopt(batches, "letters@1", tmp_path / "adopted")
    assert np.array_equal(adopted.vectors, index.vectors)
    assert list(adopted.documents) == corpus()
    assert adopted.manifest.embedded == 0
    assert KnowledgeIndex.finished(tmp_path / "adopted", "letters@1") is not None
    assert KnowledgeIndex.finished(tmp_path / "adopted", "letters@2") is None
    assert KnowledgeIndex.finished(tmp_path / "nothing", "letters@1") is None


def test_adopting_nothing(tmp_path):
    with pytest.raises(InputError, match="no documents"):
        KnowledgeIndex.adopt([], "letters@1", tmp_path / "adopted")
