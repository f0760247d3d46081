"""Optional packages of a run: the extras it needs on any machine, and those of training, checked before labelling."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator

from solo_hub.core.config import Config
from solo_hub.core.errors import DependencyError
from solo_hub.core.settings import StudentSettings
from solo_hub.models.loading import NF4

ALWAYS = ("train", "knowledge", "evaluation")
"""Extras that every run needs; with the embedded Hub also `hub`."""
_TRL = {"dpo": "trl", "kto": "trl", "grpo": "trl", "sdft": "sdft"}  # objective -> extra with the trainer it needs


def extras(config: Config) -> frozenset[str]:
    """Extras of solo-hub needed by a run with these settings, on any machine."""
    found = {*ALWAYS, *(extra for _, extra, _ in _needed(config.student))}
    return frozenset({*found, "qlora"} if config.engine.dtype == NF4 else found)


def check(settings: StudentSettings) -> None:
    """Check that the optional packages of a training are installed.

    Raises:
        DependencyError: A package is missing.
    """
    for package, extra, purpose in _needed(settings):
        if importlib.util.find_spec(package) is None:
            raise DependencyError(package, extra=extra, purpose=purpose)


def _needed(settings: StudentSettings) -> Iterator[tuple[str, str, str]]:
    """Package (on PyPI and for imports), the extra that installs it, and the setting that needs it."""
    if settings.adapter == "qlora":
        yield "bitsandbytes", "qlora", "student.adapter=qlora"
    if settings.objective in _TRL:
        yield "trl", _TRL[settings.objective], f"student.objective={settings.objective}"
    for name in settings.log_to:
        yield name, "track", f"student.log_to={name}"
