"""vLLM as an engine: only its class is a fake, which computes with the tiny model what vLLM would return."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace

import pytest
from tiny import load_engine

from solo_hub.core.errors import ConfigError, DependencyError
from solo_hub.core.plugins import Engine, Prompt
from solo_hub.core.settings import EngineSettings
from solo_hub.models.vllm_offline import VllmEngine

torch = pytest.importorskip("torch", reason="the extra 'train' is not installed")

PROMPTS = [Prompt(f"Question: What makes river {i} rise?\nAnswer:") for i in range(3)]
OPTIONS = [[" melting snow", " the bear"], [" rain"], []]


class FakeLLM:
    """vLLM's `LLM`, as far as its documentation describes what is used of it."""

    def __init__(self, model, **settings):
        self.local, self.settings, self.asked = load_engine(model), settings, []

    def generate(self, prompts, sampling_params, use_tqdm):
        self.asked.append((prompts, sampling_params))
        return [self._answer(prompt["prompt_token_ids"], sampling_params) for prompt in prompts]

    def _answer(self, ids, sampling):
        read = self._log_probabilities(ids)
        prompt = [None, *({t: SimpleNamespace(logprob=float(row[t]))} for row, t in zip(read, ids[1:], strict=False))]
        written, steps = [], []
        while len(written) < sampling.max_tokens and not (written and written[-1] in sampling.stop_token_ids):
            row = self._log_probabilities([*ids, *written])[-1]
            written.append(int(row.argmax()))
            steps.append({written[-1]: SimpleNamespace(logprob=float(row.max()))})
        ended = written[-1] in sampling.stop_token_ids
        text = self.local.tokenizer.decode(written, skip_special_tokens=True)
        output = SimpleNamespace(
            token_ids=written, logprobs=steps, text=text, finish_reason="stop" if ended else "length"
        )
        return SimpleNamespace(prompt_logprobs=prompt if sampling.prompt_logprobs == 0 else None, outputs=[output])

    def _log_probabilities(self, ids):
        with torch.inference_mode():
            return self.local.model(torch.tensor([ids])).logits[0].log_softmax(-1)


def sampling(**how):
    assert how.pop("temperature") == 0
    return SimpleNamespace(**{"prompt_logprobs": None, "stop_token_ids": [], **how})


@pytest.fixture
def vllm(monkeypatch):
    module = ModuleType("vllm")
    module.LLM, module.SamplingParams = FakeLLM, sampling
    monkeypatch.setitem(sys.modules, "vllm", module)


@pytest.fixture
def made(vllm, tiny_model):
    return VllmEngine(tiny_model, "tests/tiny@0", settings=EngineSettings(name="vllm", dtype="float32"))


def test_it_is_an_engine_that_loads_when_asked(made, engine):
    assert isinstance(made, Engine)
    assert (made.remote, made.identity) == (True, "tests/tiny@0 vllm float32")
    assert "_model" not in vars(made)
    assert made.score([], []) == made.generate([], 3) == []
    assert "_model" not in vars(made)
    assert made.chat("rain") == engine.chat("rain")


def test_scores_are_those_of_the_model_in_process(made, engine):
    ours = engine.score(PROMPTS[:2], OPTIONS[:2])
    theirs = made.score(PROMPTS, OPTIONS)
    assert theirs == [pytest.approx(ours[0], abs=1e-3), pytest.approx(ours[1], abs=1e-3), []]
    [(prompts, _)] = made._model.asked  # one call, so that vLLM can fill its batches
    assert len(prompts) == 3
    assert made._model.settings["max_model_len"] == engine.context_length
    assert made._model.settings["gpu_memory_utilization"] < 0.5


def test_texts_are_those_of_the_model_in_process(made, engine):
    chat = [engine.chat("What makes the river rise?")]
    for prompts in (PROMPTS, chat):
        for theirs, ours in zip(made.generate(prompts, 6), engine.generate(prompts, 6), strict=True):
            assert (theirs.text, theirs.finished) == (ours.text, ours.finished)
            assert theirs.log_probability == pytest.approx(ours.log_probability, abs=1e-2)  # theirs are not padded


def test_without_vllm_and_in_four_bits(tiny_model, monkeypatch):
    monkeypatch.setitem(sys.modules, "vllm", None)
    engine = VllmEngine(tiny_model, "tests/tiny@0", settings=EngineSettings(name="vllm"))
    with pytest.raises(DependencyError, match="needs the package 'vllm'"):
        engine.score(PROMPTS[:1], OPTIONS[:1])
    with pytest.raises(ConfigError, match="does not label in 4 bits"):
        VllmEngine(tiny_model, "tests/tiny@0", settings=EngineSettings(name="vllm", dtype="nf4"))
