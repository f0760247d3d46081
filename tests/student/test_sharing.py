"""Several processes train the adapter that one process trains."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from solo_hub.student.processes import Processes
from solo_hub.student.training import read_training

torch = pytest.importorskip("torch", reason="the extra 'train' is not installed")
pytest.importorskip("peft", reason="the extra 'train' is not installed")
pytest.importorskip("accelerate", reason="the extra 'train' is not installed")
if not torch.distributed.is_available() or not torch.distributed.is_gloo_available():
    pytest.skip("this PyTorch has no gloo, by which processes on CPUs talk", allow_module_level=True)

# peft 0.21 asks transformers 5.23 by a name that is going to change
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")

SCRIPT = Path(__file__).with_name("one_of_several.py")


@given(st.lists(st.integers(), max_size=20), st.integers(1, 5))
def test_shares_are_disjoint_and_whole(items, count):
    shares = [Processes(rank, count).share(items) for rank in range(count)]
    assert sorted(item for share in shares for item in share) == sorted(items)
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_alone_nothing_is_exchanged():
    alone = Processes.here(cpu=True)
    tensor = torch.tensor([1.0, 2.0])
    alone.add_up([tensor])
    alone.wait()
    assert (alone.count, alone.first, alone.whole([1, 2]), tensor.tolist()) == (1, True, [1, 2], [1.0, 2.0])


def launch(model, folder, changes, *more):
    """Two processes by `accelerate launch`, on loopback; `--multi_gpu` means several, the engine says that on CPUs."""
    command = [
        *(
            sys.executable,
            "-m",
            "accelerate.commands.launch",
            "--multi_gpu",
            "--num_processes",
            "2",
            "--num_machines",
            "1",
        ),
        *("--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0"),
        *(str(SCRIPT), str(model), str(folder), json.dumps(changes), *more),
    ]
    environment = {**os.environ, "GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return read_training(folder / "adapter")


def weights(folder):
    from safetensors.numpy import load_file

    return load_file(folder / "adapter" / "adapter_model.safetensors")


def test_two_processes_train_what_one_trains(tiny_model, tmp_path):
    """Eleven examples, two held back, batches of four: the last of an epoch is one, and LLKD may leave a share empty.

    With selection at every step, early stopping, a teacher asked in the step, micro-batches and DoRA.
    """
    from one_of_several import run

    changes = {"patience": 2, "held_back": 2, "objective": "online", "micro_batch_size": 1, "adapter": "dora"}
    one = run(tiny_model, tmp_path / "one", changes, llkd=True)
    two = launch(tiny_model, tmp_path / "two", changes, "llkd")
    assert (one.processes, two.processes) == (1, 2)
    assert one.steps == two.steps
    assert [row["loss"] for row in two.log] == pytest.approx([row["loss"] for row in one.log], abs=1e-3)
    assert [row["kept_examples"] for row in two.log] == [row["kept_examples"] for row in one.log]
    assert two.agreement == one.agreement
    for name, array in weights(tmp_path / "one").items():
        assert weights(tmp_path / "two")[name] == pytest.approx(array, abs=1e-3), name
    assert not (tmp_path / "two" / "work").exists()
