"""`sft` of an encoder: learn the teacher's class.

    loss = - sum_i w_i sum_y t_i(y) log p_S(y | x_i) / sum_i w_i

Cross-entropy over the encoder's outputs, one for each class. The target t_i is all on the label y_i, or the
distribution that a per-step selector puts in its place.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from solo_hub.core.config import NoOptions
from solo_hub.student.objectives.material import (
    Array,
    LossWeights,
    TeacherTargets,
    TrainingData,
    read_options,
    targets_of_labels,
    zero_loss,
)


class Classify:
    """Fits `plugins.Objective`.

    Args:
        material: The training data; its engine is a classifier.
        options: Must be empty.

    Raises:
        ConfigError: An unknown option.
    """

    learns_targets = True

    def __init__(self, material: TrainingData, options: Mapping[str, Any]) -> None:
        read_options(NoOptions, options, "sft")
        self.material = material
        self.engine: Any = material.engine
        self.texts = [material.builder.ask(example.question, material.style).text for example in material.examples]
        self.lengths = self.engine.count_tokens(self.texts)

    def targets(self, indices: Sequence[int]) -> TeacherTargets:
        """Targets from the labels."""
        return targets_of_labels([self.material.examples[i] for i in indices])

    def normalizer(self, indices: Sequence[int], weights: Array, teacher_targets: TeacherTargets) -> LossWeights:  # noqa: ARG002 - one answer each
        """Divisors of the sums over these examples."""
        return LossWeights(float(weights.sum()), float(weights.sum()))

    def loss(self, indices: Sequence[int], weights: Array, teacher_targets: TeacherTargets, totals: LossWeights) -> Any:
        """The loss terms of these examples."""
        import torch

        if not len(indices):
            return zero_loss(self.engine)
        log_p = self.engine.logits([self.texts[i] for i in indices]).log_softmax(-1)
        if teacher_targets.targets is None:
            chosen = torch.as_tensor(teacher_targets.options, device=log_p.device)
            told = log_p.gather(1, chosen[:, None])[:, 0]
        else:
            told = (torch.as_tensor(teacher_targets.targets, dtype=torch.float32, device=log_p.device) * log_p).sum(-1)
        w = torch.as_tensor(weights, dtype=torch.float32, device=log_p.device)
        return -(w * told).sum() / max(totals.samples, 1e-12)

    def tokens(self, indices: Sequence[int]) -> int:
        """Number of training tokens of these examples."""
        return sum(self.lengths[i] for i in indices)
