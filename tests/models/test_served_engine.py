"""The base model behind an OpenAI-compatible server, over HTTP: what it can do, names and tokens."""

from __future__ import annotations

import pytest
from served_cases import OPTIONS, PROMPTS
from transformers_server import transformers_server

from solo_hub.core.errors import ConfigError, ModelError
from solo_hub.core.plugins import Engine
from solo_hub.core.settings import EngineSettings
from solo_hub.models.served import ServedEngine, first_line
from solo_hub.models.wire import describe_error


def test_it_is_an_engine(serve, local):
    server, engine = serve()
    assert isinstance(engine, Engine)
    assert (engine.remote, engine.context_length) == (True, local.context_length)
    assert engine.count_tokens(["rain fog", ""]) == local.count_tokens(["rain fog", ""])
    assert engine.count_tokens([]) == engine.score([], []) == engine.generate([], 3) == []
    assert engine.chat("rain") == local.chat("rain")
    assert engine.identity == "tests/tiny@0 openai tests/tiny log-probabilities"
    assert server.url.rpartition(":")[2] not in engine.identity


@pytest.mark.parametrize("does", ["ids", "text"])
def test_scores_are_those_of_the_model_in_process(serve, local, does):
    _, engine = serve(does=does)
    scores = engine.score(PROMPTS, OPTIONS)
    for theirs, ours in zip(scores, local.score(PROMPTS, OPTIONS), strict=True):
        assert theirs == pytest.approx(ours, abs=1e-3)


def test_a_request_that_is_too_large_is_cut_in_halves(serve, local):
    server, engine = serve(largest=1)
    assert engine.score(PROMPTS, OPTIONS)[0] == pytest.approx(local.score(PROMPTS, OPTIONS)[0], abs=1e-3)
    assert {len(body["prompt"]) for _, body in server.bodies} >= {1, 3}


def test_a_server_that_only_writes(serve, local):
    _, engine = serve(does="writes", tells=False)
    assert engine.score(PROMPTS, OPTIONS) == [None] * 5
    assert engine.identity.endswith("text alone")
    written = engine.generate(PROMPTS, 5)
    assert [g.text for g in written] == [g.text.strip() for g in local.generate(PROMPTS, 5)]
    assert {g.log_probability for g in written} == {None}


def test_the_log_probability_of_what_is_written_ends_with_the_line(serve):
    """Tokens " ", "...", and the line end: -0.5 - 1 - 0; the next question's -9 is none of it."""
    _, engine = serve(does="writes")
    written = engine.generate(PROMPTS[:1], 5)[0]
    assert (written.log_probability, written.tokens, written.finished) == (-1.5, 3, True)


def test_samples_are_drawn_there(serve):
    _, engine = serve(does="writes")
    drawn = [[g.text for g in engine.sample(PROMPTS, 6, seed=seed)] for seed in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2]
    assert drawn[0] != [g.text for g in engine.generate(PROMPTS, 6)]


def test_a_server_that_knows_chat_alone(serve):
    server, engine = serve(does="chat")
    assert engine.score(PROMPTS, OPTIONS) == [None] * 5
    assert engine.generate(PROMPTS[:1], 5)[0].log_probability is None
    path, body = server.bodies[-1]
    assert (path, body["messages"]) == ("/v1/chat/completions", [{"role": "user", "content": PROMPTS[0].text}])
    assert engine.chat("rain").text == "rain"  # the server puts it into the chat format


def test_requests_go_out_together_and_not_too_many(serve):
    server, engine = serve(engine={"concurrency": 3})
    engine.score(PROMPTS * 4, OPTIONS * 4)
    assert 1 < server.busiest <= 3


@pytest.mark.parametrize(
    ("models", "setting", "name"),
    [
        (("other", "tests/tiny"), None, "tests/tiny"),
        (("/models/tiny",), None, "/models/tiny"),
        (None, None, "tests/tiny"),
        ((), None, "tests/tiny"),
        (("a", "b"), "b", "b"),
    ],
)
def test_the_name_the_server_knows_it_by(serve, models, setting, name):
    _, engine = serve(models=models, engine={"model": setting})
    assert engine.model_name == name


