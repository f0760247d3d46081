"""The base model through `huggingface_hub.InferenceClient`, against a server that speaks its interface."""

from __future__ import annotations

import time

import openai_server
import pytest

from solo_hub.core.errors import ModelError
from solo_hub.core.plugins import Engine, Prompt
from solo_hub.models.providers import ProviderEngine

PROMPTS = [Prompt(f"Question: What makes river {i} rise?\nAnswer:") for i in range(4)]


@pytest.fixture
def serve(serve):
    """The same of a chat server, for the engine of a provider."""

    def make(engine=(), **how):
        settings = {"name": "inference", "attempts": 3, **dict(engine)}
        return serve(settings, kind=ProviderEngine, path="/v1", does="chat", **how)

    return make


def test_a_wrong_token_is_not_shown(serve, monkeypatch):
    monkeypatch.setenv("TEACHER_TOKEN", "secret-2-of-no-known-shape")
    _, engine = serve(token="secret-1", engine={"token_variable": "TEACHER_TOKEN"})
    with pytest.raises(ModelError, match=r"401 .*provided: \*\*\*") as failed:
        engine.generate(PROMPTS, 3)
    assert "secret" not in str(failed.value)


def test_it_is_an_engine(serve, local):
    _, engine = serve()
    assert isinstance(engine, Engine)
    assert engine.remote
    assert engine.score(PROMPTS, [[" a"]] * 4) == [None] * 4
    assert engine.generate([], 3) == engine.count_tokens([]) == []
    assert engine.context_length == local.context_length
    assert engine.chat("rain").text == "rain"
    assert engine.identity == "tests/tiny@0 inference auto tests/tiny text alone"


@pytest.mark.parametrize(("tells", "log_probability"), [(True, -2.0), (False, None)])
def test_answers_are_written(serve, local, tells, log_probability):
    server, engine = serve(tells=tells)
    written = engine.generate(PROMPTS, 5)
    assert [g.text for g in written] == [g.text for g in local.generate(PROMPTS, 5)]
    assert {g.log_probability for g in written} == {log_probability}
    if not tells:  # refused once, and not asked again
        assert sum("logprobs" in body for _, body in server.bodies) == 1


def test_samples_are_drawn_there(serve):
    _, engine = serve()
    drawn = [[g.text for g in engine.sample(PROMPTS, 6, seed=seed)] for seed in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2]


@pytest.mark.parametrize(
    "kind",
    ["dropped", "reset", "truncated", "corrupted", "packed", "page", (429, "busy", ("retry-after", "0")), (503, "no")],
)
def test_what_passes_is_waited_out(serve, kind):
    server, engine = serve()
    server.trouble(kind, 2)
    assert len(engine.generate(PROMPTS, 3)) == 4


@pytest.mark.parametrize(
    ("kind", "message"),
    [((429, "busy"), r"does not answer: 429 .*\(3 attempts\)"), ((401, "who"), "401"), ((404, "gone"), "404")],
)
def test_what_does_not_pass_is_one_clear_error(serve, kind, message):
    server, engine = serve()
    server.trouble(kind, 100)
    with pytest.raises(ModelError, match=message):
        engine.generate(PROMPTS, 3)


def test_an_answer_that_drips_is_asked_for_again(serve):
    server, engine = serve(engine={"timeout": 1.0})
    server.trouble("drip")
    begun = time.monotonic()
    assert engine.generate(PROMPTS[:1], 3)
    assert server.troubles == []
    assert time.monotonic() - begun < 10


@pytest.mark.parametrize(
    ("told", "message"),
    [
        (2.0, r"Inference .* returned an invalid log-probability: 2\.0"),
        (float("nan"), "a response that is not JSON"),
    ],
)
def test_what_is_no_log_probability_is_refused(serve, told, message, monkeypatch):
    _, engine = serve()
    monkeypatch.setattr(openai_server, "CHAT_LOG_PROBABILITY", told)
    with pytest.raises(ModelError, match=message):
        engine.generate(PROMPTS, 3)


def test_the_token_is_sent_and_not_shown(serve, monkeypatch):
    monkeypatch.setenv("TEACHER_TOKEN", "secret-1")
    _, engine = serve(token="secret-1", engine={"token_variable": "TEACHER_TOKEN"})
    assert engine.generate(PROMPTS[:1], 3)
    assert "secret" not in engine.identity
