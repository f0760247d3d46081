"""Entropy Score: keep the fixed share of labels whose teacher distribution has the lowest entropy.

    s_i = -sum_y p_T(y|x_i) log p_T(y|x_i) / log C;    keep the `share` with the lowest s

Lang et al. 2022, "Training subset selection for weak supervision", with the entropy as the score as in the comparison
of arXiv 2411.08028; the share is tuned over 10, 30, 50, 70 and 90 %.

Free text has a confidence but no distribution over options; its score is 1 - c, which gives the same order for two
outcomes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from solo_hub.core.records import PseudoLabel
from solo_hub.selection.measures import Array, Mask, normalised_entropy
from solo_hub.selection.options import JudgesConfidence, ShareOrCount
from solo_hub.selection.verdicts import ByConfidence, rank


class EntropyScoreOptions(ShareOrCount, JudgesConfidence):
    """Options of `entropy_score`."""


def teacher_entropies(labels: Sequence[PseudoLabel]) -> Array:
    """Entropy score of each label, 0..1; labels need probabilities or a confidence.

    Returns:
        `(labels,)`.
    """
    scores = []
    for label in labels:
        if label.probabilities is not None:
            scores.append(float(normalised_entropy(np.asarray(label.probabilities)[None])[0]))
        else:
            scores.append(1.0 - (label.confidence or 0.0))
    return np.array(scores, dtype=np.float64)


class EntropyScore(ByConfidence[EntropyScoreOptions]):
    """Keeps the labels with the lowest teacher entropy.

    Args:
        options: `share` (default 0.5) or `count`; `without_confidence`.
        seed: Not used; ties are broken by the order of the labels.

    Raises:
        ConfigError: An unknown option or a bad value.
    """

    name = "entropy_score"
    options_model = EntropyScoreOptions

    def _decide(self, labels: list[PseudoLabel]) -> tuple[Mask, list[str], Array]:
        scores = teacher_entropies(labels)
        total = len(labels)
        keep, cut = rank(self.options.of(total), -scores)
        place = f"the {int(keep.sum())} lowest of {total} (up to {-cut:.3f})"
        reasons = [
            f"teacher entropy {score:.3f} is {'' if kept else 'not '}among {place}"
            for score, kept in zip(scores.tolist(), keep.tolist(), strict=True)
        ]
        return keep, reasons, np.ones(total)
