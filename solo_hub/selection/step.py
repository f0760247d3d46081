"""The selection of a run: its selector, and one verdict on every label."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from solo_hub.core.plugins import InformedSelector, find
from solo_hub.core.records import PseudoLabel, Question, Selection, Verdict
from solo_hub.run.context import RunContext
from solo_hub.selection import base_uncertainty


def make_selector(context: RunContext) -> Any:
    """The selector of the settings."""
    settings = context.config.selection
    return find("selectors", settings.method)(settings.options, context.config.seed)


def select(
    context: RunContext,
    questions: Sequence[Question],
    labels: Sequence[PseudoLabel],
    passed: Sequence[PseudoLabel],
    filtered: Sequence[Verdict],
) -> Selection:
    """Select among the labels that passed the filters: a verdict on each label, in order; `filtered` on the others."""
    settings, selector = context.config.selection, make_selector(context)
    uncertainty: Mapping[str, float] = base_uncertainty.ask(context, questions) if settings.ask_student else {}
    chosen = (
        selector.select_with(passed, uncertainty)
        if uncertainty and isinstance(selector, InformedSelector)
        else selector.select(passed)
    )
    verdicts = {verdict.question_id: verdict for verdict in (*filtered, *chosen.verdicts)}
    rows = [verdicts[label.question_id] for label in labels]
    asked = (replace(row, uncertainty=uncertainty.get(row.question_id, row.uncertainty)) for row in rows)
    return Selection(settings.method, tuple(asked))
