"""A student leaves solo-hub: `export` writes GGUF with a Modelfile, `serve` becomes a server of the merged model."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

import pytest
from click.testing import CliRunner
from noise import PEFT_WARNS
from tiny import load_engine
from tiny_run import ADAPTER, QUESTIONS, FakeConnection

from solo_hub.cli.export import export
from solo_hub.cli.serve import serve
from solo_hub.core.errors import DependencyError
from solo_hub.core.plugins import Prompt
from solo_hub.hub import opening
from solo_hub.models import adapters
from solo_hub.publishing import exporting

pytestmark = PEFT_WARNS

PROMPT = "Question: {question}\nAnswer:"


@pytest.fixture
def command(published, monkeypatch):
    """Runs a command on the published adapter and returns its JSON document."""
    monkeypatch.setattr(opening, "open_hub", lambda spec, **_: FakeConnection(published))

    def run(which, *options):
        result = CliRunner().invoke(which, [f"{ADAPTER}@v1", *map(str, options), "--format", "json"])
        if result.exception:
            raise result.exception
        return json.loads(result.stdout)

    return run


@pytest.fixture
def student(tiny_model, adapter):
    engine = load_engine(tiny_model)
    adapters.load(engine, adapter)
    return engine


def test_export(command, tmp_path, student):
    gguf = pytest.importorskip("gguf", reason="the extra 'offline' is not installed")
    file, modelfile = tmp_path / "out" / "student.gguf", tmp_path / "out" / "Modelfile"
    assert command(export, "--to", tmp_path / "out") == {"gguf": str(file), "modelfile": str(modelfile)}
    assert sorted((tmp_path / "out").iterdir()) == [modelfile, file]
    assert 'TEMPLATE """Question: {{ .Prompt }}\nAnswer:"""' in modelfile.read_text()
    assert 'PARAMETER stop "\\n"' in modelfile.read_text()
    merged = student.model.merge_and_unload().state_dict()["model.layers.0.mlp.up_proj.weight"]
    stored = {tensor.name: tensor.data for tensor in gguf.GGUFReader(file).tensors}["blk.0.ffn_up.weight"]
    assert stored == pytest.approx(merged.half().numpy(), abs=1e-3)


def test_serve_becomes_the_server_and_shows_the_prompt(command, monkeypatch, student, tmp_path):
    pytest.importorskip("fastapi")
    pytest.importorskip("openai")
    started = []
    monkeypatch.setattr(os, "execv", lambda *arguments: started.append(arguments))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    document = command(serve, "--port", 8123, "--with", "transformers")
    assert (document["url"], document["path"]) == ("http://127.0.0.1:8123/v1", "/completions")
    body = document["body"]
    assert (body["prompt"], body["stop"], body["temperature"]) == (PROMPT, ["\n"], 0)
    [(program, [_, _, module, action, folder, *place])] = started
    assert not list(tmp_path.glob("solo-hub-*"))  # nothing would remove it
    assert (program, module, action) == (sys.executable, "transformers.cli.transformers", "serve")
    assert (place, body["model"]) == (["--host", "127.0.0.1", "--port", "8123"], folder)
    asked = [Prompt(PROMPT.replace("{question}", question.text)) for question in QUESTIONS]
    served = load_engine(folder).generate(asked, 6)
    assert [row.text for row in served] == [row.text for row in student.generate(asked, 6)]
    monkeypatch.setattr(exporting, "_merge", lambda *_: pytest.fail("merged twice"))
    assert command(serve, "--port", 8123, "--with", "transformers") == document


@pytest.mark.soak  # the server takes half a minute to start
def test_the_server_answers_as_the_student(command, monkeypatch, student, tmp_path):
    pytest.importorskip("fastapi")
    pytest.importorskip("openai")
    started = []
    monkeypatch.setattr(os, "execv", lambda _, arguments: started.append(arguments))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    document = command(serve, "--port", port, "--with", "transformers")
    with (tmp_path / "log").open("w") as log, subprocess.Popen(started[0], stdout=log, stderr=log) as server:
        try:
            for question in QUESTIONS:
                asked = document["body"]["prompt"].replace("{question}", question.text)
                answer = _post(document["url"] + document["path"], {**document["body"], "prompt": asked})
                text = answer["choices"][0]["text"].split("\n")[0].strip()
                assert text == student.generate([Prompt(asked)], document["body"]["max_tokens"])[0].text
        finally:
            server.terminate()


def _post(url, body):
    """Ask until the server has started."""
    request = urllib.request.Request(url, json.dumps(body).encode(), {"content-type": "application/json"})
    end = time.monotonic() + 120
    while True:
        try:
            with urllib.request.urlopen(request, timeout=60) as response:
                return json.load(response)
        except urllib.error.URLError:
            if time.monotonic() > end:
                raise
            time.sleep(0.5)


def test_a_chat_prompt_goes_to_the_chat_endpoint(comparison, student):
    from solo_hub.cli.serve import _request

    comparison.context.config = comparison.context.config.model_copy(deep=True)
    comparison.context.config.teacher.__dict__["prompt"] = "chat"
    prompt = exporting.trained_prompt(comparison, student)
    path, body = _request(comparison, "folder", prompt.text, chat=not prompt.special_tokens)
    assert (path, body["messages"]) == ("/chat/completions", [{"role": "user", "content": PROMPT}])
    assert prompt == student.chat(PROMPT)
    assert (
        'TEMPLATE """<|im_start|>user\nQuestion: {{ .Prompt }}\nAnswer:<|im_end|>\n<|im_start|>assistant\n"""'
        in exporting.modelfile(comparison, student, prompt)
    )


def test_a_server_that_is_not_installed(command):
    with pytest.raises(DependencyError, match="needs the package 'vllm'"):
        command(serve, "--with", "vllm")
