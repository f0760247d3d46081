"""`solo-hub`: the table of commands, and the one place where errors become a message and an exit code."""

from __future__ import annotations

import errno
import importlib
import io
import os
import sys
import traceback

import click

from solo_hub import __version__
from solo_hub.core.redaction import scrub, scrub_logs

COMMANDS = {
    "init": ("solo_hub.cli.init", "init"),
    "distill": ("solo_hub.cli.distill", "distill"),
    "index": ("solo_hub.cli.index", "index"),
    "label": ("solo_hub.cli.steps", "label"),
    "select": ("solo_hub.cli.steps", "select"),
    "train": ("solo_hub.cli.steps", "train"),
    "evaluate": ("solo_hub.cli.evaluate", "evaluate"),
    "publish": ("solo_hub.cli.steps", "publish"),
    "show": ("solo_hub.cli.show", "show"),
    "compare": ("solo_hub.cli.compare", "compare"),
    "serve": ("solo_hub.cli.serve", "serve"),
    "export": ("solo_hub.cli.export", "export"),
    "verify": ("solo_hub.cli.verify", "verify"),
    "reproduce": ("solo_hub.cli.reproduce", "reproduce"),
    "doctor": ("solo_hub.cli.doctor", "doctor"),
    "space": ("solo_hub.cli.space", "space"),
    "job": ("solo_hub.cli.job", "job"),
    "hub": ("solo_hub.cli.hub", "hub"),
    "plugins": ("solo_hub.cli.plugins", "plugins"),
    "skill": ("solo_hub.cli.skill", "skill"),
    "hf-extension": ("solo_hub.cli.extension", "extension"),
}
"""Name -> (module, attribute): commands are imported lazily, so that `--help` is fast."""

TRACEBACK = "SOLO_HUB_TRACEBACK"
_SHORT_OF_MEMORY = ("out of memory", "can't allocate memory", "cannot allocate memory", "can't start new thread")
_PERHAPS_SHORT = ("could not create a primitive",)  # oneDNN reports unsupported sizes in the same way
# PyTorch's writer and C++ streams report no error number
_HALF_WRITTEN = ("unexpected pos ", "pytorchstreamwriter failed", "basic_ios::clear")
_FULL = ("no space left on device", "database or disk is full")
_LITTLE = 1 << 30  # bytes


