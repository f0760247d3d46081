"""Unusable rows and files of the user's data: the first stops the run, or all are left out and listed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from solo_hub.core.errors import InputError

Policy = Literal["stop", "leave_out"]
SHOWN = 5  # entries listed in a message


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A row or file that was left out.

    Attributes:
        reason: What is wrong with it.
        file: Its repo or file.
        row: Its row number, from 1; None for a whole file.
        field: The invalid column, if any.
    """

    reason: str
    file: str | None = None
    row: int | None = None
    field: str | None = None

    def to_row(self) -> dict[str, Any]:
        """Return it as JSON types."""
        return asdict(self)

    def __str__(self) -> str:
        row = f"row {self.row}" if self.row is not None else None
        place = ", ".join(part for part in (self.file, row, f"field '{self.field}'" if self.field else None) if part)
        return f"{place}: {self.reason}" if place else self.reason


class Unusable:
    """Handles unusable rows and files; called with the error of each.

    Args:
        policy: `stop` raises the error, `leave_out` adds it to `left_out`.
    """

    def __init__(self, policy: Policy = "stop") -> None:
        self.policy: Policy = policy
        self.left_out: list[LeftOut] = []

    def __call__(self, error: InputError) -> None:
        """Raise the error, or list it.

        Raises:
            InputError: The policy is `stop`.
        """
        if self.policy == "stop":
            raise error
        self.add(error)

    def add(self, error: InputError) -> None:
        """List a row or file that is left out under either policy."""
        self.left_out.append(LeftOut(error.reason, error.file, error.row, error.field))


def describe_left_out(left_out: Sequence[LeftOut], noun: str) -> str:
    """One message about what was left out: the number, and the first of them with their reasons.

    >>> describe_left_out([LeftOut("the text is empty.", "a.csv", 3)], "document")
    '1 document left out: a.csv, row 3: the text is empty.'
    """
    shown = " ".join(str(item) for item in left_out[:SHOWN])
    more = f" ... and {len(left_out) - SHOWN:,} more." if len(left_out) > SHOWN else ""
    return f"{len(left_out):,} {noun}{'' if len(left_out) == 1 else 's'} left out: {shown}{more}"
