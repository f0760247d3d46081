"""The extras of solo-hub that a run needs."""

from __future__ import annotations

from solo_hub.core.config import Config
from solo_hub.models.loading import NF4
from solo_hub.run import packages

ALWAYS = ("train", "knowledge", "evaluation")
"""Extras that every run needs; with the embedded Hub also `hub`."""


def needed(config: Config) -> frozenset[str]:
    """Extras needed by a run with these settings, on any machine."""
    extras = {*ALWAYS, *(package.extra for package in packages.needed(config.student))}
    return frozenset({*extras, "qlora"} if config.engine.dtype == NF4 else extras)
