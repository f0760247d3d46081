"""The base model behind an OpenAI-compatible server, over HTTP: what it can do, and what it survives."""

from __future__ import annotations

import gc
import json
import shutil
import time

import counters
import pytest
from loopback import FAULTS, answer
from openai_server import OpenAIServer
from tiny import CHAT, load_engine, save_model
from transformers_server import transformers_server

from solo_hub.core.errors import ConfigError, ModelError
from solo_hub.core.plugins import Engine, Prompt
from solo_hub.core.settings import EngineSettings
from solo_hub.models.served import ServedEngine, first_line
from solo_hub.models.wire import describe_error

PROMPTS = [Prompt(f"Question: What makes river {i} rise?\nAnswer:") for i in range(5)]
OPTIONS = [[" melting snow", " the bear", " fog"]] * 4 + [[" rain"]]


@pytest.fixture(scope="module")
def local(tiny_model):
    return load_engine(tiny_model)


@pytest.fixture
def serve(tiny_model, local):
    """Makes a server and an engine for it: `serve(does=...)`, with settings of the engine as `engine={...}`."""
    made = []

    def make(engine=(), **how):
        server = OpenAIServer(local, **how)
        server.__enter__()
        settings = EngineSettings(
            **{"name": "openai", "url": server.url, "timeout": 5.0, "attempts": 4, **dict(engine)}
        )
        client = ServedEngine(tiny_model, "tests/tiny@0", settings=settings)
        client._calls.pause = 0.01
        made.append((server, client))
        return server, client

    yield make
    for server, client in made:
        client.close()
        server.__exit__()


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


@pytest.mark.parametrize(
    "kind", ["dropped", "page", (429, "busy", ("retry-after", "0")), (500, "oops"), (503, "loading"), (504, "late")]
)
def test_what_passes_is_waited_out(serve, local, kind):
    server, engine = serve()
    assert engine.abilities.scores == "ids"
    server.trouble(kind, 2)
    assert engine.score(PROMPTS, OPTIONS)[1] == pytest.approx(local.score(PROMPTS, OPTIONS)[1], abs=1e-3)
    assert server.troubles == []


def test_a_slow_server_is_asked_again(serve):
    server, engine = serve(engine={"timeout": 0.4})
    assert engine.abilities.scores == "ids"
    server.trouble("slow")
    assert engine.score(PROMPTS[:1], OPTIONS[:1])[0] is not None


def test_an_answer_that_drips_is_asked_for_again(serve):
    """No byte is late, but all of them together would take longer than an answer may."""
    server, engine = serve(engine={"timeout": 1.0})
    assert engine.abilities.scores == "ids"
    server.trouble("drip")
    begun = time.monotonic()
    assert engine.score(PROMPTS[:1], OPTIONS[:1])[0] is not None
    assert server.troubles == []
    assert time.monotonic() - begun < 10


def asked_anew(serve, path, **how):
    """What a server is asked for two prompts, by an engine that knows nothing of it yet, with one fault on the way."""
    server, _ = serve(**how)
    settings = EngineSettings(name="openai", url=server.url, timeout=0.8, attempts=8)

    def ask(index=-1, fault=None):
        engine = ServedEngine(path, "tests/tiny@0", settings=settings)
        engine._calls.pause = 0.01
        server.asked, server.faults = 0, {} if fault is None else {index: fault}
        found = engine.identity, engine.score(PROMPTS[:2], OPTIONS[:2]), engine.generate(PROMPTS[:2], 3)
        engine.close()
        assert server.faults == {}, "the fault was not met"
        counters.count("faults", fault is not None)
        return found

    return ask, server


# the list of models, and the first thing that is asked
@pytest.mark.parametrize(("index", "fault"), [(n % 2, fault) for n, fault in enumerate((*FAULTS, "drip"))], ids=str)
def test_a_fault_of_any_kind_passes(serve, tiny_model, index, fault):
    ask, _ = asked_anew(serve, tiny_model)
    assert ask(index, fault) == ask()


