"""The base's uncertainty about every question before training, asked once, closed book.

    u_i = -sum_y p(y|x_i) log p(y|x_i) / log C,    p the base's option probabilities in the run's scoring style

The same measure that per-step selectors use for the student (LLKD, arXiv 2411.08028), before the first step. It costs
one closed-book answer per question, so it is enabled by `selection.ask_student`. Answers are appended to a file of the
run folder with their keys: a resumed run, or another method on the same labels, computes only the missing ones.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from solo_hub.core.errors import ConfigError, InputError
from solo_hub.core.files import Appender, read_jsonl, read_record
from solo_hub.core.records import Question, Record
from solo_hub.models import prompts
from solo_hub.models.answering import choose, fit
from solo_hub.run.context import RunContext
from solo_hub.selection.measures import normalised_entropy

FILE = ".4-uncertainty.jsonl"


@dataclass(frozen=True, slots=True)
class UncertaintyRow(Record):
    """Uncertainty of the base about one question.

    Attributes:
        key: Hash of everything it depends on: question, style, prompt, base.
        uncertainty: 0..1.
        seconds: Its share of the batch time.
    """

    key: str
    uncertainty: float
    seconds: float


def ask(context: RunContext, questions: Sequence[Question]) -> dict[str, float]:
    """The uncertainty by question id; values on disk are reused.

    Raises:
        ConfigError: The student is an encoder, or a question has no options.
        InputError: The file in the run folder is damaged.
    """
    _check(context, questions)
    known = _known(context)
    missing = [question for question in questions if _key(context, question) not in known]
    if missing:
        _complete(context, missing)
        known = _known(context)
    rows = [known[_key(context, question)] for question in questions]
    mean = float(np.mean([row.uncertainty for row in rows]))
    context.console.note(
        f"student uncertainty before training, measured in {sum(r.seconds for r in rows):.0f} s: mean {mean:.2f}"
    )
    return {question.id: row.uncertainty for question, row in zip(questions, rows, strict=True)}


def report_section(context: RunContext, questions: Sequence[Question]) -> dict[str, Any]:
    """Mean and cost of the uncertainty, for the report's `selection`; empty if it was not measured."""
    if not context.config.selection.ask_student:
        return {}
    known = _known(context)
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


def _complete(context: RunContext, questions: Sequence[Question]) -> None:
    """Compute missing values; every batch is saved before the next starts."""
    engine, builder, style = context.engine, context.builder, context.resolved["teacher"]["style"]
    size = context.config.teacher.batch_size
    with (
        engine.adapter(False),
        Appender(context.run.path / FILE) as file,
        context.console.progress("measuring student uncertainty", len(questions), saved=True) as progress,
    ):
        for start in range(0, len(questions), size):
            started = time.monotonic()
            batch = questions[start : start + size]
            prompts = [fit(engine, builder, question, (), style).prompt for question in batch]
            answers = choose(engine, builder, batch, prompts, style)
            values = [float(normalised_entropy(np.array([answer.probabilities]))[0]) for answer in answers]
            seconds = (time.monotonic() - started) / len(batch)
            file.append([UncertaintyRow(_key(context, q), u, seconds) for q, u in zip(batch, values, strict=True)])
            progress(len(batch))


def _known(context: RunContext) -> dict[str, UncertaintyRow]:
    path = context.run.path / FILE
    rows = {}
    for number, row in read_jsonl(path, torn_tail=True) if path.exists() else ():
        entry = read_record(UncertaintyRow, row, path, number)
        if not 0 <= entry.uncertainty <= 1:
            raise InputError(
                f"uncertainty must be between 0 and 1, got {entry.uncertainty}.",
                file=str(path),
                row=number,
                field="uncertainty",
                hint="Remove that line and run the same command again.",
            )
        rows[entry.key] = entry
    return rows


def _key(context: RunContext, question: Question) -> str:
    engine = context.resolved.get("engine") or {}
    parts = [
        question.asked(),
        str(engine.get("identity") or context.engine.identity),
        prompts.identity(context.config.teacher.prompt),
        context.resolved["teacher"]["style"],
        *context.format_key(written=False),
    ]
    return hashlib.sha256(json.dumps(parts, ensure_ascii=False, sort_keys=True).encode()).hexdigest()[:32]
