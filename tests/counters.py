"""What the tests of reliability have tried, counted over all of them, and printed in one block at the end."""

from __future__ import annotations

from collections import Counter

COUNTS: Counter[str] = Counter()
ALWAYS = ("kills", "faults", "inputs tried", "rows lost", "secrets found")
"""In the order in which they are printed; other names follow."""


def count(name: str, number: int = 1) -> None:
    """Add to what is counted: `count("kills")`, `count("inputs tried", 500)`."""
    COUNTS[name] += number


def send(config) -> None:
    """From a process that shares the tests with others (`pytest -n`): what was counted here."""
    if hasattr(config, "workeroutput"):
        config.workeroutput["counters"] = dict(COUNTS)


def receive(node) -> None:
    """Add what such a process has counted, once it has ended; one that died has sent nothing."""
    COUNTS.update(getattr(node, "workeroutput", {}).get("counters", {}))


def report(reporter) -> None:
    """Write the block; nothing where nothing was counted."""
    if not COUNTS:
        return
    reporter.section("what was tried")
    for name in (*ALWAYS, *sorted(set(COUNTS) - set(ALWAYS))):
        reporter.write_line(f"{COUNTS[name]:>8,} {name}")
