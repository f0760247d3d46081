"""Labelling: the teacher answers unlabelled questions with their passages in the prompt.

Batch boundaries are the same in every run, so a batch that is computed again gives the same numbers, and an
interrupted run ends with the same bytes as an uninterrupted one.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from solo_hub.core.plugins import Engine, Generation, Progress, Prompt
from solo_hub.core.records import PseudoLabel, Question, Retrieval
from solo_hub.core.settings import TeacherSettings
from solo_hub.core.words import words
from solo_hub.models import experts
from solo_hub.models.answering import Answer, Fitted, fit, named_option, write
from solo_hub.models.prompts import PromptBuilder
from solo_hub.run.resolved import TeacherSetup
from solo_hub.run.row_cache import cache_key
from solo_hub.teacher.explanation import explain


def label_key(question: Question, retrieval: Retrieval, identity: str) -> str:
    """Hash of everything a label depends on: the question, its passages, and the teacher's identity."""
    parts: list[Any] = [question.asked(), [[passage.id, passage.text] for passage in retrieval.passages], identity]
    if retrieval.option_support is not None:
        parts.append(retrieval.option_support)
    return cache_key(*parts)


@dataclass(frozen=True)
class Teacher:
    """The base model with passages.

    Attributes:
        engine: The base model, its adapter off.
        builder: Builds prompts.
        setup: How it answers.
        settings: Questions per batch, and the maximum length of a written answer or explanation.
        identity: Of model, engine, precision, prompt and decoding: what labels depend on besides question and passages.
    """

    engine: Engine
    builder: PromptBuilder
    setup: TeacherSetup
    settings: TeacherSettings
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
            questions: The questions.
            retrievals: Their passages, aligned.
            known: Completed labels by key, which are reused.
            save: Called with each batch's new labels before the next batch starts.
            progress: Called with the number of questions done.
        """
        known = dict(known or {})
        labels: list[PseudoLabel] = []
        size = self.settings.batch_size
        for start in range(0, len(questions), size):
            batch, retrieved = questions[start : start + size], retrievals[start : start + size]
            keys = [label_key(q, r, self.identity) for q, r in zip(batch, retrieved, strict=True)]
            if any(key not in known for key in keys):
                fresh = self._label_batch(batch, retrieved, keys)
                new = [label for label in fresh if label.key not in known]
                if save:
                    save(new)
                known.update((label.key, label) for label in new)
            labels += [known[key] for key in keys]
            if progress:
                progress(len(batch))
        return labels

    def _label_batch(
        self, questions: Sequence[Question], retrievals: Sequence[Retrieval], keys: Sequence[str]
    ) -> list[PseudoLabel]:
        style, longest = self.setup.recipe.style, self.settings.max_new_tokens
        # reserve room for the answer, including an explanation
        fitted = [
            fit(self.engine, self.builder, q, r.passages, style, reserve=longest)
            for q, r in zip(questions, retrievals, strict=True)
        ]
        with_options = [i for i, q in enumerate(questions) if q.options]
        chosen = experts.answer(
            self.engine,
            self.builder,
            [questions[i] for i in with_options],
            [fitted[i] for i in with_options],
            [retrievals[i].option_support for i in with_options],
            self.setup.recipe,
        )
        answers = dict(zip(with_options, chosen, strict=True))
        scored = {i: answer for i, answer in answers.items() if answer.probabilities is not None}
        free = [i for i in range(len(questions)) if i not in scored]
        written = write(self.engine, [fitted[i].prompt for i in free], longest, self.settings.batch_size)
        shares = self._agreements([fitted[i].prompt for i in free], written, [keys[i] for i in free])
        labels = {i: _from_scores(questions[i], fitted[i], keys[i], style, answer) for i, answer in scored.items()} | {
            i: _from_writing(questions[i], fitted[i], keys[i], style, generation, share)
            for i, generation, share in zip(free, written, shares, strict=True)
        }
        ordered = [labels[i] for i in range(len(questions))]
        if self.setup.explains:
            ordered = explain(
                self.engine,
                self.builder,
                questions,
                ordered,
                [f.passages for f in fitted],
                max_new_tokens=longest,
            )
        return ordered

    def _agreements(
        self, prompts: Sequence[Prompt], written: Sequence[Generation], keys: Sequence[str]
    ) -> list[float | None]:
        """Share of sampled answers equal to the generated one, ignoring case and punctuation.

        The seed comes from the batch's keys, so a batch labelled again gives the same samples.
        """
        sample = getattr(self.engine, "sample", None)
        if not self.setup.samples or not prompts or sample is None:
            return [None] * len(prompts)
        seed = int(hashlib.sha256("".join(keys).encode()).hexdigest()[:8], 16)
        counts = [0] * len(prompts)
        for number in range(self.setup.samples):
            for place, drawn in enumerate(sample(prompts, self.settings.max_new_tokens, seed=seed + number)):
                counts[place] += _normalised(drawn.text) == _normalised(written[place].text)
        return [count / self.setup.samples for count in counts]


def _normalised(text: str) -> str:
    return " ".join(words(text) or text.split())


def _from_scores(question: Question, fitted: Fitted, key: str, style: str, answer: Answer) -> PseudoLabel:
    probabilities = answer.probabilities or ()
    return PseudoLabel(
        question_id=question.id,
        option=answer.option,
        probabilities=probabilities,
        text=question.options[answer.option],
        confidence=probabilities[answer.option],
        passages=tuple(p.id for p in fitted.passages),
        passages_dropped=fitted.dropped,
        style=style,
        key=key,
        agreement=answer.agreement,
    )


def _from_writing(
    question: Question, fitted: Fitted, key: str, style: str, written: Generation, agreement: float | None
) -> PseudoLabel:
    """Free text, or an option named in writing by an engine without log-probabilities."""
    option = named_option(written.text, question, style)
    # the geometric mean of the token probabilities: a sequence's own probability shrinks with its length
    log_p = written.log_probability
    return PseudoLabel(
        question_id=question.id,
        option=option,
        probabilities=None,
        text=written.text if option is None else question.options[option],
        confidence=agreement if log_p is None else math.exp(log_p / max(written.tokens, 1)),
        passages=tuple(p.id for p in fitted.passages),
        passages_dropped=fitted.dropped,
        style=style if question.options else "generate",
        key=key,
        agreement=agreement,
    )