def test_several_models_and_none_is_the_base(serve):
    _, engine = serve(models=("tests/tine", "b"))
    with pytest.raises(ConfigError, match=r"does not serve 'tests/tiny'.*engine.model.*'tests/tine'"):
        engine.score(PROMPTS, OPTIONS)


def test_the_token_comes_from_the_environment(serve, monkeypatch):
    monkeypatch.setenv("TEACHER_TOKEN", "secret-1")
    _, engine = serve(token="secret-1", engine={"token_variable": "TEACHER_TOKEN"})
    assert engine.score(PROMPTS, OPTIONS)[0] is not None
    assert "secret-1" not in engine.identity + str(engine.settings)


def test_a_wrong_token_is_not_shown(serve, monkeypatch):
    monkeypatch.setenv("TEACHER_TOKEN", "secret-2-of-no-known-shape")
    _, engine = serve(token="secret-1", engine={"token_variable": "TEACHER_TOKEN"})
    with pytest.raises(ModelError, match=r"401 Invalid token provided: \*\*\*") as failed:
        engine.score(PROMPTS, OPTIONS)
    assert "secret" not in str(failed.value)


def test_no_token_and_no_address(tiny_model, monkeypatch):
    monkeypatch.delenv("TEACHER_TOKEN", raising=False)
    with pytest.raises(ConfigError, match="'TEACHER_TOKEN' is not set"):
        ServedEngine(tiny_model, "x", settings=EngineSettings(name="openai", token_variable="TEACHER_TOKEN"))
    with pytest.raises(ConfigError, match="needs the server's URL"):
        ServedEngine(tiny_model, "x", settings=EngineSettings(name="openai")).score(PROMPTS, OPTIONS)


@pytest.mark.parametrize("token", ["sëcret-token", "secret-token\n", "secret token"])
def test_a_token_that_is_none_is_told_and_not_repeated(tiny_model, monkeypatch, token):
    monkeypatch.setenv("TEACHER_TOKEN", token)
    with pytest.raises(ConfigError, match="'TEACHER_TOKEN' contains invalid characters") as refused:
        ServedEngine(tiny_model, "x", settings=EngineSettings(name="openai", token_variable="TEACHER_TOKEN"))
    assert "cret" not in str(refused.value)


@pytest.mark.parametrize("url", ["127.0.0.1:80", "http://ann:pw@host", "http://host/v1?key=1", "ftp://host"])
def test_an_address_has_no_secrets_in_it(url):
    with pytest.raises(ValueError, match="URL"):
        EngineSettings(url=url)


@pytest.mark.parametrize(
    ("tokens", "count"), [([], 0), (["\n"], 1), (["a"], 1), (["\n", "a", "\nb", "c"], 3), (["a", "b\nc"], 2)]
)
def test_tokens_of_the_first_line(tokens, count):
    assert first_line(tokens) == count


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ({"error": {"message": "no."}}, "400 no"),
        ({"error": "no"}, "400 no"),
        ({"detail": "no"}, "400 no"),
        ({"message": "no"}, "400 no"),
        (None, "status 400"),
        ([], "status 400"),
        ({"error": {"message": "x" * 500}}, "400 " + "x" * 200),
    ],
)
def test_refusals_in_the_shapes_servers_give_them(answer, words):
    assert describe_error(400, answer) == words


@pytest.fixture(scope="module")
def transformers_serve(tiny_model, tmp_path_factory):
    with transformers_server(tiny_model, tmp_path_factory.mktemp("serve") / "log") as address:
        yield address


@pytest.mark.soak  # the server takes many seconds to start
def test_transformers_serve(transformers_serve, tiny_model, local):
    """It tells no log-probabilities: answers are written, and are those of the model in process."""
    settings = EngineSettings(name="openai", url=transformers_serve, model=str(tiny_model))
    engine = ServedEngine(tiny_model, "tests/tiny@0", settings=settings)
    assert engine.score(PROMPTS, OPTIONS) == [None] * 5
    written = engine.generate(PROMPTS, 6)
    assert [g.text for g in written] == [g.text for g in local.generate(PROMPTS, 6)]
    assert {g.log_probability for g in written} == {None}
    engine.close()
