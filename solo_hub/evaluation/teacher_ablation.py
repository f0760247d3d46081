"""What each expert of the teacher would have answered alone: the model, and the retrieval that found its passages.

For analysis: it reads known answers. The model's own choice is worked out of the combined probabilities
(`solo_hub.models.experts`): log p_model is, but for a constant, T * log p - weight * log p_retrieval.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from solo_hub.core.records import Gold, Prediction, PseudoLabel, Retrieval
from solo_hub.evaluation.label_quality import judge
from solo_hub.evaluation.learnt import Learnt
from solo_hub.evaluation.statistics import intervals
from solo_hub.evaluation.statistics.calibration import expected_calibration_error
from solo_hub.models.experts import Recipe
from solo_hub.run.context import RunContext
from solo_hub.teacher import decision
from solo_hub.teacher.labelling import label_key
from solo_hub.teacher.step import read_cached

TINY = 1e-300


def summarise_parts(
    answers: Sequence[Prediction] | Sequence[PseudoLabel],
    retrievals: Sequence[Retrieval],
    golds: Sequence[Gold],
    *,
    weight: float,
    temperature: float,
) -> dict[str, Any] | None:
    """Accuracy of the model alone, of retrieval alone, and of both together, on the same questions.

    Args:
        answers: The teacher's answers.
        retrievals: What was found, with `option_support`, in any order.
        golds: Known answers.
        weight: Weight of retrieval in the combination.
        temperature: Temperature of the combination.

    Returns:
        `model`, `retrieval`, `together` (shares with intervals), `agree` (share of questions on which model and
        retrieval choose alike) and `n`; None where retrieval has no say or no answer is known.
    """
    found = {retrieval.question_id: retrieval.option_support for retrieval in retrievals}
    right = {gold.question_id: gold.option for gold in golds if gold.option is not None}
    rows = []
    for answer in answers:
        support, gold = found.get(answer.question_id), right.get(answer.question_id)
        if support is None or gold is None or answer.probabilities is None or not weight:
            continue
        own = temperature * np.log(np.maximum(answer.probabilities, TINY)) - weight * np.asarray(support)
        rows.append((int(np.argmax(own)), int(np.argmax(support)), int(np.argmax(answer.probabilities)), gold))
    if not rows:
        return None
    model, retrieval, together, known = np.array(rows).T
    shares = {"model": model == known, "retrieval": retrieval == known, "together": together == known}
    shares["agree"] = model == retrieval
    return {
        "n": len(rows),
        "weight": weight,
        **{name: intervals.wilson(int(hits.sum()), len(rows)).to_row() for name, hits in shares.items()},
    }


def ece_before_temperature(labels: Sequence[PseudoLabel], golds: Sequence[Gold], temperature: float) -> float | None:
    """Expected calibration error if a temperature had not been applied; None where nothing can be compared.

    p^T, normalised, is what stood before softmax(s / T) was taken.
    """
    confidences, right = [], []
    for label, hit in zip(labels, judge(labels, golds), strict=True):
        if label.probabilities is not None and not np.isnan(hit):
            raw = temperature * np.log(np.maximum(label.probabilities, TINY))
            confidences.append(float(1 / np.exp(raw - raw.max()).sum()))
            right.append(float(hit))
    return expected_calibration_error(confidences, right) if right else None


def analysed(context: RunContext, learnt: Learnt) -> dict[str, Any]:
    """What the report tells of the labels besides their accuracy: filters, calibration, the teacher's two experts."""
    setup, labels, golds = decision.require_setup(context), learnt.labels, learnt.golds
    if together := context.resolved.teachers:
        agreed = {
            "views": f"{len(together.roles)} teachers",
            "agreement": together.agreement,
            "n": together.n,
        }
        return {
            "filters": context.resolved.filtered,
            "calibrated_on": agreed,
            "calibration_before": ece_before_temperature(labels, golds, together.temperature),
            "parts": None,
            "teachers": alone(context, together.roles, learnt),
        }
    return {
        "filters": context.resolved.filtered,
        "calibrated_on": setup.calibration,
        "calibration_before": _before(labels, golds, setup.recipe),
        "parts": parts(context, labels, learnt.passages, golds),
    }


def alone(context: RunContext, roles: Sequence[str], learnt: Learnt) -> dict[str, dict[str, Any]]:
    """What each of several teachers would have answered alone.

    Returns:
        For each that answered, by its name: `same`, the share of labels that are its own answer, and `accuracy`, the
        share of its answers that are right (None where none is known); both with intervals.
    """
    known = read_cached(context)
    found = {}
    for teacher in context.teachers:
        if teacher.role not in roles:
            continue
        identity = decision.identity(teacher, decision.require_setup(context, teacher))
        own = [known.get(label_key(q, r, identity)) for q, r in zip(learnt.questions, learnt.passages, strict=True)]
        pairs = [(label, one) for label, one in zip(learnt.labels, own, strict=True) if one is not None]
        same = sum((label.option, label.text) == (one.option, one.text) for label, one in pairs)
        hits = [hit for hit in judge([one for _, one in pairs], learnt.golds) if not np.isnan(hit)]
        found[teacher.name] = {
            "same": intervals.wilson(same, len(pairs)).to_row() if pairs else None,
            "accuracy": intervals.wilson(int(sum(hits)), len(hits)).to_row() if hits else None,
        }
    return found


def _before(labels: Sequence[PseudoLabel], golds: Sequence[Gold], recipe: Recipe) -> float | None:
    """Expected calibration error the labels would have had without the last temperature."""
    if recipe.temperature == 1.0 and recipe.model_temperature == 1.0:
        return None
    # without retrieval the model's temperature was the only one
    temperature = recipe.temperature * (1.0 if recipe.support_weight else recipe.model_temperature)
    return ece_before_temperature(labels, golds, temperature)


def parts(
    context: RunContext,
    answers: Sequence[PseudoLabel] | Sequence[Prediction],
    retrievals: Sequence[Retrieval],
    golds: Sequence[Gold],
) -> dict[str, Any] | None:
    """What model and retrieval would have answered alone; None where retrieval has no say."""
    if context.resolved.teachers:  # a product of more experts than these two
        return None
    recipe = decision.require_setup(context).recipe
    weight, temperature = recipe.support_weight, recipe.temperature
    return summarise_parts(answers, retrievals, golds, weight=weight, temperature=temperature)
