"""Kinds of adapters, which layers they are on, and how memory is saved; each trained, saved, reloaded, compared."""

from __future__ import annotations

import math
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from noise import PEFT_WARNS
from one_of_several import EXAMPLES, run
from tiny import load_engine, save_model, weights

from solo_hub.core.errors import ConfigError, DependencyError, ModelError
from solo_hub.core.settings import StudentSettings
from solo_hub.models import adapters
from solo_hub.models.packing import Tree
from solo_hub.student import memory
from solo_hub.student.stopping import hold_back

torch = pytest.importorskip("torch", reason="the extra 'train' is not installed")
pytest.importorskip("peft", reason="the extra 'train' is not installed")

pytestmark = PEFT_WARNS


SCRIPT = Path(__file__).with_name("one_of_several.py")


def test_rslora_scales_by_the_root_of_the_rank(engine):
    """alpha / sqrt(r) = 8 / 2, where lora has alpha / r = 8 / 4."""
    adapters.attach(engine, StudentSettings(adapter="rslora", rank=4, alpha=8))
    scalings = [m.scaling for m in engine.model.modules() if isinstance(getattr(m, "scaling", None), dict)]
    assert {scaling["default"] for scaling in scalings} == {8 / math.sqrt(4)}


@pytest.mark.parametrize("layers", [(1,), 0.5])
def test_only_the_layers_named_or_the_upper_share(engine, layers):
    adapters.attach(engine, StudentSettings(layers=layers, rank=2))
    trained = [name for name, p in engine.model.named_parameters() if p.requires_grad]
    assert all(".layers.1." in name for name in trained)
    assert any("q_proj" in name for name in trained)
    assert any("down_proj" in name for name in trained)


def test_gradient_checkpointing_changes_nothing_but_memory(tiny_model, tmp_path):
    run(tiny_model, tmp_path / "kept", {"epochs": 1})
    run(tiny_model, tmp_path / "again", {"epochs": 1, "gradient_checkpointing": True})
    for name, array in weights(tmp_path / "kept").items():
        assert weights(tmp_path / "again")[name] == pytest.approx(array, abs=1e-5), name


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_training_step_is_that_of_peft(tiny_model, dtype):
    """Loss and gradients; in bfloat16 the adapter's weights are rounded too."""
    torch.manual_seed(0)
    engine = load_engine(tiny_model, dtype=dtype)
    adapters.attach(engine, StudentSettings(rank=4))
    trained = {name: p for name, p in engine.model.named_parameters() if p.requires_grad}
    for parameter in trained.values():
        torch.nn.init.normal_(parameter, std=0.1)
    assert {p.dtype for p in trained.values()} == {torch.float32}
    trees, found = [Tree((5, 6, 7, 8), ((9, 10),)), Tree((11, 12), ((13,),))], []
    engine.model.train()
    for fast in (True, False):
        if not fast:
            for module in engine.model.modules():
                module.__dict__.pop("forward", None)  # peft's own again
        loss = -engine.branch_log_probabilities(trees).sum()
        found.append([loss, *torch.autograd.grad(loss, trained.values())])
    near = 1e-4 if dtype == "float32" else 0.15
    for ours, pefts in zip(*found, strict=True):
        assert (ours - pefts).norm() <= near * pefts.norm()
        assert ours.dtype == pefts.dtype


def without(monkeypatch, package):
    import importlib.util

    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *a: None if name == package else real(name, *a))


@pytest.mark.parametrize(
    ("error", "said"),
    [(AssertionError(), "AssertionError"), (KeyError("LORAX"), "'LORAX'"), (ValueError("one.\ntwo"), "one")],
)
def test_whatever_peft_stumbles_over_is_a_sentence(error, said):
    with pytest.raises(ModelError) as caught, adapters._naming_files("'file'"):
        raise error
    assert caught.value.message == f"The adapter cannot be loaded from 'file': {said}."


def test_memory_that_is_too_small_is_not_the_adapters_fault():
    with pytest.raises(MemoryError), adapters._naming_files("'file'"):
        raise MemoryError


def test_qlora_needs_bitsandbytes(engine, monkeypatch):
    without(monkeypatch, "bitsandbytes")
    with pytest.raises(DependencyError, match="needs the package 'bitsandbytes'") as caught:
        adapters.prepare(engine, StudentSettings(adapter="qlora"))
    assert "solo-hub[qlora]" in caught.value.hint


