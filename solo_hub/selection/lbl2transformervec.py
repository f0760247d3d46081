"""Lbl2TransformerVec: no training at all; a text gets the label whose words lie nearest to it.

    l_y  = unit(mean of the embeddings of y's words)
    l_y <- unit(mean of the n texts nearest to l_y)                       refinement; left out where n = 0
    y'_i = argmax_y cos(x_i, l_y),    p(y|x_i) = softmax_y(cos(x_i, l_y) / temperature)

Schopf et al. 2022, "Evaluating unsupervised text classification: zero-shot and similarity-based approaches", arXiv
2211.16285 (the refinement is that of Lbl2Vec, arXiv 2210.06023, without its removal of outliers). Embeddings are
handed in.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from solo_hub.core.errors import UsageError
from solo_hub.selection.measures import Array, Integers


def unit_rows(vectors: Array) -> Array:
    """Scale rows to length 1; a row of zeros stays."""
    values = np.asarray(vectors, dtype=np.float64)
    lengths = np.linalg.norm(values, axis=-1, keepdims=True)
    return np.asarray(values / np.where(lengths > 0, lengths, 1.0), dtype=np.float64)


def label_vectors(words: Sequence[Array]) -> Array:
    """One unit vector a label, `(C, D)`: the mean of its words' embeddings `(words, D)`.

    Raises:
        UsageError: A label has no words.
    """
    for number, vectors in enumerate(words):
        if len(vectors) == 0:
            raise UsageError(f"Label {number} has no words to embed.", hint="Give at least the label's own name.")
    return unit_rows(np.stack([unit_rows(vectors).mean(axis=0) for vectors in words]))


def refine(labels: Array, texts: Array, neighbours: int) -> Array:
    """Replace each label vector by the mean of its nearest texts.

    Args:
        labels: `(C, D)` label vectors.
        texts: `(N, D)` text embeddings.
        neighbours: n; 0, or no texts, leaves the labels as they are.

    Returns:
        `(C, D)` unit vectors.
    """
    if neighbours <= 0 or not len(texts):
        return labels
    rows = unit_rows(texts)
    nearest = np.argsort(-(unit_rows(labels) @ rows.T), axis=1, kind="stable")[:, :neighbours]
    return unit_rows(rows[nearest].mean(axis=1))


def classify(texts: Array, labels: Array, temperature: float = 0.05) -> tuple[Integers, Array]:
    """Give each text its nearest label.

    Args:
        texts: `(N, D)` text embeddings.
        labels: `(C, D)` label vectors.
        temperature: Cosines divided by it go through a softmax; it does not change the labels.

    Returns:
        Labels `(N,)` and probabilities `(N, C)`.
    """
    scores = unit_rows(texts) @ unit_rows(labels).T / temperature
    scores = np.exp(scores - scores.max(axis=1, keepdims=True))
    return scores.argmax(axis=1).astype(np.int64), scores / scores.sum(axis=1, keepdims=True)
