"""Answers of the trials by which is decided how the teacher is asked, saved call by call.

Style, examples, calibration and explanations are tried on samples before the first label. An interrupted trial is
repeated with the same calls, and those that were completed are read back.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from solo_hub.core.files import Appender, read_jsonl
from solo_hub.core.plugins import Generation, Prompt
from solo_hub.run.row_cache import cache_key

FILE = ".3-trials.jsonl"
"""In the run folder until everything is decided."""


class SavedCalls:
    """An engine whose completed calls are kept in a file.

    Args:
        engine: The engine; all but `score` and `generate` is passed on to it.
        path: The file.
        file: Appends to it.
    """

    def __init__(self, engine: Any, path: Path, file: Appender) -> None:
        self._engine, self._file = engine, file
        self._known = {row["key"]: row["value"] for _, row in read_jsonl(path, torn_tail=True)}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    def score(self, prompts: Sequence[Prompt], continuations: Sequence[Sequence[str]]) -> list[list[float] | None]:
        """See `Engine.score`."""
        key = self._key("score", prompts, [list(texts) for texts in continuations])
        scores: list[list[float] | None] = self._call(key, lambda: self._engine.score(prompts, continuations))
        return scores

    def generate(self, prompts: Sequence[Prompt], max_new_tokens: int) -> list[Generation]:
        """See `Engine.generate`."""
        rows = self._call(
            self._key("generate", prompts, max_new_tokens),
            lambda: [dataclasses.asdict(written) for written in self._engine.generate(prompts, max_new_tokens)],
        )
        return [Generation(**row) for row in rows]

    def _key(self, call: str, prompts: Sequence[Prompt], rest: Any) -> str:
        return cache_key(self._engine.identity, call, [dataclasses.astuple(prompt) for prompt in prompts], rest)

    def _call(self, key: str, compute: Callable[[], Any]) -> Any:
        if key not in self._known:
            self._known[key] = compute()
            if _finite(self._known[key]):  # other scores end the run
                self._file.append([{"key": key, "value": self._known[key]}])
        return self._known[key]


def _finite(value: Any) -> bool:
    if isinstance(value, list):
        return all(map(_finite, value))
    return not isinstance(value, float) or math.isfinite(value)
