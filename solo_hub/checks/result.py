"""The result of a check: one line each, with what to do if it did not pass."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from solo_hub.core.rows import Record

State = Literal["pass", "warn", "fail", "skipped"]
"""`pass`; `warn`: works, but worth knowing; `fail`: has to be fixed; `skipped`: could not be checked."""


@dataclass(frozen=True, slots=True)
class CheckResult(Record):
    """The result of one check.

    Attributes:
        name: What was checked, in a few words.
        state: The outcome.
        detail: What was found.
        remedy: What to do next; may be empty.
    """

    name: str
    state: State
    detail: str
    remedy: str = ""

    def line(self, width: int = 0) -> str:
        """The result on one line.

        >>> CheckResult("files", "fail", "README.md was changed", "Ask its owner.").line()
        'FAIL     files  README.md was changed. Ask its owner.'
        """
        state = self.state.upper() if self.state == "fail" else self.state
        text = f"{self.detail.rstrip('.')}. {self.remedy}" if self.remedy else self.detail
        return f"{state:<7}  {self.name:<{width}}  {' '.join(text.split())}"


def failed(results: Iterable[CheckResult]) -> list[CheckResult]:
    """The checks that failed."""
    return [result for result in results if result.state == "fail"]


def lines(results: Iterable[CheckResult]) -> list[str]:
    """All results, one line each, names aligned."""
    listed = list(results)
    width = max((len(result.name) for result in listed), default=0)
    return [result.line(width) for result in listed]
