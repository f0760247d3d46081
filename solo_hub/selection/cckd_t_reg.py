"""CCKD_T+Reg: train on targets as sharp as the teacher is confident, and only on what the student does not know yet.

    target_i = c_i onehot(y'_i) + (1 - c_i) / (C - 1) elsewhere           teacher-conditioned target
    keep_i   = [p_S(y'_i|x_i) < c_i]                                      drop what the student knows as surely

Mishra & Sundaram 2021, "Confidence conditioned knowledge distillation", arXiv 2107.06993, with the pseudo-label in the
place of the true one. For option positions and free text there is no class distribution: the target is the label, the
rule is the same.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field

from solo_hub.selection.measures import Array, Integers
from solo_hub.selection.options import Configured, JudgesConfidence
from solo_hub.selection.steps import Reason, StepBatch, StepDecision, Stepwise, divisor, log_of
from solo_hub.selection.verdicts import require_confidence


class CckdTRegOptions(JudgesConfidence):
    """Options of `cckd_t_reg`."""

    target: Literal["conditioned", "label"] = Field(
        "conditioned",
        description="Training target: the teacher-conditioned distribution (fixed classes only), or the label.",
    )
    normalise: Literal["kept", "batch"] = Field("kept", description="Divisor of the sum of losses.")


def conditioned_targets(confidence: Array, labels: Integers, classes: int) -> Array:
    """Make teacher-conditioned targets.

    Args:
        confidence: `(B,)` c; NaN (unknown) puts all probability on the label.
        labels: `(B,)` class ids.
        classes: C.

    Returns:
        `(B, C)`: c on the label, the rest shared equally among the other classes; rows sum to 1.
    """
    c = np.where(np.isnan(confidence) | (classes == 1), 1.0, confidence)
    targets = np.repeat(((1 - c) / max(classes - 1, 1))[:, None], classes, axis=1)
    targets[np.arange(len(labels)), labels] = c
    return targets


class CckdTReg(Configured[CckdTRegOptions], Stepwise):
    """Drops samples that the student already knows.

    Args:
        options: See `CckdTRegOptions`.
        seed: Not used: nothing is drawn.

    Raises:
        ConfigError: An unknown option or a bad value.
    """

    name = "cckd_t_reg"
    options_model = CckdTRegOptions

    @property
    def gives_targets(self) -> bool:  # type: ignore[override]
        """Whether distributions are trained on for fixed classes."""
        return self.options.target == "conditioned"

    def step(self, batch: StepBatch) -> StepDecision:
        """Judge a batch.

        Raises:
            UsageError: The student's output is missing.
            InputError: Labels have no confidence and `without_confidence` is `refuse`.
        """
        judged = batch.judged
        require_confidence(judged, self.options.without_confidence, self.name)
        spared = ~judged & (self.options.without_confidence == "keep")
        unknown = batch.label_probability() < batch.teacher_confidence  # NaN compares as false
        keep = unknown | spared
        reasons = tuple(
            (Reason.NOT_YET_KNOWN if new else Reason.ALREADY_KNOWN)
            if known
            else (Reason.UNJUDGED_KEPT if spare else Reason.UNJUDGED_DROPPED)
            for known, new, spare in zip(judged, unknown, spared, strict=True)
        )
        targets = None
        if self.gives_targets and batch.by_class:
            targets = conditioned_targets(batch.teacher_confidence, batch.labels, batch.classes)
        weight = keep.astype(np.float64)
        log = log_of(batch, keep, None)
        return StepDecision(keep, weight, reasons, divisor(self.options.normalise, weight, keep), log, targets)
