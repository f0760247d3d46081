"""A spoilt request at every place: a run completes, or stops with one sentence and the same command finishes it.

The proxy stands between the command and one of the servers it asks: the Hub, an embedding server, a language model's.
"""

from __future__ import annotations

import logging
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count as numbers
from pathlib import Path
from typing import Any

import pytest
from openai_server import OpenAIServer
from outcomes import differences, outcome, write_config
from small_run import TOKEN, settings_of, versions
from tiny import load_engine

sys.path.append(str(Path(__file__).parents[1] / "hub"))
sys.path.append(str(Path(__file__).parents[1] / "knowledge"))
from fault_proxy import Fault, FaultProxy, corrupted, reset, slow, status, timeout, truncated
from letters import LetterEmbedder
from tei_server import TeiServer

FAULTS = {
    "429": status(429, retry_after=0.1),
    "500": status(500),
    "502": status(502),
    "503": status(503),
    "503 after delivery": status(503, delivered=True),
    "timeout": timeout(seconds=1.0),
    "reset": reset(),
    "reset after delivery": reset(delivered=True),
    "truncated": truncated(),
    "corrupted": corrupted(),
    "slow": slow(rate=2_000_000),
}
LATE = {"no answer": timeout(), "drip": slow(rate=40)}
"""What outlasts the time that a server other than the Hub is given for an answer."""
DEADLINE = 2.0  # seconds; an answer of those servers takes milliseconds, and is no shorter than 80 bytes
FEW = {"train_limit": 12, "evaluation_limit": 5}
SERIAL = numbers()
log = logging.getLogger("reliability")


@dataclass
class Stand:
    """Where the proxy stands.

    Attributes:
        proxy: Between the command and one of its servers.
        hub: The Hub itself.
        settings: What of a run's settings is different here: section -> settings.
        impatient: Further settings by which a request that fails once ends the run; none where the proxy is before the
            Hub, whose client knows no such thing.
        home: What is downloaded already, kept from run to run; None where every run downloads anew.
        again: What of the home is made anew by every run, so that all of it is asked for.
        undisturbed: A run folder that nothing disturbed.
        requests: How many requests that run sent.
    """

    proxy: FaultProxy
    hub: str
    settings: dict[str, dict[str, Any]] = field(default_factory=dict)
    impatient: dict[str, dict[str, Any]] = field(default_factory=dict)
    home: Path | None = None
    again: str | None = None
    undisturbed: Path | None = None
    requests: int = 0

    def command(self, runner, name: str, folder: Path, *, patient: bool = True) -> Callable[[], Any]:
        """What runs the command, publishing under a name; called again, it is the same command."""
        folder.mkdir()
        settings = settings_of(name)
        for changes in (self.settings, {} if patient else self.impatient):
            for section, values in changes.items():
                settings[section] = {**settings.get(section, {}), **values}
        config = write_config(folder / "config.yaml", settings)
        home = self.home or folder / "home"
        if self.again:
            shutil.rmtree(home / self.again, ignore_errors=True)
        hub = self.hub if self.impatient else self.proxy.url
        return lambda: runner.run("distill", config, "--run", folder / "run", "--push", home=home, hub=hub)


@pytest.fixture(scope="module")
def at_hub(hub, undisturbed):
    """It compresses JSON, as the real Hub does."""
    with FaultProxy(hub.endpoint, packs=True) as proxy:
        yield Stand(proxy, hub.endpoint, undisturbed=undisturbed[0])


def before(server, runner, folder, make):
    """The proxy before a server, and a undisturbed run that fills the home."""
    with server, FaultProxy(server.url) as proxy:
        stand = make(proxy)
        stand.home = folder / "home"
        done = stand.command(runner, f"undisturbed-{folder.name}", folder / "undisturbed")()
        assert done.code == 0, done.err
        stand.undisturbed, stand.requests = folder / "undisturbed" / "run", len(proxy.requests)
        yield stand


@pytest.fixture(scope="module")
def at_embedder(hub, runner, tmp_path_factory):
    """It is sent the corpus, anew by every run, and then the questions, five texts at a time."""
    pytest.importorskip("text_embeddings_inference_client", reason="the extra 'tei' is not installed")
    from huggingface_hub import HfApi

    commit = HfApi(endpoint=hub.endpoint, token=TOKEN).model_info("sentence-transformers/all-MiniLM-L6-v2").sha

    def make(proxy):
        options = {"urls": [proxy.url], "timeout": DEADLINE}
        impatient = {"embedder_options": {**options, "attempts": 1, "concurrency": 1}}  # a request's work is handed on
        settings = {"knowledge": {"embedder": "tei", "embedder_options": options}, "task": FEW}
        return Stand(proxy, hub.endpoint, settings, {"knowledge": impatient}, again="cache/knowledge")

    server = TeiServer(LetterEmbedder(), batch=5, commit=commit)
    yield from before(server, runner, tmp_path_factory.mktemp("embedder"), make)


