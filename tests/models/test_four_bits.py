"""The base in 4 bits: what is answered, what it is called, and the way back to whole weights."""

from __future__ import annotations

import importlib.util
import json
import shutil

import numpy as np
import pytest
from noise import PEFT_WARNS
from tiny import load_engine, move_adapter, save_model

from solo_hub.core.errors import DependencyError, ModelError
from solo_hub.core.plugins import Prompt
from solo_hub.core.settings import StudentSettings
from solo_hub.models import adapters, loading

pytest.importorskip("torch", reason="the extra 'train' is not installed")
pytestmark = [
    pytest.mark.four_bits,
    PEFT_WARNS,
]

PROMPT = Prompt("Question: Which animal sleeps all winter?\nAnswer:")
OPTIONS = [" the bear", " rain", " the bear of the north", " fog and hail"]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """Wide enough for blocks of 64 weights."""
    return save_model(tmp_path_factory.mktemp("model"), hidden_size=128, intermediate_size=192)


@pytest.fixture
def engine(model):
    return load_engine(model, dtype="nf4")


def scores(engine):
    return np.array(engine.score([PROMPT], [OPTIONS])[0])


def test_rounded_weights_answer_nearly_alike(model, engine):
    exact, rounded = scores(load_engine(model)), scores(engine)
    assert 0.01 < np.max(np.abs(exact - rounded)) < 0.2 * np.max(np.abs(exact))
    assert engine.packs()  # scored packed, as whole weights are
    assert scores(engine) == pytest.approx(rounded, abs=1e-3)
    assert [written.tokens for written in engine.generate([PROMPT], 4)] == [4]


def test_weights_take_less_memory(model, engine):
    def layers(one):
        return sum(p.numel() * p.element_size() for name, p in one.model.named_parameters() if "proj" in name)

    assert layers(engine) < 0.2 * layers(load_engine(model))


def test_the_name_tells_the_precision_and_what_is_computed_in(engine):
    assert engine.precision == "nf4"
    computing = str(loading.find_dtype("auto", "cpu")).removeprefix("torch.")
    assert engine.identity == f"tests/tiny@0 transformers cpu nf4/{computing}"


def test_whole_weights_come_from_the_folder_not_from_the_rounded_ones(model, engine):
    engine.cast("float32")
    assert engine.precision == "float32"
    assert scores(engine).tolist() == scores(load_engine(model)).tolist()
    engine.reload()
    assert engine.precision == "nf4"


def test_an_adapter_on_a_base_in_4_bits(model, engine, tmp_path):
    adapters.attach(engine, StudentSettings(rank=4))
    assert engine.precision == "nf4"
    move_adapter(engine, 0.01)
    adapters.save(engine, tmp_path / "adapter", base="tests/tiny", commit=None)
    with engine.adapter(True):
        student = scores(engine)
    with engine.adapter(False):
        assert np.max(np.abs(scores(engine) - student)) > 0.01
    engine.cast("float32")  # the adapter went with the rounded base
    assert scores(engine).tolist() == scores(load_engine(model)).tolist()
    adapters.load(engine, tmp_path / "adapter")
    assert np.max(np.abs(scores(engine) - student)) < 0.2 * np.max(np.abs(student))


def test_without_bitsandbytes_the_extra_is_named(model, monkeypatch):
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "bitsandbytes" else real(name, *rest)
    )
    with pytest.raises(DependencyError, match="A base in 4 bits needs the package 'bitsandbytes'") as caught:
        load_engine(model, dtype="nf4")
    assert "solo-hub[qlora]" in caught.value.hint


def test_a_base_that_is_published_in_4_bits(model, engine, tmp_path):
    """Its own config.json says that it is rounded: it is used so, and told apart from whole weights."""
    engine.model.save_pretrained(tmp_path)
    engine.tokenizer.save_pretrained(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text("utf-8"))["quantization_config"]["load_in_4bit"]
    published = load_engine(tmp_path, dtype="auto")
    assert published.precision == "nf4"
    assert scores(published) == pytest.approx(scores(engine), abs=1e-3)
    with pytest.raises(ModelError, match=r"published quantized \(nf4\) and cannot be loaded in float32") as caught:
        published.cast("float32")
    assert "evaluation.dtype=same" in caught.value.hint


def test_half_a_model_and_pickled_weights_are_refused_in_4_bits_too(model, tmp_path):
    from safetensors.torch import load_file, save_file

    shutil.copytree(model, tmp_path / "half")
    weights = tmp_path / "half" / "model.safetensors"
    kept = {name: value for name, value in load_file(weights).items() if "layers.1" not in name}
    save_file(kept, weights, metadata={"format": "pt"})
    with pytest.raises(ModelError, match="is incomplete"):
        load_engine(tmp_path / "half", dtype="nf4")
    weights.unlink()
    with pytest.raises(ModelError, match="no safetensors weights"):
        load_engine(tmp_path / "half", dtype="nf4")


@pytest.mark.parametrize(
    ("row", "told"),
    [
        (None, None),
        ({"load_in_4bit": True, "bnb_4bit_quant_type": "nf4", "quant_method": "bitsandbytes"}, "nf4"),
        ({"load_in_8bit": True, "quant_method": "bitsandbytes"}, "bitsandbytes"),
        ({"quant_method": "gptq", "bits": 4}, "gptq"),
        ({}, "quantised"),
    ],
)
def test_how_weights_are_rounded_stands_in_the_configuration(row, told):
    class Config:
        quantization_config = row

    assert loading.quantisation(Config()) == told


def test_a_base_published_in_another_rounding_is_evaluated_as_it_is(model):
    """`same` names no precision: that of a GPTQ base is none torch knows by name."""
    from types import SimpleNamespace

    from solo_hub.core.report_settings import EvaluationSettings
    from solo_hub.run.context import RunContext

    engine = load_engine(model)
    engine.model.config.quantization_config = {"quant_method": "gptq", "bits": 4}
    assert engine.precision == "gptq"
    before = scores(engine).tolist()
    context = SimpleNamespace(config=SimpleNamespace(evaluation=EvaluationSettings(dtype="same")))
    RunContext.cast_for_evaluation(context, engine)
    assert scores(engine).tolist() == before
