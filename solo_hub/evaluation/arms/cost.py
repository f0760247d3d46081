"""What an answer costs: latency one question at a time, and peak memory, each arm in a process of its own.

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
from solo_hub.evaluation.arms.arms import ARMS, TEACHER
from solo_hub.run.context import RunContext

TIMEOUT = 3600  # seconds for one arm; a process that hangs must not hang the run


def measure(context: RunContext, questions: Sequence[Question]) -> dict[str, Any] | None:
    """Ask the first `evaluation.cost_questions` questions one at a time with every arm.

    Returns:
        `n_questions`, `conditions` (with the machine's load at the end: others on it make latencies longer) and
        `arms`: `latency` (`p50`, `p95`, seconds, looking up included), `lookup` (seconds of it spent on finding
        passages, median), `prompt_tokens` and `written_tokens` (means), `memory`: bytes of `libraries`, `model`,
        `knowledge` as they were added, and `peak`. None where nothing is to be measured.

    Raises:
        ModelError: A process failed.
    """
    some = list(questions[: context.config.evaluation.cost_questions])
    if not some:
        return None
    order = {
        "config": context.document,
        "endpoint": context.connection.endpoint,
        "token": context.connection.token,
        "cache": str(context.connection.cache) if context.connection.cache else None,
        "adapter": str(context.run.file("adapter").resolve()),
        "questions": [question.to_row() for question in some],
    }
    brought = context.config.teacher.labels is not None  # who gave them is not here to be asked
    asked = [arm for arm in ARMS if not (brought and arm == TEACHER)]
    arms = {}
    conditions: dict[str, Any] = {}
    with context.console.progress("measuring cost", len(asked)) as progress:
        for arm in asked:
            told = _ask_elsewhere({**order, "arm": arm})
            conditions = told.pop("conditions")
            arms[arm] = _summarise(told)
            progress(1)
    return {"n_questions": len(some), "conditions": {"batch_size": 1, **conditions}, "arms": arms}


def _ask_elsewhere(order: dict[str, Any]) -> dict[str, Any]:
    # by stdin, not by arguments: a token must not be seen in a list of processes
    done = subprocess.run(
        [sys.executable, "-m", "solo_hub.evaluation.arms.cost_worker"],
        input=json.dumps(order),
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )
    lines = done.stdout.strip().splitlines()
    if done.returncode or not lines:
        last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise ModelError(
            f"The cost of the arm '{order['arm']}' could not be measured: {last[:300]}",
            hint="Leave it out with --set evaluation.cost_questions=0.",
        )
    told: dict[str, Any] = json.loads(lines[-1])
    return told


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
