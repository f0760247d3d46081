"""Training, on a model made on the spot: what is learnt, what stays as it was, and what survives an interruption."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
from noise import PEFT_WARNS
from one_of_several import Interrupted, after
from tiny import END, load_engine, move_adapter, weights

from solo_hub.core.errors import InputError, ModelError
from solo_hub.core.records import Example, PseudoLabel, Question
from solo_hub.core.settings import StudentSettings
from solo_hub.models import adapters
from solo_hub.models.packing import Tree
from solo_hub.models.prompts import PromptBuilder
from solo_hub.student import training
from solo_hub.student.loop import COMPLETE, last_whole_checkpoint
from solo_hub.student.objectives.material import TrainingData, check_end_of_turn, completion, encode
from solo_hub.student.objectives.sft import Sft
from solo_hub.student.training import Training, planned_steps, read_training, summary, train

torch = pytest.importorskip("torch", reason="the extra 'train' is not installed")
peft = pytest.importorskip("peft", reason="the extra 'train' is not installed")

pytestmark = PEFT_WARNS

BUILDER = PromptBuilder()
OPTIONS = ("rain", "fog", "hail", "frost")
NAMES = ["ab", "cd", "ef", "gh", "ij", "kl", "mn", "op", "qr", "st"]


def example(i, *, weight=1.0, explanation=None, text=None):
    option = i % len(OPTIONS)
    question = Question(f"q{i}", f"What does {NAMES[i % 10]} bring?", OPTIONS)
    label = PseudoLabel(
        f"q{i}", option, None, text or OPTIONS[option], 0.9, (), 0, "text", "k", explanation=explanation
    )
    return Example(question, label, weight)


EXAMPLES = [example(i) for i in range(10)]
QUICK = StudentSettings(rank=4, alpha=8, learning_rate=0.02, epochs=2, batch_size=4, checkpoint_every=2)
PROMPTS = [BUILDER.ask(e.question, "text") for e in EXAMPLES]
ANSWERS = [BUILDER.continuations(e.question, "text") for e in EXAMPLES]


def run(engine, folder, settings=QUICK, examples=EXAMPLES, **more):
    arguments = {"seed": 3, "base": "owner/base", "commit": "c0ffee", **more}
    data = TrainingData(engine, BUILDER, examples, "text")
    return train(data, settings, work=folder / "work", out=folder / "adapter", **arguments)


@pytest.fixture(scope="module")
def trained(tiny_model, tmp_path_factory):
    """A student trained until it knows its ten answers: its engine, folder, training, and the scores before."""
    folder, engine = tmp_path_factory.mktemp("trained"), load_engine(tiny_model)
    before = engine.score(PROMPTS, ANSWERS)
    done = run(engine, folder, QUICK.model_copy(update={"epochs": 25.0}))
    return engine, folder, done, before


def test_the_loss_falls(trained):
    losses = [row["loss"] for row in trained[2].log]
    assert len(losses) == trained[2].steps == 75
    assert trained[2].final_loss < 1 < np.mean(losses[:5])
    assert trained[2].final_loss == pytest.approx(np.mean(losses[-7:]))


def test_the_student_says_the_answer_and_stops(trained):
    """The end of the turn is inside the loss: without it the student would talk on to the limit."""
    with trained[0].adapter(True):
        written = trained[0].generate(PROMPTS, 12)
    assert [g.text for g in written] == [e.label.text for e in EXAMPLES]
    assert all(g.finished for g in written)


def test_the_base_is_untouched(trained):
    """Bit for bit: the adapter is beside the weights, not in them."""
    engine, _, _, before = trained
    with engine.adapter(False):
        assert engine.score(PROMPTS, ANSWERS) == before
    assert engine.score(PROMPTS, ANSWERS) != before


def test_what_training_did_is_written_down(trained):
    _, folder, done, _ = trained
    assert read_training(folder / "adapter") == done
    assert "log" not in summary(done)
    json.dumps(summary(done), allow_nan=False)
    assert done.trainable_parameters == sum(array.size for array in weights(folder).values())
    assert done.largest_change > 1
    assert done.tokens > 0
    assert done.peak_memory_bytes > 10**6


def test_strangers_find_the_base_and_load_the_adapter(trained, tiny_model):
    engine, folder, _, _ = trained
    config = json.loads((folder / "adapter" / "adapter_config.json").read_text())
    assert (config["base_model_name_or_path"], config["revision"]) == ("owner/base", "c0ffee")
    assert sorted(p.name for p in (folder / "adapter").iterdir()) == [
        "adapter_config.json",
        "adapter_model.safetensors",
        "training.json",
    ]
    other = load_engine(tiny_model)
    adapters.load(other, folder / "adapter")
    adapters.load(other, folder / "adapter")  # a second time changes nothing
    for here, there in zip(engine.score(PROMPTS, ANSWERS), other.score(PROMPTS, ANSWERS), strict=True):
        assert there == pytest.approx(here, abs=1e-3)


def test_checkpoints_are_gone_when_all_is_done(trained):
    assert sorted(path.name for path in trained[1].iterdir()) == ["adapter"]


def test_an_interrupted_training_ends_with_the_same_adapter(tiny_model, tmp_path):
    """Six steps, a checkpoint every two; killed after step five, and once more while a checkpoint was being written."""
    run(load_engine(tiny_model), tmp_path / "whole")
    broken = tmp_path / "broken"
    with pytest.raises(Interrupted):
        run(load_engine(tiny_model), broken, progress=after(5))
    assert not (broken / "adapter").exists()
    (broken / "work" / "checkpoint-4" / COMPLETE).unlink()
    (broken / "work" / "checkpoint-4" / "optimizer.pt").write_bytes(b"torn")
    assert last_whole_checkpoint(broken / "work").endswith("checkpoint-2")
    counted = []
    done = run(load_engine(tiny_model), broken, progress=lambda count, detail="": counted.append(count))
    assert sum(counted) == done.steps == len(done.log) == 6
    for name, array in weights(tmp_path / "whole").items():
        assert weights(broken)[name] == pytest.approx(array, abs=1e-5), name


def test_ctrl_c_in_training_loses_no_step(tiny_model, tmp_path):
    """Pressed in step three of six, with a checkpoint only every two: it is written before the training stops."""
    run(load_engine(tiny_model), tmp_path / "whole")
    broken, details = tmp_path / "broken", []

    def interrupt_in_step_three(count, detail=""):
        details.append(detail)
        if len(details) == 4:  # the first call counts the steps of an earlier process: none
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(load_engine(tiny_model), broken, progress=interrupt_in_step_three)
    assert last_whole_checkpoint(broken / "work").endswith("checkpoint-3")
    assert re.fullmatch(r"loss \d\.\d{3}, learning rate \d\.\de-\d\d", details[-1])
    run(load_engine(tiny_model), broken)
    for name, array in weights(tmp_path / "whole").items():
        assert weights(broken)[name] == pytest.approx(array, abs=1e-5), name


def test_the_same_seed_is_the_same_adapter_and_another_is_another(tiny_model, tmp_path):
    one_step = QUICK.model_copy(update={"epochs": 0.3})
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        run(load_engine(tiny_model), tmp_path / name, one_step, seed=seed)
    a, b, c = (weights(tmp_path / name) for name in "abc")
    assert all(np.array_equal(a[name], b[name]) for name in a)
    assert not all(np.array_equal(a[name], c[name]) for name in a)


def test_dora(tiny_model, tmp_path):
    engine = load_engine(tiny_model)
    before = engine.score(PROMPTS, ANSWERS)
    done = run(engine, tmp_path, QUICK.model_copy(update={"adapter": "dora"}))
    assert any("magnitude" in name for name in weights(tmp_path))
    assert done.log[-1]["loss"] < done.log[0]["loss"]
    with engine.adapter(False):
        assert engine.score(PROMPTS, ANSWERS) == before


def test_in_half_precision(tiny_model, tmp_path):
    engine = load_engine(tiny_model, dtype="bfloat16")
    done = run(engine, tmp_path)
    assert {str(array.dtype) for array in weights(tmp_path).values()} == {"float32"}
    assert done.log[-1]["loss"] < done.log[0]["loss"]


# -- the loss ----------------------------------------------------------------------------------------------------------


def loss(engine, examples):
    objective = Sft(TrainingData(engine, BUILDER, examples, "text"), {})
    indices, weights = list(range(len(examples))), np.array([e.weight for e in examples])
    said = objective.targets(indices)
    with torch.inference_mode():
        return float(objective.loss(indices, weights, said, objective.normalizer(indices, weights, said)))


def test_the_loss_by_hand(engine):
    """-sum_t w log p / sum_t w over the tokens of answer and end of turn, from scores of the answer with its end."""
    some = [example(0, weight=1.0), example(1, weight=0.25)]
    answers = [[f" {e.label.text}{END}"] for e in some]
    scores = [row[0] for row in engine.score([BUILDER.ask(e.question, "text") for e in some], answers)]
    counts = [count for row in answers for count in engine.count_tokens(row)]
    expected = -(scores[0] + 0.25 * scores[1]) / (counts[0] + 0.25 * counts[1])
    assert loss(engine, some) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("packed", [True, False])
def test_weights_are_respected_in_both_layouts(engine, packed):
    engine._packed = packed
    some = [example(0), example(1), example(2)]
    only_first = [example(0), example(1, weight=0.0), example(2, weight=0.0)]
    assert loss(engine, only_first) == pytest.approx(loss(engine, some[:1]), abs=1e-4)
    assert loss(engine, [example(i, weight=7.0) for i in range(3)]) == pytest.approx(loss(engine, some), abs=1e-4)


def test_the_loss_of_nothing_moves_nothing(engine):
    adapters.attach(engine, QUICK)
    objective = Sft(TrainingData(engine, BUILDER, EXAMPLES, "text"), {})
    none = np.array([])
    said = objective.targets([])
    value = objective.loss([], none, said, objective.normalizer([], none, said))
    value.backward()
    assert value.item() == 0
    assert all(not p.grad.any() for p in engine.model.parameters() if p.requires_grad)


# -- what is taught ----------------------------------------------------------------------------------------------------


def test_the_end_of_turn_is_part_of_what_is_taught(engine):
    for tree, e in zip(encode(TrainingData(engine, BUILDER, EXAMPLES, "text")), EXAMPLES, strict=True):
        assert tree.branches[0][-1] == engine.stop_tokens[0]
        assert engine.tokenizer.decode([*tree.prompt, *tree.branches[0]]) == (
            f"Question: {e.question.text}\nAnswer: {e.label.text}{END}"
        )


def test_encoding_empty(engine):
    assert encode(TrainingData(engine, BUILDER, [], "text")) == []


def test_in_letter_style_the_letter_is_taught(engine):
    assert [completion(BUILDER, e, "letter") for e in EXAMPLES[:3]] == ["A", "B", "C"]


def test_explanations_are_taught_without_their_citations():
    taught = completion(BUILDER, example(0, explanation="Clouds bring it [1], as snow does [12]."), "text")
    assert taught == "rain. Clouds bring it, as snow does."


def test_an_answer_must_end_and_end_once(engine):
    with pytest.raises(ModelError, match="outside the loss"):
        check_end_of_turn([Tree((5,), ((6, 7),))], engine.stop_tokens)
    with pytest.raises(ModelError, match="in its middle"):
        check_end_of_turn([Tree((5,), ((6, 0, 7, 0),))], engine.stop_tokens)
    evil = Question("q", "Which?", (f"ra{END}in", "fog"))
    label = PseudoLabel("q", 0, None, evil.options[0], None, (), 0, "text", "k")
    with pytest.raises(ModelError, match="in its middle"):
        encode(TrainingData(engine, BUILDER, [Example(evil, label)], "text"))


@pytest.mark.parametrize(
    ("count", "epochs", "batch"), [(10, 2, 4), (3, 1, 4), (9, 1.5, 2), (10, 0.5, 2), (10, 0.3, 4), (1, 1, 1)]
)
def test_the_steps_planned_are_the_steps_done(tiny_model, tmp_path, count, epochs, batch):
    settings = QUICK.model_copy(update={"epochs": float(epochs), "batch_size": batch})
    assert run(load_engine(tiny_model), tmp_path, settings, EXAMPLES[:count]).steps == planned_steps(count, settings)


# -- what goes wrong ---------------------------------------------------------------------------------------------------


def test_nothing_to_learn_from(engine, tmp_path):
    with pytest.raises(InputError, match="nothing to train on"):
        run(engine, tmp_path, examples=[])


def test_an_adapter_that_does_nothing_is_not_kept(engine, tmp_path):
    with pytest.raises(ModelError, match="does not change the base model's answers"):
        run(engine, tmp_path, QUICK.model_copy(update={"learning_rate": 1e-12}))
    assert not (tmp_path / "adapter").exists()


def test_an_adapter_that_was_saved_wrong_is_found_out(engine, tmp_path):
    adapters.attach(engine, QUICK)
    adapters.save(engine, tmp_path / "saved", base="owner/base", commit=None)  # fresh: it does nothing yet
    move_adapter(engine, 0.1)
    with pytest.raises(ModelError, match="does not give the same scores as the trained one"):
        adapters.check(engine, tmp_path / "saved", PROMPTS[:2], ANSWERS[:2])


def test_modules_that_are_not_there(engine):
    with pytest.raises(ModelError, match="Cannot attach an adapter to tests/tiny@0") as caught:
        adapters.attach(engine, StudentSettings(target_modules=("no_such_layer",)))
    assert "student.target_modules" in caught.value.hint


@pytest.mark.parametrize(
    "breakage",
    [
        "empty",
        "no weights",
        "torn weights",
        "no configuration",
        "torn configuration",
        "another pattern",
        "another model",
    ],
)
def test_an_adapter_that_cannot_be_loaded(trained, tiny_model, tmp_path, breakage):
    import shutil

    folder = tmp_path / "adapter"
    shutil.copytree(trained[1] / "adapter", folder)
    if breakage == "empty":
        shutil.rmtree(folder)
        folder.mkdir()
    elif breakage == "no weights":
        (folder / "adapter_model.safetensors").unlink()
    elif breakage == "no configuration":
        (folder / "adapter_config.json").unlink()
    elif breakage == "torn configuration":
        (folder / "adapter_config.json").write_text('{"peft_type": "LO')
    elif breakage == "another pattern":  # of module names; peft lets the regular expression's own error out
        config = json.loads((folder / "adapter_config.json").read_text())
        (folder / "adapter_config.json").write_text(json.dumps({**config, "target_modules": "("}))
    elif breakage == "torn weights":
        (folder / "adapter_model.safetensors").write_bytes(b"torn")
    else:
        config = json.loads((folder / "adapter_config.json").read_text())
        (folder / "adapter_config.json").write_text(json.dumps({**config, "r": 2}))
    with pytest.raises(ModelError, match="cannot be loaded") as caught:
        adapters.load(load_engine(tiny_model), folder)
    assert "Delete that folder" in caught.value.hint
    blamed = (
        "adapter_model.safetensors" if breakage in ("empty", "no weights", "torn weights") else "adapter_config.json"
    )
    assert blamed in caught.value.message


@pytest.mark.parametrize("text", [None, "", "[]", "{}", '{"steps": 1}'])
def test_a_broken_training_log(tmp_path, text):
    if text is not None:
        (tmp_path / "training.json").write_text(text)
    with pytest.raises(ModelError, match="cannot be read"):
        read_training(tmp_path)


def test_what_a_step_selector_kept():
    def done(*log):
        return Training(2, 1, 0.1, 1.0, 1, 1, 1.0, log)

    assert training.selected_at_steps(done()) is None
    assert training.selected_at_steps(done({"step": 1, "loss": 1.0})) is None
    assert training.selected_at_steps(done({"batch": 4, "kept": 1}, {"batch": 4, "kept": 2})) == {
        "seen": 8,
        "kept": 3,
        "kept_share": 0.375,
    }