@pytest.mark.four_bits
def test_qlora(tmp_path):
    """The base is back in its own precision afterwards, with the adapter that was trained on it in 4 bits."""
    model = save_model(tmp_path / "model", hidden_size=128, intermediate_size=192)  # blocks of 64 weights
    done = run(model, tmp_path, {"adapter": "qlora", "epochs": 3})
    assert done.log[-1]["loss"] < done.log[0]["loss"]
    adapters.load(load_engine(model), tmp_path / "adapter")


def test_tensorboard_files(tiny_model, tmp_path):
    pytest.importorskip("tensorboard", reason="the extra 'track' is not installed")
    run(tiny_model, tmp_path, {"epochs": 0.5, "log_to": ["tensorboard"]}, logs=tmp_path / "logs")
    (file,) = (tmp_path / "logs").iterdir()
    assert b"train/loss" in file.read_bytes()


@pytest.mark.skipif(find_spec("trackio") is None, reason="the extra 'track' is not installed")
def test_trackio_talks_to_stderr(fork_server, tiny_model, tmp_path):
    """In a process of its own: where its files go is read once, at its import."""
    found = f"import sys; sys.path.insert(0, {str(SCRIPT.parent)!r})"
    line, env = (tiny_model, tmp_path, '{"epochs": 0.5, "log_to": ["trackio"]}'), {"TRACKIO_DIR": f"{tmp_path}/trackio"}
    done = fork_server.run(*line, module=SCRIPT.stem, setup=found, env=env)
    assert done.code == 0, done.err[-2000:]
    assert done.out == ""
    assert (tmp_path / "trackio" / "solo-hub.db").exists()


def test_a_logger_that_is_not_installed(tiny_model, tmp_path, monkeypatch):
    without(monkeypatch, "trackio")
    with pytest.raises(DependencyError, match=r"student\.log_to=trackio needs the package 'trackio'"):
        run(tiny_model, tmp_path, {"log_to": ["trackio"]})


# -- early stopping ----------------------------------------------------------------------------------------------------


def test_questions_held_back():
    """A fifth: two of eleven."""
    settings = StudentSettings(patience=1)
    learnt, apart = hold_back(EXAMPLES, settings, 0)
    assert sorted([*learnt, *apart]) == list(range(len(EXAMPLES)))
    assert len(apart) == 2
    assert len(hold_back(EXAMPLES * 40, settings, 0)[1]) == 64
    assert hold_back(EXAMPLES, settings, 0) == (learnt, apart)
    assert hold_back(EXAMPLES, settings, 1) != (learnt, apart)
    assert hold_back(EXAMPLES, StudentSettings(), 0) == (list(range(len(EXAMPLES))), [])


def test_too_few_to_hold_any_back():
    with pytest.raises(ConfigError, match="holds back a fifth of the labels, and only 4 were kept"):
        hold_back(EXAMPLES[:4], StudentSettings(patience=1), 0)


def test_training_stops_and_the_best_adapter_is_kept(tiny_model, tmp_path):
    """Two questions held back: agreement soon rises no more; what is saved answers them as the best check did."""
    from solo_hub.models.answering import choose
    from solo_hub.models.prompts import PromptBuilder

    settings = {"patience": 2, "epochs": 30}
    done = run(tiny_model, tmp_path, settings)
    agreement = [check["agreement"] for check in done.agreement]
    assert done.steps == done.agreement[-1]["step"] < 60
    assert len(agreement) - 1 - agreement.index(max(agreement)) == 2
    student, builder = load_engine(tiny_model), PromptBuilder()
    adapters.load(student, tmp_path / "adapter")
    held_back = [EXAMPLES[i] for i in hold_back(EXAMPLES, StudentSettings(**settings), 3)[1]]
    questions = [e.question for e in held_back]
    answers = choose(student, builder, questions, [builder.ask(q, "text") for q in questions], "text")
    agreed = [a.option == e.label.option for a, e in zip(answers, held_back, strict=True)]
    assert sum(agreed) / 2 == max(agreement)


# -- memory ------------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux forgets a peak")
def test_the_peak_is_of_training_alone():
    before = memory.peak("cpu")
    block = bytearray(200_000_000)
    block[::4096] = b"x" * len(block[::4096])
    high = memory.peak("cpu")
    del block
    memory.forget_peak("cpu")
    assert high > before - 50_000_000
    assert memory.peak("cpu") < high - 100_000_000
