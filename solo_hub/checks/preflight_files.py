"""Pre-flight checks of local files, which need neither a Hub nor a model."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from solo_hub.checks.result import CheckResult
from solo_hub.core.config import Config
from solo_hub.core.errors import SoloHubError
from solo_hub.hub import tables
from solo_hub.hub.unusable import Unusable
from solo_hub.knowledge.source import Source, is_index
from solo_hub.run import references
from solo_hub.run.task import make_task
from solo_hub.tasks.loading import columns_to_read, load_golds, load_questions

READ = 1000  # documents that are read


def local_data(config: Config) -> Iterator[CheckResult]:
    """Read the local questions and documents as the run will."""
    for role, check in (
        ("questions", _questions),
        ("evaluation_questions", _questions),
        ("knowledge", _documents),
    ):
        named = references.references_of(config).get(role)
        try:
            if named and (path := references.local(role, *named)) is not None:
                yield CheckResult(f"content of {role}", "pass", check(config, role, path))
        except SoloHubError as error:
            yield CheckResult(f"content of {role}", "fail", error.message, error.hint or "")


def _questions(config: Config, role: str, path: Path) -> str:
    task = make_task(config.task, lambda column: tables.class_names(path, column=column))
    there = tables.read_columns(path)
    held_out = role == "evaluation_questions"
    columns = columns_to_read(task, there, task.gold_columns if held_out else ())
    unusable = Unusable(config.task.unusable_rows)
    rows = list(tables.read_table(path, columns=columns, on_error=unusable))
    questions = load_questions(task, rows, str(path), unusable)
    if not held_out:
        return f"{path}: {len(questions):,} questions"
    golds = load_golds(task, rows, questions, str(path), unusable, required=True)
    return f"{path}: {len(questions):,} held-out questions, {len(golds):,} with answers"


def _documents(config: Config, _: str, path: Path) -> str:
    if is_index(path):
        return f"{path}: a knowledge base"
    source = Source(path, config.knowledge, str(path), own=True, unusable_rows=config.task.unusable_rows)
    count = sum(1 for _ in islice(source.documents(), READ))
    how = "at least " if count == READ else "about " if source.is_documents else ""  # the run counts the base's tokens
    return f"{path}: {how}{count:,} passage{'s' * (count != 1)}"
