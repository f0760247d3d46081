"""Labelling: the teacher answers unlabelled questions with their passages before its eyes.

Batches are cut at the same places in every run, so a batch that is computed again gives the same numbers, and an
interrupted run ends with the same bytes as one that was left alone.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from solo_hub.models.answering import Fitted, choose, fit, write
from solo_hub.plugins import Engine, Progress
from solo_hub.prompts import PromptBuilder
from solo_hub.records import PseudoLabel, Question, Retrieval
from solo_hub.teacher.explanation import explain


def label_key(question: Question, retrieval: Retrieval, identity: str) -> str:
    """Hash of everything a label depends on: the question, its passages, and the teacher's identity."""
    parts = [question.to_row(), [[passage.id, passage.text] for passage in retrieval.passages], identity]
    return hashlib.sha256(json.dumps(parts, ensure_ascii=False, sort_keys=True).encode()).hexdigest()[:32]


@dataclass(frozen=True)
class Teacher:
    """The base model with passages.

    Attributes:
        engine: The base model, its adapter off.
        builder: Makes prompts.
        style: Scoring style for questions with options.
        batch_size: Questions per batch.
        max_new_tokens: Longest free-text answer or explanation.
        explains: Whether to ask for explanations.
        identity: Of model, engine, precision, prompt and decoding: what labels depend on besides question and passages.
    """

    engine: Engine
    builder: PromptBuilder
    style: str
    batch_size: int = 16
    max_new_tokens: int = 48
    explains: bool = False
    identity: str = ""

    def label(
        self,
        questions: Sequence[Question],
        retrievals: Sequence[Retrieval],
        *,
        known: Mapping[str, PseudoLabel] | None = None,
        save: Callable[[list[PseudoLabel]], None] | None = None,
        progress: Progress | None = None,
    ) -> list[PseudoLabel]:
        """Label every question, in order.

        Args:
            questions: What to answer.
            retrievals: Their passages, aligned.
            known: Labels paid for earlier, by key; they are taken as they are.
            save: Called with each batch's new labels before the next is begun.
            progress: Called with the number of questions done.
        """
        known = dict(known or {})
        labels: list[PseudoLabel] = []
        for start in range(0, len(questions), self.batch_size):
            some, found = questions[start : start + self.batch_size], retrievals[start : start + self.batch_size]
            keys = [label_key(q, r, self.identity) for q, r in zip(some, found, strict=True)]
            if any(key not in known for key in keys):
                fresh = self._label_batch(some, found, keys)
                new = [label for label in fresh if label.key not in known]
                if save:
                    save(new)
                known.update((label.key, label) for label in new)
            labels += [known[key] for key in keys]
            if progress:
                progress(len(some))
        return labels

    def _label_batch(
        self, questions: Sequence[Question], retrievals: Sequence[Retrieval], keys: Sequence[str]
    ) -> list[PseudoLabel]:
        fitted = [
            fit(self.engine, self.builder, q, r.passages, self.style, reserve=0 if q.options else self.max_new_tokens)
            for q, r in zip(questions, retrievals, strict=True)
        ]
        closed = [i for i, q in enumerate(questions) if q.options]
        free = [i for i, q in enumerate(questions) if not q.options]
        labels: dict[int, PseudoLabel] = {}
        answers = choose(
            self.engine, self.builder, [questions[i] for i in closed], [fitted[i].prompt for i in closed], self.style
        )
        for i, answer in zip(closed, answers, strict=True):
            known = answer.probabilities is not None
            option = answer.option if known else None
            text = questions[i].options[answer.option] if known else ""
            confidence = answer.probabilities[answer.option] if answer.probabilities is not None else None
            labels[i] = _label(
                questions[i],
                fitted[i],
                keys[i],
                self.style,
                option=option,
                probabilities=answer.probabilities,
                text=text,
                confidence=confidence,
            )
        written = write(self.engine, [fitted[i].prompt for i in free], self.max_new_tokens, self.batch_size)
        for i, generation in zip(free, written, strict=True):
            # the geometric mean of the token probabilities: a sequence's own probability shrinks with its length
            log_p = generation.log_probability
            confidence = math.exp(log_p / max(generation.tokens, 1)) if log_p is not None else None
            labels[i] = _label(
                questions[i],
                fitted[i],
                keys[i],
                "generate",
                option=None,
                probabilities=None,
                text=generation.text,
                confidence=confidence,
            )
        ordered = [labels[i] for i in range(len(questions))]
        if self.explains:
            ordered = explain(
                self.engine,
                self.builder,
                questions,
                ordered,
                [f.passages for f in fitted],
                max_new_tokens=self.max_new_tokens,
            )
        return ordered


def _label(
    question: Question,
    fitted: Fitted,
    key: str,
    style: str,
    *,
    option: int | None,
    probabilities: tuple[float, ...] | None,
    text: str,
    confidence: float | None,
) -> PseudoLabel:
    return PseudoLabel(
        question.id,
        option,
        probabilities,
        text,
        confidence,
        tuple(p.id for p in fitted.passages),
        fitted.dropped,
        style,
        key,
    )
