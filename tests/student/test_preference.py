"""`dpo` and `kto`: TRL's trainers on our tokens, with our resume, and losses worked by hand."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from noise import PEFT_WARNS
from one_of_several import EXAMPLES, Interrupted, after
from test_sdft import BUILDER, run, weights
from tiny import load_engine

from solo_hub.core.errors import ConfigError
from solo_hub.core.plugins import OwnTrainer, find
from solo_hub.core.records import Preference
from solo_hub.core.settings import StudentSettings
from solo_hub.models import adapters
from solo_hub.student.loop import Order
from solo_hub.student.objectives.material import TrainingData
from solo_hub.student.objectives.preference import Dpo, Kto

torch = pytest.importorskip("torch", reason="the extra 'train' is not installed")
pytest.importorskip("trl", reason="the extra 'trl' is not installed")

pytestmark = PEFT_WARNS

OPTIONS = EXAMPLES[0].question.options


def preference(i, question_id):
    option, other = i % 4, (i + 2) % 4
    return Preference(question_id, OPTIONS[option], OPTIONS[other], option, other, 0.6, 0.1, "teacher")


PREFERENCES = {e.question.id: preference(i, e.question.id) for i, e in enumerate(EXAMPLES)}


def settings(objective, **options):
    return StudentSettings(
        objective=objective, objective_options=options, rank=4, alpha=8, learning_rate=0.02, epochs=1, batch_size=4,
        checkpoint_every=2,
    )  # fmt: skip


@pytest.mark.parametrize("objective", ["dpo", "kto"])
def test_a_killed_training_goes_on_as_if_it_had_not_been(objective, tiny_model, tmp_path):
    """Killed in its third step, after the checkpoint of the second."""
    wanted, pairs = settings(objective), {"examples": EXAMPLES[:9], "preferences": PREFERENCES}
    whole = run(tiny_model, tmp_path / "whole", wanted, **pairs)
    with pytest.raises(Interrupted):
        run(tiny_model, tmp_path / "killed", wanted, progress=after(3), **pairs)
    resumed = run(tiny_model, tmp_path / "killed", wanted, **pairs)
    assert whole.steps == resumed.steps == 3
    assert whole.tokens > 0
    assert [row["loss"] for row in resumed.log] == [row["loss"] for row in whole.log]
    for name, array in weights(tmp_path / "whole").items():
        assert ".ref." not in name
        np.testing.assert_array_equal(weights(tmp_path / "killed")[name], array)


def made(tiny_model, tmp_path, kind, options, preferences=PREFERENCES):
    engine = load_engine(tiny_model)
    adapters.attach(engine, settings(kind.name))
    torch.manual_seed(0)
    for name, parameter in engine.model.named_parameters():
        if "lora_B" in name:  # a fresh adapter changes nothing
            parameter.data.normal_(std=0.3)
    objective = kind(TrainingData(engine, BUILDER, EXAMPLES, "text", preferences=preferences), options)
    arguments = {"output_dir": str(tmp_path), "per_device_train_batch_size": 4, "use_cpu": True, "logging_steps": 1}
    return engine, objective, objective.trainer(settings(kind.name), arguments, Order(len(EXAMPLES), 4, 3), ())


def log_p(engine, pair, kind, *, adapter):
    """log p of an answer after its prompt, summed over its tokens."""
    with torch.no_grad(), engine.adapter(adapter):
        ids = torch.tensor([pair["prompt_ids"] + pair[f"{kind}_ids"]])
        log = engine.model(ids).logits[0, len(pair["prompt_ids"]) - 1 : -1].double().log_softmax(-1)
        return float(log.gather(1, torch.tensor(pair[f"{kind}_ids"])[:, None]).sum())


def margins(engine, pairs, kind):
    return np.array([log_p(engine, p, kind, adapter=True) - log_p(engine, p, kind, adapter=False) for p in pairs])


@pytest.mark.parametrize("share", [0, 0.25])
def test_dpo_by_hand(tiny_model, tmp_path, share):
    engine, objective, trainer = made(tiny_model, tmp_path, Dpo, {"beta": 0.5, "answer_share": share})
    some = objective.pairs[:3]
    trainer.model.eval()
    batch = trainer.get_train_dataloader().collate_fn(some)
    value = float(trainer.compute_loss(trainer.model, batch).detach())
    margin = margins(engine, some, "chosen") - margins(engine, some, "rejected")
    wanted = (1 - share) * float(np.mean(np.log1p(np.exp(-0.5 * margin))))
    chosen = sum(log_p(engine, pair, "chosen", adapter=True) for pair in some)
    wanted -= share * chosen / sum(len(pair["chosen_ids"]) for pair in some)
    assert abs(margin).max() > 0.01
    assert value == pytest.approx(wanted, abs=1e-4)


def test_kto_by_hand(tiny_model, tmp_path):
    """1 - sigmoid(beta (r - z)) of a chosen answer, 1 - sigmoid(beta (z - r)) of a rejected one.

    z, at least 0, is the mean of r over the same answers, each after another question's prompt.
    """
    engine, objective, trainer = made(tiny_model, tmp_path, Kto, {"beta": 0.5})
    some = objective.pairs[:3]
    trainer.model.eval()
    value = float(trainer.compute_loss(trainer.model, objective._unpaired(some)).detach())
    chosen, rejected = margins(engine, some, "chosen"), margins(engine, some, "rejected")
    answers = [p["chosen_ids"] for p in some] + [p["rejected_ids"] for p in some]
    crossed = [
        {"prompt_ids": some[i % 3]["prompt_ids"], "chosen_ids": answers[i - 1]} for i in range(6)
    ]  # the last answer goes to the first prompt
    z = max(float(np.mean(margins(engine, crossed, "chosen"))), 0.0)
    sigmoid = lambda x: 1 / (1 + np.exp(-x))  # noqa: E731
    wanted = np.mean([*(1 - sigmoid(0.5 * (chosen - z))), *(1 - sigmoid(0.5 * (z - rejected)))])
    assert value == pytest.approx(float(wanted), abs=1e-4)


def test_pairs_of_the_labels(tiny_model):
    """The label is chosen; of the others the most probable one is rejected."""
    engine = load_engine(tiny_model)
    label = dataclasses.replace(EXAMPLES[0].label, option=1, probabilities=(0.2, 0.5, 0.3, 0.0))
    example = dataclasses.replace(EXAMPLES[0], label=label)
    (pair,) = Dpo(TrainingData(engine, BUILDER, [example], "text"), {"pairs": "labels"}).pairs
    end = engine.ends(chat=False)[0]
    prompt, answers = engine.encode(BUILDER.ask(example.question, "text"), [" fog", " hail"])
    assert (pair["prompt_ids"], pair["chosen_ids"], pair["rejected_ids"]) == (
        list(prompt), [*answers[0], end], [*answers[1], end],
    )  # fmt: skip
    silent = dataclasses.replace(example, label=dataclasses.replace(label, probabilities=None))
    with pytest.raises(ConfigError, match="the label of question 'q0' has no probabilities"):
        Dpo(TrainingData(engine, BUILDER, [silent], "text"), {"pairs": "labels"})


def test_they_are_found_by_name_and_say_what_they_read():
    assert find("objectives", "dpo") is Dpo
    assert Kto.reads_feedback({})
    assert not Dpo.reads_feedback({"pairs": "labels"})
    with pytest.raises(ConfigError, match="pairs"):
        Dpo.reads_feedback({"pairs": "others"})


def test_what_trl_cannot_do_is_refused(tiny_model, tmp_path):
    weighted = [dataclasses.replace(EXAMPLES[0], weight=0.5), *EXAMPLES[1:]]
    with pytest.raises(ConfigError, match="knows no weights"):
        run(tiny_model, tmp_path, settings("dpo"), examples=weighted, preferences=PREFERENCES)
    whole = settings("kto").model_copy(update={"micro_batch_size": 2})
    with pytest.raises(ConfigError, match="takes a batch as a whole"):
        run(tiny_model, tmp_path, whole, preferences=PREFERENCES)
    objective = Dpo(TrainingData(load_engine(tiny_model), BUILDER, EXAMPLES, "text", preferences=PREFERENCES), {})
    assert isinstance(objective, OwnTrainer)
