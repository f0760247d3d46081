"""`distill --push` killed (SIGKILL) again and again, resumed by the same command: it ends like one left alone."""

from __future__ import annotations

import json
import random
import signal
import time
from collections import Counter

import pytest
from agreements import no_row_twice_or_missing, one_version
from outcomes import differences, outcome, write_config
from small_run import settings_of

from solo_hub.run.folder import STEPS

FINISHED = (
    "1-questions.jsonl", "2-passages.jsonl", "3-labels.jsonl", "4-selected.jsonl", "5-adapter", "6-report.json",
    "7-published.json",
)  # fmt: skip
LAST = dict(zip(STEPS, FINISHED, strict=True))
"""The file that is there when a step is done; labels grow, so theirs is there from their first batch on."""


def step_of(folder):
    """The step a run folder is at: the first whose last file is not there."""
    return next((step for step in STEPS if not (folder / LAST[step]).exists()), "done")


def chain(runner, undisturbed, api, folder, *, seed, name, steps):
    """One run, killed once in each of the given steps, in their order.

    Half of the moments are events (a write, a rename, a request), half are times, which fall into computations.

    Returns:
        At which steps it was killed; a kill that came after the end of the run is none.
    """
    chance = random.Random(seed)
    config = write_config(folder / f"{name}.yaml", settings_of(name, whole=True))
    run = folder / name
    killed = []
    for step in [*steps, None]:
        before = LAST[STEPS[STEPS.index(step) - 1]] if step and STEPS.index(step) else ""
        plan, seconds = {}, None
        if step and chance.random() < 0.6:
            at = int(chance.expovariate(1 / 6))
            plan = {"moments": {"folders": [str(run)], "at": at, "what": "kill", "after": str(run / before)}}
        elif step:
            seconds = chance.expovariate(1 / 0.7)
        home = undisturbed[0].parent / "home"
        process = runner.start("distill", config, "--run", run, "--push", home=home, plan=plan)
        if seconds is not None:
            while process.poll() is None and not (run / before).exists():
                time.sleep(0.005)
            end = time.monotonic() + seconds
            while process.poll() is None and time.monotonic() < end:
                time.sleep(0.005)
            process.kill()
        code = process.wait()
        if code == 0:
            break
        assert code == -signal.SIGKILL, process.err[-2000:]
        killed.append(step_of(run))
    if code != 0:
        raise AssertionError("the last attempt was left alone and did not end")
    assert differences(outcome(undisturbed[0]), outcome(run)) == []
    no_row_twice_or_missing(run)
    one_version(api, json.loads((run / "7-published.json").read_text()))
    return killed


def test_a_run_left_alone_has_one_version(undisturbed, api):
    one_version(api, json.loads((undisturbed[0] / "7-published.json").read_text()))


def test_killed_and_resumed(runner, undisturbed, api, tmp_path, count):
    steps = ("passages", "labels", "adapter", "report", "published")
    killed = chain(runner, undisturbed, api, tmp_path, seed=3, name="few", steps=steps)
    assert killed
    count("kills", len(killed))


@pytest.mark.soak
def test_killed_a_hundred_times(runner, undisturbed, api, tmp_path, count):
    steps = Counter()
    number = 0
    while sum(steps.values()) < 100:
        number += 1
        order = sorted(STEPS * 2, key=STEPS.index)
        killed = chain(runner, undisturbed, api, tmp_path, seed=number, name=f"k{number}", steps=order)
        steps.update(killed)
        count("kills", len(killed))
    assert set(steps) >= set(STEPS), f"no kill at {set(STEPS) - set(steps)}"
    for step, number in steps.items():
        count(f"kills at {step}", number)