@pytest.mark.soak
@pytest.mark.timeout(0)
@pytest.mark.parametrize("does", ["ids", "text", "writes", "chat"])
def test_every_request_meets_every_fault(serve, tiny_model, does):
    ask, server = asked_anew(serve, tiny_model, does=does)
    calm = ask()
    asked = server.asked
    for fault in (*FAULTS, "drip", (408, "too slow"), (424, "inference failed"), (529, "overloaded")):
        for index in range(asked):
            assert ask(index, fault) == calm, (index, fault)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("dropped", "does not answer"),
        ((429, "busy"), r"does not answer: 429 busy \(4 attempts\)"),
        ((400, "no such thing"), "rejected a request for tests/tiny: 400 no such thing"),
        ((413, "too long"), r"413 too long\. Use fewer or shorter passages"),
        ((401, "who are you"), "401 who are you. Set engine.token_variable to the environment variable"),
    ],
)
def test_what_does_not_pass_is_one_clear_error(serve, kind, message):
    server, engine = serve()
    assert engine.abilities.scores == "ids"
    server.trouble(kind, 400)
    with pytest.raises(ModelError, match=message):
        engine.score(PROMPTS, OPTIONS)


def test_nobody_there(tiny_model):
    settings = EngineSettings(name="openai", url="http://127.0.0.1:9", attempts=2)
    engine = ServedEngine(tiny_model, "tests/tiny@0", settings=settings)
    engine._calls.pause = 0.001
    with pytest.raises(ModelError, match=r"http://127.0.0.1:9 does not answer: .* \(2 attempts\)"):
        engine.score(PROMPTS, OPTIONS)
    engine.close()


def test_connections_end_with_the_engine(tiny_model, local):
    """Garbage in a circle, as a run that failed leaves it: nobody calls `close`, and no socket stays open."""
    with OpenAIServer(local) as server:
        engine = ServedEngine(tiny_model, "tests/tiny@0", settings=EngineSettings(name="openai", url=server.url))
        engine.score(PROMPTS[:1], OPTIONS[:1])
        client = engine._wire.client
        engine.circle = engine
        assert not client.is_closed
        del engine
        gc.collect()
        assert client.is_closed


def test_a_server_of_another_model_is_found_out(serve, local):
    """It splits texts into other tokens than the base's tokenizer does."""
    server, engine = serve()
    assert engine.abilities.scores == "ids"
    server._echo = lambda index, ids: {"index": index, "logprobs": {"token_logprobs": [None, -1.0]}}
    with pytest.raises(ModelError, match=r"read 2 tokens where tests/tiny@0 has \d+"):
        engine.score(PROMPTS, OPTIONS)


@pytest.mark.parametrize("told", [5.0, 0.01, float("nan"), float("-inf"), "x", True, [1]])
@pytest.mark.parametrize("when", ["asked first", "later"])
def test_what_is_no_log_probability_is_refused(serve, told, when):
    server, engine = serve()
    if when == "later":
        assert engine.abilities.scores == "ids"
    server._echo = lambda index, ids: {"index": index, "logprobs": {"token_logprobs": [None, *[told] * len(ids)]}}
    with pytest.raises(ModelError, match=r"returned an invalid log-probability: "):
        engine.score(PROMPTS, OPTIONS)


def test_rounding_above_zero_is_zero(serve):
    server, engine = serve()
    server._echo = lambda index, ids: {"index": index, "logprobs": {"token_logprobs": [None, *[5e-5] * len(ids)]}}
    assert engine.score(PROMPTS[:1], OPTIONS[:1]) == [[0.0, 0.0, 0.0]]


@pytest.mark.parametrize(
    "choice", [{"index": "x"}, {"logprobs": [1]}, {"message": "no"}, "text"], ids=["index", "logprobs", "message", "no"]
)
def test_answers_of_another_shape_are_refused(serve, choice):
    server, engine = serve(does="writes")
    assert engine.abilities.scores is None
    server._write = lambda index, prompt, body: choice
    with pytest.raises(ModelError, match="did not return 1 choice"):
        engine.generate(PROMPTS, 3)


def numbered(numbers):
    return {"choices": [{"index": number, "text": place} for place, number in enumerate(numbers)]}


@pytest.mark.parametrize(("numbers", "order"), [((2, 0, 1), [1, 2, 0]), ((0, 0, 0), [0, 1, 2]), ((None,) * 2, [0, 1])])
def test_choices_are_told_apart_by_their_numbers(serve, numbers, order):
    """The order is the server's own; some give no numbers, or one for all."""
    _, engine = serve()
    assert [choice["text"] for choice in engine._choices(numbered(numbers), len(numbers))] == order


