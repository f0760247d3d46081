"""How uncertain the student-to-be is of every question ahead of training: the base, asked once, closed book.

    u_i = -sum_y p(y|x_i) log p(y|x_i) / log C,    p the base's option probabilities in the run's scoring style

The same measure as a per-step selector's of the student (LLKD, arXiv 2411.08028), at the moment before the first step.
It costs a closed-book answer a question, so it is asked for by `selection.ask_student`. Answers are appended to a file
of the run folder as they come, each with its key: a run that was interrupted, or another method on the same labels,
asks for the missing ones alone.
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
    """One answer of the base.

    Attributes:
        key: Hash of all it depends on: question, style, prompt, base.
        uncertainty: 0..1.
        seconds: Its share of the time of its batch.
    """

    key: str
    uncertainty: float
    seconds: float


def ask(context: RunContext, questions: Sequence[Question]) -> dict[str, float]:
    """The uncertainty of every question, by its id; what is on disk already is not asked again.

    Raises:
        ConfigError: The student is an encoder, or a question has no options.
        InputError: The file in the run folder was damaged.
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
        f"student asked ahead of training in {sum(r.seconds for r in rows):.0f} s: uncertainty {mean:.2f}"
    )
    return {question.id: row.uncertainty for question, row in zip(questions, rows, strict=True)}


def report_section(context: RunContext, questions: Sequence[Question]) -> dict[str, Any]:
    """What asking was and cost, for the report's `selection`; nothing where nobody asked."""
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
            "selection.ask_student asks the base ahead of training, and an encoder's fresh head knows nothing yet.",
            hint="Set selection.ask_student=false; methods that judge at every step (llkd) look at it as it learns.",
        )
    bare = next((question.id for question in questions if not question.options), None)
    if bare is not None:
        raise ConfigError(
            f"selection.ask_student measures the base's option probabilities, and question '{bare}' has no options.",
            hint="Set selection.ask_student=false; methods that judge at every step (llkd) look at free text as well.",
        )


def _complete(context: RunContext, questions: Sequence[Question]) -> None:
    """Ask for what is missing, every batch on disk before the next is begun."""
    engine, builder, style = context.engine, context.builder, context.resolved["teacher"]["style"]
    size = context.config.teacher.batch_size
    with (
        engine.adapter(False),
        Appender(context.run.path / FILE) as file,
        context.console.progress("asking the student", len(questions)) as progress,
    ):
        for start in range(0, len(questions), size):
            started = time.monotonic()
            some = questions[start : start + size]
            asked = [fit(engine, builder, question, (), style).prompt for question in some]
            answers = choose(engine, builder, some, asked, style)
            found = [float(normalised_entropy(np.array([answer.probabilities]))[0]) for answer in answers]
            seconds = (time.monotonic() - started) / len(some)
            file.append([UncertaintyRow(_key(context, q), u, seconds) for q, u in zip(some, found, strict=True)])
            progress(len(some))


def _known(context: RunContext) -> dict[str, UncertaintyRow]:
    path = context.run.path / FILE
    found = {}
    for number, row in read_jsonl(path, torn_tail=True) if path.exists() else ():
        asked = read_record(UncertaintyRow, row, path, number)
        if not 0 <= asked.uncertainty <= 1:
            raise InputError(
                f"{asked.uncertainty} is no uncertainty between 0 and 1.",
                file=str(path),
                row=number,
                field="uncertainty",
                hint="Remove that line and run the same command again: the question is then asked anew.",
            )
        found[asked.key] = asked
    return found


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
