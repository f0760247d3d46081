"""`distill --push` killed (SIGKILL) again and again, resumed by the same command: it ends like one left alone."""

from __future__ import annotations

import json
import random
import signal
import time
from collections import Counter

import pytest
from harness import exact, no_row_twice_or_missing, one_version, outcome, write_config

from solo_hub.run import LAYOUT, STEPS


def step_of(folder):
    """The step a run folder is at: the first whose files are not all there."""
    for step in STEPS:
        if not all((folder / item.path).exists() for item in LAYOUT if item.step == step):
            return step
    return "done"


def chain(hub, nursery, home, calm, api, folder, settings, *, seed, name, mean_events, most):
    """One run, killed at random moments until it gets through.

    Half of the moments are events (a write, a rename, a request), half are times, which fall into computations.

    Returns:
        At which steps it was killed.
    """
    chance = random.Random(seed)
    config = write_config(folder / f"{name}.yaml", settings, dataset=f"ann/{name}-data", adapter=f"ann/{name}-adapter")
    run = folder / name
    killed = []
    while True:
        plan, seconds = {}, None
        # the last step would otherwise be reached when the others have used up the kills
        more = len(killed) < most or (step_of(run) == "published" and killed.count("published") < most // 3)
        if more and chance.random() < 0.6:
            at = int(chance.expovariate(1 / mean_events))
            plan = {"moments": {"folders": [str(run)], "at": at, "what": "kill"}}
        elif more:
            seconds = chance.expovariate(1 / 2.0)
        process = nursery.start(
            "distill", config, "--run", run, "--push", "--hub", hub.endpoint, plan=plan, SOLO_HUB_HOME=str(home)
        )
        if seconds is not None:
            end = time.monotonic() + seconds
            while process.poll() is None and time.monotonic() < end:
                time.sleep(0.01)
            process.signal(signal.SIGKILL)
        code = process.wait()
        if code == 0:
            break
        assert code == -signal.SIGKILL, process.said[-2000:]
        killed.append(step_of(run))
    assert exact(run) == exact(calm)
    assert outcome(run) == outcome(calm)
    no_row_twice_or_missing(run)
    one_version(api, json.loads((run / "7-published.json").read_text()))
    return killed


def test_killed_and_resumed(hub, nursery, home, calm, api, tmp_path, settings, counts):
    killed = chain(hub, nursery, home, calm, api, tmp_path, settings, seed=3, name="few", mean_events=12, most=4)
    assert killed
    counts["kills"] += len(killed)


@pytest.mark.soak
def test_killed_a_hundred_times(hub, nursery, home, calm, api, tmp_path, settings, counts, record_property):
    steps = Counter()
    number = 0
    while sum(steps.values()) < 100:
        number += 1
        killed = chain(
            hub, nursery, home, calm, api, tmp_path, settings, seed=number, name=f"k{number}", mean_events=15, most=15
        )
        steps.update(killed)
        counts["kills"] += len(killed)
    assert set(steps) >= set(STEPS), f"no kill at {set(STEPS) - set(steps)}"
    counts.update({f"kills at {step}": number for step, number in steps.items()})
