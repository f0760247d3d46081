"""`sdft`: TRL's trainer, on our prompts, in our order, with our resume and check."""

from __future__ import annotations

import dataclasses
import importlib.util

import numpy as np
import pytest
from noise import PEFT_WARNS
from one_of_several import EXAMPLES, PASSAGES, Interrupted, after
from tiny import load_engine, weights

from solo_hub.core.errors import ConfigError, DependencyError
from solo_hub.core.plugins import Objective, OwnTrainer, find
from solo_hub.core.settings import StudentSettings
from solo_hub.models import adapters
from solo_hub.models.answering import fit
from solo_hub.models.prompts import PromptBuilder
from solo_hub.selection.llkd import Llkd
from solo_hub.student.loop import Order
from solo_hub.student.objectives.material import TrainingData
from solo_hub.student.objectives.sdft import Sdft
from solo_hub.student.training import train

torch = pytest.importorskip("torch", reason="the extra 'train' is not installed")
pytest.importorskip("trl", reason="the extra 'trl' is not installed")

pytestmark = [
    PEFT_WARNS,
    pytest.mark.filterwarnings("ignore:You are importing from 'trl.experimental'"),
]

BUILDER = PromptBuilder()
SETTINGS = StudentSettings(
    objective="sdft", objective_options={"max_new_tokens": 4}, rank=4, alpha=8, learning_rate=0.02, epochs=2,
    batch_size=4, checkpoint_every=2,
)  # fmt: skip


def run(model, folder, settings=SETTINGS, examples=EXAMPLES, passages=PASSAGES, preferences=None, **more):
    data = TrainingData(load_engine(model), BUILDER, examples, "text", passages, preferences=preferences or {})
    return train(
        data, settings, seed=3, base="owner/base", commit="c0ffee", work=folder / "work", out=folder / "adapter", **more
    )


@pytest.mark.parametrize("killed_at", [3, *(pytest.param(step, marks=pytest.mark.soak) for step in (1, 5))])
def test_a_killed_training_goes_on_as_if_it_had_not_been(killed_at, tiny_model, tmp_path):
    """Checkpoints after every second of six steps; completions are sampled, so the random state must be back too."""
    whole = run(tiny_model, tmp_path / "whole")
    with pytest.raises(Interrupted):
        run(tiny_model, tmp_path / "killed", progress=after(killed_at))
    resumed = run(tiny_model, tmp_path / "killed")
    assert whole.steps == resumed.steps == 6
    assert [row["loss"] for row in resumed.log] == [row["loss"] for row in whole.log]
    for name, array in weights(tmp_path / "whole").items():
        np.testing.assert_array_equal(weights(tmp_path / "killed")[name], array)


def test_the_record_is_that_of_every_training(tiny_model, tmp_path):
    done = run(tiny_model, tmp_path)
    assert done.largest_change > 0  # `adapters.check` has reloaded it
    assert done.tokens > 0
    assert done.seconds_per_step > 0
    assert done.peak_memory_bytes > 0
    assert all(np.isfinite(row["loss"]) for row in done.log)


@pytest.fixture
def made(tiny_model, tmp_path):
    engine = load_engine(tiny_model)
    adapters.attach(engine, SETTINGS)
    material = TrainingData(engine, BUILDER, EXAMPLES, "text", PASSAGES)
    objective = Sdft(material, {"max_new_tokens": 4})
    arguments = {"output_dir": str(tmp_path), "per_device_train_batch_size": 4, "use_cpu": True, "logging_steps": 1}
    return material, objective.trainer(SETTINGS, arguments, Order(len(EXAMPLES), 4, 3), ())


