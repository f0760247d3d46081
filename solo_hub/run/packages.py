"""Optional packages a training's settings ask for: told before hours of labelling, not after."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass

from solo_hub.core.errors import DependencyError
from solo_hub.core.settings import StudentSettings


@dataclass(frozen=True)
class OptionalPackage:
    """A package that not every training needs.

    Attributes:
        package: Its name, to pip and to Python alike.
        extra: The extra of solo-hub that brings it.
        purpose: The setting that needs it.
    """

    package: str
    extra: str
    purpose: str


def needed(settings: StudentSettings) -> Iterator[OptionalPackage]:
    """Optional packages these settings need, installed or not."""
    if settings.adapter == "qlora":
        yield OptionalPackage("bitsandbytes", "qlora", "student.adapter=qlora")
    if settings.objective == "sdft":
        yield OptionalPackage("trl", "trl", "student.objective=sdft")
    for name in settings.log_to:
        yield OptionalPackage(name, "track", f"student.log_to={name}")


def check(settings: StudentSettings) -> None:
    """See that what the settings need is installed.

    Raises:
        DependencyError: A package is missing.
    """
    for one in needed(settings):
        if importlib.util.find_spec(one.package) is None:
            raise DependencyError(one.package, extra=one.extra, purpose=one.purpose)
