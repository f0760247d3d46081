"""The scores selection uses: confidence, entropy, uncertainty; and counts from shares.

Shapes: B samples, C classes or options, T tokens, V vocabulary. All results are float64 and lie in 0..1.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


def normalised_entropy(probabilities: Array, choices: Integers | None = None) -> Array:
    """Entropy of each row divided by that of the uniform distribution: 0 = certain, 1 = uniform.

        u_i = -sum_y p(y|x_i) log p(y|x_i) / log C,   0 log 0 = 0;   u_i = 0 where C = 1

    Shannon 1948; used as the student's uncertainty in LLKD (arXiv 2411.08028) and UNIXKD (arXiv 2012.09413).

    Args:
        probabilities: `(B, C)`, rows summing to 1; rows with fewer choices than C are padded with zeros.
        choices: `(B,)` number of choices of each row, if they differ; default C.
    """
    p = np.clip(np.asarray(probabilities, dtype=np.float64), 0.0, 1.0)
    entropy = -np.sum(p * np.log(np.where(p > 0, p, 1.0)), axis=-1)
    counts = np.full(p.shape[:-1], p.shape[-1]) if choices is None else np.asarray(choices)
    largest = np.log(np.maximum(counts, 2))  # with one choice the entropy is 0 anyway
    return np.asarray(np.clip(np.where(counts > 1, entropy / largest, 0.0), 0.0, 1.0), dtype=np.float64)


def count_of_share(share: float, total: int) -> int:
    """Number of items in a share of `total`: rounded half up, at least one of a non-empty total.

    At least one, because otherwise 0.1 of a batch of four would be nothing at every step.
    """
    return min(total, max(1, int(share * total + 0.5))) if total else 0


def highest(scores: Array, count: int) -> Mask:
    """Mark the `count` highest scores; ties go to the earlier one, so the result is deterministic."""
    chosen = np.zeros(len(scores), dtype=np.bool_)
    chosen[np.argsort(-scores, kind="stable")[:count]] = True
    return chosen
