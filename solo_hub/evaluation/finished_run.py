"""What the evaluation of a finished run left, read back for comparing and pooling."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from solo_hub.core.records import Question
from solo_hub.evaluation import scoring
from solo_hub.evaluation.statistics.intervals import Array
from solo_hub.run import resolution
from solo_hub.run import rows as run_rows
from solo_hub.run.folder import RunFolder
from solo_hub.run.resolved import Resolved


@dataclass(frozen=True, slots=True)
class Evaluated:
    """A finished run.

    Attributes:
        name: Its folder's name.
        settings: The settings of `config.yaml`, as JSON types.
        resolved: What they were resolved to.
        report: Content of `6-report.json`.
        questions: The held-out questions.
        correct: Right (1) or wrong (0) by arm, each `(questions,)`.
    """

    name: str
    settings: Mapping[str, Any]
    resolved: Resolved
    report: Mapping[str, Any]
    questions: tuple[Question, ...]
    correct: Mapping[str, Array]

    def asks_the_same(self, other: Evaluated) -> bool:
        """Whether both asked the same questions with the same options, in whatever order."""
        return sorted(self.questions, key=lambda q: q.id) == sorted(other.questions, key=lambda q: q.id)

    def in_order(self, arm: str, ids: Sequence[str]) -> Array:
        """Right or wrong of an arm, in the order of the given question ids."""
        place = {question.id: i for i, question in enumerate(self.questions)}
        return self.correct[arm][[place[question_id] for question_id in ids]]


def read(folder: Path) -> Evaluated:
    """Read a run.

    Raises:
        RunError: It is no run folder, or the run is not evaluated.
        InputError: Its files do not fit together.
    """
    run = RunFolder(folder)
    settings, resolved, report = run.read_config()["settings"], resolution.read_resolved(run), run.read_json("report")
    left = run_rows.read_evaluation(run, report["arms"])
    correct = {
        arm: np.array(
            [scoring.is_right(gold, row) for gold, row in zip(left.golds, rows, strict=True)], dtype=np.float64
        )
        for arm, rows in left.predictions.items()
    }
    return Evaluated(folder.resolve().name, settings, resolved, report, tuple(left.questions), correct)
