"""The script for a GPU runs on a CPU at a tenth of the size, so that it works where there is one."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "gpu.py"

pytestmark = [pytest.mark.soak, pytest.mark.model, pytest.mark.timeout(900)]


def test_every_row_but_the_demo():
    pytest.importorskip("trl")
    rows = "label;train, lora;train, TRL;write;agreement"
    command = [sys.executable, SCRIPT, "--quick", "--device", "cpu", "--rows", rows, "--format", "json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    made = json.loads(done.stdout)
    table = {row.pop("row"): row for row in made["table"]}
    assert table.pop("label, vLLM") == {"note": "vllm is not installed"}
    agreement = table.pop("agreement")
    assert agreement["shares"]["float32"] == 1
    assert agreement["shares"]["bfloat16"] > 0.7
    for name, row in table.items():
        assert row["tokens_per_second"] > 0, (name, row)
        assert row["peak_bytes"] > 1e8, (name, row)
    assert made["value"] > 0
