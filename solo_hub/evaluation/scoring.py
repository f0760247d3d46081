"""Scores of every arm on every question: joined by id, one number a question and metric."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from solo_hub.core.errors import ModelError, import_optional
from solo_hub.core.records import Gold, Prediction, PseudoLabel, Question
from solo_hub.core.words import words
from solo_hub.evaluation.statistics.intervals import Array
from solo_hub.models.options import equals_any, find_option

R = TypeVar("R", Gold, Prediction)

logger = logging.getLogger(__name__)

MANY_UNKNOWN = 0.1  # share of unknown tokens above which BERTScore is unreliable
ROUGE_TYPES = ("rouge1", "rouge2", "rougeL", "rougeLsum")
SHARES = ("accuracy", "accuracy_generated", "unparsed")
"""Metrics that are 0 or 1 on each question: their intervals are Wilson's."""


@dataclass(frozen=True, slots=True)
class Arm:
    """One arm's predictions with their scores, in the order of the questions.

    Attributes:
        name: Name of the arm.
        predictions: One a question.
        scores: Per-question scores by metric, each `(questions,)`, 0..1; `accuracy` is always there.
    """

    name: str
    predictions: list[Prediction]
    scores: dict[str, Array]

    @property
    def correct(self) -> Array:
        """Right (1) or wrong (0), `(questions,)`."""
        return self.scores["accuracy"]

    @property
    def texts(self) -> list[str]:
        """What the arm wrote, one a question."""
        return [prediction.text for prediction in self.predictions]


def align(
    questions: Sequence[Question], golds: Sequence[Gold], predictions: Mapping[str, Sequence[Prediction]]
) -> tuple[list[Gold], dict[str, list[Prediction]]]:
    """Join gold answers and predictions with the questions by id, in the order of the questions."""

    def joined(rows: Sequence[R]) -> list[R]:
        by_id = {row.question_id: row for row in rows}
        return [by_id[question.id] for question in questions]

    return joined(golds), {arm: joined(rows) for arm, rows in predictions.items()}


def is_right(gold: Gold, answer: Prediction | PseudoLabel) -> bool:
    """Whether the chosen option is the right one; for free text, whether the text says one of the references."""
    if gold.option is None:
        return equals_any(answer.text, gold.references)
    return answer.option == gold.option


def score_options(golds: Sequence[Gold], predictions: Sequence[Prediction]) -> dict[str, Array]:
    """Right (1) or wrong (0) of each prediction, as `accuracy`."""
    right = [is_right(gold, prediction) for gold, prediction in zip(golds, predictions, strict=True)]
    return {"accuracy": np.array(right, dtype=np.float64)}


def score_written(
    questions: Sequence[Question], golds: Sequence[Gold], predictions: Sequence[Prediction]
) -> dict[str, Array]:
    """Right or wrong by the written answer (`accuracy_generated`), and whether it named no option (`unparsed`)."""
    right, unparsed = np.zeros(len(questions)), np.zeros(len(questions))
    for i, (question, gold, prediction) in enumerate(zip(questions, golds, predictions, strict=True)):
        if gold.option is None:
            right[i] = is_right(gold, prediction)
            continue
        option = find_option(prediction.text, question.options)
        right[i], unparsed[i] = option == gold.option, option is None
    return {"accuracy_generated": right, "unparsed": unparsed}


References = Sequence[Sequence[str]]
"""The reference answers of each question, at least one each."""


def best_of(
    score: Callable[[Sequence[str], Sequence[str]], Mapping[str, Array]], texts: Sequence[str], references: References
) -> dict[str, Array]:
    """Score each text against each of its references and keep the best: of every metric by itself.

    Args:
        score: Scores aligned lists of texts and references; one array a metric.
        texts: Answers as written.
        references: The references of each.

    Returns:
        `(texts,)` a metric.
    """
    counts = [len(some) for some in references]
    flat = [text for text, count in zip(texts, counts, strict=True) for _ in range(count)]
    scores = score(flat, [reference for some in references for reference in some])
    starts = np.cumsum([0, *counts[:-1]])
    return {name: np.maximum.reduceat(values, starts) if counts else values for name, values in scores.items()}


