"""Questions, gold answers and every arm's predictions -> the report, as one dictionary.

The pipeline adds what only it knows (run, labels, selection, training); everything measured comes from here.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from solo_hub.core.records import Gold, Prediction, Question, Retrieval
from solo_hub.core.report_settings import EvaluationSettings
from solo_hub.evaluation import error_causes as causes
from solo_hub.evaluation import scoring, trust
from solo_hub.evaluation.report import plugins as further
from solo_hub.evaluation.scoring import Arm
from solo_hub.evaluation.statistics import intervals, significance
from solo_hub.evaluation.statistics.intervals import Interval
from solo_hub.student.control_labels import GOLD

T = TypeVar("T")

PAIRS = (("student", "base"), ("student", "teacher"), ("teacher", "base"))
"""Comparisons every report makes, where it has both arms; the difference is first minus second."""
FURTHER_PAIRS = {
    "base_few_shot": (("base_few_shot", "base"), ("student", "base_few_shot")),
    "student_with_passages": (("student_with_passages", "student"), ("student_with_passages", "teacher")),
    "oracle": (("oracle", "base"), ("oracle", "teacher")),
}
"""What is asked of the arms we know; any other arm is compared with the base and with the student."""

NOTES = {
    "interval": "95 % Wilson / bootstrap percentile / for paired differences the one that agrees with McNemar's test",
    "paired": "McNemar's exact test, two-sided; p_value_holm is corrected for all comparisons of this report",
    "primary": f"{significance.PRIMARY}, declared beforehand, is judged by p_value; all others by p_value_holm",
    "gap_closed": "(student - base) / (teacher - base) of accuracy; null unless the teacher is clearly above the base",
    "gap_recovered": "(student - teacher) / (gold student - teacher) (Burns et al. 2023, arXiv 2312.09390); else null",
}
ACCURACY = "chosen option is the right one"
ACCURACY_FREE_TEXT = "written answer equals the reference once case, blanks and outer punctuation are folded"
SEVERAL = "of several references the best counts, in every metric"
ACCURACY_GENERATED = "written answer names the right option; one that names none is wrong"


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
    unanswerable: Collection[str] = (),
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
        unanswerable: Ids of questions whose documents the student has not studied.

    Returns:
        `n_questions`, `arms`, `paired`, `gap_closed`, `gap_recovered`, `errors`, `trust`, `metrics`, in JSON types.

    Raises:
        DependencyError: A metric's package is missing.
        ModelError: BERTScore's model cannot be used.
    """
    golds, by_arm = scoring.align(questions, golds, predictions)
    free_text = all(gold.option is None for gold in golds)
    written = settings.generate or free_text
    arms = {name: Arm(name, rows, scoring.score_options(golds, rows)) for name, rows in by_arm.items()}
    if written and not free_text:
        for arm in arms.values():
            arm.scores.update(scoring.score_written(questions, golds, arm.predictions))

    references = [gold.references for gold in golds]
    several = sum(len(texts) > 1 for texts in references)
    rouge = bert = None
    seconds = {}
    if written:  # of chosen options they would only repeat the accuracy
        rouge, seconds["rouge"] = _timed(lambda: scoring.add_rouge(arms, references))
        bert, seconds["bert_score"] = _timed(
            lambda: scoring.add_bert_score(
                arms, references, seed=seed, model=bert_score_model, identity=bert_score_identity
            )
        )
    labels = further.add_metrics(arms, questions, golds, settings.metrics)
    rows, seconds["intervals"] = _timed(
        lambda: {name: _arm_row(arm, settings.resamples, seed) for name, arm in arms.items()}
    )
    if same_options(questions):
        for name, arm in arms.items():
            rows[name]["macro_f1"] = _macro_f1(golds, arm.predictions, settings.resamples, seed).to_row()
    gap = None
    if {"base", "teacher", "student"} <= arms.keys():
        base, teacher, student = (arms[name].correct for name in ("base", "teacher", "student"))
        gap = intervals.gap_closed(base, teacher, student, settings.resamples, seed)
    recovered = None
    if {"teacher", "student", GOLD} <= arms.keys():
        weak, strong, student = (arms[name].correct for name in ("teacher", GOLD, "student"))
        recovered = intervals.gap_closed(weak, strong, student, settings.resamples, seed)
    return {
        "n_questions": len(questions),
        "arms": rows,
        "paired": compare(arms),
        "gap_closed": gap.to_row() if gap else None,
        "gap_recovered": recovered.to_row() if recovered else None,
        "errors": causes.summarise(causes.explain(questions, golds, by_arm, retrievals)),
        "trust": trust.summarise(questions, golds, arms, unanswerable, resamples=settings.resamples, seed=seed),
        "metrics": {
            **NOTES,
            "resamples": settings.resamples,
            "seed": seed,
            "accuracy": ACCURACY_FREE_TEXT if free_text else ACCURACY,
            "accuracy_generated": ACCURACY_GENERATED if written and not free_text else None,
            "text": "greedy generation" if written else None,
            **({"references": {"note": SEVERAL, "questions_with_several": several}} if several else {}),
            "rouge": rouge,
            "bert_score": bert,
            **({"further": labels} if labels else {}),
            "cost": _cost(seconds, arms),
        },
    }


