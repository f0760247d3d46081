"""Accuracy on the parts of a held-out set: facts not studied, and studied facts rephrased."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from solo_hub.core.records import Gold, Prediction
from solo_hub.evaluation.statistics import intervals


def held_out_parts(
    parts: Mapping[str, Sequence[str]], predictions: Mapping[str, Sequence[Prediction]], golds: Sequence[Gold]
) -> dict[str, dict[str, Any]]:
    """Accuracy of every arm on every part, where questions have options.

    Args:
        parts: Ids of the questions of each part.
        predictions: By arm.
        golds: The answers.

    Returns:
        Arm -> part -> `{value, low, high, n}`, fractions with Wilson's 95 % interval; parts without questions are left
        out.
    """
    right = {gold.question_id: gold.option for gold in golds if gold.option is not None}
    found: dict[str, dict[str, Any]] = {}
    for arm, answers in predictions.items():
        options = {answer.question_id: answer.option for answer in answers}
        for part, ids in parts.items():
            judged = [options[name] == right[name] for name in ids if name in right and name in options]
            if judged:
                found.setdefault(arm, {})[part] = intervals.wilson(sum(judged), len(judged)).to_row()
    return found
