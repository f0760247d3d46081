from __future__ import annotations

import importlib.util

import numpy as np
import pytest

from solo_hub.core.errors import DependencyError
from solo_hub.evaluation import maps

HAS_UMAP = importlib.util.find_spec("umap") is not None


def test_pca_finds_the_direction_of_largest_variance():
    """Points along (3, 4, 0): the first coordinate orders them, the second is nothing."""
    along = np.array([0.0, 1.0, 2.0, 5.0])
    places = maps.lay_out(along[:, None] * np.array([3.0, 4.0, 0.0]), "pca", 0)
    assert places[:, 0] == pytest.approx(along / 5)
    assert places.shape == (4, 2)


def test_pca_equals_scikit_learn():
    decomposition = pytest.importorskip("sklearn.decomposition", reason="scikit-learn is not installed")
    vectors = np.random.default_rng(0).normal(size=(40, 6))
    ours, theirs = maps.lay_out(vectors, "pca", 0), decomposition.PCA(2).fit_transform(vectors)
    for axis in (0, 1):
        assert abs(np.corrcoef(ours[:, axis], theirs[:, axis])[0, 1]) == pytest.approx(1)


@pytest.mark.soak  # compiles itself for half a minute
@pytest.mark.skipif(not HAS_UMAP, reason="the extra 'umap' is not installed")
def test_umap_keeps_clouds_apart_and_is_the_same_twice():
    rng = np.random.default_rng(0)
    vectors = np.concatenate([rng.normal(size=(20, 8)) * 0.05 + np.eye(8)[axis] for axis in (0, 3)])
    places = maps.lay_out(vectors, "umap", 0)
    assert (places == maps.lay_out(vectors, "umap", 0)).all()
    inside = np.linalg.norm(places[:20] - places[:20].mean(axis=0), axis=1).mean()
    between = np.linalg.norm(places[:20].mean(axis=0) - places[20:].mean(axis=0))
    assert between > 2 * inside
    assert places.min() == 0
    assert places.max() == 1


def test_method(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert maps.choose("auto", 100) == "pca"
    with pytest.raises(DependencyError, match="umap"):
        maps.choose("umap", 100)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    assert maps.choose("auto", 100) == "umap"
    assert maps.choose("auto", 3) == maps.choose("umap", 3) == "pca"
    assert maps.choose("pca", 100) == "pca"


@pytest.mark.parametrize("count", [0, 1, 2])
def test_empty(count):
    assert maps.lay_out(np.ones((count, 4)), "pca", 0).shape == (count, 2)
