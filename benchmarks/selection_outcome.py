"""What one training of the selection benchmark gives, whichever loop it was trained by."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from solo_hub.core.records import PseudoLabel

CLASSES = ("sadness", "joy", "love", "anger", "fear", "surprise")


@dataclass
class Outcome:
    """What one training gave; `counts` is the number kept at each step."""

    accuracy: float
    macro_f1: float
    share: float
    accuracy_kept: float | None
    accuracy_dropped: float | None
    seconds: float
    cpu_seconds: float
    counts: list[int] = field(default_factory=list)


def as_labels(probabilities: np.ndarray) -> list[PseudoLabel]:
    """The teacher's distribution `(N, C)` as pseudo-labels."""
    return [
        PseudoLabel(
            str(n), int(row.argmax()), tuple(row.tolist()), CLASSES[row.argmax()], float(row.max()), (), 0, "-", "-"
        )
        for n, row in enumerate(probabilities)
    ]


def scores(predicted: np.ndarray, gold: np.ndarray) -> tuple[float, float]:
    """Accuracy and macro F1, 0..1; a class neither predicted nor present counts as 0."""
    f1 = []
    for number in range(len(CLASSES)):
        right = int(((predicted == number) & (gold == number)).sum())
        total = int((predicted == number).sum() + (gold == number).sum())
        f1.append(2 * right / total if total else 0.0)
    return float((predicted == gold).mean()), float(np.mean(f1))
