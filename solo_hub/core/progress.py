"""How far a piece of work has come: a bar on a terminal, a line every half minute in a file or pipe."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Protocol

from rich.console import Console as RichConsole
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.text import Text

EVERY = 30.0  # seconds between two lines
RECENT = 5  # lines that the rate is over: batches of half a minute come one or two a line


class Advance(Protocol):
    """Called with the number of items done since the last call, and what else is known, e.g. the loss."""

    def __call__(self, count: int, detail: str = "", /) -> None:
        """Count items as done."""
        ...


class Lines:
    """Progress as lines of text: one every `EVERY` seconds, also while a single item takes longer than that.

    Args:
        title: What is done.
        total: Number of items; None if unknown, 0 for work that is not counted.
        write: Prints a line.
    """

    def __init__(self, title: str, total: int | None, write: Callable[[str], None]) -> None:
        self._title, self._total, self._write = title, total, write
        self._started = time.monotonic()
        self._done = 0
        self._printed: deque[tuple[float, int]] = deque(maxlen=RECENT)  # when, and items done by then
        self._detail = ""
        self._lock = threading.Lock()

    def advance(self, count: int, detail: str = "", /) -> None:
        """See `Advance`."""
        self._done += count
        self._detail = detail
        self.tick()

    def tick(self) -> None:
        """Print a line if one is due."""
        with self._lock:
            now = time.monotonic()
            if now - (self._printed[-1][0] if self._printed else self._started) < EVERY:
                return
            self._write(self._line(now))
            self._printed.append((now, self._done))

    def _line(self, now: float) -> str:
        if self._total == 0:
            return f"{self._title}: {duration(now - self._started)} so far"
        parts = [f"{self._done:,}" if self._total is None else f"{self._done:,} of {self._total:,}"]
        # the rate over the last lines; labels that an earlier process made were counted all at once, before the first
        since, before = self._printed[0] if self._printed else (self._started, 0)
        if self._done == before:
            since, before = self._started, 0
        rate = (self._done - before) / max(now - since, 1e-9)
        if rate:
            parts.append(format_rate(rate))
            if self._total is not None:
                parts.append(f"{duration((self._total - self._done) / rate)} left")
        else:
            parts.append(f"{duration(now - self._started)} so far")
        return f"{self._title}: " + ", ".join([*parts, *([self._detail] if self._detail else [])])


@contextlib.contextmanager
def lines(title: str, total: int | None, write: Callable[[str], None]) -> Iterator[Advance]:
    """Show progress as lines; a thread prints those that are due between two calls."""
    shown, ended = Lines(title, total, write), threading.Event()

    def beat() -> None:
        while not ended.wait(1.0):
            shown.tick()

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield shown.advance
    finally:
        ended.set()
        thread.join()


@contextlib.contextmanager
def bar(title: str, total: int | None, console: RichConsole) -> Iterator[Advance]:
    """Show a progress bar with rate and time left on a terminal; it disappears at the end."""
    columns: list[ProgressColumn] = [TextColumn("  {task.description}", markup=False), BarColumn(bar_width=24)]
    if total != 0:
        columns += [_Count()]
    columns += [TimeElapsedColumn()]
    if total:
        columns += [TimeRemainingColumn(), TextColumn("left")]
    columns += [TextColumn("{task.fields[detail]}", markup=False)]
    with Progress(*columns, console=console, transient=True) as shown:
        task = shown.add_task(title, total=total or None, detail="")
        yield lambda count, detail="": shown.update(task, advance=count, detail=detail)


class _Count(ProgressColumn):
    """Items done, and the rate."""

    def render(self, task: Task) -> Text:
        done = f"{int(task.completed):,}" + (f"/{int(task.total):,}" if task.total is not None else "")
        rate = format_rate(task.speed) if task.speed else ""
        return Text(f"{done}  {rate}".rstrip())


def format_rate(rate: float) -> str:
    """Items a second, or seconds an item.

    >>> format_rate(12.34), format_rate(0.25)
    ('12.3/s', '4.0 s each')
    """
    return f"{rate:,.1f}/s" if rate >= 1 else f"{1 / rate:,.1f} s each"


def duration(seconds: float) -> str:
    """A duration for people.

    >>> duration(41.6), duration(130), duration(7300)
    ('42 s', '2 min', '2 h 2 min')
    """
    if seconds < 100:  # noqa: PLR2004 - below, minutes are too coarse
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"  # noqa: PLR2004
