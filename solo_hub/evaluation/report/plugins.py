"""Metrics and report sections by plugin: built-in ones in this file, others found by name in the same way."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from solo_hub.core.errors import ConfigError
from solo_hub.core.plugins import Metric, ReportSection, find
from solo_hub.core.records import Gold, Prediction, Question
from solo_hub.evaluation.report.format import METRICS, percent
from solo_hub.evaluation.scoring import Arm

TAKEN = frozenset({*METRICS, "seconds_per_question", "passages", "prompt_tokens", "written_tokens"})
"""Names that mean something else in an arm's row of the report."""


class Brier:
    """Brier score of the option probabilities, 0 (certain and right) to 2 (certain and wrong); lower is better.

    Brier, "Verification of forecasts expressed in terms of probability" (1950), eq. 2: the mean over questions of
    sum_o (p_o - y_o)^2, with y_o = 1 for the right option and 0 for the others.
    """

    label = "Brier score (0 best, 2 worst)"

    def score(self, question: Question, gold: Gold, prediction: Prediction) -> float | None:  # noqa: ARG002
        """Squared distance of the probabilities from the truth; None where there are none."""
        if prediction.probabilities is None or gold.option is None:
            return None
        return sum((p - (o == gold.option)) ** 2 for o, p in enumerate(prediction.probabilities))


class QuestionLength:
    """Accuracy of every arm on short, medium and long questions."""

    title = "By length of the question"

    def table(
        self,
        report: Mapping[str, Any],  # noqa: ARG002 - fits `ReportSection`
        questions: Sequence[Question],
        golds: Sequence[Gold],
        predictions: Mapping[str, Sequence[Prediction]],
    ) -> tuple[list[str], list[list[str]]]:
        """One row a third of the questions, ordered by their number of words."""
        from solo_hub.evaluation.scoring import is_right

        words = [len(question.text.split()) for question in questions]
        order = sorted(range(len(questions)), key=lambda at: words[at])
        thirds = [part for part in np.array_split(np.array(order, dtype=int), 3) if len(part)]
        rows = []
        for part in thirds:
            lengths = [words[at] for at in part]
            shares = []
            for arm in predictions.values():
                right = sum(is_right(golds[at], arm[at]) for at in part)
                shares.append(percent(right / len(part)))
            rows.append([f"{min(lengths)} to {max(lengths)} words", f"{len(part):,}", *shares])
        return ["Question", "n", *predictions], rows


def add_metrics(
    arms: Mapping[str, Arm], questions: Sequence[Question], golds: Sequence[Gold], names: Sequence[str]
) -> dict[str, str]:
    """Score every arm by further metrics; a metric that does not apply to every question is left out.

    Args:
        arms: The arms; gain scores.
        questions: The held-out questions.
        golds: Their answers, in the same order.
        names: Names of metric plugins.

    Returns:
        What each is called, by its name.

    Raises:
        ConfigError: There is no such metric, its name is taken, or it returns an invalid value.
    """
    labels: dict[str, str] = {}
    for name in names:
        if name in TAKEN:
            raise ConfigError(f"evaluation.metrics: '{name}' is always measured.", hint="Leave it out of the list.")
        metric: Metric = find("metrics", name)()
        for arm in arms.values():
            values = [metric.score(*each) for each in zip(questions, golds, arm.predictions, strict=True)]
            known = [value for value in values if value is not None]
            if any(not isinstance(value, (int, float)) or not math.isfinite(value) for value in known):
                raise ConfigError(f"The metric '{name}' returned an invalid value.", hint="Fix or remove it.")
            if len(known) == len(values):
                arm.scores[name] = np.array(known, dtype=np.float64)
        labels[name] = str(metric.label)
    return labels


def sections(
    names: Sequence[str],
    report: Mapping[str, Any],
    questions: Sequence[Question],
    golds: Sequence[Gold],
    predictions: Mapping[str, Sequence[Prediction]],
) -> list[dict[str, Any]]:
    """Tables of further report sections: `title`, `columns`, `rows`; the page escapes all of it.

    Raises:
        ConfigError: There is no such section.
    """
    found = []
    for name in names:
        section: ReportSection = find("reports", name)()
        columns, rows = section.table(report, questions, golds, predictions)
        found.append({
            "title": str(section.title),
            "columns": [str(column) for column in columns],
            "rows": [[str(cell) for cell in row] for row in rows],
        })  # fmt: skip
    return found
