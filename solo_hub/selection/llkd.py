"""LLKD: train on a sample at a step if the teacher is confident and the student uncertain.

    c_i = max_y p_T(y|x_i)                                            teacher confidence
    u_i = -sum_y p_S(y|x_i) log p_S(y|x_i) / log C                    student uncertainty
    keep_i = [c_i >= tauT_t(y'_i)] and [u_i >= tauS_t(y'_i)]          thresholds: see `thresholds`
    LLKD   = mean over kept of CE(p_S, y')
    LLKD_w = the same, each term weighted by c_i u_i

"Learning with Less: Knowledge Distillation from Large Language Models via Unlabeled Data", arXiv 2411.08028, NAACL
Findings 2025. Reimplemented from the published description, as no official code is public; what it leaves open is an
option here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from pydantic import Field

from solo_hub.selection.measures import Array, Mask
from solo_hub.selection.options import Configured, JudgesConfidence
from solo_hub.selection.steps import Reason, StepBatch, StepDecision, Stepwise, divisor, log_of
from solo_hub.selection.thresholds import MovingThreshold
from solo_hub.selection.verdicts import require_confidence


class LlkdOptions(JudgesConfidence):
    """Options of `llkd`."""

    momentum: float = Field(0.5, ge=0, lt=1, description="Momentum m of the moving averages.")
    start_confidence: float | Literal["uniform", "first_batch"] = Field(
        "first_batch",
        description="Start of the averages of the teacher's confidence: a number, uniform (1/C), first_batch.",
    )
    start_uncertainty: float | Literal["uniform", "first_batch"] = Field(
        "first_batch",
        description="Start of the averages of the student's uncertainty: a number, uniform (1/C), first_batch.",
    )
    per_class: bool = Field(False, description="Class-specific thresholds; always off for option positions and texts.")
    normalise: Literal["kept", "batch", "weight"] = Field(
        "kept", description="Divisor of the sum of losses: number kept, batch size, or sum of the weights."
    )


class LlkdWOptions(LlkdOptions):
    """Options of `llkd_w`."""

    weight: Literal["product", "sum", "mean"] = Field(
        "product", description="Weight of a sample: c u, c + u, or (c + u) / 2."
    )


def kept(
    confidence: Array, uncertainty: Array, teacher_threshold: Array, student_threshold: Array
) -> tuple[Mask, Mask]:
    """Which samples meet each of the two thresholds; a sample is kept if it meets both.

    Args:
        confidence: `(B,)` c; NaN meets no threshold.
        uncertainty: `(B,)` u.
        teacher_threshold: `(B,)` tauT(y').
        student_threshold: `(B,)` tauS(y').

    Returns:
        Two masks `(B,)`: teacher confident, student uncertain.
    """
    # the mean of equal numbers may differ from them in the last bit; that must not drop a whole batch
    slack = 1e-12
    return confidence >= teacher_threshold - slack, uncertainty >= student_threshold - slack


def weights(confidence: Array, uncertainty: Array, rule: str) -> Array:
    """Weight of each sample, `(B,)`: `product` c u, `sum` c + u, `mean` (c + u) / 2."""
    if rule == "product":
        return confidence * uncertainty
    total = confidence + uncertainty
    return total / 2 if rule == "mean" else total


class Llkd(Configured[LlkdOptions], Stepwise):
    """Keeps samples by two moving thresholds; all kept samples have the same weight.

    Args:
        options: See `LlkdOptions`.
        seed: Not used: nothing is drawn.

    Raises:
        ConfigError: An unknown option or a bad value.
    """

    name = "llkd"
    options_model: type[LlkdOptions] = LlkdOptions

    def __init__(self, options: Mapping[str, Any], seed: int) -> None:
        super().__init__(options, seed)
        self.teacher = MovingThreshold(self.options.momentum, self.options.start_confidence)
        self.student = MovingThreshold(self.options.momentum, self.options.start_uncertainty)

    def step(self, batch: StepBatch) -> StepDecision:
        """Update the thresholds with the batch, then apply them (the order of FreeMatch).

        Raises:
            UsageError: The student's output is missing.
            InputError: Labels have no confidence and `without_confidence` is `refuse`.
        """
        judged = batch.judged
        require_confidence(judged, self.options.without_confidence, self.name)
        by_class = self.options.per_class and batch.by_class
        c, u = batch.teacher_confidence, batch.uncertainty()
        classes = batch.classes if by_class else 0
        self.teacher.update(c[judged], batch.labels[judged], classes)
        self.student.update(u[judged], batch.labels[judged], classes)
        confident, uncertain = kept(
            c,
            u,
            self.teacher.thresholds_of(batch.labels, by_class=by_class),
            self.student.thresholds_of(batch.labels, by_class=by_class),
        )
        kept_unjudged = ~judged & (self.options.without_confidence == "keep")
        keep = (confident & uncertain & judged) | kept_unjudged
        weight = np.where(keep, np.where(judged, self._weight(np.where(judged, c, 0.0), u), 1.0), 0.0)
        teacher, teacher_classes = self.teacher.report()
        student, student_classes = self.student.report()
        log = log_of(
            batch,
            keep,
            u,
            confidence_threshold=teacher,
            confidence_thresholds=teacher_classes,
            uncertainty_threshold=student,
            uncertainty_thresholds=student_classes,
        )
        reasons = reasons_of(judged, confident, uncertain, kept_unjudged)
        return StepDecision(keep, weight, reasons, divisor(self.options.normalise, weight, keep), log)

    def _weight(self, confidence: Array, uncertainty: Array) -> Array:  # noqa: ARG002 - LLKD_w uses both
        return np.ones(len(confidence))

    def state(self) -> dict[str, Any]:
        """The moving averages."""
        return {**super().state(), "teacher": self.teacher.state(), "student": self.student.state()}

    def load_state(self, state: dict[str, Any]) -> None:
        """Restore the moving averages.

        Raises:
            RunError: The state belongs to another method.
        """
        super().load_state(state)
        self.teacher.load_state(state["teacher"])
        self.student.load_state(state["student"])


class LlkdW(Llkd):
    """LLKD with the loss of each kept sample weighted by confidence and uncertainty.

    Args:
        options: See `LlkdWOptions`.
        seed: Not used.

    Raises:
        ConfigError: An unknown option or a bad value.
    """

    name = "llkd_w"
    options: LlkdWOptions
    options_model: type[LlkdOptions] = LlkdWOptions

    def _weight(self, confidence: Array, uncertainty: Array) -> Array:
        return weights(confidence, uncertainty, self.options.weight)


def reasons_of(judged: Mask, confident: Mask, uncertain: Mask, kept_unjudged: Mask) -> tuple[Reason, ...]:
    """Why each sample was kept or dropped: masks `(B,)`."""
    of_judged = {
        (True, True): Reason.USEFUL,
        (False, True): Reason.TEACHER_UNSURE,
        (True, False): Reason.STUDENT_SURE,
        (False, False): Reason.NEITHER,
    }
    of_others = {True: Reason.UNJUDGED_KEPT, False: Reason.UNJUDGED_DROPPED}
    return tuple(
        of_judged[bool(sure), bool(unsure)] if known else of_others[bool(spare)]
        for known, sure, unsure, spare in zip(judged, confident, uncertain, kept_unjudged, strict=True)
    )
