"""Random subset: the control that every method must beat at the same count."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from solo_hub.core.records import PseudoLabel, Selection, Verdict
from solo_hub.selection.measures import Mask
from solo_hub.selection.options import Configured, ShareOrCount


def draw(total: int, count: int, seed: int, step: int = 0) -> Mask:
    """Draw `count` of `total` without replacement, each subset equally likely.

    The draw depends on (seed, step) only, so a resumed run needs no other state.

    Returns:
        `(total,)`, True where drawn.
    """
    chosen = np.zeros(total, dtype=np.bool_)
    chosen[np.random.default_rng([seed, step]).permutation(total)[:count]] = True
    return chosen


class AtRandom(Configured[ShareOrCount]):
    """Keeps a random share (or number) of the labels.

    Args:
        options: `share` (default 0.5) or `count`.
        seed: Seed of the draw.

    Raises:
        ConfigError: An unknown option or a bad value.
    """

    name = "random"
    options_model = ShareOrCount

    def select(self, labels: Sequence[PseudoLabel]) -> Selection:
        """Draw the labels to keep."""
        total = len(labels)
        count = self.options.of(total)
        reasons = {
            True: f"drawn at random: {count} of {total} are kept",
            False: f"not drawn: {count} of {total} are kept at random",
        }
        drawn = draw(total, count, self.seed).tolist()
        return Selection(
            self.name,
            tuple(
                Verdict(label.question_id, kept, reasons[kept], label.confidence)
                for label, kept in zip(labels, drawn, strict=True)
            ),
        )
