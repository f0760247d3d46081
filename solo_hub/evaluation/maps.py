"""Answers on a map: original and pseudo-labelled set in two dimensions.

The answers of the data and those of the teacher, each embedded with its question, laid out together. Where the two
clouds lie on each other, learning from the teacher's answers is like learning from the data's. Distances on such a
map are for looking, not for measuring: the map says by which method it was made.
"""

from __future__ import annotations

import importlib.util
import warnings
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from solo_hub.core.errors import DependencyError

Method = Literal["umap", "pca"]
NEIGHBOURS, MIN_DISTANCE = 15, 0.1  # the defaults of the authors of UMAP
FEWEST = 5  # points for which neighbours mean something

Floats = npt.NDArray[Any]


def choose(wanted: str, points: int) -> Method:
    """The method: as wanted, `auto` being UMAP where it is installed; PCA where there are too few points for UMAP.

    Raises:
        DependencyError: UMAP is wanted and not installed.
    """
    there = importlib.util.find_spec("umap") is not None
    if wanted == "umap" and not there:
        raise DependencyError("umap-learn", extra="umap", purpose="A map by UMAP")
    if wanted == "pca" or not there or points < FEWEST:
        return "pca"
    return "umap"


def lay_out(vectors: Floats, method: Method, seed: int) -> Floats:
    """Two coordinates for each vector, each axis scaled to 0..1.

    UMAP: L. McInnes, J. Healy, J. Melville, UMAP: Uniform Manifold Approximation and Projection, 2018, with cosine
    distance. PCA: the two directions of largest variance, by singular value decomposition.

    Args:
        vectors: `(points, dimension)`.
        method: `umap` or `pca`.
        seed: Seed of UMAP.

    Returns:
        `(points, 2)`.
    """
    if len(vectors) == 0:
        return np.zeros((0, 2))
    if method == "umap":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it warns that a seed costs it its threads
            import umap

            made = umap.UMAP(
                n_neighbors=min(NEIGHBOURS, len(vectors) - 1),
                min_dist=MIN_DISTANCE,
                metric="cosine",
                random_state=seed,
                n_jobs=1,
            )
            flat = np.asarray(made.fit_transform(np.asarray(vectors, dtype=np.float32)), dtype=np.float64)
    else:
        centred = np.asarray(vectors, dtype=np.float64) - np.mean(vectors, axis=0)
        _, _, directions = np.linalg.svd(centred, full_matrices=False)
        directions *= np.sign(directions[:, :1] + (directions[:, :1] == 0))  # a direction's sign is arbitrary
        flat = centred @ directions[:2].T
        flat = np.pad(flat, ((0, 0), (0, 2 - flat.shape[1])))
    low, high = flat.min(axis=0), flat.max(axis=0)
    scaled: Floats = (flat - low) / np.where(high > low, high - low, 1.0)
    return scaled
