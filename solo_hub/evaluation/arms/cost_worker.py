"""The process in which one arm is measured; started by `cost`, told by stdin what to do, answers one JSON line.

Nothing but what the arm needs is loaded, in the order libraries, model, knowledge base; resident memory is read after
each, and the peak at the end.
"""

from __future__ import annotations

import json
import os
import sys
import time
import warnings
from pathlib import Path
from typing import Any

from solo_hub.core.system import peak_memory, resident_memory


def main(order: dict[str, Any]) -> dict[str, Any]:
    """Load the arm and ask it."""
    import torch
    import transformers  # noqa: F401 - what every arm needs before it has loaded anything

    from solo_hub.core.console import Console
    from solo_hub.core.records import Question
    from solo_hub.evaluation.comparison.asking import Comparison, Origin
    from solo_hub.evaluation.comparison.cases import READING
    from solo_hub.evaluation.comparison.opening import make_context
    from solo_hub.hub.connection import Connection
    from solo_hub.run.resolved import Resolved

    arm, console = order["arm"], Console("quiet")
    console.quieten_libraries()
    cache = Path(order["cache"]) if order["cache"] else None
    connection = Connection(order["endpoint"], order["token"], cache)
    resolved = Resolved.read(order["config"]["resolved"])
    context = make_context(order["config"]["settings"], resolved, lambda _: connection, console)
    origin = Origin("cost")
    asked = Comparison(context, Path(order["adapter"]), {}, (), origin, total=0, arms=(arm,))
    questions = [Question.from_row(row) for row in order["questions"]]
    generate = context.config.evaluation.generate  # as the arms are evaluated
    memory = {"libraries": resident_memory()}
    asked.prepare(knowledge=False, generate=generate)
    memory["model"] = resident_memory() - memory["libraries"]
    before = resident_memory()
    if arm in READING and not asked.looks_up:
        asked.prepare(knowledge=True, generate=generate)
    memory["knowledge"] = max(0, resident_memory() - before) if arm in READING else 0
    answers: list[Any] = []
    started = time.monotonic()
    for question in questions:
        if len(answers) >= order["fewest"] and time.monotonic() - started > order["long"]:
            break
        answers += asked.answer(question, generate=generate)
    memory["peak"] = peak_memory()
    if context.engine.device.startswith("cuda"):
        memory["peak_device"] = int(torch.cuda.max_memory_allocated())
    engine = context.teacher.engine if asked.arms == ("teacher",) else context.engine
    return {
        "lookup": [answer.lookup_seconds for answer in answers],
        "answering": [answer.prediction.seconds for answer in answers],
        "prompt_tokens": [answer.prediction.prompt_tokens for answer in answers],
        "written_tokens": [answer.prediction.written_tokens for answer in answers],
        "memory": memory,
        "conditions": {
            "device": str(engine.device),
            "dtype": engine.precision,
            "threads": torch.get_num_threads(),
            "cores": os.cpu_count(),
            "load": round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None,
        },
    }


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    told = main(json.load(sys.stdin))
    sys.stdout.write(json.dumps(told) + "\n")