@pytest.mark.parametrize("numbers", [(0, 0, 2), (1, 2, 7), (0, -1, 1)])
def test_choices_with_numbers_that_fit_no_question_are_asked_for_again(serve, numbers):
    """A changed number would give an option the probability of another."""
    _, engine = serve()
    expected = engine.score(PROMPTS[:1], OPTIONS[:1])
    send, once = engine._wire.send, [True]
    engine._wire.send = lambda *asked: (200, numbered(numbers)) if once and once.pop() else send(*asked)
    assert engine.score(PROMPTS[:1], OPTIONS[:1]) == expected
    assert once == []


def test_brackets_for_ever_are_no_answer(serve):
    server, engine = serve()
    assert engine.abilities.scores == "ids"
    server.trouble("brackets")
    assert engine.score(PROMPTS[:1], OPTIONS[:1])[0] is not None
    assert server.troubles == []


def test_requests_go_out_together_and_not_too_many(serve):
    server, engine = serve(engine={"concurrency": 3})
    engine.score(PROMPTS * 4, OPTIONS * 4)
    assert 1 < server.busiest <= 3


# -- names and tokens --------------------------------------------------------------------------------------------------


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


@pytest.mark.parametrize("kind", [(500, "oops"), (502, "bad"), (504, "late"), "dropped", "truncated", "corrupted"])
@pytest.mark.parametrize("concurrency", [1, 8])
def test_a_list_of_models_that_fails_is_asked_for_again(serve, kind, concurrency):
    """The name is part of who the teacher is: an hour later it must be the same."""
    server, engine = serve(models=("/models/tiny",), engine={"concurrency": concurrency})
    server.faults = dict.fromkeys(range(3), kind)
    assert engine.identity == "tests/tiny@0 openai /models/tiny log-probabilities"
    assert server.faults == {}


@pytest.mark.parametrize("status", [404, 405, 501])
def test_a_server_without_a_list_of_models(serve, status):
    server, engine = serve(models=("/models/tiny",))
    server.faults = {0: (status, "no such route")}
    assert engine.model_name == "tests/tiny"


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ((500, "oops"), r"does not answer: 500 oops \(4 attempts\)"),
        ((400, "no"), "does not list its models: 400 no. Set engine.model"),
        ((403, "no"), "403 no. Use a token with access"),
    ],
)
def test_a_list_of_models_that_never_comes(serve, kind, message):
    server, engine = serve()
    server.faults = dict.fromkeys(range(99), kind)
    with pytest.raises(ModelError, match=message):
        engine.model_name  # noqa: B018
    server.faults = {}


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


# -- parts -------------------------------------------------------------------------------------------------------------


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


# -- transformers serve ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def transformers_serve(tiny_model, tmp_path_factory):
    with transformers_server(tiny_model, tmp_path_factory.mktemp("serve") / "log") as address:
        yield address


def test_transformers_serve(transformers_serve, tiny_model, local):
    """It tells no log-probabilities: answers are written, and are those of the model in process."""
    settings = EngineSettings(name="openai", url=transformers_serve, model=str(tiny_model))
    engine = ServedEngine(tiny_model, "tests/tiny@0", settings=settings)
    assert engine.score(PROMPTS, OPTIONS) == [None] * 5
    written = engine.generate(PROMPTS, 6)
    assert [g.text for g in written] == [g.text for g in local.generate(PROMPTS, 6)]
    assert {g.log_probability for g in written} == {None}
    engine.close()


# -- special tokens ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def begins(tmp_path_factory):
    """A model whose tokenizer puts a token before a text, and whose chat template writes it too, as Llama's do."""
    from tokenizers.processors import TemplateProcessing
    from transformers import AutoTokenizer

    folder = save_model(tmp_path_factory.mktemp("begins"), vocab_size=361, bos_token_id=360)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.add_special_tokens({"bos_token": "<|begin|>"})
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single="<|begin|> $A", special_tokens=[("<|begin|>", tokenizer.bos_token_id)]
    )
    tokenizer.chat_template = "{{ bos_token }}" + CHAT
    tokenizer.save_pretrained(folder)
    return load_engine(folder)


