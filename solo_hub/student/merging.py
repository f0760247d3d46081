"""The adapter merged into its base: one model folder that answers as the base does with the adapter on."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from solo_hub.core.errors import ModelError
from solo_hub.core.plugins import Prompt
from solo_hub.models import adapters

if TYPE_CHECKING:
    from solo_hub.models.causal import CausalEngine

SAME = 1e-3  # nats: the update is added to the weights before the product instead of after it


def merge(
    engine: CausalEngine, adapter: Path, out: Path, prompts: Sequence[Prompt], answers: Sequence[Sequence[str]]
) -> float:
    """Write the merged model, in float32 so that nothing is rounded, and see that it answers like the student.

    Args:
        engine: A fresh engine of the base in float32; afterwards its model is the merged one.
        adapter: The saved adapter.
        out: Where the model goes, by rename: it is there whole or not at all.
        prompts: What both are asked.
        answers: The answers whose log-probabilities are compared.

    Returns:
        The largest difference of a log-probability, in nats.

    Raises:
        ModelError: The adapter cannot be loaded, or the merged model is not the student.
    """
    adapters.load(engine, adapter)
    before = adapters.scores(engine, prompts, answers)
    engine.model = engine.model.merge_and_unload(safe_merge=True)
    engine.model.generation_config = engine.own_generation  # the base's, as whoever loads the folder expects it
    partial = out.with_name(f".{out.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    engine.model.save_pretrained(str(partial))
    engine.tokenizer.save_pretrained(str(partial))
    base, engine.path = engine.path, partial
    try:
        engine.reload()  # as a stranger would load it
        after = adapters.scores(engine, prompts, answers)
    finally:
        engine.path = base
    difference = float(np.max(np.abs(before - after), initial=0.0))
    if difference > SAME * (1 + float(np.max(np.abs(before), initial=0.0))):
        raise ModelError(
            f"The merged model does not answer like the base with the adapter on (off by {difference:.3g} nats).",
            hint="Use the adapter as it is; this is a defect, please report it with the run folder.",
        )
    shutil.rmtree(out, ignore_errors=True)
    partial.rename(out)
    return difference
