"""What a server is sent: special tokens once, and nothing of what its defaults or the base's repo would change."""

from __future__ import annotations

import json
import shutil

import pytest
from loopback import answer
from openai_server import OpenAIServer
from served_cases import PROMPTS
from tiny import CHAT, load_engine, save_model

from solo_hub.core.errors import ModelError
from solo_hub.core.plugins import Prompt
from solo_hub.core.settings import EngineSettings
from solo_hub.models.served import ServedEngine


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
