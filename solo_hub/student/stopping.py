"""Early stopping without human labels, by the student's agreement with its teacher.

Some labelled questions are held back from training: a fifth, at most 64. At intervals the student answers them closed
book; if its agreement with the teacher has not risen for `patience` checks, training stops, and the adapter of the best
check is kept. Agreement with an imperfect teacher is not accuracy, and is not called so.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from solo_hub.core.errors import ConfigError
from solo_hub.core.files import write_text
from solo_hub.core.records import Example
from solo_hub.core.settings import StudentSettings
from solo_hub.models.answering import choose
from solo_hub.run.processes import Processes
from solo_hub.student.objectives.material import TrainingData
from solo_hub.student.sharding import LockstepForwards

SHARE, MOST = 5, 64  # a fifth of the labels, and no more than decides it


def hold_back(examples: Sequence[Example], settings: StudentSettings, seed: int) -> tuple[list[int], list[int]]:
    """Indices of the examples to train on, in order, and of those held back; none without `patience`.

    Raises:
        ConfigError: There are too few examples, or the questions have no options.
    """
    if settings.patience is None:
        return list(range(len(examples))), []
    count = min(MOST, len(examples) // SHARE)
    if not count:
        raise ConfigError(
            f"student.patience holds back a fifth of the labels, and only {len(examples)} were kept.",
            hint="Leave it empty.",
        )
    if not all(example.question.options for example in examples):
        raise ConfigError(
            "student.patience compares chosen options, but some questions have none.", hint="Leave it empty."
        )
    apart = set(np.random.default_rng([seed, 2]).permutation(len(examples))[:count].tolist())
    return [i for i in range(len(examples)) if i not in apart], sorted(apart)


class Agreement:
    """Evaluates the student on held-back questions, keeps the best adapter, and decides when to stop.

    Args:
        data: The student, and held-back examples with the teacher's options.
        patience: Checks without a rise after which training stops.
        folder: Folder of the best adapter.
        processes: The training processes.
    """

    FILE, BEST = "agreement.json", "best.safetensors"

    def __init__(
        self,
        data: TrainingData,
        patience: int,
        folder: Path,
        processes: Processes,
        passes: LockstepForwards,
    ) -> None:
        self.passes = passes
        self.engine, self.builder, self.held_back, self.style = data.engine, data.builder, data.examples, data.style
        self.patience, self.folder, self.processes = patience, folder, processes
        self.checks: list[dict[str, Any]] = []

    @property
    def best(self) -> dict[str, Any] | None:
        """The first check with the highest agreement."""
        return max(self.checks, key=lambda check: check["agreement"], default=None)

    def check(self, step: int) -> bool:
        """Evaluate the student; returns whether to stop."""
        own_share = self.processes.share(self.held_back)
        questions = [example.question for example in own_share]
        model = self.engine.model
        training = model.training
        model.eval()
        prompts = [self.builder.ask(q, self.style) for q in questions]
        with self.passes.lockstep():
            answers = choose(self.engine, self.builder, questions, prompts, self.style)
        model.train(training)
        agree = self.processes.whole(
            [answer.option == example.label.option for answer, example in zip(answers, own_share, strict=True)]
        )
        self.checks.append({"step": step, "agreement": sum(agree) / len(agree)})
        if self.best is self.checks[-1] and self.processes.first:
            self._keep()
        since = len(self.checks) - 1 - self.checks.index(self.best) if self.best else 0
        return since >= self.patience

    def _trained(self) -> dict[str, Any]:
        return {name: p for name, p in self.engine.model.named_parameters() if p.requires_grad}

    def _keep(self) -> None:
        from safetensors.torch import save_file

        self.folder.mkdir(parents=True, exist_ok=True)
        partial = self.folder / f".{self.BEST}.partial"
        save_file({name: p.detach().cpu().contiguous() for name, p in self._trained().items()}, str(partial))
        partial.rename(self.folder / self.BEST)

    def restore(self) -> None:
        """Restore the best adapter."""
        import torch
        from safetensors.torch import load_file

        if not self.checks:
            return
        self.processes.wait()
        best = load_file(str(self.folder / self.BEST))
        with torch.no_grad():
            for name, parameter in self._trained().items():
                parameter.copy_(best[name])

    def save(self, folder: Path) -> None:
        """Save the state with a checkpoint."""
        write_text(folder / self.FILE, json.dumps(self.checks))

    def load(self, folder: Path) -> None:
        """Restore the state saved with a checkpoint."""
        self.checks = json.loads((folder / self.FILE).read_text("utf-8"))
