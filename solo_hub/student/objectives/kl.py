"""`kl`: learn how sure the teacher is of every option, not only which one it chose.

    q_i = softmax(s_i / T)        the student's options: s as the style scores them, so as they are answered with
    p_i ~ p_T(. | x_i)^(1/T)      the teacher's options as labelled
    loss = (1 - a) T^2 sum_i w_i KL(p_i || q_i) / sum_i w_i  +  a sft

Temperature and the factor T^2, which keeps the gradients' size, after Hinton et al. 2015, arXiv 1503.02531; distilling
what a model says with knowledge in its prompt into the same model without it, Kujanpaa et al. 2024, arXiv 2412.14964.
A per-step selector may put another distribution in the place of p_T (`cckd_t_reg` does, of fixed classes).
Option distributions alone do not teach the student to say an answer and stop: `answer_share`, a, is the share of `sft`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from pydantic import Field

from solo_hub.core.errors import ConfigError
from solo_hub.core.settings import Section
from solo_hub.models.packing import Tree
from solo_hub.student.objectives.material import (
    Array,
    LossWeights,
    TeacherTargets,
    TrainingData,
    check_end_of_turn,
    completion,
    read_options,
    targets_of_labels,
    zero_loss,
)

LEAST = 1e-12  # probability: what a teacher calls impossible has a finite logarithm


class KlOptions(Section):
    """Options of `kl`."""

    temperature: float = Field(2.0, gt=0, description="T: above 1 both distributions are flattened before comparing.")
    answer_share: float = Field(
        0.5, ge=0, le=1, description="Share of the plain answer loss (`sft`) in the sum; without it texts do not end."
    )


class Kl:
    """Fits `plugins.Objective`.

    Args:
        material: The training data.
        options: See `KlOptions`.

    Raises:
        ConfigError: An unknown option or a bad value; questions without options, or labels without probabilities.
    """

    name = "kl"

    @property
    def learns_targets(self) -> bool:
        """Whether distributions of a per-step selector can be learnt in the place of the teacher's."""
        return self.options.answer_share < 1

    def __init__(self, material: TrainingData, options: Mapping[str, Any]) -> None:
        self.options = self._read(options)
        self.material, self.engine = material, material.engine
        self._check()
        builder, style = material.builder, material.style
        self.prompts, self.branches, self.priors = [], [], []
        for example in material.examples:
            continuations = builder.continuations(example.question, style)
            prompt, branches = self.engine.encode(builder.ask(example.question, style), continuations)
            self.prompts.append(prompt)
            self.branches.append(tuple(branches))
            prior = self.engine.encode(builder.prior(), continuations) if style == "text_minus_prior" else None
            self.priors.append(Tree(prior[0], tuple(prior[1])) if prior else None)
        self._answers: dict[tuple[int, int], tuple[int, ...]] = {}

    def _read(self, options: Mapping[str, Any]) -> Any:
        return read_options(KlOptions, options, self.name)

    def _check(self) -> None:
        for example in self.material.examples:
            if not example.question.options or example.label.probabilities is None:
                raise ConfigError(
                    f"student.objective=kl learns the teacher's option probabilities, and the label of question "
                    f"'{example.question.id}' has none.",
                    hint="Set student.objective=sft.",
                )

    def targets(self, indices: Sequence[int]) -> TeacherTargets:
        """Targets from the labels."""
        return targets_of_labels([self.material.examples[i] for i in indices])

    def answer(self, index: int, option: int) -> tuple[int, ...]:
        """Tokens of the answer to be given to an example, the end of turn included."""
        if (index, option) not in self._answers:
            builder, style = self.material.builder, self.material.style
            example = self.material.examples[index]
            text = builder.continuation(completion(builder, example, style, option if self.branches[index] else None))
            prompt, (answer,) = self.engine.encode(builder.ask(example.question, style), [text])
            stops = self.engine.ends(chat=builder.chat is not None)
            branch = (*answer, stops[0])
            check_end_of_turn([Tree(prompt, (branch,))], stops)
            self._answers[index, option] = branch
        return self._answers[index, option]

    def normalizer(self, indices: Sequence[int], weights: Array, teacher_targets: TeacherTargets) -> LossWeights:
        """Divisors of the sums over these examples."""
        lengths = np.array([len(self.answer(i, int(o))) for i, o in zip(indices, teacher_targets.options, strict=True)])
        return LossWeights(float(weights.sum()), float((weights * lengths).sum()))

    def loss(self, indices: Sequence[int], weights: Array, teacher_targets: TeacherTargets, totals: LossWeights) -> Any:
        """The loss terms of these examples."""
        import torch

        if not len(indices):
            return zero_loss(self.engine)
        share = self.options.answer_share
        trees = [
            Tree(self.prompts[i], (*self.branches[i], *([self.answer(i, int(option))] if share else [])))
            for i, option in zip(indices, teacher_targets.options, strict=True)
        ]
        priors = [tree for i in indices if (tree := self.priors[i]) is not None]
        sums = self.engine.branch_log_probabilities([*trees, *priors])
        at, at_prior = 0, sum(len(tree.branches) for tree in trees)
        total = sums.new_zeros(())
        taught = teacher_targets.probabilities if teacher_targets.targets is None else teacher_targets.targets
        for index, weight, known in zip(indices, weights.tolist(), taught, strict=True):
            count = len(self.branches[index])
            scores = sums[at : at + count]
            if priors:
                scores = scores - sums[at_prior : at_prior + count]
            teacher = torch.as_tensor(known, dtype=torch.float32, device=sums.device)
            divergence = tempered_kl(teacher, scores, self.options.temperature)
            total = total + (1 - share) * weight * divergence / max(totals.samples, LEAST)
            if share:
                total = total - share * weight * sums[at + count] / max(totals.tokens, LEAST)
            at, at_prior = at + count + bool(share), at_prior + count
        return total

    def tokens(self, indices: Sequence[int]) -> int:
        """Number of training tokens of these examples, prompts and options included."""
        return sum(
            len(self.prompts[i]) + sum(map(len, self.branches[i])) + (tree.length if (tree := self.priors[i]) else 0)
            for i in indices
        )


def tempered_kl(teacher: Any, scores: Any, temperature: float) -> Any:
    """T^2 KL(p || q) in nats, p the teacher's probabilities raised to 1/T and normalised, q = softmax(scores / T).

    Args:
        teacher: `(C,)` probabilities.
        scores: `(C,)` log-scores of the student; gradients flow through them.
        temperature: T.
    """
    import torch

    log_p = torch.log_softmax(teacher.clamp(min=LEAST).log() / temperature, dim=-1)
    log_q = torch.log_softmax(scores / temperature, dim=-1)
    return temperature**2 * (log_p.exp() * (log_p - log_q)).sum()
