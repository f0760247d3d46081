"""What the engine of a served model survives: faults that pass are waited out, others are one clear error."""

from __future__ import annotations

import gc
import time

import counters
import pytest
from loopback import FAULTS
from openai_server import OpenAIServer
from served_cases import OPTIONS, PROMPTS

from solo_hub.core.errors import ModelError
from solo_hub.core.settings import EngineSettings
from solo_hub.models.served import ServedEngine


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


@pytest.mark.parametrize(
    ("kind", "concurrency"), [((500, "oops"), 1), ((502, "bad"), 8), ("dropped", 1), ("truncated", 8), ("corrupted", 1)]
)
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
