"""Labels and batches made by hand, for the tests of selection."""

from __future__ import annotations

import numpy as np

from solo_hub.core.records import PseudoLabel
from solo_hub.selection.steps import StepBatch


def label(name, confidence=None, probabilities=None, option=None):
    return PseudoLabel(name, option, probabilities, "an answer", confidence, (), 0, "text", "k")


def labels(*confidences):
    """One label a confidence, named a, b, c, ..."""
    return [label(chr(ord("a") + i), c) for i, c in enumerate(confidences)]


def kept(selection):
    return "".join(v.question_id for v in selection.kept)


def batch(classes, confidence, student=None, **more):
    return StepBatch(
        np.array(classes),
        np.array(confidence, float),
        None,
        None if student is None else np.array(student, float),
        **more,
    )


def random_batch(seed, size=6, classes=3, **more):
    """A batch whose probabilities are drawn from a seed."""
    rng = np.random.default_rng(seed)
    teacher = rng.dirichlet(np.ones(classes), size)
    student = rng.dirichlet(np.ones(classes), size)
    return StepBatch(teacher.argmax(1), teacher.max(1), teacher, student, **more)
