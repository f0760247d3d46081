"""Eight real labelling processes on one run: started together by a launcher, and eight commands that meet by chance."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys

import pytest
from outcomes import write_config
from small_hub import WRITE, rows, small_settings

pytestmark = [pytest.mark.soak, pytest.mark.timeout(3600)]
EIGHT = 8
LABELS = "3-labels.jsonl"
SCORE = "solo_hub.models.causal:CausalEngine.score"


@pytest.fixture
def labelling():
    """Settings whose labelling takes many batches."""
    settings = small_settings()
    return {**settings, "teacher": {**settings["teacher"], "style": "text", "batch_size": 2}}


@pytest.fixture
def alone(runner, home, labelling, tmp_path):
    """The configuration, and the labels of one process."""
    config = write_config(tmp_path / "config.yaml", labelling)
    run = tmp_path / "alone"
    done = runner.start("label", config, "--run", run, home=home)
    assert done.wait() == 0, done.err[-2000:]
    return config, (run / LABELS).read_bytes()


def test_one_of_eight_commands_goes_on(runner, home, alone, tmp_path, count):
    """The others are told who holds the folder; each of them, run to its end afterwards, finds everything done."""
    config, expected = alone
    run = tmp_path / "run"
    line = ("label", config, "--run", run)
    slow = {"sleepy": {SCORE: 1.0}}  # so that the first is at work when the last comes
    started = [runner.start(*line, plan=slow, home=home) for _ in range(EIGHT)]
    told = []
    for process in started:
        code = process.wait()
        if code:
            assert code == 1, process.err
            told.append(process.err)
    assert len(told) == EIGHT - 1, told
    [winner] = [process for process in started if process.code == 0]
    for said in told:
        [holder] = re.findall(r"is in use by process (\d+) on ", said)
        assert int(holder) == winner.pid, said
        assert "Traceback" not in said
    for _ in told:
        again = runner.start(*line, home=home)
        assert again.wait() == 0, again.err[-2000:]
    assert (run / LABELS).read_bytes() == expected
    count("processes at once", EIGHT)
    count("rows lost", len(expected.splitlines()) - len(rows(run / LABELS)))


def test_eight_launched_processes_label_as_one_does(hub, home, alone, tmp_path, count):
    """Gloo on the CPU: the same bytes as one process, and no share left behind."""
    torch = pytest.importorskip("torch", reason="the extra 'train' is not installed")
    if not torch.distributed.is_available() or not torch.distributed.is_gloo_available():
        pytest.skip("this PyTorch has no gloo, by which processes on CPUs talk")
    config, expected = alone
    run = tmp_path / "run"
    environment = os.environ | {
        "HF_TOKEN": WRITE, "SOLO_HUB_HOME": str(home), "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo",
    }  # fmt: skip
    line = [
        sys.executable, "-m", "accelerate.commands.launch", "--cpu", "--num_processes", str(EIGHT),
        "--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0",
        "-m", "solo_hub.cli.main", "label", str(config), "--run", str(run), "--hub", hub.endpoint, "--format", "json",
    ]  # fmt: skip
    done = subprocess.run(line, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert json.loads(done.stdout)["run"] == str(run)  # one document, from one of them
    assert (run / LABELS).read_bytes() == expected
    assert not list(run.glob(".3-labels.*"))
    count("processes at once", EIGHT)
