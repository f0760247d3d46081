"""Labels to arrays and arrays to verdicts: shared by all static selectors."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np

from solo_hub.core.errors import InputError
from solo_hub.core.records import PseudoLabel, Selection, Verdict
from solo_hub.selection.measures import Array, Mask, highest
from solo_hub.selection.options import Configured, JudgesConfidence, WithoutConfidence

J = TypeVar("J", bound=JudgesConfidence)

KEPT_UNJUDGED = "kept without a confidence to judge by (without_confidence = keep)"
DROPPED_UNJUDGED = "dropped: the teacher gave no confidence to judge by (without_confidence = drop)"


def confidences(labels: Sequence[PseudoLabel]) -> Array:
    """The teacher's confidences, `(labels,)`, NaN where a label has none."""
    return np.array([math.nan if label.confidence is None else label.confidence for label in labels], dtype=np.float64)


def require_confidence(known: Mask, rule: WithoutConfidence, method: str) -> None:
    """Stop if labels have no confidence and the options do not say how to treat them.

    Raises:
        InputError: Some do, and `rule` is `refuse`.
    """
    if rule == "refuse" and not known.all():
        raise InputError(
            f"{int((~known).sum())} of {len(known)} labels have no confidence, which '{method}' needs.",
            field="confidence",
            hint="Set selection.options.without_confidence to keep or drop, or select with `all` or `random`.",
        )


def judge(
    method: str,
    labels: Sequence[PseudoLabel],
    rule: WithoutConfidence,
    decide: Callable[[list[PseudoLabel]], tuple[Mask, Sequence[str], Array]],
) -> Selection:
    """Apply a method to the labels that have a confidence, and `without_confidence` to the others.

    Args:
        method: Name of the selector.
        labels: All labels.
        rule: How labels without confidence are treated.
        decide: Takes the n labels that have one; returns keep `(n,)`, n reasons and weights `(n,)`.

    Raises:
        InputError: There are labels without a confidence and `rule` is `refuse`.
    """
    known = ~np.isnan(confidences(labels))
    require_confidence(known, rule, method)
    keep, reasons, weights = decide([label for label, has in zip(labels, known, strict=True) if has])
    decided = iter(zip(keep.tolist(), reasons, weights.tolist(), strict=True))
    unjudged = (rule == "keep", KEPT_UNJUDGED if rule == "keep" else DROPPED_UNJUDGED, 1.0)
    verdicts = []
    for label, has in zip(labels, known, strict=True):
        kept, reason, weight = next(decided) if has else unjudged
        verdicts.append(Verdict(label.question_id, kept, reason, label.confidence, None, weight))
    return Selection(method, tuple(verdicts))


def rank(count: int, scores: Array) -> tuple[Mask, float]:
    """Mark the `count` highest scores; also returns the lowest score kept (NaN if none)."""
    keep = highest(scores, count)
    return keep, float(scores[keep].min()) if keep.any() else math.nan


class ByConfidence(Configured[J]):
    """A static selector that uses the teacher's confidence; a method adds `_decide`."""

    def select(self, labels: Sequence[PseudoLabel]) -> Selection:
        """Select labels.

        Raises:
            InputError: Labels have no confidence and `without_confidence` is `refuse`.
        """
        return judge(self.name, labels, self.options.without_confidence, self._decide)

    @abstractmethod
    def _decide(self, labels: list[PseudoLabel]) -> tuple[Mask, Sequence[str], Array]:
        """Decide on the n labels that have a confidence: keep `(n,)`, n reasons, weights `(n,)`."""
