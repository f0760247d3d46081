"""LLKD's two conditions once, before training: the teacher confident, and the closed-book base uncertain.

    keep_i = [c_i >= mean_j c_j] and [u_i >= mean_j u_j],    both means over all labels with confidence

A static variant of "Learning with Less", arXiv 2411.08028: the thresholds of a single batch of all labels, and the
student before its first step. It does not follow the training; `llkd` does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from solo_hub.core.errors import ConfigError
from solo_hub.core.records import PseudoLabel, Selection, Verdict
from solo_hub.selection.llkd import kept, reasons_of
from solo_hub.selection.options import Configured, JudgesConfidence
from solo_hub.selection.verdicts import confidences, require_confidence


class LlkdAhead(Configured[JudgesConfidence]):
    """Keeps labels by two mean thresholds.

    Args:
        options: See `JudgesConfidence`.
        seed: Not used: nothing is drawn.

    Raises:
        ConfigError: An unknown option or a bad value.
    """

    name = "llkd_ahead"
    options_model = JudgesConfidence

    def select(self, labels: Sequence[PseudoLabel]) -> Selection:  # noqa: ARG002 - the protocol
        """Not supported without uncertainties.

        Raises:
            ConfigError: Always.
        """
        raise ConfigError(
            "selection.method=llkd_ahead needs the student's uncertainty.",
            hint="Set selection.ask_student=true, or selection.method=llkd, which selects at every training step.",
        )

    def select_with(self, labels: Sequence[PseudoLabel], uncertainty: Mapping[str, float]) -> Selection:
        """Select labels.

        Args:
            labels: All labels.
            uncertainty: Of the student, 0..1, by question id.

        Raises:
            InputError: Labels have no confidence and `without_confidence` is `refuse`.
        """
        rule = self.options.without_confidence
        c = confidences(labels)
        u = np.array([uncertainty[label.question_id] for label in labels], dtype=np.float64)
        judged = ~np.isnan(c)
        require_confidence(judged, rule, self.name)
        thresholds = [np.full(len(c), some[judged].mean() if judged.any() else 0.0) for some in (c, u)]
        confident, uncertain = kept(c, u, *thresholds)
        spared = ~judged & (rule == "keep")
        keep = (confident & uncertain & judged) | spared
        reasons = reasons_of(judged, confident, uncertain, spared)
        return Selection(
            self.name,
            tuple(
                Verdict(label.question_id, bool(kept_), str(reason), label.confidence, float(unsure))
                for label, kept_, reason, unsure in zip(labels, keep, reasons, u, strict=True)
            ),
        )