class LazyGroup(click.Group):
    """A group that imports its commands lazily."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """The commands in the order of a run."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:  # noqa: ARG002
        """Import a command."""
        if name not in COMMANDS:
            return None
        module, attribute = COMMANDS[name]
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Suggest the nearest command for an unknown name."""
        from solo_hub.core.errors import UsageError, nearest

        name = args[0] if args else ""
        if name and not name.startswith("-") and name not in COMMANDS:
            raise UsageError(f"No such command: '{name}'.", hint=nearest(name, COMMANDS))
        return super().resolve_command(ctx, args)


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog="""\b
Start here:
  solo-hub distill demo            the whole pipeline in a few minutes, offline
  solo-hub init docs/              a configuration for your own documents or questions
  solo-hub distill --help          settings and presets
  solo-hub show runs/demo          results of a run""",
)
@click.version_option(__version__, prog_name="solo-hub")
def cli() -> None:
    """Let a language model teach itself your documents, without labels, and publish the result on the Hub."""


def main(arguments: list[str] | None = None) -> None:
    """Run a command; errors become one message on stderr and exit code 1 or 2."""
    scrub_logs()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # escape what LANG=C cannot write
            stream.reconfigure(errors="backslashreplace")
    sys.exit(run(sys.argv[1:] if arguments is None else arguments))


def run(arguments: list[str]) -> int:  # noqa: PLR0911 - one return a kind of error
    """Run a command and return its exit code: 0 success, 1 failure, 2 usage error, 130 interrupted."""
    from solo_hub.core.errors import Interrupted, SoloHubError

    try:
        result = cli.main(args=arguments, prog_name="solo-hub", standalone_mode=False)
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except click.ClickException as error:
        sys.stderr.write(scrub(_shown(error)))
        return error.exit_code
    except (KeyboardInterrupt, click.exceptions.Abort) as stop:
        cause = stop.__cause__ or stop  # click turns an interruption into its own exception
        known = cause if isinstance(cause, Interrupted) else Interrupted("")
        _print_error("; ".join(filter(None, ("Interrupted", known.lost))) + ".", known.hint)
        return 130
    except SoloHubError as error:
        _print_error(*(_about_memory(error) or (error.message, error.hint)))
        _trace()
        return error.exit_code
    except OSError as error:
        _print_error(*(_about_memory(error) or _about_disk(error)))
        _trace()
        return 1
    except Exception as error:  # noqa: BLE001 - the last resort: a bug in solo-hub
        _print_error(*(_about_limits(error) or _about_defect(error)))
        _trace()
        return 1
    except BaseException as error:
        if type(error).__name__ != "PanicException":  # of a Rust library; not an `Exception`
            raise
        _print_error(*_about_defect(error))
        _trace()
        return 1
    return result if isinstance(result, int) else 0


def _shown(error: click.ClickException) -> str:
    """What click would print: usage, message, suggestion."""
    text = io.StringIO()
    error.show(file=text)
    return text.getvalue()


def _about_defect(error: BaseException) -> tuple[str, str]:
    return (
        f"This is a bug in solo-hub: {type(error).__name__}: {error}",
        f"Run the command again with {TRACEBACK}=1 and report the traceback.",
    )


def _about_limits(error: Exception) -> tuple[str, str] | None:
    """Limits of the machine that native libraries report with their own errors."""
    text = str(error).casefold()
    if any(phrase in text for phrase in _FULL):
        return _about_disk(OSError(errno.ENOSPC, ""))
    if any(phrase in text for phrase in _HALF_WRITTEN):
        return (
            "A checkpoint could not be written completely: the disk is full or the file size limit was reached.",
            "Free some space or raise the limit (`ulimit -f`), then run the same command again; progress is kept.",
        )
    return _about_memory(error)


def _about_memory(error: BaseException) -> tuple[str, str] | None:
    """The message if any error in the chain is a lack of memory."""
    cause: BaseException | None = error
    while cause is not None:
        text = str(cause).casefold()
        short = isinstance(cause, MemoryError) or any(phrase in text for phrase in _SHORT_OF_MEMORY)
        if short or (any(phrase in text for phrase in _PERHAPS_SHORT) and _little_is_free()):
            return (
                "Out of memory.",
                "Lower the batch sizes (teacher, student, evaluation) or choose a smaller base; progress is kept.",
            )
        cause = cause.__cause__ or cause.__context__
    return None


def _little_is_free() -> bool:
    from solo_hub.core.system import free_memory

    free = free_memory()
    return free is not None and free < _LITTLE


def _about_disk(error: OSError) -> tuple[str, str]:
    place = f" '{error.filename}'" if error.filename else ""
    if error.errno == errno.ENOSPC:
        return f"The disk is full{place}.", "Free some space and run the same command again; progress is kept."
    if error.errno in (errno.EACCES, errno.EROFS, errno.EPERM):
        return (
            f"Permission denied{place}: {error.strerror}.",
            f"{_another_place(error.filename)}, or change its permissions.",
        )
    return f"{error.strerror or type(error).__name__}{place}.", "Run the same command again; progress is kept."


def _another_place(name: object) -> str:
    from pathlib import Path

    from solo_hub.core.paths import home

    ours = isinstance(name, str) and Path(name).absolute().is_relative_to(home().absolute())
    return "Point SOLO_HUB_HOME to another folder" if ours else "Choose another folder with --run DIR"


def _print_error(message: str, hint: str | None = None) -> None:
    from solo_hub.core.console import Console

    try:
        Console("human").error(message, hint)
    except MemoryError:  # too little memory even for colours
        sys.stderr.write(f"Error: {scrub(message)} {scrub(hint or '')}\n")


def _trace() -> None:
    if os.environ.get(TRACEBACK):
        sys.stderr.write(scrub(traceback.format_exc()))


if __name__ == "__main__":
    main()
