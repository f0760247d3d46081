"""Explanations that cite their passages, if the model is able to write them.

A small model asked for an explanation repeats the question or digresses; training a student on that does harm. So the
ability is tested first, without labels: an explanation counts if it stops by itself, cites existing passages, and
shares words with a cited one.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence

from solo_hub.core.plugins import Engine
from solo_hub.core.records import Passage, PseudoLabel, Question
from solo_hub.models.answering import write
from solo_hub.models.prompts import PromptBuilder
from solo_hub.teacher.filters import content_words

CITATION = re.compile(r"\[(\d{1,3})\]")
GOOD_SHARE = 0.8  # of the sample: below this, too many explanations would be discarded
SHARED_WORDS = 2  # content words an explanation must share with a passage it cites


def explain(
    engine: Engine,
    builder: PromptBuilder,
    questions: Sequence[Question],
    labels: Sequence[PseudoLabel],
    passages: Sequence[Sequence[Passage]],
    *,
    max_new_tokens: int,
) -> list[PseudoLabel]:
    """Add explanations; `explanation` stays None if the check fails."""
    prompts = [
        builder.explain(q, label.text, [p.text for p in given])
        for q, label, given in zip(questions, labels, passages, strict=True)
    ]
    written = write(engine, prompts, max_new_tokens, len(prompts) or 1)
    return [
        dataclasses.replace(label, explanation=g.text if g.finished and is_supported(g.text, given) else None)
        for label, g, given in zip(labels, written, passages, strict=True)
    ]


def is_supported(text: str, passages: Sequence[Passage]) -> bool:
    """Whether an explanation cites passages that exist and shares words with one of them."""
    cited = [int(number) for number in CITATION.findall(text)]
    if not cited or any(not 1 <= number <= len(passages) for number in cited):
        return False
    own_words = content_words(text)
    return any(len(own_words & content_words(passages[number - 1].text)) >= SHARED_WORDS for number in cited)


def explains_well(
    engine: Engine,
    builder: PromptBuilder,
    questions: Sequence[Question],
    labels: Sequence[PseudoLabel],
    passages: Sequence[Sequence[Passage]],
    *,
    max_new_tokens: int,
) -> tuple[bool, float]:
    """Whether explanations are good enough to use, and the share of good ones in this sample."""
    if not questions:
        return False, 0.0
    explained = explain(engine, builder, questions, labels, passages, max_new_tokens=max_new_tokens)
    share = sum(label.explanation is not None for label in explained) / len(explained)
    return share >= GOOD_SHARE, share
