"""Cost of an answer: latency for single questions, and peak memory, each arm in its own process.

The arms share one set of weights in an evaluation, so neither memory nor latency of one of them can be read off there.
Here each is given a fresh process that loads what this arm needs and nothing else: the base closed book, the teacher
with embedder, index and retriever, the student with its adapter.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

from solo_hub.core.errors import ModelError
from solo_hub.core.records import Question
from solo_hub.evaluation.arms.arms import ARMS, TEACHER, WITH_PASSAGES
from solo_hub.evaluation.comparison.cases import READING
from solo_hub.run.context import RunContext
from solo_hub.run.teachers import asked_here

TIMEOUT = 3600  # seconds for one arm; a process that hangs must not hang the run
FEWEST, LONG = 10, 60.0
"""So many questions are asked however long it takes; further ones only as long as an arm has taken fewer seconds."""


def asked_arms(context: RunContext) -> list[str]:
    """The arms whose cost is measured."""
    both = WITH_PASSAGES in context.config.evaluation.arms and context.config.knowledge.passages
    return [arm for arm in ARMS if arm != TEACHER or asked_here(context)] + ([WITH_PASSAGES] if both else [])


def measure(
    context: RunContext, questions: Sequence[Question], arms_asked: Sequence[str] | None = None
) -> dict[str, Any] | None:
    """Ask the first `evaluation.cost_questions` questions one at a time with every arm, as they are evaluated.

    Fewer where they take long (`LONG`), the same with every arm: those that read passages are the slowest and go first.
    An answer is written only where `evaluation.generate` says so, or the question has no options.

    Returns:
        `n_questions`, `conditions` (with the machine's load at the end: others on it make latencies longer) and
        `arms`: `latency` (`p50`, `p95`, seconds, looking up included), `lookup` (seconds of it spent on finding
        passages, median), `prompt_tokens` and `written_tokens` (means), `memory`: bytes of `libraries`, `model`,
        `knowledge` as they were added, and `peak`. None where nothing is to be measured, and with a warning where a
        process fails or takes too long: what the evaluation has found by then is worth more than this.
    """
    some = list(questions[: context.config.evaluation.cost_questions])
    if not some:
        return None
    order: dict[str, Any] = {
        "config": context.document,
        "endpoint": context.connection.endpoint,
        "token": context.connection.token,
        "cache": str(context.connection.cache) if context.connection.cache else None,
        "adapter": str(context.run.file("adapter").resolve()),
        "questions": [question.to_row() for question in some],
        "fewest": FEWEST,
        "long": LONG,
    }
    context.release()  # the base is needed once at a time: each process loads its own
    asked = arms_asked or asked_arms(context)
    arms = {}
    conditions: dict[str, Any] = {}
    with context.console.progress("measuring cost", len(asked)) as progress:
        for arm in sorted(asked, key=lambda arm: arm not in READING):
            try:
                told = _ask_elsewhere({**order, "arm": arm})
            except ModelError as error:
                context.console.warn(str(error))
                return None
            conditions = told.pop("conditions")
            order["questions"] = order["questions"][: len(told["answering"])]
            arms[arm] = _summarise(told)
            progress(1)
    return {
        "n_questions": len(order["questions"]),
        "conditions": {"batch_size": 1, **conditions},
        "arms": {arm: arms[arm] for arm in asked},
    }


def _ask_elsewhere(order: dict[str, Any]) -> dict[str, Any]:
    try:
        # by stdin, not by arguments: a token must not be seen in a list of processes
        done = subprocess.run(
            [sys.executable, "-m", "solo_hub.evaluation.arms.cost_worker"],
            input=json.dumps(order),
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise _not_measured(order["arm"], f"it took more than {TIMEOUT:,} seconds.") from error
    except OSError as error:  # no memory or no process left to start one
        raise _not_measured(order["arm"], f"{error}.") from error
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [f"its process ended with {done.returncode}."])[-1]
        raise _not_measured(order["arm"], last[:300])
    try:
        told: dict[str, Any] = dict(json.loads(done.stdout.strip().splitlines()[-1]))
    except (IndexError, TypeError, ValueError) as error:
        raise _not_measured(order["arm"], "its process returned no result.") from error
    return told


def _not_measured(arm: str, why: str) -> ModelError:
    return ModelError(
        f"The cost of the arm '{arm}' could not be measured: {why}",
        hint="The report has no cost section. To skip it without a warning, set evaluation.cost_questions=0.",
    )


def _summarise(told: dict[str, Any]) -> dict[str, Any]:
    lookup, answering = np.array(told["lookup"]), np.array(told["answering"])
    p50, p95 = np.quantile(lookup + answering, [0.5, 0.95])
    return {
        "latency": {"p50": float(p50), "p95": float(p95)},
        "lookup": float(np.median(lookup)),
        "prompt_tokens": float(np.mean(told["prompt_tokens"])),
        "written_tokens": float(np.mean(told["written_tokens"])),
        "memory": told["memory"],
    }
