"""What a check of ours says: one line each, and what to do where something is not as it should be."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Literal

State = Literal["ok", "advice", "wrong", "open"]
"""`ok`; `advice`: works, but worth knowing; `wrong`: has to be mended; `open`: was not looked at."""


@dataclass(frozen=True, slots=True)
class CheckResult:
    """One thing that was looked at.

    Attributes:
        name: What, in a few words.
        state: How it was found.
        detail: What was found.
        remedy: What to do next; empty where there is nothing to do.
    """

    name: str
    state: State
    detail: str
    remedy: str = ""

    def line(self, width: int = 0) -> str:
        """The finding on one line.

        >>> CheckResult("files", "wrong", "README.md was changed", "Ask its owner.").line()
        'WRONG   files  README.md was changed. Ask its owner.'
        """
        state = self.state.upper() if self.state == "wrong" else self.state
        told = f"{self.detail.rstrip('.')}. {self.remedy}" if self.remedy else self.detail
        return f"{state:<6}  {self.name:<{width}}  {' '.join(told.split())}"

    def to_row(self) -> dict[str, Any]:
        """As `--format json` prints it."""
        return asdict(self)


def wrong(findings: Iterable[CheckResult]) -> list[CheckResult]:
    """Those that have to be mended."""
    return [finding for finding in findings if finding.state == "wrong"]


def lines(findings: Iterable[CheckResult]) -> list[str]:
    """All of them, one line each, names aligned."""
    told = list(findings)
    width = max((len(finding.name) for finding in told), default=0)
    return [finding.line(width) for finding in told]
