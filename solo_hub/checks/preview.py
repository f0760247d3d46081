"""A few questions through all steps, to be looked at: `solo-hub distill --preview N`."""

from __future__ import annotations

from dataclasses import dataclass

from solo_hub import pipeline
from solo_hub.checks.rehearsal import rehearse
from solo_hub.core.config import Config
from solo_hub.core.console import Console
from solo_hub.core.records import Passage, Prediction, PseudoLabel, Question, Verdict
from solo_hub.core.rows import Record
from solo_hub.curation.step import RunCuration
from solo_hub.hub.connection import Connection
from solo_hub.models.asking import ask
from solo_hub.models.experts import Recipe
from solo_hub.teacher import deciding

DOCUMENTS = 2048  # embedded without an index: those nearest to the questions in words
STEPS = 8  # of the brief training


@dataclass(frozen=True, slots=True)
class Shown(Record):
    """A question and what became of it.

    Attributes:
        question: The question.
        passages: Its passages as the teacher saw them, the best one last.
        prompt: The teacher's prompt as sent; empty for imported labels.
        label: The teacher's answer.
        verdict: Whether the student learns it, and why.
        answers: Answers without passages, by arm: `base`, and `student` if anything was kept.
    """

    question: Question
    passages: tuple[Passage, ...]
    prompt: str
    label: PseudoLabel
    verdict: Verdict
    answers: dict[str, Prediction]


@dataclass(frozen=True, slots=True)
class Preview:
    """What became of a few questions.

    Attributes:
        shown: The questions.
        style: How options are scored, decided on these questions.
        documents: Passages searched, and all there are.
        steps: Training steps of the student; 0 if nothing was kept.
    """

    shown: tuple[Shown, ...]
    style: str
    documents: tuple[int, int]
    steps: int


def preview(config: Config, connection: Connection, console: Console, count: int) -> Preview:
    """Take some questions through all steps.

    Args:
        config: The settings.
        connection: The Hub.
        console: Shows progress.
        count: How many questions.

    Raises:
        SoloHubError: What would stop the run.
    """
    with rehearse(config, connection, console) as rehearsal:
        epochs = {"epochs": float(STEPS), "batch_size": max(count, 1), "patience": None, "log_to": ()}
        small, questions = rehearsal.small(count, 1, DOCUMENTS, {"student": epochs})
        passages = pipeline.find_passages(small, questions)
        labels = pipeline.label(small, questions, passages)
        selection = pipeline.select(small, questions, passages, labels)
        prompts, given = [""] * len(questions), [tuple(reversed(row.passages)) for row in passages]
        if not config.teacher.labels:
            with small.teacher.weights():
                fitted = deciding.prompts(small, questions, passages)
            answered = map(small.shared(RunCuration).is_answered, questions)
            prompts = ["" if own else row.prompt.text for own, row in zip(answered, fitted, strict=True)]
            given = [row.passages for row in fitted]
        if selection.kept:
            preferences = pipeline.rank(small, questions, passages, labels)
            pipeline.train(small, questions, passages, labels, selection, preferences)
        answers: dict[str, list[Prediction]] = {}
        for arm in ("base", "student") if selection.kept else ("base",):
            with small.engine.adapter(arm == "student"):
                answers[arm] = [
                    row.prediction
                    for row in ask(
                        small.engine,
                        small.builder,
                        questions,
                        [()] * len(questions),
                        Recipe(small.resolved.style),
                        config.evaluation,
                        arm=arm,
                        generate=False,
                    )
                ]
        total = len(rehearsal.documents)
        return Preview(
            tuple(
                Shown(*row, {arm: rows[place] for arm, rows in answers.items()})
                for place, row in enumerate(zip(questions, given, prompts, labels, selection.verdicts, strict=True))
            ),
            small.resolved.style,
            (total if rehearsal.indexed else min(total, DOCUMENTS), total),
            STEPS if selection.kept else 0,
        )
