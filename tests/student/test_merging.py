"""The merged model answers as the base does with the adapter on."""

from __future__ import annotations

import json

import pytest
from noise import PEFT_WARNS
from one_of_several import EXAMPLES, run
from tiny import load_engine

from solo_hub.core.errors import ModelError
from solo_hub.models import adapters
from solo_hub.models.prompts import PromptBuilder
from solo_hub.student import merging
from solo_hub.student.merging import merge

pytest.importorskip("torch", reason="the extra 'train' is not installed")
pytest.importorskip("peft", reason="the extra 'train' is not installed")

pytestmark = PEFT_WARNS

BUILDER = PromptBuilder()
PROMPTS = [BUILDER.ask(e.question, "text") for e in EXAMPLES]
ANSWERS = [BUILDER.continuations(e.question, "text") for e in EXAMPLES]


@pytest.mark.parametrize("adapter", ["lora", "dora", "rslora"])
def test_the_merged_model_is_the_student(tiny_model, tmp_path, adapter):
    run(tiny_model, tmp_path, {"adapter": adapter, "epochs": 1})
    student, base = load_engine(tiny_model), load_engine(tiny_model)
    adapters.load(student, tmp_path / "adapter")
    merge(load_engine(tiny_model), tmp_path / "adapter", tmp_path / "merged", PROMPTS, ANSWERS)
    merged = load_engine(tmp_path / "merged")
    found = merged.score(PROMPTS, ANSWERS)
    for here, there in zip(student.score(PROMPTS, ANSWERS), found, strict=True):
        assert there == pytest.approx(here, abs=1e-3)
    assert base.score(PROMPTS[:1], ANSWERS[:1])[0] != pytest.approx(found[0], abs=1e-2)
    assert [g.text for g in merged.generate(PROMPTS[:2], 6)] == [g.text for g in student.generate(PROMPTS[:2], 6)]
    assert json.loads((tmp_path / "merged" / "config.json").read_text())["dtype"] == "float32"
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_a_merged_model_that_is_another_is_not_kept(tiny_model, tmp_path, monkeypatch):
    run(tiny_model, tmp_path, {"epochs": 1})
    monkeypatch.setattr(merging, "SAME", -1.0)
    with pytest.raises(ModelError, match="differs from the base with the adapter"):
        merge(load_engine(tiny_model), tmp_path / "adapter", tmp_path / "merged", PROMPTS, ANSWERS)
    assert not (tmp_path / "merged").exists()
