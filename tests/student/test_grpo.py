"""`grpo`: TRL's trainer on our prompts; the reward is the teacher's probability; a killed training resumes exactly."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from noise import PEFT_WARNS
from one_of_several import EXAMPLES, Interrupted, after
from test_sdft import BUILDER, run, weights
from tiny import load_engine

from solo_hub.core.errors import ConfigError
from solo_hub.core.plugins import find
from solo_hub.core.settings import StudentSettings
from solo_hub.student.loop import Order
from solo_hub.student.objectives.grpo import Grpo
from solo_hub.student.objectives.material import TrainingData
from solo_hub.student.objectives.trl_trainer import Repeated

pytest.importorskip("torch", reason="the extra 'train' is not installed")
pytest.importorskip("trl", reason="the extra 'trl' is not installed")

pytestmark = PEFT_WARNS

SETTINGS = StudentSettings(
    objective="grpo", objective_options={"generations": 3, "max_new_tokens": 4}, rank=4, alpha=8, learning_rate=0.02,
    epochs=1, batch_size=4, checkpoint_every=2,
)  # fmt: skip


@pytest.fixture
def any_answer_counts(monkeypatch):
    """The tiny model names no option: here an answer is worth what its length is."""
    monkeypatch.setattr(Grpo, "_reward", lambda self, text, example: len(text) / 20)


@pytest.mark.usefixtures("any_answer_counts")
def test_a_killed_training_goes_on_as_if_it_had_not_been(tiny_model, tmp_path):
    """Completions are sampled, so the random state must be back too."""
    whole = run(tiny_model, tmp_path / "whole", SETTINGS)
    with pytest.raises(Interrupted):
        run(tiny_model, tmp_path / "killed", SETTINGS, progress=after(3))
    resumed = run(tiny_model, tmp_path / "killed", SETTINGS)
    assert whole.steps == resumed.steps == 3
    assert whole.tokens > 0
    assert [row["loss"] for row in resumed.log] == [row["loss"] for row in whole.log]
    assert [row["reward"] for row in resumed.log] == [row["reward"] for row in whole.log]
    assert all(0 < row["reward"] <= 1 for row in whole.log), "texts of at most 20 characters"
    for name, array in weights(tmp_path / "whole").items():
        np.testing.assert_array_equal(weights(tmp_path / "killed")[name], array)


def test_the_reward_is_the_teachers_probability(tiny_model):
    """0.4 for the label of q0, `rain`, 0.2 for the others; the first line counts; no option, no reward."""
    objective = Grpo(TrainingData(load_engine(tiny_model), BUILDER, EXAMPLES, "text"), {})
    texts = [" rain", "Fog.", " rain\nfog", "something", ""]
    assert objective.reward(texts, place=[0] * 5) == pytest.approx([0.4, 0.2, 0.4, 0, 0])
    assert find("objectives", "grpo") is Grpo


def test_every_question_of_a_batch_is_written_to_several_times():
    order = Order(5, 2, 0)
    batches = list(Repeated(order, 3))
    assert [batch[::3] for batch in batches] == list(order)
    assert [len(batch) for batch in batches] == [6, 6, 3]


def test_labels_without_probabilities_are_refused(tiny_model, tmp_path):
    silent = dataclasses.replace(EXAMPLES[0], label=dataclasses.replace(EXAMPLES[0].label, probabilities=None))
    with pytest.raises(ConfigError, match="the label of question 'q0' has no probabilities"):
        run(tiny_model, tmp_path, SETTINGS, examples=[silent, *EXAMPLES[1:]])
