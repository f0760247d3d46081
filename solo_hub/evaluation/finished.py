"""What the evaluation of a finished run left, read back for comparing and pooling."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from solo_hub.errors import RunError
from solo_hub.evaluation import scoring
from solo_hub.evaluation.intervals import Array
from solo_hub.records import Gold, Prediction, Question
from solo_hub.run import RunFolder


@dataclass(frozen=True, slots=True)
class Evaluated:
    """A finished run.

    Attributes:
        name: Its folder's name.
        config: Content of `config.yaml`.
        report: Content of `6-report.json`.
        questions: The held-out questions.
        correct: Right (1) or wrong (0) by arm, each `(questions,)`.
    """

    name: str
    config: Mapping[str, Any]
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
    if not run.has("config"):
        raise RunError(f"'{folder}' is not a run folder.", hint="Give the folder of a run, e.g. runs/demo.")
    report = run.read_json("report")
    questions = run.read_rows("held_out", Question)
    predictions: dict[str, list[Prediction]] = {}
    for row in run.read_rows("predictions", Prediction):
        predictions.setdefault(row.arm, []).append(row)
    golds, by_arm = scoring.align(questions, run.read_rows("golds", Gold), predictions)
    correct = {
        arm: np.array([scoring.is_right(gold, row) for gold, row in zip(golds, rows, strict=True)], dtype=np.float64)
        for arm, rows in by_arm.items()
    }
    config = yaml.safe_load(run.file("config").read_text("utf-8"))
    return Evaluated(folder.resolve().name, config, report, tuple(questions), correct)
