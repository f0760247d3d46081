"""`solo-hub compare`: a folder is a run, anything else a repo; the page is on loopback."""

from __future__ import annotations

import json
import types

import pytest
from click.testing import CliRunner
from noise import PEFT_WARNS
from tiny_run import ADAPTER, FakeConnection

from solo_hub.cli import compare as command
from solo_hub.cli.compare import compare, open_source
from solo_hub.core.console import Console
from solo_hub.core.errors import RepoMissingError, RunError
from solo_hub.hub import opening as local
from solo_hub.publishing import space

pytestmark = [
    PEFT_WARNS,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # faiss
]


@pytest.fixture
def hubs(published, monkeypatch):
    """The Hubs that were opened, each the fake one."""
    opened = []
    monkeypatch.setattr(local, "open_hub", lambda spec, **_: opened.append(spec) or FakeConnection(published))
    return opened


def test_a_folder_is_a_run(run, hubs):
    assert open_source(str(run.path), "http://127.0.0.1:9", Console("quiet")).origin.name == "tiny"


def test_anything_else_is_a_repo(run, hubs):
    opened = open_source(f"{ADAPTER}@v1", "http://127.0.0.1:9", Console("quiet"))
    assert opened.origin.name == ADAPTER
    assert hubs == ["http://127.0.0.1:9"]


def test_neither(run, hubs):
    with pytest.raises(RepoMissingError):
        open_source("nobody/nothing", None, Console("quiet"))
    with pytest.raises(RunError, match="is not a run folder"):
        open_source("./nothing", None, Console("quiet"))


def test_the_page_is_served_on_loopback_alone(run, hubs, monkeypatch):
    served = {}

    def serve(comparison, **options):
        served.update(options)
        return None, "http://127.0.0.1:7860/", ""

    monkeypatch.setattr(space, "load_app", lambda: types.SimpleNamespace(serve=serve))
    monkeypatch.setattr(command, "_wait", lambda: None)
    result = CliRunner().invoke(compare, [str(run.path), "--port", "7999", "--format", "json"])
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout) == {"url": "http://127.0.0.1:7860/", "source": str(run.path)}
    assert (served["server_name"], served["server_port"], served["inbrowser"]) == ("127.0.0.1", 7999, False)
