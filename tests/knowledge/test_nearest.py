import os

import numpy as np
import pytest

from solo_hub.core.errors import RunError
from solo_hub.knowledge import index as index_module
from solo_hub.knowledge import nearest
from solo_hub.knowledge.index import KnowledgeIndex
from solo_hub.knowledge.nearest import NearestIndex
from solo_hub.knowledge.storage import take_rows

pytest.importorskip("faiss", reason="the extra 'knowledge' is not installed")
pytestmark = pytest.mark.filterwarnings("ignore:builtin type .* has no __module__ attribute:DeprecationWarning")  # SWIG


def clustered(count, dimension=16, seed=0):
    """Unit vectors around 20 centres, as texts of 20 subjects lie."""
    random = np.random.default_rng(seed)
    centres = random.normal(size=(20, dimension))
    vectors = centres[random.integers(0, 20, count)] + 0.3 * random.normal(size=(count, dimension))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float16)


def test_finds_what_exact_search_finds(tmp_path):
    vectors = clustered(4000)
    queries = clustered(50, seed=1).astype(np.float32)
    rows, scores = NearestIndex.open_or_build(tmp_path / "ann", vectors).search(queries, 10)
    exact = queries @ vectors.astype(np.float32).T
    best = np.argsort(-exact, axis=1, kind="stable")[:, :10]
    recall = np.mean([len(set(a) & set(b)) / 10 for a, b in zip(rows, best, strict=True)])
    assert recall >= 0.95
    np.testing.assert_allclose(scores, np.take_along_axis(exact, rows, axis=1), atol=1e-5)
    assert (np.diff(scores, axis=1) <= 0).all()


def test_killed_build_goes_on_after_the_last_part(tmp_path, monkeypatch):
    monkeypatch.setattr(nearest, "PART", 500)
    vectors = clustered(1800)
    whole = NearestIndex.open_or_build(tmp_path / "whole", vectors)
    done = []

    def stop_after_two_parts(count):
        done.append(count)
        if sum(done) > 1000:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        NearestIndex.open_or_build(tmp_path / "killed", vectors, progress=stop_after_two_parts)
    kept = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "killed").glob("part-*")}
    assert set(kept) == {"part-0000.faiss", "part-0001.faiss"}
    resumed = NearestIndex.open_or_build(tmp_path / "killed", vectors)
    queries = vectors[:20].astype(np.float32)
    np.testing.assert_array_equal(resumed.search(queries, 5)[0], whole.search(queries, 5)[0])
    assert not list((tmp_path / "killed").glob("part-*"))


def test_moved_folder_opens_and_stdout_stays_clean(tmp_path, capfd):
    vectors = clustered(300)
    NearestIndex.open_or_build(tmp_path / "here", vectors)
    (tmp_path / "here").rename(tmp_path / "there")
    rows, _ = NearestIndex.open_or_build(tmp_path / "there", vectors).search(vectors[:3].astype(np.float32), 1)
    assert rows[:, 0].tolist() == [0, 1, 2]
    assert capfd.readouterr().out == ""  # faiss talks from C; stdout is for data


@pytest.mark.parametrize("rows", [[], [0], [299, 0, 7, 7]])
def test_rows_are_read_from_a_mapped_file_as_they_are_from_memory(tmp_path, rows):
    vectors, rows = clustered(300), np.array(rows, dtype=np.int64)
    path = tmp_path / "vectors.f16"
    path.write_bytes(b"before" + vectors.tobytes())
    mapped = np.memmap(path, dtype=np.float16, mode="r", shape=vectors.shape, offset=6)
    for matrix in (vectors, mapped, mapped[:300]):
        found = take_rows(matrix, rows)
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, vectors[rows].astype(np.float32))


def test_a_file_that_was_cut_short_meanwhile_is_said(tmp_path):
    path = tmp_path / "vectors.f16"
    path.write_bytes(clustered(300).tobytes())
    mapped = np.memmap(path, dtype=np.float16, mode="r", shape=(300, 16))
    os.truncate(path, 100 * 32)
    with pytest.raises(RunError, match="cut short"):
        take_rows(mapped, np.array([200]))


def test_search_empty(tmp_path):
    index = NearestIndex.open_or_build(tmp_path / "ann", clustered(30))
    assert index.search(np.zeros((0, 16), dtype=np.float32), 3)[0].shape == (0, 3)
    assert index.search(clustered(2).astype(np.float32), 0)[0].shape == (2, 0)
    assert index.search(clustered(2).astype(np.float32), 99)[0].shape == (2, 30)


def test_large_indexes_search_approximately(index, embedder, monkeypatch):
    exact = index.search(embedder.embed(["iron"]), 2)
    monkeypatch.setattr(index_module, "EXACT_BELOW", 2)
    rows, scores = KnowledgeIndex.open(index.folder).search(embedder.embed(["iron"]), 2)
    np.testing.assert_array_equal(rows, exact[0])
    np.testing.assert_allclose(scores, exact[1], atol=1e-3)
    assert list(index.folder.glob("index-*/nearest/lists.faiss"))
