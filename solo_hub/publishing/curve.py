"""The training curve of the report as an image of its own, byte-identical for the same log."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from solo_hub.evaluation.report import figures

_STYLE = (
    "<style>text{font:12px sans-serif;fill:#374151}.grid{stroke:#e5e7eb}.curve{fill:none;stroke:#1d4ed8;"
    'stroke-width:2}.faint{stroke:#93c5fd;stroke-width:1}</style><rect width="100%" height="100%" fill="#ffffff"/>'
)


def read_log(path: Path) -> list[Mapping[str, Any]]:
    """Steps and losses of a training log (`log` of `training.json`); empty where there is none to read."""
    try:
        log = json.loads(path.read_text("utf-8"))["log"]
        return [{"step": float(row["step"]), "loss": float(row["loss"])} for row in log]
    except (OSError, ValueError, KeyError, TypeError):
        return []  # the log is optional: without one there is no curve


def draw(log: Sequence[Mapping[str, Any]], unit: str = "") -> str | None:
    """Draw loss over steps, with the loss's unit if it has one; None for fewer than two steps."""
    drawn = figures.loss_curve(log, f"loss, {unit}" if unit else "loss")
    if drawn is None:
        return None
    opening, rest = str(drawn).split(">", maxsplit=1)
    return f'{opening} xmlns="http://www.w3.org/2000/svg" width="680">{_STYLE}{rest}\n'
