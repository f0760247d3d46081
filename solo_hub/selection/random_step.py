"""Random at equal count: at every step as many samples as another method keeps, but drawn at random.

The control of every per-step method: a gain that it matches comes from the smaller number of samples, not selection.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
from pydantic import Field, model_validator

from solo_hub.core import plugins
from solo_hub.core.errors import ConfigError, RunError
from solo_hub.core.plugins import StepSelector
from solo_hub.core.settings import Section
from solo_hub.selection.at_random import draw
from solo_hub.selection.measures import count_of_share
from solo_hub.selection.options import Configured
from solo_hub.selection.steps import Reason, StepBatch, StepDecision, Stepwise, log_of


class RandomStepOptions(Section):
    """Options of `random_step`."""

    share: float = Field(0.5, gt=0, le=1, description="Share of each batch to keep, 0..1; at least one sample is kept.")
    counts: tuple[int, ...] | None = Field(
        None, description="Number to keep at each step, as logged by another run (`kept`); instead of `share`."
    )
    like: str | None = Field(
        None, description="Keep as many as this per-step method would keep of the same batch; instead of `share`."
    )
    like_options: dict[str, Any] = Field(default_factory=dict, description="Options of that method.")

    @model_validator(mode="after")
    def _one_of_them(self) -> Self:
        chosen = [name for name in ("share", "counts", "like") if name in self.model_fields_set]
        if len(chosen) > 1:
            raise ValueError(f"give one of {', '.join(f'`{name}`' for name in chosen)}, not several")
        if self.counts is not None and any(count < 0 for count in self.counts):
            raise ValueError("`counts` must not be negative")
        return self


class RandomStep(Configured[RandomStepOptions], Stepwise):
    """Keeps random samples of each batch; the loss is the mean over kept.

    Args:
        options: `share` (default 0.5), `counts`, or `like` with `like_options`.
        seed: Seed of the draws; the draw of a step depends on (seed, step) alone.

    Raises:
        ConfigError: An unknown option, a bad value, or a method in `like` that does not select per step.
    """

    name = "random_step"
    needs_student = False
    options_model = RandomStepOptions

    def __init__(self, options: Mapping[str, Any], seed: int) -> None:
        super().__init__(options, seed)
        self.number = 0
        self.model: StepSelector | None = None
        if self.options.like is not None:
            selector = plugins.find("selectors", self.options.like)(self.options.like_options, seed)
            if not isinstance(selector, StepSelector):
                raise ConfigError(
                    f"selection method 'random_step': '{self.options.like}' does not select per step.",
                    hint="Set `share` instead, or name a per-step method such as llkd.",
                )
            self.model = selector
            self.needs_student = selector.needs_student

    def step(self, batch: StepBatch) -> StepDecision:
        """Draw from a batch.

        Raises:
            RunError: `counts` has no entry for this step.
        """
        count, followed = self._count(batch)
        keep = draw(len(batch), count, self.seed, self.number)
        self.number += 1
        reasons = tuple(Reason.DRAWN if kept else Reason.NOT_DRAWN for kept in keep)
        log = log_of(batch, keep, None, **({"followed": followed} if followed else {}))
        return StepDecision(keep, keep.astype(np.float64), reasons, max(float(keep.sum()), 1.0), log)

    def _count(self, batch: StepBatch) -> tuple[int, dict[str, Any] | None]:
        if self.model is not None:
            log = self.model.step(batch).log
            return int(log["kept"]), log
        if self.options.counts is None:
            return count_of_share(self.options.share, len(batch)), None
        if self.number >= len(self.options.counts):
            raise RunError(
                f"random_step has counts for {len(self.options.counts)} steps, but training has more.",
                hint="Use counts from a run with the same number of steps.",
            )
        return self.options.counts[self.number], None

    def state(self) -> dict[str, Any]:
        """Number of steps done, and the state of the method followed."""
        model = None if self.model is None else self.model.state()
        return {**super().state(), "number": self.number, "like": model}

    def load_state(self, state: dict[str, Any]) -> None:
        """Restore the state.

        Raises:
            RunError: The state belongs to another method, or to another `like`.
        """
        super().load_state(state)
        if (self.model is None) != (state["like"] is None):
            raise RunError(
                "the training checkpoint was selector with another `like`.", hint="Resume with the same options."
            )
        self.number = state["number"]
        if self.model is not None:
            self.model.load_state(state["like"])
