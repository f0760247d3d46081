"""User-facing errors: one clear sentence each, and where possible a hint what to do next.

    SoloHubError                 something failed; exit code 1
    ├── UsageError               the command or its settings are wrong; exit code 2      (also a ValueError)
    │   └── ConfigError          a configuration key or value                            (also a ValueError)
    ├── InputError               a row or file of the user's data: names file and row    (also a ValueError)
    ├── HubError                 the Hub refused, or could not be reached                (also an OSError)
    │   ├── RepoMissingError     no such repo, or no access to it
    │   ├── GatedError           the repo's terms have not been accepted
    │   ├── NotAllowedError      no token, or one without write access
    │   └── ConflictError        somebody else pushed first
    ├── ModelError               a model cannot do what the run needs                    (also a RuntimeError)
    ├── RunError                 a run folder is in use, of another config, or broken    (also a RuntimeError)
    └── DependencyError          an optional package is missing                          (also an ImportError)

Each also derives from a standard exception, so `except ValueError` works for callers of the library.
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Iterable
from typing import Any

from solo_hub.core.redaction import scrub


class SoloHubError(Exception):
    """A failure the user can act on; secrets are removed from its message.

    Args:
        message: What is wrong, and where (file, row, field); one sentence.
        hint: What to do next; one sentence or a command.
    """

    exit_code = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        self.message = scrub(message)
        self.hint = scrub(hint) if hint else hint
        super().__init__(self.message)

    def __str__(self) -> str:
        return f"{self.message} {self.hint}" if self.hint else self.message


class Interrupted(KeyboardInterrupt):
    """Ctrl-C during counted work.

    Args:
        lost: What that costs, as a half-sentence.
        hint: What to do next.
    """

    def __init__(self, lost: str, hint: str = "Run the same command again to resume.") -> None:
        self.lost, self.hint = lost, hint
        super().__init__(lost)


class UsageError(SoloHubError, ValueError):
    """The command or its settings are wrong."""

    exit_code = 2


class ConfigError(UsageError):
    """A configuration key or value is wrong."""


class InputError(SoloHubError, ValueError):
    """A row or file of the user's data is unusable.

    Args:
        message: What is wrong.
        file: Repo or file that holds the row.
        row: Row number, from 1.
        field: Column of the row.
        hint: What to do next.
    """

    def __init__(
        self,
        message: str,
        *,
        file: str | None = None,
        row: int | None = None,
        field: str | None = None,
        hint: str | None = None,
    ) -> None:
        place = ", ".join(
            part
            for part in (
                file,
                f"row {row}" if row is not None else None,
                f"field '{field}'" if field else None,
            )
            if part
        )
        super().__init__(f"{place}: {message}" if place else message, hint=hint)
        self.reason, self.file, self.row, self.field = scrub(message), file, row, field

    def at(self, file: str, row: int) -> InputError:
        """The same error, in a row of a file."""
        return InputError(self.reason, file=file, row=row, field=self.field, hint=self.hint)


class HubError(SoloHubError, OSError):
    """The Hub refused, or could not be reached."""


class RepoMissingError(HubError):
    """The repo does not exist, or the token may not read it."""


class GatedError(HubError):
    """The repo's terms have not been accepted."""


class NotAllowedError(HubError):
    """There is no token, or it has no write access."""


class ConflictError(HubError):
    """Another commit was pushed first."""


class ModelError(SoloHubError, RuntimeError):
    """A model cannot do what the run needs."""


class RunError(SoloHubError, RuntimeError):
    """A run folder is in use, belongs to another configuration, or is broken."""


class DependencyError(SoloHubError, ImportError):
    """An optional package is missing.

    Args:
        package: The package's name on PyPI.
        extra: The extra of solo-hub that installs it.
        purpose: What it is needed for.
    """

    def __init__(self, package: str, *, extra: str, purpose: str) -> None:
        super().__init__(
            f"{purpose} needs the package '{package}'.", hint=f"Install it with: pip install 'solo-hub[{extra}]'"
        )


def import_optional(module: str, *, package: str, extra: str, purpose: str) -> Any:
    """A module of an optional package.

    Raises:
        DependencyError: It is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise DependencyError(package, extra=extra, purpose=purpose) from error


def nearest(word: str, known: Iterable[str]) -> str:
    """List the known names, suggesting the nearest one.

    >>> nearest("epoch", ["epochs", "rank"])
    "Did you mean 'epochs'? Known: epochs, rank."
    """
    names = sorted(set(known))
    close = difflib.get_close_matches(word, names, n=1, cutoff=0.6)
    guess = f"Did you mean '{close[0]}'? " if close else ""
    return f"{guess}Known: {', '.join(names)}." if names else "None are available."
