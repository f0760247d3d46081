"""Forgetting: what the student lost outside its task.

Two things are measured, base and student closed book: perplexity on general text, and accuracy on an unrelated second
task. Both come with the package and were written for it: short prose of many kinds, and questions of the form "What is
a sparrow?" with kinds of things as options. Settings can name others.
"""

from __future__ import annotations

import json
import math
import random
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any

import numpy as np

from solo_hub.core.errors import InputError
from solo_hub.core.records import Gold, Prediction, Question
from solo_hub.evaluation import scoring
from solo_hub.evaluation.report import report
from solo_hub.evaluation.statistics import intervals

LONGEST_TEXT = 160  # words scored at once: fits every context and is long enough for a prose
SHORTEST_TEXT = 5  # words; less says nothing
OPTIONS = 4


def general_texts() -> list[str]:
    """Our own general prose, one text an entry."""
    return _own("text.txt").splitlines()


def second_task() -> tuple[list[Question], list[Gold]]:
    """Our own second task: 180 questions on what kind of thing something is, four options each; always the same."""
    kinds: dict[str, list[str]] = json.loads(_own("kinds.json"))
    drawn = random.Random(0)  # noqa: S311 - a shuffle, not a secret
    questions, golds = [], []
    for kind, members in kinds.items():
        for member in members:
            options = [kind, *drawn.sample([other for other in kinds if other != kind], OPTIONS - 1)]
            drawn.shuffle(options)
            question = Question(f"kind-{member}", f"What is {_article(member)}?", tuple(map(_article, options)))
            questions.append(question)
            right = options.index(kind)
            golds.append(Gold(question.id, right, question.options[right]))
    return questions, golds


def _own(name: str) -> str:
    return (resources.files(__package__) / "general" / name).read_text("utf-8").strip()


def _article(noun: str) -> str:
    """A noun as an answer has it: "an owl", "Japan", "red"."""
    if noun[0].isupper() or noun in _NO_ARTICLE:
        return noun
    return f"an {noun}" if noun[0] in "aeio" else f"a {noun}"


_NO_ARTICLE = frozenset((
    "red", "blue", "green", "yellow", "purple", "brown", "black", "white", "pink", "grey", "turquoise", "violet",
    "football", "tennis", "swimming", "boxing", "hockey", "rugby", "fencing", "rowing", "golf", "wrestling", "skiing",
    "volleyball", "spinach", "broccoli", "lettuce", "celery", "pliers", "trousers",
))  # fmt: skip


def pieces(texts: Sequence[str], longest: int = LONGEST_TEXT) -> list[tuple[str, str]]:
    """Texts as (first word, rest), cut into pieces of at most `longest` words; too short ones are left out.

    The first word is what the rest is predicted from: not every model has a token to begin with.

    Raises:
        InputError: Nothing is left.
    """
    found = []
    for text in texts:
        words = text.split()
        for start in range(0, len(words), longest):
            part = words[start : start + longest]
            if len(part) >= SHORTEST_TEXT:
                found.append((part[0], " " + " ".join(part[1:])))
    if not found:
        raise InputError("there is no general text for measuring perplexity.", hint="Set evaluation.general_text.")
    return found


def summarise_text(
    losses: Mapping[str, Sequence[float]], tokens: Sequence[int], *, resamples: int, seed: int
) -> dict[str, Any]:
    """Perplexity of base and student, and how many times the student's is the base's.

    Perplexity is exp(sum of -log p / number of tokens) over all texts (F. Jelinek et al., Perplexity - a measure of the
    difficulty of speech recognition tasks, JASA 62, 1977). The ratio's interval resamples texts, each with both
    models' losses (percentile bootstrap).

    Args:
        losses: `base` and `student`: -log p of each text, nats.
        tokens: Tokens scored of each text.
        resamples: Bootstrap resamples.
        seed: Seed of the resampling.

    Returns:
        `texts`, `tokens`, `perplexity` by arm, `ratio` (above 1: the student is worse).
    """
    counts = np.asarray(tokens, dtype=np.float64)
    base, student = (np.asarray(losses[arm], dtype=np.float64) for arm in ("base", "student"))

    def ratio(rows: Any) -> float:
        return math.exp((student[rows] - base[rows]).sum() / counts[rows].sum())

    return {
        "texts": len(counts),
        "tokens": int(counts.sum()),
        "perplexity": {"base": math.exp(base.sum() / counts.sum()), "student": math.exp(student.sum() / counts.sum())},
        "ratio": intervals.bootstrap_statistic(ratio, len(counts), resamples, seed).to_row(),
    }


def summarise_task(
    questions: Sequence[Question],
    golds: Sequence[Gold],
    predictions: Mapping[str, Sequence[Prediction]],
) -> dict[str, Any]:
    """Accuracy of base and student on the second task, and their paired difference.

    Returns:
        `n_questions`, `arms` (accuracy), `student_vs_base` (as the report's `paired`).
    """
    golds, by_arm = scoring.align(questions, golds, predictions)
    arms = {name: scoring.Arm(name, rows, scoring.score_options(golds, rows)) for name, rows in by_arm.items()}
    return {
        "n_questions": len(questions),
        "arms": {
            name: intervals.wilson(int(arm.correct.sum()), len(arm.correct)).to_row() for name, arm in arms.items()
        },
        **report.compare(arms),
    }
