"""`online`: one-stage training; the teacher is asked in the step itself.

Teacher and student are the same weights, adapter off and on: with the passages in the prompt and the adapter off the
model says what it thinks, with neither it learns to think the same. What was labelled before is not looked at where
questions have options. Two levels:

    options   the loss of `kl`, with the distribution of this step. The teacher's weights stand still, so this is `kl`
              without labels, at the price of asking the teacher in every epoch.
    tokens    sum_i w_i sum_t T^2 KL(p_T(. | passages, x_i, y_i<t) || p_S(. | x_i, y_i<t)) / sum_i w_i |y_i|, over the
              whole vocabulary along the answer y_i the teacher chose (the label's text where there are no options);
              prompt distillation, Kujanpaa et al. 2024, arXiv 2412.14964. The end of turn is left to `answer_share`:
              a base model with passages does not know that an answer ends.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import numpy as np
from pydantic import Field

from solo_hub.core.errors import ConfigError
from solo_hub.core.plugins import Prompt
from solo_hub.models.answering import choose, fit
from solo_hub.models.packing import Tree
from solo_hub.student.objectives.kl import LEAST, Kl, KlOptions
from solo_hub.student.objectives.material import (
    Array,
    LossWeights,
    TeacherTargets,
    TrainingData,
    check_passages,
    read_options,
    targets_of_labels,
    zero_loss,
)


class OnlineOptions(KlOptions):
    """Options of `online`."""

    level: Literal["auto", "options", "tokens"] = Field(
        "auto", description="What is compared: options, tokens, or auto = options where every question has some."
    )


class Online(Kl):
    """Fits `plugins.Objective`.

    Args:
        material: The training data; with passages for every question.
        options: See `OnlineOptions`.

    Raises:
        ConfigError: An unknown option or a bad value; no passages; options are to be compared and there are none.
    """

    name = "online"
    asks_base = True  # the teacher must be the base

    def __init__(self, material: TrainingData, options: Mapping[str, Any]) -> None:
        super().__init__(material, options)
        self._asked: dict[int, tuple[Prompt, tuple[int, ...]]] = {}

    def _read(self, options: Mapping[str, Any]) -> Any:
        return read_options(OnlineOptions, options, self.name)

    def _check(self) -> None:
        examples = self.material.examples
        check_passages(self.material, self.name)
        free = next((e.question.id for e in examples if not e.question.options), None)
        if free is not None and self.options.level == "options":
            raise ConfigError(
                f"student.objective=online is to compare options, and question '{free}' has none.",
                hint="Set student.objective_options.level=tokens.",
            )
        self.by_tokens = self.options.level == "tokens" or (self.options.level == "auto" and free is not None)

    @contextmanager
    def _teacher(self) -> Iterator[None]:
        """The base as it is: no adapter, no dropout, no gradients."""
        import torch

        model = self.engine.model
        training = model.training
        model.eval()
        try:
            with self.engine.adapter(False), torch.no_grad():
                yield
        finally:
            model.train(training)

    def _ask(self, index: int) -> tuple[Prompt, tuple[int, ...]]:
        """The teacher's prompt of an example, and its tokens."""
        if index not in self._asked:
            question = self.material.examples[index].question
            builder, style = self.material.builder, self.material.style
            prompt = fit(self.engine, builder, question, self.material.passages[question.id], style).prompt
            self._asked[index] = prompt, self.engine.encode(prompt, [])[0]
        return self._asked[index]

    @property
    def learns_targets(self) -> bool:
        """Whether distributions of a per-step selector can be learnt: of tokens there are none."""
        return not self.by_tokens and super().learns_targets

    def targets(self, indices: Sequence[int]) -> TeacherTargets:
        """What the base says with the passages, at this step; of free text what the labels say."""
        teacher_targets = targets_of_labels([self.material.examples[i] for i in indices])
        closed = [place for place, i in enumerate(indices) if self.branches[i]]
        if not closed:
            return teacher_targets
        questions = [self.material.examples[indices[place]].question for place in closed]
        prompts = [self._ask(indices[place])[0] for place in closed]
        with self._teacher():
            answers = choose(self.engine, self.material.builder, questions, prompts, self.material.style)
        options, confidence = teacher_targets.options.copy(), teacher_targets.confidence.copy()
        probabilities = list(teacher_targets.probabilities)
        for place, answer in zip(closed, answers, strict=True):
            options[place], probabilities[place] = answer.option, answer.probabilities
            confidence[place] = max(answer.probabilities or (np.nan,))
        return TeacherTargets(options, confidence, tuple(probabilities))

    def loss(self, indices: Sequence[int], weights: Array, teacher_targets: TeacherTargets, totals: LossWeights) -> Any:
        """The loss terms of these examples."""
        if not self.by_tokens:
            return super().loss(indices, weights, teacher_targets, totals)
        import torch

        if not len(indices):
            return zero_loss(self.engine)
        answers = [self.answer(i, int(option)) for i, option in zip(indices, teacher_targets.options, strict=True)]
        owner, student, target = self._distributions(
            [Tree(self.prompts[i], (answer,)) for i, answer in zip(indices, answers, strict=True)]
        )
        with self._teacher():
            _, teacher, _ = self._distributions(
                [Tree(self._ask(i)[1], (answer,)) for i, answer in zip(indices, answers, strict=True)]
            )
        heat, share = self.options.temperature, self.options.answer_share
        log_p, log_q = ((x / heat).log_softmax(-1) for x in (teacher, student))
        divergence = heat**2 * (log_p.exp() * (log_p - log_q)).sum(-1)  # (T,)
        ends = torch.as_tensor(np.append(owner[1:] != owner[:-1], True), device=divergence.device)
        w = torch.as_tensor(weights[owner], dtype=torch.float32, device=divergence.device)
        plain = student.gather(1, target[:, None])[:, 0]
        total = (1 - share) * (w * divergence.masked_fill(ends, 0.0)).sum() - share * (w * plain).sum()
        return total / max(totals.tokens, LEAST)

    def _distributions(self, trees: Sequence[Tree]) -> tuple[Array, Any, Any]:
        """Owner `(T,)`, log-probabilities `(T, vocabulary)` and ids `(T,)` of all answer tokens, tree by tree."""
        import torch

        packed = self.engine.packs(trees)
        layouts = self.engine.layouts(trees)
        pieces = [piece for layout in layouts for piece in self.engine.distributions(layout, packed=packed)]
        owner = np.concatenate([layout.owner for layout in layouts])
        order = np.argsort(owner, kind="stable")
        rows = torch.from_numpy(order).to(self.engine.device)
        return owner[order], torch.cat([p for p, _ in pieces])[rows], torch.cat([t for _, t in pieces])[rows]

    def tokens(self, indices: Sequence[int]) -> int:
        """Number of training tokens of these examples; the teacher's are not counted."""
        if not self.by_tokens:
            return super().tokens(indices)
        return sum(len(self.prompts[i]) + len(self.answer(i, option)) for i, option in self._labelled(indices))

    def _labelled(self, indices: Sequence[int]) -> list[tuple[int, int]]:
        return [(i, self.material.examples[i].label.option or 0) for i in indices]
