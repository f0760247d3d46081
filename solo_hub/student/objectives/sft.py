"""`sft`: learn to give the teacher's answer.

    loss = - sum_i w_i sum_t log p_S(y_it | x_i, y_i<t) / sum_i w_i |y_i|

over the tokens of answer and end of turn, the prompt excluded; with equal weights the plain token mean. With `replay`
the base's own texts are added, a token of them weighing as much as one of an answer (`replay.Replay`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from pydantic import Field

from solo_hub.core.settings import Section
from solo_hub.student.objectives.material import (
    Array,
    LossWeights,
    TeacherTargets,
    TrainingData,
    encode,
    read_options,
    targets_of_labels,
    zero_loss,
)
from solo_hub.student.objectives.replay import Replay


class SftOptions(Section):
    """Options of `sft`."""

    replay: float = Field(
        0.0,
        ge=0,
        le=1,
        description="Texts of the base's own, as a share of the examples, along which the student is held to the base; "
        "0 = none.",
    )


class Sft:
    """Fits `plugins.Objective`.

    Args:
        material: The training data.
        options: See `SftOptions`.

    Raises:
        ConfigError: An unknown option or a bad value.
        ModelError: See `material.encode`.
    """

    def __init__(self, material: TrainingData, options: Mapping[str, Any]) -> None:
        share = read_options(SftOptions, options, "sft").replay
        self.material, self.engine = material, material.engine
        self.trees = encode(material)
        self.replay = Replay(self.engine, material.builder, len(self.trees), share) if share else None

    def targets(self, indices: Sequence[int]) -> TeacherTargets:
        """Targets from the labels."""
        return targets_of_labels([self.material.examples[i] for i in indices])

    def normalizer(self, indices: Sequence[int], weights: Array, teacher_targets: TeacherTargets) -> LossWeights:  # noqa: ARG002 - the labels are fixed
        """Divisors of the sums over these examples."""
        lengths = np.array([len(self.trees[i].branches[0]) for i in indices])
        return LossWeights(float(weights.sum()), float((weights * lengths).sum()))

    def loss(self, indices: Sequence[int], weights: Array, teacher_targets: TeacherTargets, totals: LossWeights) -> Any:  # noqa: ARG002
        """The loss terms of these examples."""
        import torch

        if not len(indices):
            return zero_loss(self.engine)
        sums = self.engine.branch_log_probabilities([self.trees[i] for i in indices])
        w = torch.as_tensor(weights, dtype=torch.float32, device=sums.device)
        loss = -(w * sums).sum()
        if self.replay:
            loss = loss + self.replay.loss(indices)
        return loss / max(totals.tokens, 1e-12)

    def tokens(self, indices: Sequence[int]) -> int:
        """Number of training tokens of these examples, prompts included."""
        texts = self.replay.of(indices) if self.replay else []
        return sum(tree.length for tree in [*(self.trees[i] for i in indices), *texts])
