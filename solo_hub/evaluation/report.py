"""Questions, gold answers and every arm's predictions -> the report, as one dictionary.

The pipeline adds what only it knows (run, labels, selection, training); everything measured comes from here.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from solo_hub.config import EvaluationSettings
from solo_hub.errors import DependencyError, InputError, ModelError
from solo_hub.evaluation import causes, statistics
from solo_hub.evaluation.matching import match_option, normalise
from solo_hub.evaluation.statistics import Array, Interval
from solo_hub.records import Gold, Prediction, Question, Retrieval

PAIRS = (("student", "base"), ("student", "teacher"), ("teacher", "base"))
"""Comparisons every report makes, where it has both arms; the difference is first minus second."""

ROUGE_TYPES = ("rouge1", "rouge2", "rougeL", "rougeLsum")


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


def align(questions: Sequence[Question], golds: Sequence[Gold], predictions: Mapping[str, Sequence[Prediction]]) -> tuple[list[Gold], dict[str, list[Prediction]]]:
    """Join gold answers and predictions with the questions by id, in the order of the questions.

    Raises:
        InputError: A question has no gold answer or prediction, has two, or a row names an unknown question or another arm.
    """
    ids = [question.id for question in questions]
    if not ids:
        raise InputError("there are no questions to evaluate on.", hint="Check task.evaluation_split and task.evaluation_limit.")
    if len(set(ids)) != len(ids):
        twice = next(id_ for id_ in ids if ids.count(id_) > 1)
        raise InputError(f"the evaluation questions hold the id '{twice}' twice.", hint="Give every question an id of its own.")
    known = set(ids)
    gold_by_id = _index(golds, known, "gold answers")
    by_arm = {}
    for arm, rows in predictions.items():
        stray = next((row for row in rows if row.arm != arm), None)
        if stray is not None:
            raise InputError(f"a prediction of arm '{stray.arm}' stands among those of '{arm}' (question '{stray.question_id}').", hint="Rerun the evaluate step.")
        indexed = _index(rows, known, f"predictions of arm '{arm}'")
        by_arm[arm] = [indexed[id_] for id_ in ids]
    return [gold_by_id[id_] for id_ in ids], by_arm


def _index(rows: Sequence[Any], known: set[str], what: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for row in rows:
        if row.question_id not in known:
            raise InputError(f"the {what} name the question '{row.question_id}', which is not evaluated.", hint="Are both from the same run?")
        if row.question_id in found:
            raise InputError(f"the {what} hold the question '{row.question_id}' twice.", hint="Rerun the evaluate step.")
        found[row.question_id] = row
    missing = sorted(known - found.keys())
    if missing:
        raise InputError(f"the {what} lack {len(missing)} of {len(known)} questions, e.g. '{missing[0]}'.", hint="Rerun the evaluate step.")
    return found


def build_report(
    questions: Sequence[Question],
    golds: Sequence[Gold],
    predictions: Mapping[str, Sequence[Prediction]],
    *,
    settings: EvaluationSettings,
    seed: int,
    bert_score_model: Path | None = None,
    bert_score_identity: str = "",
    retrievals: Sequence[Retrieval] = (),
) -> dict[str, Any]:
    """Measure every arm and compare them.

    Args:
        questions: The held-out questions.
        golds: Their answers, one each.
        predictions: Per arm, one prediction a question, any order.
        settings: Resamples, BERTScore's layer, whether arms generated text.
        seed: Seed of the bootstrap.
        bert_score_model: Folder of BERTScore's model; without it BERTScore is left out, and the report says so.
        bert_score_identity: Its repo and commit, as they should stand in the report (`OWNER/NAME@COMMIT`).
        retrievals: Passages found for the questions; with them wrong answers can be traced to retrieval.

    Returns:
        `n_questions`, `arms`, `paired`, `gap_closed`, `errors`, `metrics`, in JSON types.

    Raises:
        InputError: Predictions or gold answers are missing, doubled, or of unknown questions.
        DependencyError: A metric's package is missing.
    """
    if not predictions:
        raise InputError("there are no predictions to evaluate.", hint="Rerun the evaluate step.")
    aligned_golds, by_arm = align(questions, golds, predictions)
    free_text = all(gold.option is None for gold in aligned_golds)
    seconds: dict[str, float] = {}
    arms = {name: Arm(name, rows, score_options(questions, aligned_golds, rows)) for name, rows in by_arm.items()}
    with_text = settings.generate or free_text
    if with_text and not free_text:
        for arm in arms.values():
            arm.scores.update(score_written(questions, aligned_golds, arm.predictions))
    references = [gold.text for gold in aligned_golds]
    _timed(seconds, "rouge", lambda: _add_rouge(arms, references))
    bert = _timed(seconds, "bert_score", lambda: _add_bert_score(arms, references, settings, seed, bert_score_model, bert_score_identity))
    rows = _timed(seconds, "intervals", lambda: {name: _arm_row(arm, settings.resamples, seed) for name, arm in arms.items()})
    if same_options(questions):
        for name, arm in arms.items():
            rows[name]["macro_f1"] = _macro_f1(aligned_golds, arm.predictions, settings.resamples, seed).to_row()
    gap = None
    if {"base", "teacher", "student"} <= arms.keys():
        gap = statistics.gap_closed(*(arms[name].correct for name in ("base", "teacher", "student")), settings.resamples, seed)
    return {
        "n_questions": len(questions),
        "arms": rows,
        "paired": compare(arms, settings.resamples, seed),
        "gap_closed": gap.to_row() if gap else None,
        "errors": causes.summarise(causes.explain(questions, aligned_golds, by_arm, retrievals)),
        "metrics": {
            "interval": "95 % Wilson / bootstrap percentile",
            "resamples": settings.resamples,
            "seed": seed,
            "accuracy": "written answer equals the reference after folding case, blanks and outer punctuation" if free_text else "chosen option is the right one",
            "accuracy_generated": None if free_text or not settings.generate else "written answer, folded, names the right option; one that names none is wrong and counted in unparsed",
            "text": "greedy generation" if with_text else "text of the chosen option (generation is off)",
            "gap_closed": "(student - base) / (teacher - base) on accuracy; null where the teacher is not clearly above the base",
            "paired": "McNemar's exact test, two-sided; p_value_holm is corrected for all comparisons of this report",
            "rouge": _rouge_note(references),
            "bert_score": bert,
            "cost": _cost(seconds, arms),
        },
    }


def score_options(questions: Sequence[Question], golds: Sequence[Gold], predictions: Sequence[Prediction]) -> dict[str, Array]:
    """Right (1) or wrong (0) by the chosen option; by the folded text where the gold answer is no option.

    Raises:
        InputError: An option that the question does not have.
    """
    right = np.zeros(len(questions))
    for i, (question, gold, prediction) in enumerate(zip(questions, golds, predictions, strict=True)):
        for what, option in (("gold answer", gold.option), (f"prediction of arm '{prediction.arm}'", prediction.option)):
            if option is not None and not 0 <= option < len(question.options):
                raise InputError(f"the {what} for question '{question.id}' names option {option} of {len(question.options)}.", hint="Are questions and answers from the same data?")
        if gold.option is None:
            right[i] = normalise(prediction.text) == normalise(gold.text)
        else:
            right[i] = prediction.option == gold.option
    return {"accuracy": right}


def score_written(questions: Sequence[Question], golds: Sequence[Gold], predictions: Sequence[Prediction]) -> dict[str, Array]:
    """Right or wrong by the written answer, and whether it named any option at all."""
    right, unparsed = np.zeros(len(questions)), np.zeros(len(questions))
    for i, (question, gold, prediction) in enumerate(zip(questions, golds, predictions, strict=True)):
        if gold.option is None:
            right[i] = normalise(prediction.text) == normalise(gold.text)
            continue
        option = match_option(prediction.text, question.options)
        right[i], unparsed[i] = option == gold.option, option is None
    return {"accuracy_generated": right, "unparsed": unparsed}


def compare(arms: Mapping[str, Arm], resamples: int, seed: int) -> dict[str, Any]:
    """Compare arms pairwise: the three standard comparisons and every further arm with the base."""
    pairs = [pair for pair in PAIRS if set(pair) <= arms.keys()]
    extra = [name for name in arms if name not in ("base", "teacher", "student")]
    pairs += [(name, "base") for name in extra if "base" in arms]
    rows: dict[str, Any] = {}
    for first, second in pairs:
        a, b = arms[first].correct, arms[second].correct
        only_first, only_second = int(((a == 1) & (b == 0)).sum()), int(((a == 0) & (b == 1)).sum())
        rows[f"{first}_vs_{second}"] = {
            "n": len(a),
            "only_first": only_first,
            "only_second": only_second,
            "difference": statistics.paired_bootstrap(a, b, resamples, seed).to_row(),
            "p_value": statistics.mcnemar_exact(only_first, only_second),
            "test": "mcnemar_exact",
        }
    for row, adjusted in zip(rows.values(), statistics.holm([row["p_value"] for row in rows.values()]), strict=True):
        row["p_value_holm"] = adjusted
    return rows


def same_options(questions: Sequence[Question]) -> bool:
    """Whether all questions have the same options: then they are classes, and F1 of a class means something."""
    return len(questions[0].options) > 1 and all(question.options == questions[0].options for question in questions)


def _arm_row(arm: Arm, resamples: int, seed: int) -> dict[str, Any]:
    row: dict[str, Any] = {}
    for name, values in arm.scores.items():
        if name in ("accuracy", "accuracy_generated", "unparsed"):
            interval = statistics.wilson(int(values.sum()), len(values))
        else:
            interval = statistics.bootstrap_mean(values, resamples, seed)
        row[name] = interval.to_row()
    times = np.array([prediction.seconds for prediction in arm.predictions])
    row["seconds_per_question"] = {"p50": float(np.quantile(times, 0.5)), "p95": float(np.quantile(times, 0.95))}
    row["passages"] = any(prediction.passages for prediction in arm.predictions)
    return row


def _macro_f1(golds: Sequence[Gold], predictions: Sequence[Prediction], resamples: int, seed: int) -> Interval:
    from solo_hub.evaluation.metrics.macro_f1.macro_f1 import score

    predicted = np.array([-1 if prediction.option is None else prediction.option for prediction in predictions])
    true = np.array([gold.option for gold in golds])
    return statistics.bootstrap_statistic(lambda rows: score(predicted[rows], true[rows]), len(true), resamples, seed)


def _timed(seconds: dict[str, float], name: str, work: Callable[[], Any]) -> Any:
    started = time.perf_counter()
    result = work()
    seconds[name] = time.perf_counter() - started
    return result


def _add_rouge(arms: Mapping[str, Arm], references: list[str]) -> None:
    try:
        from solo_hub.evaluation.metrics.rouge.rouge import score_items
    except ModuleNotFoundError as error:
        raise DependencyError(error.name or "rouge-score", extra="evaluation", purpose="ROUGE") from error
    for arm in arms.values():
        arm.scores.update(score_items([prediction.text for prediction in arm.predictions], references, ROUGE_TYPES))


def _rouge_note(references: list[str]) -> dict[str, Any]:
    from importlib import metadata

    from solo_hub.evaluation.wording import words

    single = sum(len(words(text)) <= 1 for text in references) / len(references)
    return {
        "package": f"rouge-score {metadata.version('rouge-score')}",
        "score": "F1 without stemming, tokens in every script",
        "one_token_references": single,
        "note": "rouge2 of a one-token reference is 0 by definition, so rouge2 cannot exceed 1 - one_token_references",
    }


def _add_bert_score(
    arms: Mapping[str, Arm], references: list[str], settings: EvaluationSettings, seed: int, model: Path | None, identity: str
) -> dict[str, Any]:
    if model is None:
        return {"left_out": "no BERTScore model was given"}
    try:
        from solo_hub.evaluation.metrics.bert_score.bert_score import Scorer
    except ModuleNotFoundError as error:
        raise DependencyError(error.name or "bert-score", extra="evaluation", purpose="BERTScore") from error
    try:
        scorer = Scorer(model, settings.bert_score_layer)
    except ValueError as error:
        raise ModelError(f"BERTScore: {error}.", hint="Set evaluation.bert_score_model and evaluation.bert_score_layer.") from error
    for arm in arms.values():
        arm.scores["bert_score_f1"] = scorer.score_items([prediction.text for prediction in arm.predictions], references)["f1"]
    # References shuffled among the questions: what two unrelated answers of this task score.
    order = np.random.default_rng(seed).permutation(len(references))
    shuffled = [""] * len(references)
    for i, j in zip(order, np.roll(order, 1), strict=True):
        shuffled[i] = references[j]
    baseline = float(scorer.score_items(shuffled, references)["f1"].mean()) if len(references) > 1 else None
    repo, _, commit = identity.partition("@")
    return {"model": repo or model.name, "commit": commit or None, **scorer.describe(), "baseline": baseline}


def _cost(seconds: Mapping[str, float], arms: Mapping[str, Arm]) -> dict[str, Any]:
    answering = sum(prediction.seconds for arm in arms.values() for prediction in arm.predictions)
    total = sum(seconds.values())
    return {
        "seconds": {name: round(value, 3) for name, value in seconds.items()},
        "answering_seconds": round(answering, 3),
        "share": total / (total + answering) if total + answering else None,
    }
