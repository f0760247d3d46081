"""Quality of pseudo-labels against gold answers: for analysis, never in the label-free path."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from solo_hub.core.records import Gold, PseudoLabel, Selection
from solo_hub.evaluation.scoring import is_right
from solo_hub.evaluation.statistics import intervals
from solo_hub.evaluation.statistics.calibration import expected_calibration_error, reliability
from solo_hub.evaluation.statistics.intervals import Array

BINS = 10


def judge(labels: Sequence[PseudoLabel], golds: Sequence[Gold]) -> Array:
    """Right (1) or wrong (0) of each label; NaN where there is no gold answer.

    Args:
        labels: Pseudo-labels.
        golds: Gold answers of any of their questions, in any order.

    Returns:
        `(labels,)`.
    """
    known = {gold.question_id: gold for gold in golds}
    pairs = ((known.get(label.question_id), label) for label in labels)
    return np.array([np.nan if gold is None else is_right(gold, label) for gold, label in pairs], dtype=np.float64)


def _share(right: Array) -> dict[str, Any] | None:
    known = right[~np.isnan(right)]
    return intervals.wilson(int(known.sum()), known.size).to_row() if known.size else None


def summarise_labels(labels: Sequence[PseudoLabel], golds: Sequence[Gold] = (), *, bins: int = BINS) -> dict[str, Any]:
    """Describe the pseudo-labels of a run: the report's `labels`.

    Args:
        labels: All pseudo-labels.
        golds: Gold answers where the data has them; only the analysis below reads them.
        bins: Bins of the reliability diagram.

    Returns:
        `n`, `style`, `mean_confidence`, `passages_dropped`; and `accuracy`, `calibration` (`ece`, `bins`, `n`) or None
        where there is no gold answer or no confidence.
    """
    right = judge(labels, golds)
    confidences = np.array(
        [np.nan if label.confidence is None else label.confidence for label in labels], dtype=np.float64
    )
    both = ~np.isnan(right) & ~np.isnan(confidences)
    styles = sorted({label.style for label in labels})
    told = confidences[~np.isnan(confidences)]
    calibration = None
    if both.any():
        bars = reliability(confidences[both], right[both], bins)
        error = expected_calibration_error(confidences[both], right[both], bins)
        calibration = {"ece": error, "n": int(both.sum()), "bins": [bar.to_row() for bar in bars]}
    return {
        "n": len(labels),
        "style": " + ".join(styles) if styles else None,
        "mean_confidence": float(told.mean()) if told.size else None,
        "accuracy": _share(right),
        "passages_dropped": sum(label.passages_dropped for label in labels),
        "confidence_histogram": np.histogram(told, bins=bins, range=(0, 1))[0].tolist() if told.size else None,
        "calibration": calibration,
    }


def summarise_selection(
    selection: Selection, labels: Sequence[PseudoLabel], golds: Sequence[Gold] = ()
) -> dict[str, Any]:
    """Describe what selection kept and dropped: the report's `selection`.

    Args:
        selection: The selection.
        labels: All pseudo-labels.
        golds: Gold answers where the data has them.

    Returns:
        `method`, `kept`, `dropped`, `accuracy_kept`, `accuracy_dropped` (None without gold answers) and `reasons`, how
        often each was given.
    """
    right = dict(zip((label.question_id for label in labels), judge(labels, golds), strict=True))
    halves: dict[bool, list[float]] = {True: [], False: []}
    for verdict in selection.verdicts:
        halves[verdict.kept].append(right[verdict.question_id])
    return {
        "method": selection.method,
        "kept": len(halves[True]),
        "dropped": len(halves[False]),
        "accuracy_kept": _share(np.array(halves[True])),
        "accuracy_dropped": _share(np.array(halves[False])),
        "reasons": dict(Counter(verdict.reason for verdict in selection.verdicts)),
    }


WINDOWS = 40  # points of a curve over training: enough to see its shape, each a mean of several steps


def over_training(
    log: Sequence[Mapping[str, Any]], examples: Sequence[PseudoLabel], golds: Sequence[Gold] = ()
) -> list[dict[str, Any]] | None:
    """What a per-step selector did over the training, in at most `WINDOWS` stretches of equal length.

    Args:
        log: The training's log; steps of a per-step selector have `batch`, `kept` and the places of their examples.
        examples: The labels trained on, in the order in which the log counts them.
        golds: Gold answers where the data has them; only accuracies read them.

    Returns:
        One row a stretch: `step` (its last), `kept_share`, `confidence_threshold`, `uncertainty_threshold` (means, or
        None), `accuracy_kept` and `accuracy_seen` (shares of right labels, or None). None where there was no selector.
    """
    rows = [row for row in log if row.get("batch") and "kept" in row]
    if not rows:
        return None
    right = judge(examples, golds)
    found = []
    for places in np.array_split(np.arange(len(rows)), min(WINDOWS, len(rows))):
        some = [rows[i] for i in places]
        found.append(
            {
                "step": int(some[-1].get("step", places[-1] + 1)),
                "kept_share": sum(row["kept"] for row in some) / sum(row["batch"] for row in some),
                **{name: _mean(row.get(name) for row in some) for name in THRESHOLDS},
                "accuracy_kept": _mean_right(right, some, "kept_examples"),
                "accuracy_seen": _mean_right(right, some, "examples"),
            }
        )
    return found


THRESHOLDS = ("confidence_threshold", "uncertainty_threshold")


def _mean(values: Iterable[Any]) -> float | None:
    known = [float(value) for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _mean_right(right: Array, rows: Sequence[Mapping[str, Any]], name: str) -> float | None:
    places = [place for row in rows for place in row.get(name) or ()]
    return _mean(value for value in right[places] if not np.isnan(value)) if places else None
