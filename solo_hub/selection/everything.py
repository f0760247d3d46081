"""No_DS, "no data selection": train on every label. The baseline of all others (arXiv 2411.08028, table 1)."""

from __future__ import annotations

from collections.abc import Sequence

from solo_hub.core.config import NoOptions
from solo_hub.core.records import PseudoLabel, Selection, Verdict
from solo_hub.selection.options import Configured


class Everything(Configured[NoOptions]):
    """Keeps every label, with weight 1.

    Args:
        options: Must be empty.
        seed: Not used.

    Raises:
        ConfigError: An option was given.
    """

    name = "all"
    options_model = NoOptions

    def select(self, labels: Sequence[PseudoLabel]) -> Selection:
        """Keep all labels."""
        return Selection(
            self.name,
            tuple(Verdict(label.question_id, True, "every label is kept", label.confidence) for label in labels),
        )
