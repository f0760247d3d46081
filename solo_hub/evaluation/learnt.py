"""What the student of a run learnt from, for the evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from solo_hub.core.records import Gold, Preference, PseudoLabel, Question, Retrieval, Selection
from solo_hub.student.training import Training


@dataclass(frozen=True, slots=True)
class Learnt:
    """What the steps before the evaluation made, aligned, and what is known of it.

    Attributes:
        questions: The questions that were labelled.
        passages: Their passages.
        labels: Their pseudo-labels.
        selection: The verdicts on the labels.
        preferences: The teacher's rankings of answers; none if the objective learns from none.
        trained: The record of the training.
        golds: Known answers of the questions, in any order; only analysis and control students read them.
    """

    questions: Sequence[Question]
    passages: Sequence[Retrieval]
    labels: Sequence[PseudoLabel]
    selection: Selection
    preferences: Sequence[Preference]
    trained: Training
    golds: Sequence[Gold] = ()

    @property
    def kept(self) -> list[tuple[Question, PseudoLabel]]:
        """The labels that were trained on, with their questions."""
        rows = zip(self.questions, self.labels, self.selection.verdicts, strict=True)
        return [(question, label) for question, label, verdict in rows if verdict.kept]
