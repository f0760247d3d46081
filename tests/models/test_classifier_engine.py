"""An encoder asked like a language model: on a model made on the spot."""

from __future__ import annotations

import json
import math
import shutil

import pytest
from tiny import save_encoder

from solo_hub.core.errors import ConfigError, ModelError
from solo_hub.core.plugins import Engine, Prompt

torch = pytest.importorskip("torch", reason="the extra 'train' is not installed")
CLASSES = ("rain", "frost", "hail")
TEXTS = [Prompt(text) for text in ("the river", "the bear sleeps in the north", "x")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_encoder(tmp_path_factory.mktemp("encoder"))


@pytest.fixture(scope="module")
def engine(folder):
    from solo_hub.models.classifier import ClassifierEngine

    made = ClassifierEngine(folder, "tests/encoder@0", device="cpu")
    made.name_classes(CLASSES)
    return made


def test_it_is_an_engine(engine):
    assert isinstance(engine, Engine)
    assert engine.identity == "tests/encoder@0 classifier cpu float32 rain | frost | hail"
    assert engine.context_length == 16


def test_scores_are_log_probabilities_of_classes(engine):
    scores = engine.score(TEXTS, [CLASSES] * 3)
    assert [sum(map(math.exp, row)) for row in scores] == pytest.approx([1, 1, 1])
    logits = engine.logits([prompt.text for prompt in TEXTS])
    assert torch.allclose(torch.tensor(scores).float(), logits.log_softmax(-1), atol=1e-5)


def test_classes_in_another_order_and_after_a_blank(engine):
    (all_of_them,) = engine.score(TEXTS[:1], [CLASSES])
    assert engine.score(TEXTS[:1], [[" hail", "rain"]]) == [[all_of_them[2], all_of_them[0]]]


def test_what_is_no_class_has_no_score(engine):
    assert engine.score(TEXTS[:1], [["rain", "snow"]]) == [None]


def test_nothing_to_score(engine):
    assert engine.score([], []) == []
    assert engine.generate([], 4) == []
    assert engine.count_tokens([]) == []


def test_it_says_the_likeliest_class(engine):
    scores = engine.score(TEXTS, [CLASSES] * 3)
    said = engine.generate(TEXTS, 4)
    assert [g.text for g in said] == [CLASSES[row.index(max(row))] for row in scores]
    assert [g.log_probability for g in said] == [max(row) for row in scores]


def test_a_batch_is_scored_like_its_texts_alone(engine):
    together = engine.score(TEXTS * 20, [CLASSES] * 60)
    alone = [engine.score([prompt], [CLASSES])[0] for prompt in TEXTS]
    for n, row in enumerate(together):
        assert row == pytest.approx(alone[n % 3], abs=1e-5)


def test_a_text_longer_than_the_context_is_cut(engine):
    assert len(engine.score([Prompt("the river " * 50)], [CLASSES])[0]) == 3


def test_the_fresh_head_is_the_same_every_time(engine, folder):
    from solo_hub.models.classifier import ClassifierEngine

    other = ClassifierEngine(folder, "tests/encoder@0", device="cpu")
    torch.manual_seed(99)
    other.name_classes(CLASSES)
    assert other.score(TEXTS, [CLASSES] * 3) == engine.score(TEXTS, [CLASSES] * 3)


def test_what_an_encoder_cannot_do(engine):
    with pytest.raises(ModelError, match="no chat format"):
        engine.chat("Hello")
    with pytest.raises(ConfigError, match="4-bit training is not supported"):
        engine.cast("nf4")


def test_a_folder_without_safetensors(folder, tmp_path):
    from solo_hub.models.classifier import ClassifierEngine

    for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    with pytest.raises(ModelError, match="no safetensors weights"):
        ClassifierEngine(tmp_path, "tests/encoder@0", device="cpu").name_classes(CLASSES)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"intermediate_size": 32}, "'bert.encoder.layer.0.intermediate.dense.bias'"),
        ({"num_hidden_layers": 2}, "'bert.encoder.layer.1.attention.output.LayerNorm.bias'"),
    ],
)
def test_an_encoder_that_is_not_the_one_its_configuration_tells_of(folder, tmp_path, changes, named):
    """transformers would fill what differs with random numbers, as it does with the head."""
    from solo_hub.models.classifier import ClassifierEngine

    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    config = tmp_path / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | changes))
    with pytest.raises(ModelError, match=f"do not match its config.json: {named}.* would be random"):
        ClassifierEngine(tmp_path, "tests/encoder@0", device="cpu").name_classes(CLASSES)


def test_a_head_for_other_classes_and_no_pooler_are_fine(folder, tmp_path):
    from safetensors.torch import load_file, save_file

    from solo_hub.models.classifier import ClassifierEngine

    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    weights = {f"bert.{name}": value for name, value in load_file(tmp_path / "model.safetensors").items()}
    weights = {name: value for name, value in weights.items() if "pooler" not in name}
    weights["classifier.weight"], weights["classifier.bias"] = torch.zeros(7, 16), torch.zeros(7)
    save_file(weights, tmp_path / "model.safetensors", {"format": "pt"})
    engine = ClassifierEngine(tmp_path, "tests/encoder@0", device="cpu")
    engine.name_classes(CLASSES)
    assert len(engine.score(TEXTS[:1], [CLASSES])[0]) == 3
