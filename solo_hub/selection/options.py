"""Options shared by selectors, and their parsing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Generic, Literal, Self, TypeVar

from pydantic import Field, model_validator

from solo_hub.core.config import read_options
from solo_hub.core.settings import Section
from solo_hub.selection.measures import count_of_share

S = TypeVar("S", bound=Section)

WithoutConfidence = Literal["refuse", "keep", "drop"]
WITHOUT_CONFIDENCE = "Labels without teacher confidence: refuse (stop with an error), keep, or drop."


class JudgesConfidence(Section):
    """Options of a method that uses the teacher's confidence."""

    without_confidence: WithoutConfidence = Field("refuse", description=WITHOUT_CONFIDENCE)


class ShareOrCount(Section):
    """Number of labels to keep, as a share or a count."""

    share: float = Field(0.5, gt=0, le=1, description="Share of the labels to keep, 0..1; at least one label is kept.")
    count: int | None = Field(None, ge=0, description="Number of labels to keep, instead of `share`.")

    def of(self, total: int) -> int:
        """The number to keep of so many labels."""
        return count_of_share(self.share, total) if self.count is None else min(self.count, total)

    @model_validator(mode="after")
    def _one_of_them(self) -> Self:
        if {"share", "count"} <= self.model_fields_set and self.count is not None:
            raise ValueError("set either `share` or `count`, not both")
        return self


class Configured(Generic[S]):
    """A selector, created as `Selector(options, seed)`.

    Args:
        options: As given in the configuration, by the names of `options_model`.
        seed: Random seed.

    Raises:
        ConfigError: An unknown option or a bad value.
    """

    name: str
    options_model: type[S]

    def __init__(self, options: Mapping[str, Any], seed: int) -> None:
        self.options: S = read_options(
            self.options_model, options, f"selection method '{self.name}'", "selection.options"
        )
        self.seed = seed
