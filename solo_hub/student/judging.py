"""Selection at every step of training: what the selector is shown, and what becomes of its decision."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
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
from solo_hub.student.objectives.material import Array, TeacherTargets, TrainingData, encode
from solo_hub.student.sharding import LockstepForwards


@dataclass(frozen=True, slots=True, eq=False)
class SelectedBatch:
    """What becomes of a batch.

    Attributes:
        keep: `(B,)` what is learnt from.
        weight: `(B,)` weights, 0 where dropped.
        scale: What the weighted mean of the losses is to be multiplied by.
        targets: `(B, C)` distributions to be learnt in the place of the labels, or None.
    """

    keep: Array
    weight: Array
    scale: float
    targets: Array | None = None


class StepSelection:
    """A per-step selector with what it looks at: the teacher's confidence and the student as it is at this step.

    Of free text the student's signals come from the label's tokens: their mean entropy over the vocabulary, the mean of
    the highest token probability, and the geometric mean of the probability of the label's own tokens.

    Args:
        material: Student, prompts, examples.
        selector: Decides.
        batch_of: Makes what the selector is shown, by the names of `selection.steps.StepBatch`.
        processes: Those that train together: each asks the student about its share, all decide alike.
        passes: Keeps their passes through the student together.
        places: What each example is called in the log; its place where there are none.
        learns_targets: Whether the objective can learn distributions in the place of labels.

    Raises:
        ConfigError: The selector looks at the student, and some questions have options while others have none; or it
            has distributions learnt, and the objective cannot.
    """

    FILE = "selector.json"

    def __init__(
        self,
        material: TrainingData,
        selector: StepSelector,
        batch_of: Callable[..., Any],
        processes: Processes,
        passes: LockstepForwards,
        places: Sequence[int] | None = None,
        *,
        learns_targets: bool = False,
    ) -> None:
        self.passes = passes
        self.places = range(len(material.examples)) if places is None else places
        self.material, self.engine = material, material.engine
        self.selector, self.batch_of, self.processes = selector, batch_of, processes
        self.log: list[dict[str, Any]] = []
        self.widest = max(len(example.question.options) for example in material.examples)
        # the same options for all, in the same order, are classes: thresholds for each of them have a meaning
        self.positions = len({example.question.options for example in material.examples}) > 1
        closed = [bool(example.question.options) for example in material.examples]
        if selector.needs_student and any(closed) and not all(closed):
            raise ConfigError(
                "This selection method looks at the student's probability of every option, and some questions "
                "have options while others have none.",
                hint="Choose selection.method=all, random or confidence, or questions of one kind.",
            )
        self.learns_targets = learns_targets
        if getattr(selector, "gives_targets", False) and self.widest and not self.positions:
            self._check_targets()
        self.trees = encode(material) if selector.needs_student and not any(closed) else []

    def _check_targets(self) -> None:
        """Refuse to learn something else than was selected."""
        if not self.learns_targets:
            raise ConfigError(
                "This selection method has a distribution over the classes learnt in the place of the label, and the "
                "objective of this training learns answers alone.",
                hint="Set selection.options.target=label (cckd_t_reg), student.objective=kl, or engine.name=classifier "
                "for an encoder.",
            )

    def decide(self, indices: Sequence[int], said: TeacherTargets) -> SelectedBatch:
        """StepSelection a batch.

        Raises:
            ConfigError: Distributions are to be learnt, and the objective cannot.
        """
        student = self._student(indices) if self.selector.needs_student else {}
        known = self.widest > 0 and all(row is not None for row in said.probabilities)
        decision = self.selector.step(
            self.batch_of(
                labels=said.options,
                teacher_confidence=said.confidence,
                teacher_probabilities=self._pad([row or () for row in said.probabilities]) if known else None,
                classes_are_positions=self.positions,
                choices=np.array([len(self.material.examples[i].question.options) for i in indices]),
                **student,
            )
        )
        # which they were, so that the labels learnt from can be looked at afterwards; places among the examples
        some_kept = [self.places[i] for i, keep in zip(indices, decision.keep, strict=True) if keep]
        self.log.append({**decision.log, "examples": [self.places[i] for i in indices], "kept_examples": some_kept})
        if decision.targets is not None:
            self._check_targets()
        scale = float(decision.weight.sum()) / decision.divisor
        return SelectedBatch(decision.keep, decision.weight, scale, decision.targets)

    def _student(self, indices: Sequence[int]) -> dict[str, Array]:
        mine = self.processes.share(indices)
        model = self.engine.model
        training = model.training
        model.eval()  # uncertainty of the student, not of its dropout
        with self.passes.together():
            rows = self._of_texts(mine) if self.trees else self._of_options(mine)
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
        """Uncertainty, confidence and probability of the label, of each text."""
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
        """Write the selector's state beside a checkpoint."""
        write_text(folder / self.FILE, json.dumps({"state": self.selector.state(), "log": self.log}))

    def load(self, folder: Path) -> None:
        """Go on from the state beside a checkpoint."""
        row = json.loads((folder / self.FILE).read_text("utf-8"))
        self.selector.load_state(row["state"])
        self.log = row["log"]
