"""The tiny model in this process, and behind an OpenAI-compatible server."""

from __future__ import annotations

import pytest
from openai_server import OpenAIServer
from tiny import load_engine

from solo_hub.core.settings import EngineSettings
from solo_hub.models.served import ServedEngine


@pytest.fixture(scope="module")
def local(tiny_model):
    return load_engine(tiny_model)


@pytest.fixture
def serve(tiny_model, local):
    """Makes a server and an engine for it: `serve(does=...)`, with settings of the engine as `engine={...}`.

    `kind` is the engine's class, `path` what its address adds to the server's.
    """
    made = []

    def make(engine=(), *, kind=ServedEngine, path="", **how):
        server = OpenAIServer(local, **how)
        server.__enter__()
        settings = EngineSettings(
            **{"name": "openai", "url": server.url + path, "timeout": 5.0, "attempts": 4, **dict(engine)}
        )
        client = kind(tiny_model, "tests/tiny@0", settings=settings)
        client._calls.pause = 0.01
        made.append((server, client))
        return server, client

    yield make
    for server, client in made:
        if isinstance(client, ServedEngine):
            client.close()
        server.__exit__()
