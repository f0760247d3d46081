"""Option accuracy: the share of questions whose chosen option is the right one."""

from collections.abc import Sequence
from typing import Any

import datasets
import evaluate
import numpy as np
import numpy.typing as npt

_DESCRIPTION = """Share of questions whose chosen option (an index) is the right one. A prediction of -1 means that the
answer named no option; it counts as wrong and is reported as `unparsed`."""

_INPUTS = """
Args:
    predictions: Chosen option of each question, an index from 0; -1 where the answer named none.
    references: Right option of each question.
    per_item: Return one number a question instead of the mean.

Returns:
    accuracy: 0..1.
    unparsed: Share of predictions that were -1, 0..1.

Example:
    >>> OptionAccuracy().compute(predictions=[2, 0, -1, 1], references=[2, 1, 0, 1])
    {'accuracy': 0.5, 'unparsed': 0.25}
"""


def score_items(predictions: Sequence[int], references: Sequence[int]) -> dict[str, npt.NDArray[np.float64]]:
    """Score each question.

    Args:
        predictions: Chosen options, -1 for none.
        references: Right options.

    Returns:
        `accuracy` and `unparsed`, each `(questions,)` of 0.0 and 1.0.

    Raises:
        ValueError: Lists of different length.
    """
    chosen, right = np.asarray(predictions, dtype=np.int64), np.asarray(references, dtype=np.int64)
    if chosen.shape != right.shape:
        raise ValueError(f"predictions and references must be aligned, got {chosen.shape} and {right.shape}")
    return {
        "accuracy": ((chosen == right) & (chosen >= 0)).astype(np.float64),
        "unparsed": (chosen < 0).astype(np.float64),
    }


class OptionAccuracy(evaluate.Metric):
    """The metric as an `evaluate` module."""

    def _info(self) -> evaluate.MetricInfo:
        features = datasets.Features({"predictions": datasets.Value("int64"), "references": datasets.Value("int64")})
        return evaluate.MetricInfo(description=_DESCRIPTION, citation="", inputs_description=_INPUTS, features=features)

    def _compute(
        self,
        predictions: Sequence[int],
        references: Sequence[int],
        per_item: bool = False,  # noqa: FBT001, FBT002 - `evaluate` hands arguments on by name
    ) -> dict[str, Any]:
        scores = score_items(predictions, references)
        return {name: values.tolist() if per_item else float(values.mean()) for name, values in scores.items()}
