"""Which extras of solo-hub the settings of a run need."""

from __future__ import annotations

from solo_hub.core.config import Config
from solo_hub.models.loading import NF4
from solo_hub.run import packages

ALWAYS = ("train", "knowledge", "evaluation")
"""What every run needs of pyproject's extras; `hub` besides where the Hub is the embedded one."""


def needed(config: Config) -> frozenset[str]:
    """Extras whose packages a run with these settings needs, wherever it is done."""
    found = {*ALWAYS, *(one.extra for one in packages.needed(config.student))}
    return frozenset({*found, "qlora"} if config.engine.dtype == NF4 else found)
