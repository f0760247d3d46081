"""How many questions a gain needs, and which gain so many questions can show."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import NormalDist
from typing import Any

from solo_hub.evaluation.statistics.intervals import LEVEL, quantile

POWERS = (0.8, 0.9)
GAINS = (0.01, 0.02, 0.03, 0.05, 0.1)
_STEPS = 40  # halvings of the range: far below one question


def sample_size_for_gain(
    base_accuracy: float, gain: float, *, disagreement: float | None = None, power: float = 0.8, level: float = LEVEL
) -> int:
    """Questions needed to see a gain of a student over its base by a paired test.

    With d the gain and s the share of questions on which exactly one of the two is right:
    n = ceil((z_level * sqrt(s) + z_power * sqrt(s - d²))² / d²).

    Source: R. J. Connor, Sample size for testing differences in proportions for the paired-sample design, Biometrics 43
    (1987), eq. 2; O. Miettinen, Biometrics 24 (1968).

    Args:
        base_accuracy: Accuracy of the base, 0..1.
        gain: Accuracy of the student minus that of the base; not 0.
        disagreement: s; when None, that of two arms that err independently - more than arms of one model usually do, so
            the answer is on the safe side.
        power: Wanted chance of seeing the gain.
        level: 1 - significance of the two-sided test.
    """
    after = base_accuracy + gain
    share = base_accuracy * (1 - after) + after * (1 - base_accuracy) if disagreement is None else disagreement
    share = max(share, abs(gain))  # arms that differ less cannot gain as much
    reach = quantile(level) * math.sqrt(share) + NormalDist().inv_cdf(power) * math.sqrt(share - gain * gain)
    return math.ceil(reach * reach / (gain * gain))


def detectable_gain(
    base_accuracy: float, questions: int, *, disagreement: float | None = None, power: float = 0.8
) -> float | None:
    """The smallest gain that so many questions show with the wanted chance.

    The inverse of `sample_size_for_gain`, by bisection: more questions show smaller gains.

    Args:
        base_accuracy: Accuracy of the base, 0..1.
        questions: Number of held-out questions.
        disagreement: Share of questions on which exactly one of the two is right; that of independent arms when None.
        power: Wanted chance of seeing the gain.

    Returns:
        The gain as a share, or None when even the largest possible one needs more questions.
    """
    low, high = 0.0, min(1 - base_accuracy, 1.0 if disagreement is None else disagreement)
    if high <= 0 or sample_size_for_gain(base_accuracy, high, disagreement=disagreement, power=power) > questions:
        return None
    for _ in range(_STEPS):
        middle = (low + high) / 2
        if sample_size_for_gain(base_accuracy, middle, disagreement=disagreement, power=power) > questions:
            low = middle
        else:
            high = middle
    return high


def plan(
    base_accuracy: float,
    gains: Sequence[float] = GAINS,
    *,
    disagreement: float | None = None,
    questions: int | None = None,
) -> dict[str, Any]:
    """What `solo-hub evaluate --power` tells.

    Args:
        base_accuracy: Accuracy of the base, 0..1.
        gains: Gains asked about, as shares.
        disagreement: As for `detectable_gain`; of a run, the one it saw.
        questions: Questions of a run, to tell which gain they can show.

    Returns:
        `base_accuracy`, `disagreement`, `gains` (`gain` and the questions it needs by power), `questions`,
        `detectable`.
    """
    rows: list[dict[str, Any]] = []
    for gain in gains:
        row: dict[str, Any] = {"gain": gain}
        for power in POWERS:
            possible = 0 < gain <= 1 - base_accuracy and (disagreement is None or gain <= disagreement)
            row[f"{100 * power:.0f} %"] = (
                sample_size_for_gain(base_accuracy, gain, disagreement=disagreement, power=power) if possible else None
            )
        rows.append(row)
    detectable = None
    if questions is not None:
        detectable = {
            f"{100 * power:.0f} %": detectable_gain(base_accuracy, questions, disagreement=disagreement, power=power)
            for power in POWERS
        }
    return {
        "base_accuracy": base_accuracy,
        "disagreement": disagreement,
        "gains": rows,
        "questions": questions,
        "detectable": detectable,
    }


def seen(report: Mapping[str, Any]) -> tuple[float, float | None, int]:
    """Accuracy of the base, disagreement of student and base, and number of questions of a finished run."""
    pair = (report.get("paired") or {}).get("student_vs_base")
    share = (pair["only_first"] + pair["only_second"]) / pair["n"] if pair else None
    return report["arms"]["base"]["accuracy"]["value"], share or None, int(report["n_questions"])
