"""A process that has imported everything heavy and forks one child a command: a run costs no start of its own.

Asked by JSON lines on stdin, answers by JSON lines on stdout:

    {"start": {"arguments": [...], "environment": {...}, "folder": "...", "out": "...", "err": "...", "plan": {...}}}
    {"poll": PID}    {"wait": PID}

The child is a process like any other: it can be killed, limited, and leaves through the command's exit code.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import interference


def preload() -> None:
    """What a run imports."""
    import accelerate  # noqa: F401
    import datasets  # noqa: F401
    import evaluate  # noqa: F401
    import peft  # noqa: F401
    import scipy.stats  # noqa: F401
    import sentence_transformers  # noqa: F401
    import torch
    import transformers.models.bert.modeling_bert
    import transformers.models.llama.modeling_llama  # noqa: F401

    torch.set_num_threads(1)


def child(order: dict[str, Any]) -> int:
    """Run one command."""
    for number, path, flags in ((0, os.devnull, os.O_RDONLY), (1, order["out"], None), (2, order["err"], None)):
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC if flags is None else flags, 0o644)
        os.dup2(handle, number)
        os.close(handle)
    os.environ.clear()
    os.environ.update(order["environment"])
    os.chdir(order["folder"])
    interference.apply(order.get("plan", {}))
    from solo_hub.cli.main import run

    code = run(order["arguments"])
    sys.stdout.flush()
    sys.stderr.flush()
    return code


def main() -> None:
    """Serve until stdin closes."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what a library prints is no answer
    preload()
    answers.write(json.dumps("ready") + "\n")
    for line in sys.stdin:
        asked = json.loads(line)
        if "start" in asked:
            pid = os.fork()
            if pid == 0:
                code = 70
                try:
                    code = child(asked["start"])
                except BaseException:  # noqa: BLE001 - told on stderr, like anything that ends a process
                    import traceback

                    traceback.print_exc()
                finally:
                    os._exit(code)
            answers.write(json.dumps(pid) + "\n")
        else:
            [(how, pid)] = asked.items()
            done, status = os.waitpid(pid, os.WNOHANG if how == "poll" else 0)
            answers.write(json.dumps(os.waitstatus_to_exitcode(status) if done else None) + "\n")
    os._exit(0)  # taking the libraries down takes seconds and nobody needs it


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    main()
