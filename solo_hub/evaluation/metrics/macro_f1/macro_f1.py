"""Macro F1: F1 of every class, averaged with equal weight."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from solo_hub.evaluation.metrics import module

_DESCRIPTION = """F1 of every class, averaged with equal weight, so that a rare class counts as much as a common one.
Classes are those that occur among predictions or references; a class without any hit has F1 0. Equals
`sklearn.metrics.f1_score(average="macro", zero_division=0)`. For tasks whose options mean the same in every question
(classification); where options differ from question to question their positions mean nothing."""

_INPUTS = """
Args:
    predictions: Predicted class of each item, an index; -1 where the answer named none (counts as wrong, is no class).
    references: True class of each item.

Returns:
    macro_f1: 0..1.

Example:
    >>> MacroF1().compute(predictions=[0, 0, 1], references=[0, 1, 1])
    {'macro_f1': 0.6666666666666666}
"""


def score(
    predictions: Sequence[int] | npt.NDArray[np.int64], references: Sequence[int] | npt.NDArray[np.int64]
) -> float:
    """Macro F1 of aligned lists.

    Per class: F1 = 2 TP / (2 TP + FP + FN).

    Args:
        predictions: Predicted classes, -1 for none.
        references: True classes.

    Returns:
        0..1.

    Raises:
        ValueError: Lists of different length, or empty ones.
    """
    predicted, true = np.asarray(predictions, dtype=np.int64), np.asarray(references, dtype=np.int64)
    if predicted.shape != true.shape or not predicted.size:
        raise ValueError(
            f"predictions and references must be aligned and filled, got {predicted.shape} and {true.shape}"
        )
    classes = np.union1d(predicted[predicted >= 0], true)
    hits = ((predicted == classes[:, None]) & (true == classes[:, None])).sum(axis=1)
    named = (predicted == classes[:, None]).sum(axis=1) + (true == classes[:, None]).sum(axis=1)  # 2 TP + FP + FN
    return float((2 * hits / named).mean())


class MacroF1(module.Module):
    """The metric as an `evaluate` module."""

    description, inputs, kind = _DESCRIPTION, _INPUTS, "int64"

    @staticmethod
    def score(predictions: Sequence[int], references: Sequence[int]) -> dict[str, npt.NDArray[np.float64]]:
        """See `score`: one number for all items."""
        return {"macro_f1": np.array(score(predictions, references))}
