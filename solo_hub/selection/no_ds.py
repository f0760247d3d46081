"""No_DS per step: train on the whole batch, with the code path of the per-step methods. Equivalent to `all`."""

from __future__ import annotations

import numpy as np

from solo_hub.core.config import NoOptions
from solo_hub.selection.options import Configured
from solo_hub.selection.steps import Reason, StepBatch, StepDecision, Stepwise, log_of


class NoDs(Configured[NoOptions], Stepwise):
    """Keeps every sample, with weight 1; the loss is the mean over the batch.

    Args:
        options: Must be empty.
        seed: Not used.

    Raises:
        ConfigError: An option was given.
    """

    name = "no_ds"
    needs_student = False
    options_model = NoOptions

    def step(self, batch: StepBatch) -> StepDecision:
        """Keep the batch."""
        keep = np.ones(len(batch), dtype=np.bool_)
        reasons = (Reason.EVERYTHING,) * len(batch)
        return StepDecision(keep, np.ones(len(batch)), reasons, max(float(len(batch)), 1.0), log_of(batch, keep, None))
