"""Estimates of what a run needs, by hand."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from solo_hub.core import system as machine


def test_a_measured_run_is_estimated_within_a_tenth():
    """134.5 million parameters stored in bfloat16 (269 MB) peaked at 2.22 GB: labels bfloat16, evaluation float32."""
    count = machine.parameters(269_030_000, "bfloat16")
    assert count == pytest.approx(134.5e6, rel=0.001)
    need = machine.memory_needed(count, {"labelling": "bfloat16", "evaluation": "float32"})
    assert need == pytest.approx(2.22e9, rel=0.1)


def test_the_widest_phase_counts():
    narrow = machine.memory_needed(10**9, {"labelling": "bfloat16", "evaluation": "bfloat16"})
    wide = machine.memory_needed(10**9, {"labelling": "bfloat16", "evaluation": "float32"})
    assert wide - narrow == pytest.approx(2e9 * machine.MARGIN)


def test_precision_that_is_not_told_counts_two_bytes():
    assert machine.parameters(100, None) == 50
    assert machine.parameters(100, "float32") == 25
    assert machine.parameters(0, "float32") == 0


def test_a_folder_that_is_not_there_yet_is_on_the_disk_of_what_is(tmp_path):
    deep = tmp_path / "a" / "b" / "c"
    assert machine.disk_of(deep) == machine.disk_of(tmp_path)
    assert machine.free_disk(deep) > 0


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="what a process holds is read from /proc")
def test_a_limit_of_the_process_counts_as_free_memory():
    """In a process of its own: a limit cannot be taken back."""
    program = (
        "import resource\n"
        "from solo_hub.core import system\n"
        "before = system.free_memory()\n"
        "resource.setrlimit(resource.RLIMIT_DATA, (1 << 30, resource.getrlimit(resource.RLIMIT_DATA)[1]))\n"
        "print(before, system.free_memory())\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    before, after = map(int, done.stdout.split())
    assert 0 < after < 1 << 30
    assert after <= before


@pytest.mark.parametrize(("size", "text"), [(0, "0 kB"), (1500, "2 kB"), (12_300_000, "12.3 MB"), (2.24e9, "2.24 GB")])
def test_sizes_for_a_reader(size, text):
    assert machine.format_bytes(size) == text


def test_a_container_counts_where_it_has_less(monkeypatch):
    monkeypatch.setattr(machine, "_system_memory", lambda: 100)
    monkeypatch.setattr(machine, "_container_memory", lambda: 30)
    assert machine.free_memory() == 30
    monkeypatch.setattr(machine, "_container_memory", lambda: None)
    assert machine.free_memory() == 100
    monkeypatch.setattr(machine, "_system_memory", lambda: None)
    assert machine.free_memory() is None


@pytest.mark.parametrize(
    ("busy", "chosen", "policy"), [(50.0, None, "passive"), (5.0, None, None), (50.0, "active", "active")]
)
def test_threads_sleep_while_they_wait_beside_other_work(monkeypatch, busy, chosen, policy):
    monkeypatch.setattr(psutil, "cpu_percent", lambda _: busy)
    monkeypatch.setattr(os, "environ", {"OMP_WAIT_POLICY": chosen} if chosen else {})
    machine.share_cores()
    assert os.environ.get("OMP_WAIT_POLICY") == policy
