"""Per-step selection in training: the selector's input, and the use of its decision."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from solo_hub.core.errors import ConfigError
from solo_hub.core.files import write_text
from solo_hub.core.plugins import StepSelector
from solo_hub.models.answering import choose
from solo_hub.models.packing import Tree
from solo_hub.run.processes import Processes
from solo_hub.selection.steps import StepBatch
from solo_hub.student.objectives.material import Array, TeacherTargets, TrainingData, encode
from solo_hub.student.sharding import LockstepForwards


@dataclass(frozen=True, slots=True, eq=False)
class SelectedBatch:
    """The decision on a batch.

    Attributes:
        keep: `(B,)` samples to train on.
        weight: `(B,)` weights, 0 if dropped.
        scale: Factor of the weighted mean of the losses.
        targets: `(B, C)` target distributions instead of the labels, or None.
    """

    keep: Array
    weight: Array
    scale: float
    targets: Array | None = None


class StepSelection:
    """A per-step selector with its inputs: the teacher's confidence and the student at this step.

    For free text the signals come from the label's tokens: their mean entropy over the vocabulary, the mean of
    the highest token probability, and the geometric mean of the probability of the label's own tokens.

    Args:
        material: Student, prompts, examples.
        selector: The selector.
        processes: The training processes: each scores its share, all make the same decision.
        passes: Keeps their forward passes in lockstep.
        places: Number of each example in the log; its index if None.
        learns_targets: Whether the objective can train on distributions instead of labels.

    Raises:
        ConfigError: The selector needs the student, and only some questions have options; or it returns distributions,
            which the objective cannot train on.
    """

    FILE = "selector.json"

    def __init__(
        self,
        material: TrainingData,
        selector: StepSelector,
        processes: Processes,
        passes: LockstepForwards,
        places: Sequence[int] | None = None,
        *,
        learns_targets: bool = False,
    ) -> None:
        self.passes = passes
        self.places = range(len(material.examples)) if places is None else places
        self.material, self.engine = material, material.engine
        self.selector, self.processes = selector, processes
        self.log: list[dict[str, Any]] = []
        self.widest = max(len(example.question.options) for example in material.examples)
        # the same options in the same order for all questions are classes
        self.positions = len({example.question.options for example in material.examples}) > 1
        closed = [bool(example.question.options) for example in material.examples]
        if selector.needs_student and any(closed) and not all(closed):
            raise ConfigError(
                "This selection method needs the student's probability of every option, but only some questions "
                "have options.",
                hint="Use selection.method=all, random or confidence, or questions of one kind.",
            )
        self.learns_targets = learns_targets
        if getattr(selector, "gives_targets", False) and self.widest and not self.positions:
            self._check_targets()
        self.trees = encode(material) if selector.needs_student and not any(closed) else []

    def _check_targets(self) -> None:
        """Check that the objective can train on the selector's targets."""
        if not self.learns_targets:
            raise ConfigError(
                "This selection method replaces labels by distributions over the classes, but the training objective "
                "supports answers only.",
                hint="Set selection.options.target=label (cckd_t_reg), student.objective=kl, or engine.name=classifier "
                "for an encoder.",
            )

    def decide(self, indices: Sequence[int], teacher: TeacherTargets) -> SelectedBatch:
        """Decide on a batch.

        Raises:
            ConfigError: The selector returns distributions, which the objective cannot train on.
        """
        student = self._student(indices) if self.selector.needs_student else {}
        known = self.widest > 0 and all(row is not None for row in teacher.probabilities)
        decision = self.selector.step(
            StepBatch(
                labels=teacher.options,
                teacher_confidence=teacher.confidence,
                teacher_probabilities=self._pad([row or () for row in teacher.probabilities]) if known else None,
                classes_are_positions=self.positions,
                choices=np.array([len(self.material.examples[i].question.options) for i in indices]),
                **student,
            )
        )
        # indices of the examples, so that the kept labels can be analysed afterwards
        some_kept = [self.places[i] for i, keep in zip(indices, decision.keep, strict=True) if keep]
        self.log.append({**decision.log, "examples": [self.places[i] for i in indices], "kept_examples": some_kept})
        if decision.targets is not None:
            self._check_targets()
        scale = float(decision.weight.sum()) / decision.divisor
        return SelectedBatch(decision.keep, decision.weight, scale, decision.targets)

    def _student(self, indices: Sequence[int]) -> dict[str, Array]:
        own_share = self.processes.share(indices)
        model = self.engine.model
        training = model.training
        model.eval()  # without dropout
        with self.passes.lockstep():
            rows = self._of_texts(own_share) if self.trees else self._of_options(own_share)
        model.train(training)
        everything = np.array(self.processes.whole(rows))
        if not self.trees:
            return {"student_probabilities": everything}
        names = ("student_uncertainty", "student_confidence", "student_label_probability")
        return dict(zip(names, everything.T, strict=True))

    def _of_options(self, indices: Sequence[int]) -> list[list[float]]:
        questions = [self.material.examples[i].question for i in indices]
        builder, style = self.material.builder, self.material.style
        answers = choose(self.engine, builder, questions, [builder.ask(q, style) for q in questions], style)
        return [list(row) for row in self._pad([answer.probabilities or () for answer in answers])]

    def _of_texts(self, indices: Sequence[int]) -> list[list[float]]:
        """Uncertainty, confidence and label probability of each text."""
        import torch

        trees: list[Tree] = [self.trees[i] for i in indices]
        if not trees:
            return []
        packed = self.engine.packs(trees)
        sums, counts = np.zeros((len(trees), 3)), np.zeros(len(trees))
        with torch.inference_mode():
            for layout in self.engine.layouts(trees):
                signals = []
                for log_p, target in self.engine.distributions(layout, packed=packed):
                    entropy = -(log_p.exp() * log_p).sum(-1) / np.log(log_p.shape[-1])
                    signals.append(
                        torch.stack([entropy, log_p.max(-1)[0].exp(), log_p.gather(1, target[:, None])[:, 0]], 1)
                    )
                np.add.at(sums, layout.owner, torch.cat(signals).double().cpu().numpy())
                np.add.at(counts, layout.owner, 1)
        means = sums / counts[:, None]
        means[:, 2] = np.exp(means[:, 2])
        return [[float(value) for value in np.clip(row, 0.0, 1.0)] for row in means]

    def _pad(self, rows: Sequence[Sequence[float]]) -> Array:
        return np.array([[*row, *[0.0] * (self.widest - len(row))] for row in rows]).reshape(len(rows), self.widest)

    def save(self, folder: Path) -> None:
        """Save the selector's state with a checkpoint."""
        write_text(folder / self.FILE, json.dumps({"state": self.selector.state(), "log": self.log}))

    def load(self, folder: Path) -> None:
        """Restore the state saved with a checkpoint."""
        row = json.loads((folder / self.FILE).read_text("utf-8"))
        self.selector.load_state(row["state"])
        self.log = row["log"]
