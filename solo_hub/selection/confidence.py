"""Confidence: keep the labels with the highest teacher confidence, by a share or a threshold.

    keep_i = [c_i >= threshold]    or    c_i among the `share` highest,    c_i = max_y p_T(y|x_i)

The plain filter of pseudo-labelling (Lee 2013; the fixed threshold of FixMatch, arXiv 2001.07685).
"""

from __future__ import annotations

from typing import Self

import numpy as np
from pydantic import Field, model_validator

from solo_hub.core.records import PseudoLabel
from solo_hub.selection.measures import Array, Mask
from solo_hub.selection.options import JudgesConfidence, ShareOrCount
from solo_hub.selection.verdicts import ByConfidence, confidences, rank


class ConfidenceOptions(ShareOrCount, JudgesConfidence):
    """Options of `confidence`."""

    threshold: float | None = Field(None, ge=0, le=1, description="Minimum confidence to keep, 0..1.")

    @model_validator(mode="after")
    def _not_both(self) -> Self:
        if self.threshold is not None and {"share", "count"} & self.model_fields_set:
            raise ValueError("set either `threshold`, or `share` or `count`")
        return self


class Confidence(ByConfidence[ConfidenceOptions]):
    """Keeps the labels with the highest teacher confidence.

    Args:
        options: `share` (default 0.5), `count` or `threshold`; `without_confidence`.
        seed: Not used; ties are broken by the order of the labels.

    Raises:
        ConfigError: An unknown option or a bad value.
    """

    name = "confidence"
    options_model = ConfidenceOptions

    def _decide(self, labels: list[PseudoLabel]) -> tuple[Mask, list[str], Array]:
        scores = confidences(labels)
        total, threshold = len(labels), self.options.threshold
        if threshold is not None:
            keep = scores >= threshold
            words = [
                f"confidence {c:.3f} {'reaches' if k else 'is below'} {threshold:g}" for c, k in _pairs(scores, keep)
            ]
        else:
            keep, cut = rank(self.options.of(total), scores)
            place = f"the {int(keep.sum())} most confident of {total} (from {cut:.3f})"
            words = [f"confidence {c:.3f} is {'' if k else 'not '}among {place}" for c, k in _pairs(scores, keep)]
        return keep, words, np.ones(total)


def _pairs(scores: Array, keep: Mask) -> zip[tuple[float, bool]]:
    return zip(scores.tolist(), keep.tolist(), strict=True)
