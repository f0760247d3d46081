"""UNIXKD: keep the fixed share of each batch of which the student is most uncertain.

    keep_i = [u_i is among the `share` highest of the batch],    u_i = normalised entropy of p_S(.|x_i)

Xu et al. 2023, "Computation-efficient knowledge distillation via uncertainty-aware mixup", arXiv 2012.09413. Only
its selection, without mixup of inputs, which does not apply to text; the share is tuned over 10, 30, 50, 70
and 90 %.
"""

from __future__ import annotations

import numpy as np
from pydantic import Field

from solo_hub.core.settings import Section
from solo_hub.selection.measures import count_of_share, highest
from solo_hub.selection.options import Configured
from solo_hub.selection.steps import Reason, StepBatch, StepDecision, Stepwise, log_of


class UnixKdOptions(Section):
    """Options of `unixkd`."""

    share: float = Field(0.5, gt=0, le=1, description="Share of each batch to keep, 0..1; at least one sample is kept.")


class UnixKd(Configured[UnixKdOptions], Stepwise):
    """Keeps the samples the student is most uncertain of; the loss is the mean over kept.

    Args:
        options: `share` (default 0.5).
        seed: Not used; ties go to the earlier sample.

    Raises:
        ConfigError: An unknown option or a bad value.
    """

    name = "unixkd"
    options_model = UnixKdOptions

    def step(self, batch: StepBatch) -> StepDecision:
        """Select from a batch.

        Raises:
            UsageError: The student's output is missing.
        """
        uncertainty = batch.uncertainty()
        keep = highest(uncertainty, count_of_share(self.options.share, len(batch)))
        lowest = float(uncertainty[keep].min()) if keep.any() else None
        reasons = tuple(Reason.MOST_UNCERTAIN if kept else Reason.LESS_UNCERTAIN for kept in keep)
        log = log_of(batch, keep, uncertainty, uncertainty_threshold=lowest)
        return StepDecision(keep, keep.astype(np.float64), reasons, max(float(keep.sum()), 1.0), log)
