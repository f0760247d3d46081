"""Nothing in training stays on the CPU when the model is elsewhere; a device without memory stands in for a GPU."""

from __future__ import annotations

import numpy as np
import pytest
from noise import PEFT_WARNS
from one_of_several import EXAMPLES, PASSAGES
from tiny import load_engine

from solo_hub.core.plugins import find
from solo_hub.core.settings import StudentSettings
from solo_hub.models import adapters
from solo_hub.models.prompts import PromptBuilder
from solo_hub.student.objectives.material import TrainingData, targets_of_labels

pytest.importorskip("peft", reason="the extra 'train' is not installed")

pytestmark = PEFT_WARNS


@pytest.mark.parametrize(("name", "options"), [("sft", {}), ("kl", {}), ("online", {"level": "tokens"})])
def test_losses_and_gradients_are_on_the_device_of_the_model(tiny_model, name, options):
    engine = load_engine(tiny_model)
    adapters.attach(engine, StudentSettings(rank=4))
    objective = find("objectives", name)(TrainingData(engine, PromptBuilder(), EXAMPLES, "text", PASSAGES), options)
    engine._packed, engine.device = True, "meta"  # tensors without values, which no operation mixes with others
    engine.model.to("meta")
    indices, weights = list(range(6)), np.ones(6)
    targets = targets_of_labels(EXAMPLES[:6])
    totals = objective.normalizer(indices, weights, targets)
    loss = objective.loss(indices, weights, targets, totals)
    loss.backward()
    assert loss.device.type == objective.loss([], weights[:0], targets, totals).device.type == "meta"
    assert {p.grad.device.type for p in engine.model.parameters() if p.requires_grad} == {"meta"}