@pytest.mark.parametrize("does", ["ids", "text", "writes"])
@pytest.mark.parametrize("adds", [True, False])
def test_special_tokens_are_read_once(begins, does, adds, monkeypatch):
    """By us or by the server, and it is seen which of the two: by how many tokens the server says it read."""
    read = []

    def ids(server, prompt):
        found = (
            prompt if not isinstance(prompt, str) else begins.tokenizer(prompt, add_special_tokens=adds)["input_ids"]
        )
        read.append(list(found))
        return found

    complete = OpenAIServer._complete

    def counted(server, request, body):
        (first,) = body["prompt"][:1] if not isinstance(body["prompt"], str) else [body["prompt"]]
        server.usage = len(ids(server, first))
        complete(server, request, body)

    monkeypatch.setattr(OpenAIServer, "_ids", ids)
    monkeypatch.setattr(OpenAIServer, "_complete", counted)
    with OpenAIServer(begins, does=does) as server:
        settings = EngineSettings(name="openai", url=server.url, attempts=3)
        engine = ServedEngine(begins.path, "tests/tiny@0", settings=settings)
        assert engine.abilities.scores == (None if does == "writes" else does)
        read.clear()
        for prompt in (Prompt("Question: What is rain?"), begins.chat("What is rain?")):
            expected = begins.tokenizer(prompt.text, add_special_tokens=prompt.special_tokens)["input_ids"]
            assert expected.count(begins.tokenizer.bos_token_id) == 1
            engine.generate([prompt], 2)
            assert read[-1] == expected
            if does != "writes":
                (scores,) = engine.score([prompt], [["rain", "fog"]])
                assert scores == pytest.approx(begins.score([prompt], [["rain", "fog"]])[0], abs=1e-3)
        engine.close()


# -- what the base's repo and the server's defaults would change -------------------------------------------------------


@pytest.fixture
def penalised(tiny_model, tmp_path):
    """The tiny model, whose repo asks for a penalty and for sampling from few tokens."""

    folder = tmp_path / "penalised"
    shutil.copytree(tiny_model, folder)
    path = folder / "generation_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "repetition_penalty": 1.2, "top_k": 20, "top_p": 0.8}))
    return folder


@pytest.mark.parametrize("refuses", [True, False])
def test_a_server_is_asked_not_to_follow_the_repos_decoding_settings(penalised, local, refuses, monkeypatch):
    complete = OpenAIServer._complete

    def strict(server, request, body):
        if refuses and "repetition_penalty" in body:
            answer(request, 422, {"error": "unknown parameter"})
        else:
            complete(server, request, body)

    monkeypatch.setattr(OpenAIServer, "_complete", strict)
    with OpenAIServer(local) as server:
        engine = ServedEngine(penalised, "tests/tiny@0", settings=EngineSettings(name="openai", url=server.url))
        assert engine.generate(PROMPTS, 3)
        assert engine.sample(PROMPTS, 3, seed=1)
        greedy = [body for _, body in server.bodies if body["max_tokens"] == 3 and not body["temperature"]]
        drawn = [body for _, body in server.bodies if body["max_tokens"] == 3 and body["temperature"]]
        engine.close()
    if refuses:
        assert "repetition_penalty" not in drawn[-1]
        assert all("repetition_penalty" not in body for body in drawn)  # refused once, and not sent again
        assert "repetition_penalty" not in greedy[-1]
    else:
        assert {body["repetition_penalty"] for body in greedy} == {1.0}
        assert not any("top_k" in body for body in greedy)
        assert {(body["top_p"], body["top_k"], body["min_p"]) for body in drawn} == {(1.0, -1, 0.0)}


def test_a_server_that_fills_the_template_is_told_not_to_think(tiny_model, local, tmp_path):

    folder = tmp_path / "thinks"
    shutil.copytree(tiny_model, folder)
    template = CHAT + "{% if add_generation_prompt and enable_thinking is not false %}<think>{% endif %}"
    (folder / "chat_template.jinja").write_text(template)
    with OpenAIServer(local, does="chat") as server:
        engine = ServedEngine(folder, "tests/tiny@0", settings=EngineSettings(name="openai", url=server.url))
        engine.generate([engine.chat("Who?")], 3)
        assert server.bodies[-1][1]["chat_template_kwargs"] == {"enable_thinking": False}
        engine.close()
        (folder / "chat_template.jinja").write_text(template.replace("and enable_thinking is not false", ""))
        engine = ServedEngine(folder, "tests/tiny@0", settings=EngineSettings(name="openai", url=server.url))
        with pytest.raises(ModelError, match="opens a thinking block before every answer"):
            engine.generate([engine.chat("Who?")], 3)
        engine.close()
