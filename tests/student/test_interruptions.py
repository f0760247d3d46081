"""Training that is killed again and again ends with the adapter, and the selection, of one that is not."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from noise import PEFT_WARNS
from one_of_several import Interrupted, after, run
from tiny import weights

from solo_hub.student.training import read_training

pytest.importorskip("torch", reason="the extra 'train' is not installed")
pytest.importorskip("peft", reason="the extra 'train' is not installed")

pytestmark = PEFT_WARNS

SCRIPT = Path(__file__).with_name("one_of_several.py")


def same(one, other):
    whole, broken = read_training(one / "adapter"), read_training(other / "adapter")
    assert [row["kept_examples"] for row in broken.log] == [row["kept_examples"] for row in whole.log]
    assert [row["loss"] for row in broken.log] == pytest.approx([row["loss"] for row in whole.log], abs=1e-5)
    assert broken.agreement == whole.agreement
    for name, array in weights(one).items():
        assert weights(other)[name] == pytest.approx(array, abs=1e-5), name


def test_interrupted_three_times(tiny_model, tmp_path):
    """Eight steps with selection, dropout and early stopping; a checkpoint every two, interrupted at three of them."""
    changes = {"dropout": 0.1, "epochs": 2.5, "patience": 9}
    run(tiny_model, tmp_path / "whole", changes, llkd=True)
    for step in sorted(random.Random(1).sample(range(1, 8), 3)):
        with pytest.raises(Interrupted):
            run(tiny_model, tmp_path / "broken", changes, llkd=True, progress=after(step))
    run(tiny_model, tmp_path / "broken", changes, llkd=True)
    same(tmp_path / "whole", tmp_path / "broken")


@pytest.mark.soak
@pytest.mark.timeout(3000)
@pytest.mark.parametrize("objective", ["sft", "online"])
def test_killed_at_ten_random_steps(tiny_model, tmp_path, objective):
    """Thirty steps; the process is killed without warning at ten of them, and started again each time."""
    changes = {"objective": objective, "epochs": 10, "dropout": 0.1}
    run(tiny_model, tmp_path / "whole", changes, llkd=True)
    for step in sorted(random.Random(0).sample(range(2, 30), 10)):
        command = [sys.executable, str(SCRIPT), str(tiny_model), str(tmp_path / "broken")]
        command += [json.dumps({**changes, "die_after": step}), "llkd"]
        done = subprocess.run(command, capture_output=True, timeout=280, check=False)
        assert done.returncode == -signal.SIGKILL, done.stderr[-2000:]
        assert not (tmp_path / "broken" / "adapter").exists()
    run(tiny_model, tmp_path / "broken", changes, llkd=True)
    same(tmp_path / "whole", tmp_path / "broken")