def test_teacher_and_student_read_the_prompts_they_read_elsewhere(made):
    """What TRL tokenises is what the engine would: closed book for the student, with passages for the teacher."""
    material, trainer = made
    rows = [trainer.train_dataset[i] for i in range(3)]
    batch = trainer._prepare_training_batch(rows)
    for i, example in enumerate(EXAMPLES[:3]):
        student = material.engine.encode(BUILDER.ask(example.question, "text"), [])[0]
        passages = PASSAGES[example.question.id]
        teacher = material.engine.encode(fit(material.engine, BUILDER, example.question, passages, "text").prompt, [])
        length = int(batch["prompt_mask"][i].sum())
        assert tuple(batch["prompt_ids"][i, -length:].tolist()) == student
        completion = batch["completion_ids"][i][batch["completion_mask"][i].bool()]
        read = batch["teacher_input_ids"][i][batch["teacher_attention_mask"][i].bool()]
        assert tuple(read.tolist()) == (*teacher[0], *completion.tolist())


def test_the_loss_at_the_start_is_by_hand_that_of_the_passages(made):
    """The fresh adapter changes nothing, so teacher and student differ by what they read alone.

    With alpha = 1/2 the divergence is JSD: half KL(p || m) and half KL(q || m), m = (p + q) / 2; mean over the tokens
    of a completion, then over completions.
    """
    _, trainer = made
    trainer.model.eval()
    batch = trainer._prepare_training_batch([trainer.train_dataset[i] for i in range(3)])
    value = float(trainer.compute_loss(trainer.model, batch).detach())
    wanted = []
    for i in range(3):
        completion = batch["completion_ids"][i][batch["completion_mask"][i].bool()]
        student = batch["prompt_ids"][i][batch["prompt_mask"][i].bool()]
        with torch.no_grad():
            read = batch["teacher_input_ids"][i][batch["teacher_attention_mask"][i].bool()]
            q = trainer.model(torch.cat([student, completion])[None]).logits[0, -len(completion) - 1 : -1]
            p = trainer.model(read[None]).logits[0, -len(completion) - 1 : -1]
        p, q = p.double().softmax(-1), q.double().softmax(-1)
        m = (p + q) / 2
        wanted.append(float(((p * (p / m).log()).sum(-1) / 2 + (q * (q / m).log()).sum(-1) / 2).mean()))
    assert value == pytest.approx(np.mean(wanted), abs=1e-4)
    assert value > 1e-4


def test_nothing_is_sent_and_no_card_is_made(made, tmp_path):
    _, trainer = made
    trainer._send_telemetry()
    trainer.create_model_card("x")
    assert not list(tmp_path.glob("*.md"))


def test_it_is_found_by_name_and_is_no_loss(made):
    material, _ = made
    objective = find("objectives", "sdft")(material, {})
    assert isinstance(objective, OwnTrainer)
    assert not isinstance(objective, Objective)


def test_without_passages_it_is_refused(tiny_model, tmp_path):
    with pytest.raises(ConfigError, match="there are none for 'q0'"):
        run(tiny_model, tmp_path, passages={})


def test_selection_at_every_step_is_refused(tiny_model, tmp_path):
    with pytest.raises(ConfigError, match="neither per-step selection nor several processes"):
        run(tiny_model, tmp_path, selector=Llkd({}, 0))


def test_weights_are_refused(tiny_model, tmp_path):
    weighted = [dataclasses.replace(EXAMPLES[0], weight=0.5), *EXAMPLES[1:]]
    with pytest.raises(ConfigError, match="knows no weights"):
        run(tiny_model, tmp_path, examples=weighted)


def test_micro_batches_are_refused(tiny_model, tmp_path):
    with pytest.raises(ConfigError, match="takes a batch as a whole"):
        run(tiny_model, tmp_path, SETTINGS.model_copy(update={"micro_batch_size": 2}))


def test_an_unknown_option_is_refused(tiny_model, tmp_path):
    with pytest.raises(ConfigError, match="unknown option 'alfa'"):
        run(tiny_model, tmp_path, SETTINGS.model_copy(update={"objective_options": {"alfa": 1}}))


def test_without_trl_the_extra_is_named(monkeypatch, tiny_model, tmp_path):
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == "trl" else found(name, *rest))
    with pytest.raises(DependencyError, match="trl"):
        run(tiny_model, tmp_path)
