"""Talk to stderr, data to stdout.

Steps report progress to a `Console`; the CLI chooses how much of it is shown (`human`, `json`,
`quiet`). By default it is silent, so importing and calling solo-hub from Python prints nothing.
"""

from __future__ import annotations

import contextlib
import json
import signal
import sys
import textwrap
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

from rich.console import Console as RichConsole
from rich.markup import escape
from rich.table import Table

from solo_hub.core.errors import Interrupted
from solo_hub.core.progress import Advance, bar, lines
from solo_hub.core.redaction import scrub

Mode = Literal["human", "json", "quiet"]


class Console:
    """Reports what a run does.

    Args:
        mode: `human` reports on stderr; `json` prints warnings and errors there, `quiet` errors only.
        yes: Answer yes to every question (`confirm`).
    """

    def __init__(self, mode: Mode = "quiet", *, yes: bool = False) -> None:
        self.mode, self.yes = mode, yes
        self.started = time.monotonic()
        self._err = RichConsole(stderr=True, highlight=False, emoji=False)
        # Logs are not wrapped: at 80 columns they could not be searched, nor their links opened.
        self._one_line = not self._err.is_terminal
        self._out = RichConsole(file=sys.stdout, highlight=False, emoji=False)
        self._tick = "✓" if _encodes(self._err.encoding, "✓") else "+"
        self._counting = 0  # open progress bars
        self._showing = False
        self._stop_asked = False
        self._printed: set[tuple[str, str]] = set()  # notes and warnings

    def quieten_libraries(self) -> None:
        """Keep libraries' own progress bars and advice off stderr."""
        import logging
        import os

        for name, value in (
            ("TRANSFORMERS_VERBOSITY", "error"),
            ("HF_HUB_VERBOSITY", "error"),
            ("TOKENIZERS_PARALLELISM", "false"),
            ("HF_HUB_DISABLE_PROGRESS_BARS", "1"),
            ("HF_DATASETS_DISABLE_PROGRESS_BARS", "1"),
            ("TQDM_DISABLE", "1"),
        ):
            os.environ.setdefault(name, value)
        for name in (
            "transformers",
            "huggingface_hub",
            "datasets",
            "sentence_transformers",
            "peft",
            "accelerate",
            "bert_score",
            "bitsandbytes",
            "matplotlib",
        ):
            logging.getLogger(name).setLevel(logging.ERROR)

    def step(self, number: int, title: str, detail: str = "") -> None:
        """Announce a step."""
        if self.mode == "human":
            self._err.print(
                f"[bold cyan]{number}[/] [bold]{_scrubbed_markup(title)}[/] [dim]{_scrubbed_markup(detail)}[/]",
                soft_wrap=self._one_line,
            )

    def note(self, text: str) -> None:
        """Print a detail, once."""
        if self.mode == "human" and self._is_new("note", text):
            self._err.print(f"  [dim]{_scrubbed_markup(text)}[/]", soft_wrap=self._one_line)

    def done(self, text: str) -> None:
        """Print what a step achieved."""
        if self.mode == "human":
            self._err.print(f"  [green]{self._tick}[/] {_scrubbed_markup(text)}", soft_wrap=self._one_line)

    def warn(self, text: str) -> None:
        """Print a warning, once, in every mode but quiet."""
        if self.mode != "quiet" and self._is_new("warning", text):
            self._err.print(f"[yellow]Warning:[/] {_scrubbed_markup(text)}", soft_wrap=self._one_line)

    def confirm(self, question: str) -> bool:
        """Ask on a terminal; without one the answer is no, unless all questions are answered yes."""
        if self.yes or not (self.mode == "human" and self._err.is_terminal and sys.stdin.isatty()):
            return self.yes
        return self._err.input(f"{_scrubbed_markup(question)} [bold]\\[y/N][/] ").strip().lower() in ("y", "yes")

    def _is_new(self, kind: str, text: str) -> bool:
        """Whether a text is printed for the first time: what is checked early is read again when it is used."""
        new = (kind, text) not in self._printed
        self._printed.add((kind, text))
        return new

    def error(self, message: str, hint: str | None = None) -> None:
        """Print what failed and what to do about it, in every mode."""
        self._err.print(
            f"[bold red]Error:[/] {_scrubbed_markup(message)}" + (f" {_scrubbed_markup(hint)}" if hint else ""),
            soft_wrap=True,
        )

    @contextlib.contextmanager
    def interruptible(self) -> Iterator[None]:
        """Let the first Ctrl-C finish the current batch, and the second stop immediately.

        Work counted by `progress` is saved batch by batch, so stopping between batches loses nothing. Outside of
        `progress`, and in threads other than the main one, Ctrl-C behaves as usual.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def handle_interrupt(number: int, frame: object) -> None:  # noqa: ARG001 - a signal handler's arguments
            if self._stop_asked or not self._counting:
                raise KeyboardInterrupt
            self._stop_asked = True
            self.warn("Stopping after this batch; press Ctrl-C again to stop immediately.")

        previous = signal.signal(signal.SIGINT, handle_interrupt)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, previous)
            self._stop_asked = False

    @contextlib.contextmanager
    def progress(self, title: str, total: int | None, *, saved: bool = False) -> Iterator[Advance]:
        """Show how far counted work has come; yields the function to call with the items done since the last call.

        Args:
            title: What is done.
            total: Number of items; 0 if there is nothing to do, None if unknown.
            saved: Whether what is done is saved before each call, so that an interruption loses nothing.

        Raises:
            Interrupted: Ctrl-C was pressed; the current batch has been finished.
        """
        again = f"'{title}' starts again, and what was done before it is kept"
        kept = Interrupted("no progress is lost" if saved else again)
        self._counting += 1
        try:
            with self._bar(title, total) if total != 0 else contextlib.nullcontext(_nothing) as advance:

                def advance_or_stop(count: int, detail: str = "", /) -> None:
                    advance(count, detail)
                    if self._stop_asked and threading.current_thread() is threading.main_thread():
                        raise kept

                yield advance_or_stop
        except Interrupted:
            raise
        except KeyboardInterrupt as stop:
            raise Interrupted("at most what was done since the last save is lost" if saved else again) from stop
        finally:
            self._counting -= 1
        if self._stop_asked:
            raise kept

    @contextlib.contextmanager
    def working(self, title: str) -> Iterator[None]:
        """Show that something which cannot be counted is going on; Ctrl-C stops it immediately."""
        with self._bar(title, 0):
            yield

    @contextlib.contextmanager
    def _bar(self, title: str, total: int | None) -> Iterator[Advance]:
        if self.mode != "human" or self._showing:  # e.g. a model that is loaded during an evaluation
            yield _nothing
            return
        self._showing = True
        try:
            with bar(title, total, self._err) if self._err.is_terminal else lines(title, total, self._print_line) as to:
                yield to
        finally:
            self._showing = False

    def _print_line(self, text: str) -> None:
        self._err.print(f"  {text}", markup=False, soft_wrap=True)

    def table(
        self,
        title: str,
        columns: Sequence[str],
        rows: Sequence[Sequence[str]],
        *,
        to: Literal["stdout", "stderr"] = "stdout",
        left: int = 1,
    ) -> None:
        """Print a table; the first `left` columns are left-aligned, the others, which hold numbers, right-aligned.

        On a terminal too narrow for the columns each row is printed as one line per cell.
        """
        if self.mode != "human":
            return
        console = self._out if to == "stdout" else self._err
        words = [
            max((len(word) for cell in cells for word in cell.split()), default=0)
            for cells in zip(columns, *rows, strict=True)
        ]
        if sum(words) + 2 * (len(words) - 1) > console.width:
            _stack(console, title, columns, rows, left)
            return
        table = Table(
            title=_writable(title) or None,
            title_justify="left",
            title_style="bold",
            box=None,
            pad_edge=False,
            padding=(0, 2, 0, 0),
        )
        for index, column in enumerate(columns):
            side: Literal["left", "right"] = "left" if index < left else "right"
            table.add_column(_writable(column), justify=side, header_style="bold", overflow="fold")
        for row in rows:
            table.add_row(*(_shown(cell) for cell in row))
        console.print(table)

    def heading(self, text: str) -> None:
        """Print a heading of data to stdout, in human mode."""
        if self.mode == "human":
            self._out.print(f"[bold]{_shown(text)}[/]", soft_wrap=True)

    def line(self, text: str = "", *, indent: int = 0) -> None:
        """Print a line of data to stdout, in human mode; with `indent` a terminal's width breaks it between words."""
        if self.mode == "human":
            if indent and self._out.is_terminal:
                text = textwrap.fill(text, self._out.width, subsequent_indent=" " * indent, break_long_words=False)
            self._out.print(_shown(text), soft_wrap=True)

    def document(self, document: Mapping[str, Any]) -> None:
        """Print the JSON document of `--format json`."""
        if self.mode == "json":
            text = _writable(json.dumps(document, ensure_ascii=False, indent=2, allow_nan=False))
            if not _encodes(getattr(sys.stdout, "encoding", None), text):  # LANG=C: fall back to JSON's ASCII form
                text = json.dumps(json.loads(text), indent=2)
            sys.stdout.write(text + "\n")


def _nothing(count: int, detail: str = "", /) -> None:
    """Progress that is not shown."""


def _stack(console: RichConsole, title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], left: int) -> None:
    """Print a table for a narrow terminal: per row its left columns, and below them one line per other column."""
    if title:
        console.print(f"[bold]{_shown(title)}[/]")
    for row in rows:
        console.print(f"[bold]{_shown(' '.join(row[:left]))}[/]")
        for column, cell in zip(columns[left:], row[left:], strict=True):
            console.print(f"  {_shown(column)}: {_shown(cell)}")


def _encodes(encoding: str | None, text: str) -> bool:
    """Whether a stream with this encoding can write a text."""
    try:
        text.encode(encoding or "utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _scrubbed_markup(text: str) -> str:
    """A text ready to print: without secrets, brackets escaped."""
    return _shown(scrub(text))


def _shown(text: str) -> str:
    """A text ready to print: brackets escaped."""
    return escape(_writable(text))


def _writable(text: str) -> str:
    r"""Replace lone surrogates, which no stream can encode, by their escapes.

    >>> _writable("caf\u00e9 " + chr(0xD800)) == "caf\u00e9 " + r"\ud800"
    True
    """
    return text.encode("utf-8", "backslashreplace").decode()
