"""A spoilt request at every place: a run completes, or stops with one sentence and the same command finishes it."""

from __future__ import annotations

import logging
import shutil
import sys
from itertools import count as numbers
from pathlib import Path

import pytest
from outcomes import differences, outcome, write_config
from small_run import settings_of, versions

sys.path.append(str(Path(__file__).parents[1] / "hub"))
from fault_proxy import FaultProxy, corrupted, reset, slow, status, timeout, truncated

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
SERIAL = numbers()
log = logging.getLogger("reliability")


@pytest.fixture(scope="module")
def proxy(hub):
    with FaultProxy(hub.endpoint) as made:
        yield made


def spoil_and_resume(runner, hub, proxy, calm, folder, plan, count):
    """A fresh run whose requests meet what `plan` sets up; the same command without faults finishes it."""
    folder.mkdir()
    name = f"fault-{next(SERIAL)}"
    config = write_config(folder / "config.yaml", settings_of(name))
    line = ("distill", config, "--run", folder / "run", "--push")
    proxy.clear()
    plan(proxy)
    first = runner.run(*line, home=folder / "home", hub=proxy.url)
    met = [str(seen) for seen in proxy.requests if seen.fault]
    requests = len(proxy.requests)
    count("faults", len(met))
    assert first.code in (0, 1), (met, first.err)
    assert "in a way it should not" not in first.err, (met, first.err)
    assert "Traceback" not in first.err, (met, first.err)
    log.info("%s: exit %d", "; ".join(met), first.code)
    if first.code:
        assert "Error: " in first.err
        proxy.clear()
        done = runner.run(*line, home=folder / "home", hub=proxy.url)
        assert done.code == 0, (met, first.err, done.err)
        requests += len(proxy.requests)
    expected, found = outcome(calm[0]), outcome(folder / "run")
    for part, value in expected.items():
        assert differences(value, found[part]) == [], (met, part)
    for kind, repo in (("dataset", f"tests/{name}-labels"), ("model", f"tests/{name}-adapter")):
        assert versions(hub.endpoint, repo, kind) == (["v1"], 1), (met, first.err)
    return requests


def test_one_request_in_ten_is_spoilt(runner, hub, proxy, calm, tmp_path, count):
    """The second of every ten requests, each time in another way."""

    def plan(proxy):
        for number, name in enumerate(("corrupted", "503", "reset after delivery", "truncated", "429", "slow")):
            proxy.fail_at(11 + 10 * number, FAULTS[name])

    assert spoil_and_resume(runner, hub, proxy, calm, tmp_path / "run", plan, count) > 10


@pytest.mark.soak
@pytest.mark.timeout(0)
@pytest.mark.parametrize("shift", range(0, len(FAULTS), 4))
def test_every_request_is_spoilt(runner, hub, proxy, calm, tmp_path, count, shift):
    """Every request index of a run, one run each; the kinds of faults take turns, shifted from round to round."""
    requests = spoil_and_resume(runner, hub, proxy, calm, tmp_path / "calm", lambda _: None, count)
    assert requests > 10
    for index in range(requests):
        fault = list(FAULTS.values())[(index + shift) % len(FAULTS)]
        spoil_and_resume(
            runner, hub, proxy, calm, tmp_path / str(index), lambda p, at=index, what=fault: p.fail_at(at, what), count
        )
        shutil.rmtree(tmp_path / str(index))
