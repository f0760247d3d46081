"""Several processes are several where a launcher started them, not where a scheduler left its variables."""

from __future__ import annotations

import pytest

from solo_hub.core import launch
from solo_hub.core.config import build
from solo_hub.core.errors import ConfigError
from solo_hub.models.loading import find_device
from solo_hub.run.context import launched
from solo_hub.run.processes import Processes

LEFT = {"WORLD_SIZE": "4", "RANK": "2", "LOCAL_RANK": "2", "MASTER_ADDR": "10.0.0.1", "MASTER_PORT": "29500"}
"""As SLURM's and other schedulers' job scripts export them for every command."""


@pytest.fixture(params=[None, "TORCHELASTIC_RUN_ID", "ACCELERATE_MIXED_PRECISION"])
def by(request, monkeypatch):
    for name in ("TORCHELASTIC_RUN_ID", "ACCELERATE_MIXED_PRECISION"):
        monkeypatch.delenv(name, raising=False)
    for name, value in LEFT.items():
        monkeypatch.setenv(name, value)
    if request.param:
        monkeypatch.setenv(request.param, "none")
    return request.param


def test_who_started_this_process(by):
    told = (launch.launched(), launch.count(), launch.rank(), launch.local_rank())
    assert told == ((True, 4, 2, "2") if by else (False, 1, 0, None))


@pytest.mark.parametrize("by", [None], indirect=True)
def test_nobody_waits_for_processes_that_a_scheduler_speaks_of(by, monkeypatch):
    import torch

    assert Processes.here(cpu=True) == Processes()
    assert launched(build({})) == Processes()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert find_device("auto") == "cuda"
    assert find_device("cuda:0") == "cuda:0"
    with pytest.raises(ConfigError, match=r"engine\.device=cuda:1 is not supported"):  # the trainer takes the first
        find_device("cuda:1")
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    assert find_device("auto") == find_device("cuda") == "cuda:2"


@pytest.mark.parametrize("by", [None], indirect=True)
def test_commands_speak_under_a_scheduler(by, tmp_path, capsys):
    """The second of four, for all they know: it talks, and holds the folder, as one that is alone."""
    from solo_hub.cli import main

    assert main.run(["distill", "demo", "--run", str(tmp_path / "run"), "--set", "selection.method=typo"]) != 0
    assert "There is no selector 'typo'" in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "run").exists()
