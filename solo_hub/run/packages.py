"""Optional packages needed for training, checked before hours of labelling."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass

from solo_hub.core.errors import DependencyError
from solo_hub.core.settings import StudentSettings


@dataclass(frozen=True)
class OptionalPackage:
    """An optional package for training.

    Attributes:
        package: Its name, on PyPI and for imports.
        extra: The extra of solo-hub that installs it.
        purpose: The setting that needs it.
    """

    package: str
    extra: str
    purpose: str


def needed(settings: StudentSettings) -> Iterator[OptionalPackage]:
    """Optional packages required by the settings, installed or not."""
    if settings.adapter == "qlora":
        yield OptionalPackage("bitsandbytes", "qlora", "student.adapter=qlora")
    if settings.objective in ("dpo", "kto", "grpo"):
        yield OptionalPackage("trl", "trl", f"student.objective={settings.objective}")
    if settings.objective == "sdft":
        yield OptionalPackage("trl", "sdft", "student.objective=sdft")
    for name in settings.log_to:
        yield OptionalPackage(name, "track", f"student.log_to={name}")


def check(settings: StudentSettings) -> None:
    """Check that the required optional packages are installed.

    Raises:
        DependencyError: A package is missing.
    """
    for requirement in needed(settings):
        if importlib.util.find_spec(requirement.package) is None:
            raise DependencyError(requirement.package, extra=requirement.extra, purpose=requirement.purpose)
