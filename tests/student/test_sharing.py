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
from noise import PEFT_WARNS
from tiny import load_engine, weights

from solo_hub.core.errors import ConfigError
from solo_hub.run.processes import Processes
from solo_hub.student.sharding import LockstepForwards, shard
from solo_hub.student.training import read_training

torch = pytest.importorskip("torch", reason="the extra 'train' is not installed")
pytest.importorskip("peft", reason="the extra 'train' is not installed")
pytest.importorskip("accelerate", reason="the extra 'train' is not installed")
if not torch.distributed.is_available() or not torch.distributed.is_gloo_available():
    pytest.skip("this PyTorch has no gloo, by which processes on CPUs talk", allow_module_level=True)

pytestmark = PEFT_WARNS

SCRIPT = Path(__file__).with_name("one_of_several.py")
LAUNCHED = ("--multi_gpu", "--use_fsdp")


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


def launch(model, folder, changes, *more, by="--multi_gpu"):
    """Two processes by `accelerate launch`, on loopback; `--multi_gpu` means several, the engine says that on CPUs."""
    command = [
        *(sys.executable, "-m", "accelerate.commands.launch", by, "--num_processes", "2", "--num_machines", "1"),
        *("--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0"),
        *(str(SCRIPT), str(model), str(folder), json.dumps(changes), *more),
    ]
    environment = {**os.environ, "GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=280, check=False)


def launched(*given, **named):
    done = launch(*given, **named)
    assert done.returncode == 0, done.stderr[-3000:]
    return read_training(given[1] / "adapter")


def check_the_same(one, two, folder):
    """Two processes in `two/` trained what one trained in `one/`."""
    assert (one.processes, two.processes) == (1, 2)
    assert one.steps == two.steps
    assert [row["loss"] for row in two.log] == pytest.approx([row["loss"] for row in one.log], abs=1e-3)
    assert [row.get("kept_examples") for row in two.log] == [row.get("kept_examples") for row in one.log]
    assert two.agreement == one.agreement
    assert weights(folder / "two").keys() == weights(folder / "one").keys()
    for name, array in weights(folder / "one").items():
        assert weights(folder / "two")[name] == pytest.approx(array, abs=1e-3), name
    assert not (folder / "two" / "work").exists()


def forked(fork_server, model, folder, changes):
    """Two forked processes, each with half of every layer."""
    found = f"import sys; sys.path.insert(0, {str(SCRIPT.parent)!r})"
    line = (model, folder, json.dumps(changes), "llkd")
    done = fork_server.together(2, *line, module=SCRIPT.stem, setup=found, env={"ACCELERATE_USE_FSDP": "true"})
    assert [one.code for one in done] == [0, 0], done[0].err[-3000:]
    return read_training(folder / "adapter")


@pytest.mark.parametrize("by", [*(pytest.param(by, marks=pytest.mark.soak) for by in LAUNCHED), "forked"])
def test_two_processes_train_what_one_trains(by, fork_server, tiny_model, tmp_path):
    """Eleven examples, two held back, batches of four: the last of an epoch is one, and LLKD may leave a share empty.

    With selection at every step, early stopping, a teacher asked in the step, micro-batches and DoRA; each process
    holding the whole base (`--multi_gpu`), or half of every layer (`--use_fsdp`, which the launcher passes on).
    """
    from one_of_several import run

    changes = {"patience": 2, "objective": "online", "micro_batch_size": 1, "adapter": "dora"}
    one, folder = run(tiny_model, tmp_path / "one", changes, llkd=True), tmp_path / "two"
    two = (
        launched(tiny_model, folder, changes, "llkd", by=by)
        if by in LAUNCHED
        else forked(fork_server, tiny_model, folder, changes)
    )
    check_the_same(one, two, tmp_path)


@pytest.mark.soak
def test_a_base_cut_up_is_trained_on_and_resumed_after_a_kill(tiny_model, tmp_path):
    """The objective whose passes differ most: the teacher's without gradients, the student's with, of unequal number.

    Activations are computed twice, so that layers are passed through again while going backward.
    """
    from one_of_several import run

    changes = {
        "objective": "online",
        "objective_options": {"level": "tokens"},
        "gradient_checkpointing": True,
        "target_modules": ["q_proj", "down_proj"],
    }
    one = run(tiny_model, tmp_path / "one", changes)
    killed = launch(tiny_model, tmp_path / "two", changes | {"die_after": 3}, by="--use_fsdp")
    assert killed.returncode != 0
    assert (tmp_path / "two" / "work" / "checkpoint-2").is_dir()
    check_the_same(one, launched(tiny_model, tmp_path / "two", changes, by="--use_fsdp"), tmp_path)


@pytest.mark.soak
def test_a_process_holds_its_part_of_the_layers_alone(tiny_model, tmp_path):
    """Half of every layer's weights, all of the embeddings, the head and the adapter; and whole again when gathered."""
    done = launch(tiny_model, tmp_path / "parts", {"only_shard": True}, by="--use_fsdp")
    assert done.returncode == 0, done.stderr[-3000:]
    for rank in range(2):
        held = json.loads((tmp_path / f"held-{rank}.json").read_text("utf-8"))
        assert held["layers"] == held["layers_whole"] / 2
        assert held["elsewhere"] == held["elsewhere_whole"]
        assert held["gathered"] == held["layers_whole"] + held["elsewhere_whole"]


def test_offloading_is_refused_in_a_sentence(monkeypatch, tiny_model):
    monkeypatch.setenv("FSDP_OFFLOAD_PARAMS", "true")
    with pytest.raises(ConfigError, match="fsdp_offload_params"):
        shard(load_engine(tiny_model), Processes(0, 2, sharded=True))


@pytest.mark.four_bits
def test_a_base_in_4_bits_is_not_sharded(tiny_model):
    with pytest.raises(ConfigError, match=r"in 4 bits .* \(FSDP\)"):
        shard(load_engine(tiny_model, dtype="nf4"), Processes(0, 2, sharded=True))


def test_deepspeed_is_refused_in_a_sentence(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "no")
    monkeypatch.setenv("ACCELERATE_USE_DEEPSPEED", "true")
    with pytest.raises(ConfigError, match="DeepSpeed"):
        Processes.here(cpu=True)


def test_without_sharding_nothing_goes_along(tiny_model):
    with LockstepForwards(load_engine(tiny_model), sharded=False).lockstep() as others:
        pass
    assert others == []
