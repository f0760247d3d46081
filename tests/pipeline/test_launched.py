"""`accelerate launch` with several processes takes a run up to its adapter, together."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
import yaml

torch = pytest.importorskip("torch", reason="the extra 'train' is not installed")
if not torch.distributed.is_available() or not torch.distributed.is_gloo_available():
    pytest.skip("this PyTorch has no gloo, by which processes on CPUs talk", allow_module_level=True)

pytestmark = [pytest.mark.filterwarnings("ignore::ResourceWarning"), pytest.mark.soak]


def launched(folder, home, hub, *words, by="--multi_gpu"):
    command = [
        *(sys.executable, "-m", "accelerate.commands.launch", by, "--num_processes", "2"),
        *("--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0"),
        *("-m", "solo_hub.cli.main", *words, "--run", str(folder), "--hub", hub.endpoint),
    ]
    environment = os.environ | {
        "SOLO_HUB_HOME": str(home),
        "GLOO_SOCKET_IFNAME": "lo",
        "OMP_NUM_THREADS": "1",
        "CUDA_VISIBLE_DEVICES": "",
    }
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=280, check=False)


@pytest.mark.parametrize("by", ["--multi_gpu", "--use_fsdp"])
def test_two_processes_train_a_run(by, settings, hub, tmp_path):
    """Each with the whole base, or with half of every layer of it."""
    folder, config = tmp_path / "run", tmp_path / "config.yaml"
    config.write_text(yaml.safe_dump(settings))
    done = launched(folder, tmp_path / "home", hub, "train", str(config), "--format", "json", by=by)
    assert done.returncode == 0, done.stderr[-3000:]
    printed = json.loads(done.stdout)
    assert printed["training"]["processes"] == 2
    assert (folder / "5-adapter" / "adapter_model.safetensors").exists()
    assert not (folder / ".5-training").exists()