@pytest.fixture(scope="module")
def at_language_model(hub, runner, tiny_model, tmp_path_factory):
    """It is the teacher: asked for a list of models, what it can do, and every question, the held-out ones twice."""

    def make(proxy):
        engine = {"name": "openai", "url": proxy.url, "timeout": DEADLINE}
        settings = {"engine": engine, "task": FEW, "teacher": {"style": "text", "calibrate": False}}
        return Stand(proxy, hub.endpoint, settings, {"engine": {"attempts": 1}})

    server = OpenAIServer(load_engine(tiny_model))
    yield from before(server, runner, tmp_path_factory.mktemp("language-model"), make)


@pytest.fixture(params=["embedder", "language_model"])
def stand(request):
    """The proxy before one of the servers other than the Hub."""
    return request.getfixturevalue(f"at_{request.param}")


def spoil_and_resume(runner, stand, folder, faults, count, *, patient=True):
    """A fresh run whose requests meet faults, by their numbers; the same command without faults finishes it.

    Returns how many requests it sent, what they met, and how it ended before it was resumed.
    """
    name = f"fault-{next(SERIAL)}"
    command = stand.command(runner, name, folder, patient=patient)
    proxy = stand.proxy
    proxy.clear()
    for index, fault in faults.items():
        proxy.fail_at(index, fault)
    first = command()
    met = [str(seen) for seen in proxy.requests if seen.fault]
    requests = len(proxy.requests)
    count("faults", len(met))
    assert first.code in (0, 1), (met, first.err)
    assert "bug in solo-hub" not in first.err, (met, first.err)
    assert "Traceback" not in first.err, (met, first.err)
    log.info("%s: exit %d", "; ".join(met), first.code)
    if first.code:
        assert first.err.count("Error: ") == 1, (met, first.err)
        proxy.clear()
        done = command()
        assert done.code == 0, (met, first.err, done.err)
        requests += len(proxy.requests)
    expected, found = outcome(stand.undisturbed), outcome(folder / "run")
    for part, value in expected.items():
        assert differences(value, found[part]) == [], (met, part)
    for kind, repo in (("dataset", f"tests/{name}-labels"), ("model", f"tests/{name}-adapter")):
        assert versions(stand.hub, repo, kind) == (["v1"], 1), (met, first.err)
    return requests, met, first


def test_one_request_in_ten_is_spoilt(runner, at_hub, tmp_path, count):
    """The second of every ten requests, each time in another way."""
    kinds = ("corrupted", "503", "reset after delivery", "truncated", "429", "slow")
    faults = {11 + 10 * number: FAULTS[name] for number, name in enumerate(kinds)}
    assert spoil_and_resume(runner, at_hub, tmp_path / "run", faults, count)[0] > 10


def test_a_server_that_fails_now_and_then_changes_nothing(runner, stand, tmp_path, count):
    """Six faults, evenly over the run, each of which passes: what failed is asked again."""
    kinds = [*(FAULTS[name] for name in ("502", "429", "reset after delivery", "truncated", "corrupted")), LATE["drip"]]
    faults = {at * stand.requests // len(kinds): fault for at, fault in enumerate(kinds)}
    _, met, first = spoil_and_resume(runner, stand, tmp_path / "run", faults, count)
    assert first.code == 0, first.err
    assert len(met) == len(kinds)


@pytest.mark.parametrize("stand", ["language_model", pytest.param("embedder", marks=pytest.mark.soak)], indirect=True)
def test_a_run_that_gives_up_at_once_is_finished_by_the_same_command(runner, stand, tmp_path, count):
    faults = {stand.requests // 2: FAULTS["corrupted"]}
    _, met, first = spoil_and_resume(runner, stand, tmp_path / "run", faults, count, patient=False)
    assert first.code == 1
    assert len(met) == 1


@pytest.mark.soak
@pytest.mark.timeout(0)
@pytest.mark.parametrize("shift", range(0, len(FAULTS), 4))
def test_every_request_is_spoilt(runner, at_hub, tmp_path, count, shift):
    """Every request index of a run, one run each; the kinds of faults take turns, shifted from round to round.

    In the first round the Hub does not compress its JSON, so that what is changed on its way reaches the reader.
    """
    at_hub.proxy.packs = shift > 0
    requests = spoil_and_resume(runner, at_hub, tmp_path / "undisturbed", {}, count)[0]
    assert requests > 10
    for index in range(requests):
        fault = list(FAULTS.values())[(index + shift) % len(FAULTS)]
        spoil_and_resume(runner, at_hub, tmp_path / str(index), {index: fault}, count)
        shutil.rmtree(tmp_path / str(index))


@pytest.mark.soak
@pytest.mark.timeout(0)
def test_every_request_to_a_server_is_spoilt(runner, stand, tmp_path, count):
    """The same before the other servers; every second run sends each request only once."""
    kinds: list[Fault] = [*LATE.values(), *FAULTS.values()]
    assert stand.requests > len(kinds)
    for index in range(stand.requests):
        fault, patient = {index: kinds[index % len(kinds)]}, index % 2 == 0
        _, met, first = spoil_and_resume(runner, stand, tmp_path / str(index), fault, count, patient=patient)
        assert len(met) == 1
        assert first.code == 0 or not patient, (met, first.err)
        shutil.rmtree(tmp_path / str(index))
