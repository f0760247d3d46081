"""What can go wrong inside a process, put there after the fork: it dies, the disk fills, limits are low, clocks jump.

Moments are counted in events that change something outside the process: a file opened for writing, renamed, removed or
flushed to the disk, a folder made, a request sent. Only files below the given folders count, so a moment is the same
one in every run.
"""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import signal
import sys
import time
from pathlib import Path
from typing import Any

_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


class Moments:
    """Counts events and does something at the chosen ones.

    Args:
        folders: Beginnings of the paths that count.
        at: Number of the event, from 0, at which `what` happens; never when None.
        what: `kill`: SIGKILL to the own process. `full`: from then on the disk is full. `interrupt`: SIGINT.
        log: File descriptor that gets a line an event.
        after: Path that must be there before events are counted.
    """

    def __init__(
        self, folders: list[str], at: int | None, what: str, log: int | None, after: str | None = None
    ) -> None:
        self.after = after
        self.folders, self.at, self.what, self.log = tuple(folders), at, what, log
        self.count = 0

    def event(self, name: str, path: str) -> None:
        """One more."""
        if self.after is not None and not Path(self.after).exists():
            return
        if self.log is not None:
            os.write(self.log, f"{self.count} {name} {path}\n".encode(errors="replace"))
        hit = self.at is not None and (self.count >= self.at if self.what == "full" else self.count == self.at)
        self.count += 1
        if not hit:
            return
        if self.what == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        elif self.what == "interrupt":
            os.kill(os.getpid(), signal.SIGINT)
        elif name in {"open", "fsync", "mkdir"}:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)

    def audit(self, name: str, arguments: tuple[Any, ...]) -> None:
        """The interpreter's audit hook."""
        if name == "open":
            path, mode, flags = arguments
            writes = any(c in mode for c in "wax+") if isinstance(mode, str) else bool((flags or 0) & _WRITES)
            if writes:
                self._at_path("open", path)
        elif name in {"os.rename", "os.remove", "os.mkdir", "os.truncate"}:
            self._at_path(name.removeprefix("os."), arguments[0])

    def _at_path(self, name: str, path: Any) -> None:
        if isinstance(path, bytes):
            path = os.fsdecode(path)
        if isinstance(path, str | os.PathLike) and (text := str(Path.cwd() / path)).startswith(self.folders):
            self.event(name, text)

    def install(self) -> None:
        """From now on."""
        import httpx2

        sys.addaudithook(self.audit)
        fsync, send = os.fsync, httpx2.Client.send

        def counted_fsync(handle: int) -> None:
            with contextlib.suppress(OSError):
                self._at_path_or_skip(handle)
            fsync(handle)

        def counted_send(client: Any, request: Any, **named: Any) -> Any:
            self.event("request", f"{request.method} {request.url.path}")
            answer = send(client, request, **named)
            self.event("answer", f"{request.method} {request.url.path}")
            return answer

        os.fsync, httpx2.Client.send = counted_fsync, counted_send

    def _at_path_or_skip(self, handle: int) -> None:
        self._at_path("fsync", Path(f"/proc/self/fd/{handle}").readlink())


def jump(seconds: float, every: int) -> None:
    """The wall clock jumps back and forth by `seconds` at every so many readings."""
    real, readings = time.time, [0]

    def jumping() -> float:
        readings[0] += 1
        return real() + (seconds if readings[0] // every % 2 else 0.0)

    time.time = jumping


def apply(plan: dict[str, Any]) -> None:
    """Put into this process what the plan asks for."""
    for name, value in plan.get("limits", {}).items():
        kind = getattr(resource, name)
        resource.setrlimit(kind, (value, resource.getrlimit(kind)[1]))
    if "jump" in plan:
        jump(*plan["jump"])
    for name, seconds in plan.get("sleepy", {}).items():
        _make_sleepy(name, seconds)
    if "moments" in plan:
        wanted = dict(plan["moments"])
        path = wanted.pop("log", None)
        log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644) if path else None
        Moments(wanted["folders"], wanted.get("at"), wanted.get("what", "kill"), log, wanted.get("after")).install()


def _make_sleepy(name: str, seconds: float) -> None:
    """A function, named `module:Class.method`, first sleeps: a model that needs its time."""
    import importlib
    from functools import reduce

    module, _, dotted = name.partition(":")
    *owners, last = dotted.split(".")
    owner = reduce(getattr, owners, importlib.import_module(module))
    original = getattr(owner, last)

    def sleepy(*arguments: Any, **named: Any) -> Any:
        time.sleep(seconds)
        return original(*arguments, **named)

    setattr(owner, last, sleepy)
