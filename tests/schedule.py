"""Which process of `pytest -n` runs what: files stay whole, so that fixtures are made once, and long ones begin.

A file goes to the next process that is free. Files that share what is costly to make go to the same one, in order.
"""

from __future__ import annotations

from functools import cache
from pathlib import PurePosixPath
from typing import Any

TOGETHER = ("tests/reliability", "tests/spaces")
"""Folders whose files one process runs: they compare with the same undisturbed run, or import gradio."""
FIRST = (
    "tests/reliability", "tests/pipeline", "tests/test_printed_runs.py", "tests/student", "tests/hub/server",
    "tests/publishing", "tests/checks", "tests/spaces", "tests/models", "tests/cli", "tests/evaluation", "tests/run",
)  # fmt: skip
"""What takes longest, first: a long file that begins last is waited for by all others."""


def unit(node: str) -> str:
    """What is not divided among processes: the file of a test, or its folder."""
    file = node.split("::", 1)[0]
    return next((folder for folder in TOGETHER if PurePosixPath(folder) in PurePosixPath(file).parents), file)


def rank(node: str) -> int:
    """Where a test stands: by `FIRST`, the rest afterwards."""
    return _rank(node.split("::", 1)[0])


@cache
def _rank(name: str) -> int:
    file = PurePosixPath(name)
    places = (place for place, name in enumerate(map(PurePosixPath, FIRST)) if name == file or name in file.parents)
    return next(places, len(FIRST))


def order(items: list[Any]) -> None:
    """Sort collected tests in place; those of a file keep their order."""
    items.sort(key=lambda item: rank(item.nodeid))


def scheduler(config: Any, log: Any) -> Any:
    """For `pytest -n`: hands out whole units, in their order."""
    from xdist.scheduler import LoadScopeScheduling

    class ByUnit(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return unit(nodeid)

    config.option.loadscopereorder = False
    return ByUnit(config, log)
