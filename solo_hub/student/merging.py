"""The adapter merged into its base: one model folder that answers like the base with the adapter."""

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

SAME = 1e-3  # nats: rounding, as the update is added before the matrix product instead of after


def merge(
    engine: CausalEngine, adapter: Path, out: Path, prompts: Sequence[Prompt], answers: Sequence[Sequence[str]]
) -> float:
    """Write the merged model, in float32 to avoid rounding, and check that it answers like the student.

    Args:
        engine: A fresh engine of the base in float32; afterwards its model is the merged one.
        adapter: The saved adapter.
        out: Folder of the model, written atomically.
        prompts: Prompts of the comparison.
        answers: Answers whose log-probabilities are compared.

    Returns:
        The largest difference of a log-probability, in nats.

    Raises:
        ModelError: The adapter cannot be loaded, or the merged model differs from the student.
    """
    adapters.load(engine, adapter)
    before = adapters.scores(engine, prompts, answers)
    engine.model = engine.model.merge_and_unload(safe_merge=True)
    engine.model.generation_config = engine.own_generation  # the base's, as users of the folder expect it
    partial = out.with_name(f".{out.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    engine.model.save_pretrained(str(partial))
    engine.tokenizer.save_pretrained(str(partial))
    base, engine.path = engine.path, partial
    try:
        engine.reload()  # as a user would load it
        after = adapters.scores(engine, prompts, answers)
    finally:
        engine.path = base
    difference = float(np.max(np.abs(before - after), initial=0.0))
    if difference > SAME * (1 + float(np.max(np.abs(before), initial=0.0))):
        raise ModelError(
            f"The merged model differs from the base with the adapter by {difference:.3g} nats.",
            hint="Use the adapter without merging; this is a bug, please report it with the run folder.",
        )
    shutil.rmtree(out, ignore_errors=True)
    partial.rename(out)
    return difference
