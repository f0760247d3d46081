"""`solo-hub hub`."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from click.testing import CliRunner
from hub_under_test import send

from solo_hub.cli.hub import hub
from solo_hub.core.errors import SoloHubError, UsageError
from solo_hub.hub.server import EmbeddedHub


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setenv("SOLO_HUB_HOME", str(tmp_path))
    monkeypatch.setattr("sys.argv", ["solo-hub"])

    def call(*words: str):
        return CliRunner().invoke(hub, words, catch_exceptions=False).output

    return call


def test_users_can_be_added_before_the_first_start(run, tmp_path):
    made = json.loads(run("user", "add", "ana", "--org", "lab", "--private-by-default", "--format", "json"))["token"]
    run("user", "add", "bot", "--token", "given", "--role", "read", "--org", "lab")
    with EmbeddedHub() as server:
        assert (server.user, server.token) == ("ana", made)
        bot = send(server.endpoint, "GET", "/api/whoami-v2", token="given").json
        assert (bot["name"], bot["auth"]["accessToken"]["role"], bot["orgs"][0]["name"]) == ("bot", "read", "lab")
        send(server.endpoint, "POST", "/api/repos/create", token=made, body={"name": "r"})
        assert send(server.endpoint, "GET", "/api/models/ana/r", token=made).json["private"]


def test_wrong_use_is_explained(run):
    with pytest.raises(UsageError, match="reserved"):
        run("user", "add", "api")
    with pytest.raises(SoloHubError, match="No embedded Hub is running"):
        run("stop")


def test_status_and_collection(run):
    run("user", "add", "ana", "--token", "t")
    status = json.loads(run("status", "--format", "json"))
    assert (status["running"], status["repos"]) == (False, {})
    assert json.loads(run("gc", "--older-than", "0", "--format", "json"))["blobs"] == 0


def test_serve_shows_the_token_once_and_stops_on_request(tmp_path):
    words = [
        sys.executable,
        "-c",
        "from solo_hub.cli.hub import hub; hub()",
        "serve",
        "--port",
        "0",
        "--format",
        "json",
    ]
    env = {**os.environ, "SOLO_HUB_HOME": str(tmp_path)}
    for expected in (True, False):
        with subprocess.Popen(words, env=env, stdout=subprocess.PIPE, text=True) as process:
            text = ""
            while not text.rstrip().endswith("}"):
                text += process.stdout.readline()
            said = json.loads(text)
            assert ("token" in said) == expected
            assert send(said["endpoint"], "GET", "/api/models").status == 200
            process.terminate()
            assert process.wait(timeout=20) == 0


@pytest.mark.parametrize("command", [[], ["serve"], ["stop"], ["status"], ["gc"], ["user"], ["user", "add"]])
def test_help(run, command):
    text = run(*command, "--help")
    assert "Usage:" in text
    if command not in ([], ["user"]):
        assert "Example" in text