def compare(arms: Mapping[str, Arm]) -> dict[str, Any]:
    """Compare arms pairwise: the three standard comparisons, and those of every further arm."""
    wanted = list(PAIRS)
    for name in arms:
        if name not in ("base", "teacher", "student"):
            of_several = (("teacher", name),) if name.removeprefix("teacher_").isdecimal() else ()
            wanted += of_several or FURTHER_PAIRS.get(name, ((name, "base"), ("student", name)))
    pairs = [pair for pair in wanted if set(pair) <= arms.keys()]
    rows: dict[str, Any] = {}
    for first, second in pairs:
        rows[f"{first}_vs_{second}"] = significance.paired(arms[first].correct, arms[second].correct)
    significance.add_holm(rows.values())
    return rows


def same_options(questions: Sequence[Question]) -> bool:
    """Whether all questions have the same options: then they are classes, and the F1 of a class means something."""
    first = questions[0].options
    return len(first) > 1 and all(question.options == first for question in questions)


def _arm_row(arm: Arm, resamples: int, seed: int) -> dict[str, Any]:
    row: dict[str, Any] = {}
    for name, values in arm.scores.items():
        if name in scoring.SHARES:
            row[name] = intervals.wilson(int(values.sum()), len(values)).to_row()
        else:
            row[name] = intervals.bootstrap_mean(values, resamples, seed).to_row()
    p50, p95 = np.quantile([prediction.seconds for prediction in arm.predictions], [0.5, 0.95])
    row["seconds_per_question"] = {"p50": float(p50), "p95": float(p95)}
    for name in ("prompt_tokens", "written_tokens"):
        counted = [getattr(prediction, name) for prediction in arm.predictions]
        row[name] = float(np.mean(counted)) if any(counted) else None
    row["passages"] = any(prediction.passages for prediction in arm.predictions)
    return row


def _macro_f1(golds: Sequence[Gold], predictions: Sequence[Prediction], resamples: int, seed: int) -> Interval:
    from solo_hub.evaluation.metrics.macro_f1.macro_f1 import score

    predicted = np.array([-1 if prediction.option is None else prediction.option for prediction in predictions])
    true = np.array([gold.option for gold in golds])
    return intervals.bootstrap_statistic(lambda rows: score(predicted[rows], true[rows]), len(true), resamples, seed)


def _timed(work: Callable[[], T]) -> tuple[T, float]:
    started = time.perf_counter()
    result = work()
    return result, time.perf_counter() - started


def _cost(seconds: Mapping[str, float], arms: Mapping[str, Arm]) -> dict[str, Any]:
    """What measuring cost, in seconds, and its share of measuring plus answering."""
    answering = sum(prediction.seconds for arm in arms.values() for prediction in arm.predictions)
    measuring = sum(seconds.values())
    total = measuring + answering
    return {
        "seconds": {name: round(value, 3) for name, value in seconds.items()},
        "answering_seconds": round(answering, 3),
        "share": measuring / total if total else None,
    }