def add_rouge(arms: Mapping[str, Arm], references: References) -> dict[str, Any]:
    """Add ROUGE to the arms' scores.

    Returns:
        What the numbers depend on, for the report.

    Raises:
        DependencyError: rouge-score or evaluate is missing.
    """
    rouge = metric("rouge", "rouge-score", "ROUGE")
    for arm in arms.values():
        arm.scores.update(best_of(lambda a, b: rouge.score_items(a, b, ROUGE_TYPES), arm.texts, references))
    return {
        "package": "rouge-score",
        "version": metadata.version("rouge-score"),
        "score": "F1 without stemming, tokens in every script",
        "one_token_references": sum(all(len(words(text)) <= 1 for text in some) for some in references)
        / len(references),
        "note": "rouge2 of a one-token reference is 0 by definition: it cannot exceed 1 - one_token_references",
    }


def metric(name: str, package: str, purpose: str) -> Any:
    """The module of a metric."""
    module = f"solo_hub.evaluation.metrics.{name}.{name}"
    return import_optional(module, package=package, extra="evaluation", purpose=purpose)


def bert_scorer(model: Path, repo: str) -> Any:
    """Load the model of BERTScore, with the layer that is recommended for its repo.

    Raises:
        DependencyError: bert-score or evaluate is missing.
        ModelError: The folder holds no model.
    """
    bert_score = metric("bert_score", "bert-score", "BERTScore")
    try:
        return bert_score.Scorer(model, bert_score.recommended_layer(repo))
    except ValueError as error:
        raise ModelError(f"BERTScore: {error}.", hint="Set evaluation.bert_score_model.") from error


def add_bert_score(
    arms: Mapping[str, Arm],
    references: References,
    *,
    seed: int,
    model: Path | None,
    identity: str,
) -> dict[str, Any]:
    """Add BERTScore's F1 to the arms' scores.

    Args:
        arms: The arms.
        references: Reference texts of each question, in their order.
        seed: Seed of the shuffle behind the baseline.
        model: Folder of the embedding model; None leaves BERTScore out.
        identity: Its repo and commit, `OWNER/NAME@COMMIT`.

    Returns:
        What the numbers depend on, for the report; `baseline` is the mean F1 of references paired with other questions'
        references: what two unrelated answers of this task score. `unknown_tokens` is the share of the references'
        tokens that the model does not know: to it they are all the same, so different answers score too high.

    Raises:
        DependencyError: bert-score or evaluate is missing.
        ModelError: The folder holds no model.
    """
    if model is None:
        return {"left_out": "no BERTScore model was given"}
    repo, _, commit = identity.partition("@")
    scorer = bert_scorer(model, repo)
    for arm in arms.values():
        arm.scores["bert_score_f1"] = best_of(scorer.score_items, arm.texts, references)["f1"]
    baseline = None
    if len(references) > 1:
        order = np.random.default_rng(seed).permutation(len(references))
        strangers = [""] * len(references)
        for place, other in zip(order, np.roll(order, 1), strict=True):  # a cycle: no reference meets itself
            strangers[place] = references[other][0]
        baseline = float(best_of(scorer.score_items, strangers, references)["f1"].mean())
    name, unknown = repo or model.name, scorer.unknown_tokens([text for some in references for text in some])
    if unknown > MANY_UNKNOWN:
        logger.warning(
            "%.0f %% of the references' tokens are unknown to BERTScore's model '%s': to it different answers are the "
            "same. Set evaluation.bert_score_model to a model of their language.",
            100 * unknown,
            name,
        )
    measured = {"baseline": baseline, "unknown_tokens": unknown}
    return {"model": name, "commit": commit or None, **scorer.describe(), **measured}
