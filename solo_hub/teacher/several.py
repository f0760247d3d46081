"""Several teachers as one: a product of experts, as `models.experts` multiplies model and retrieval.

    log p(option) = (log p_1(option) + ... + log p_n(option)) / T + constant

Each teacher's probabilities are calibrated by itself; T makes the mean confidence equal the share of pairs of teachers
that agree, which is what calibration does with two views of one teacher (`calibration`). A teacher that returns no
log-probabilities has no factor in the product, but counts for the agreement. Where none has any, and for free text,
the answer most teachers give is taken, of equally many the first teacher's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from typing import Any, TypeVar

import numpy as np

from solo_hub.core.records import Prediction, PseudoLabel, Question
from solo_hub.core.words import words
from solo_hub.models.answering import softmax
from solo_hub.models.experts import TINY
from solo_hub.run.resolved import Together
from solo_hub.teacher.calibration import FEWEST, fit_temperature

Answered = TypeVar("Answered", PseudoLabel, Prediction)


def fit(labels: Mapping[str, Sequence[PseudoLabel]], failed: Mapping[str, str], *, calibrate: bool) -> Together:
    """Find the temperature of the product.

    Args:
        labels: Role -> the labels of this teacher, all of the same questions.
        failed: Role -> why it did not answer.
        calibrate: Whether confidence is calibrated; 1 otherwise.
    """
    rows = list(zip(*labels.values(), strict=True))
    said = [[answer for one in row if (answer := _answer(one)) is not None] for row in rows]
    pairs = [one == other for answers in said for one, other in combinations(answers, 2)]
    if not pairs:
        return Together(roles=tuple(labels), temperature=1.0, agreement=None, n=0, failed=dict(failed))
    agreement = sum(pairs) / len(pairs)
    scores = [scored for row in rows if (scored := _scores(row)) is not None]
    temperature = fit_temperature(scores, agreement) if calibrate and len(scores) >= FEWEST else 1.0
    n = sum(len(answers) > 1 for answers in said)
    return Together(
        roles=tuple(labels), temperature=temperature, agreement=round(agreement, 4), n=n, failed=dict(failed)
    )


def join_labels(
    questions: Sequence[Question], labels: Iterable[Sequence[PseudoLabel]], keys: Sequence[str], temperature: float
) -> list[PseudoLabel]:
    """One label for each question from those of all teachers.

    Args:
        questions: The questions.
        labels: The labels of each teacher, aligned.
        keys: The keys of the labels together, aligned.
        temperature: T.
    """
    return [
        _join_label(question, row, key, temperature)
        for question, key, row in zip(questions, keys, zip(*labels, strict=True), strict=True)
    ]


def _join_label(question: Question, row: Sequence[PseudoLabel], key: str, temperature: float) -> PseudoLabel:
    scores = _scores(row)
    if scores is not None:
        probabilities = softmax(scores / temperature)
        option = int(np.argmax(probabilities))
        share = sum(one.option == option for one in row) / len(row)
        # its prompt, passages and explanation are those of a teacher that says the same
        like = next((one for one in row if one.option == option), row[0])
        return replace(
            like,
            option=option,
            probabilities=tuple(float(p) for p in probabilities),
            text=question.options[option],
            confidence=float(probabilities[option]),
            explanation=like.explanation if like.option == option else None,
            key=key,
            agreement=share,
        )
    like, share = _majority(row)
    sure = [one.confidence for one in row if one.confidence is not None and _answer(one) == _answer(like)]
    confidence = share * (sum(sure) / len(sure) if sure else 1.0)
    return replace(like, key=key, agreement=share, confidence=confidence)


def join_predictions(predictions: Iterable[Sequence[Prediction]], arm: str, temperature: float) -> list[Prediction]:
    """One prediction for each question from those of all teachers, as labels are joined; times and tokens add up."""
    return [_join_prediction(row, arm, temperature) for row in zip(*predictions, strict=True)]


def _join_prediction(row: Sequence[Prediction], arm: str, temperature: float) -> Prediction:
    scores = _scores(row)
    if scores is None:
        joined = replace(_majority(row)[0], arm=arm)
    else:
        probabilities = softmax(scores / temperature)
        option = int(np.argmax(probabilities))
        like = next((one for one in row if one.option == option), row[0])
        joined = replace(like, arm=arm, option=option, probabilities=tuple(float(p) for p in probabilities))
    return replace(
        joined,
        seconds=sum(one.seconds for one in row),
        prompt_tokens=sum(one.prompt_tokens for one in row),
        written_tokens=sum(one.written_tokens for one in row),
    )


def _scores(row: Sequence[PseudoLabel] | Sequence[Prediction]) -> Any:
    """Sum of the teachers' log-probabilities of the options, `(options,)`; None where no teacher has any."""
    known = [one.probabilities for one in row if one.probabilities is not None]
    return np.log(np.maximum(np.asarray(known, dtype=np.float64), TINY)).sum(axis=0) if known else None


def _answer(one: PseudoLabel | Prediction) -> Hashable:
    """What a teacher said, to be compared: its option, or its text without case and punctuation; None if nothing."""
    if one.option is not None:
        return one.option
    return " ".join(words(one.text)) or one.text.strip() or None


def _majority(row: Sequence[Answered]) -> tuple[Answered, float]:
    """The first teacher's label or prediction among those with the most frequent answer, and their share."""
    counts = Counter(_answer(one) for one in row)
    like = max(row, key=lambda one: counts[_answer(one)])  # the first of equals
    return like, counts[_answer(like)] / len(row)
