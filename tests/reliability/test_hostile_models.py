"""Model folders and adapters of strangers: no code of theirs is run, and they get no more than their weights."""

from __future__ import annotations

import json
import shutil
import time

import pytest

from solo_hub.core.errors import ModelError

pytestmark = [pytest.mark.filterwarnings("ignore::FutureWarning")]


def test_nobody_is_asked_for_leave_to_run_code(fork_server, tiny_model, tmp_path):
    """transformers asks on the terminal where it was not told; a user who says yes to a question has not read it."""
    folder = tmp_path / "model"
    shutil.copytree(tiny_model, folder)
    config = json.loads((folder / "config.json").read_text())
    config |= {"model_type": "evil", "auto_map": {"AutoConfig": "evil.Evil"}}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w').close()\n")
    code = (
        "from solo_hub.models.loading import context_length\n"
        "from solo_hub.core.errors import ModelError\n"
        "from pathlib import Path\n"
        f"try: context_length(Path({str(folder)!r}), 'o/n')\n"
        "except ModelError as error: print(error)\n"
    )
    done = fork_server.run(setup=code, stdin="y\n")
    assert "has no configuration that transformers can read" in done.out
    assert "[y/N]" not in done.out
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("config.json", '{"model_type": "llama", "num_hidden_layers": "x"}'),
        ("config.json", "[" * 100_000),
        ("config.json", '{"model_type": "llama", "quantization_config": "x"}'),
        ("generation_config.json", '["x"]'),
        ("tokenizer.json", "[" * 100_000),
        ("tokenizer_config.json", "[]"),
        ("tokenizer_config.json", '{"tokenizer_class": ["x"]}'),
    ],
)
def test_a_model_folder_that_makes_libraries_stumble(tiny_model, tmp_path, file, text):
    from solo_hub.models.loading import load_model, load_tokenizer

    folder = tmp_path / "model"
    shutil.copytree(tiny_model, folder)
    (folder / file).write_text(text)
    load = load_tokenizer if file.startswith("tokenizer") else lambda path, name: load_model(path, name, "float32")
    with pytest.raises(ModelError):
        load(folder, "tests/stumbles")


ENDLESS = "((([a-z._0-9])+)+)+!"


@pytest.fixture(scope="module")
def adapter(tiny_model, tmp_path_factory):
    from tiny import load_engine

    from solo_hub.core.settings import StudentSettings
    from solo_hub.models import adapters

    engine = load_engine(tiny_model)
    adapters.attach(engine, StudentSettings(rank=4))
    folder = tmp_path_factory.mktemp("adapter")
    adapters.save(engine, folder, base="tests/tiny", commit="0" * 40)
    return folder


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"target_modules": ENDLESS}, "takes longer than 0.5 s to match"),
        ({"exclude_modules": ENDLESS}, "takes longer than 0.5 s to match"),
        ({"rank_pattern": {"(": 4, ENDLESS: 4}}, "takes longer than 0.5 s to match"),
        ({"modules_to_save": [ENDLESS]}, "takes longer than 0.5 s to match"),
        ({"r": 10**6}, "its rank is 1000000"),
        ({"rank_pattern": {"q_proj": 10**6}}, "its rank is 1000000"),
        ({"peft_type": "XLORA", "adapters": {"a": "evil/repo"}, "hidden_size": 32}, "type 'XLORA' are not supported"),
        ({"init_lora_weights": "pissa"}, "changes the base weights"),
        ({"init_lora_weights": "olora"}, "changes the base weights"),
    ],
    ids=str,
)
def test_an_adapter_that_asks_for_more_than_its_weights(tiny_model, adapter, tmp_path, monkeypatch, changes, said):
    import torch
    from tiny import load_engine

    from solo_hub.models import adapter_safety as foreign
    from solo_hub.models import adapters

    monkeypatch.setattr(foreign, "SECONDS", 0.5)
    folder = tmp_path / "adapter"
    shutil.copytree(adapter, folder)
    config = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps({**config, **changes}))
    engine = load_engine(tiny_model)
    before = engine.model.get_input_embeddings().weight.clone(), engine.model.model.layers[0].mlp.up_proj.weight.clone()
    begun = time.process_time()
    with pytest.raises(ModelError, match=r"cannot be loaded from '.*adapter_config\.json'") as refused:
        adapters.load(engine, folder)
    assert said in refused.value.message
    assert time.process_time() - begun < 10
    after = engine.model.get_input_embeddings().weight, engine.model.model.layers[0].mlp.up_proj.weight
    assert all(torch.equal(one, other) for one, other in zip(before, after, strict=True))


@pytest.mark.parametrize(
    "modules", ["all-linear", r".*\.(?:self_attn|mlp)\.(?:q_proj|v_proj|up_proj)", ["q_proj", "up_proj"]]
)
def test_patterns_as_people_write_them_are_fine(tiny_model, adapter, modules):
    from tiny import load_engine

    from solo_hub.models import adapter_safety as foreign

    names = [name for name, _ in load_engine(tiny_model).model.named_modules()]
    foreign._check_patterns({"target_modules": modules}, names)
    foreign.check(adapter, names)
