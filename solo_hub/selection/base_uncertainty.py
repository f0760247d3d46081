"""The base's uncertainty about every question before training, asked once, closed book.

    u_i = -sum_y p(y|x_i) log p(y|x_i) / log C,    p the base's option probabilities in the run's scoring style

The same measure that per-step selectors use for the student (LLKD, arXiv 2411.08028), before the first step. It costs
one closed-book answer per question, so it is enabled by `selection.ask_student`. Answers are appended to a file of the
run folder with their keys: a resumed run, or another method on the same labels, computes only the missing ones.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from solo_hub.core.errors import ConfigError, InputError
from solo_hub.core.records import Question
from solo_hub.core.rows import Record
from solo_hub.models import prompts
from solo_hub.models.answering import choose, fit
from solo_hub.run.context import RunContext
from solo_hub.run.row_cache import RowCache, cache_key
from solo_hub.selection.measures import normalised_entropy

FILE = ".4-uncertainty.jsonl"


@dataclass(frozen=True, slots=True)
class UncertaintyRow(Record):
    """Uncertainty of the base about one question.

    Attributes:
        uncertainty: 0..1.
        seconds: Its share of the batch time.
    """

    uncertainty: float
    seconds: float

    def __post_init__(self) -> None:
        """Check the range."""
        if not 0 <= self.uncertainty <= 1:
            raise InputError(f"uncertainty must be between 0 and 1, got {self.uncertainty}.", field="uncertainty")


def ask(context: RunContext, questions: Sequence[Question]) -> dict[str, float]:
    """The uncertainty by question id; values on disk are reused.

    Raises:
        ConfigError: The student is an encoder, or a question has no options.
        InputError: The file in the run folder is damaged.
    """
    _check(context, questions)
    keys = [_key(context, question) for question in questions]
    with RowCache(UncertaintyRow, context.run.path / FILE) as known:
        missing = [pair for pair in zip(keys, questions, strict=True) if pair[0] not in known]
        if missing:
            _complete(context, missing, known)
    rows = [known[key] for key in keys]
    mean = float(np.mean([row.uncertainty for row in rows]))
    context.console.note(
        f"student uncertainty before training, measured in {sum(r.seconds for r in rows):.0f} s: mean {mean:.2f}"
    )
    return {question.id: row.uncertainty for question, row in zip(questions, rows, strict=True)}


def report_section(context: RunContext, questions: Sequence[Question]) -> dict[str, Any]:
    """Mean and cost of the uncertainty, for the report's `selection`; empty if it was not measured."""
    if not context.config.selection.ask_student:
        return {}
    known = RowCache(UncertaintyRow, context.run.path / FILE)
    rows = [known[key] for question in questions if (key := _key(context, question)) in known]
    mean = float(np.mean([row.uncertainty for row in rows])) if rows else None
    seconds = sum(row.seconds for row in rows)
    return {"student_asked": {"questions": len(rows), "seconds": seconds, "mean_uncertainty": mean}}


def _check(context: RunContext, questions: Sequence[Question]) -> None:
    if context.classifies:
        raise ConfigError(
            "selection.ask_student evaluates the base before training, when an encoder's head is untrained.",
            hint="Set selection.ask_student=false; per-step methods (llkd) evaluate the student during training.",
        )
    bare = next((question.id for question in questions if not question.options), None)
    if bare is not None:
        raise ConfigError(
            f"selection.ask_student measures the base's option probabilities, and question '{bare}' has no options.",
            hint="Set selection.ask_student=false; per-step methods (llkd) support free text too.",
        )


def _complete(context: RunContext, missing: Sequence[tuple[str, Question]], known: RowCache[UncertaintyRow]) -> None:
    """Compute missing values; every batch is saved before the next starts."""
    engine, builder, style = context.engine, context.builder, context.resolved.style
    size = context.config.teacher.batch_size
    with (
        engine.adapter(False),
        context.console.progress("measuring student uncertainty", len(missing), saved=True) as progress,
    ):
        for start in range(0, len(missing), size):
            started = time.monotonic()
            keys, batch = zip(*missing[start : start + size], strict=True)
            prompts = [fit(engine, builder, question, (), style).prompt for question in batch]
            answers = choose(engine, builder, batch, prompts, style)
            values = [float(normalised_entropy(np.array([answer.probabilities]))[0]) for answer in answers]
            seconds = (time.monotonic() - started) / len(batch)
            known.add({key: UncertaintyRow(value, seconds) for key, value in zip(keys, values, strict=True)})
            progress(len(batch))


def _key(context: RunContext, question: Question) -> str:
    used = context.resolved.engine
    return cache_key(
        question.asked(),
        (used and used.identity) or str(context.engine.identity),
        prompts.identity(context.config.teacher.prompt),
        context.resolved.style,
        *context.format_key(written=False),
    )
