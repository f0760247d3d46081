"""Exact match and token F1 of written answers."""

import collections
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from solo_hub.evaluation.metrics import module
from solo_hub.evaluation.tokenization import tokens
from solo_hub.models.options import normalise

_DESCRIPTION = """Exact match: whether the answer equals the reference once case, Unicode form, blanks and the
punctuation around them are folded. Token F1: overlap of their tokens, F1 = 2 * overlap / (tokens of the answer +
tokens of the reference), counted with multiplicity, as in SQuAD (Rajpurkar et al., EMNLP 2016) but without dropping
English articles, and with tokens that exist in every script."""

_INPUTS = """
Args:
    predictions: Answers as written.
    references: Right answers.
    per_item: Return one number an item instead of the mean.

Returns:
    exact_match: 0..1.
    token_f1: 0..1.

Example:
    >>> ExactMatch().compute(predictions=["The sun."], references=["the sun"])
    {'exact_match': 1.0, 'token_f1': 1.0}
"""


def _f1(prediction: str, reference: str) -> float:
    if prediction == reference:
        return 1.0
    written, wanted = tokens(prediction), tokens(reference)
    if set(written).isdisjoint(wanted):
        return 0.0
    overlap = sum((collections.Counter(written) & collections.Counter(wanted)).values())
    return 2 * overlap / (len(written) + len(wanted))


def score_items(predictions: Sequence[str], references: Sequence[str]) -> dict[str, npt.NDArray[np.float64]]:
    """Score each answer.

    Args:
        predictions: Answers as written.
        references: Right answers.

    Returns:
        `exact_match` and `token_f1`, each `(items,)`, 0..1.

    Raises:
        ValueError: Lists of different length.
    """
    pairs = list(zip(predictions, references, strict=True))
    return {
        "exact_match": np.array([float(p == r or normalise(p) == normalise(r)) for p, r in pairs]),
        "token_f1": np.array([_f1(p, r) for p, r in pairs]),
    }


class ExactMatch(module.Module):
    """The metric as an `evaluate` module."""

    description, inputs = _DESCRIPTION, _INPUTS
    score = staticmethod(score_items)
