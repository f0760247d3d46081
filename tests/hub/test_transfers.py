"""The Xet library gets a folder that can be written."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from solo_hub.hub import transfers


@pytest.fixture(autouse=True)
def _own_variable(monkeypatch, tmp_path):
    monkeypatch.setenv(transfers.PLACE, str(tmp_path / "hf" / "xet"))


def test_a_folder_that_can_be_written_is_kept(tmp_path):
    transfers.ensure_xet_cache_writable()
    assert os.environ[transfers.PLACE] == str(tmp_path / "hf" / "xet")


def test_another_stands_in_for_one_that_cannot(monkeypatch, tmp_path):
    monkeypatch.setattr(transfers, "may_write", lambda _: False)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    transfers.ensure_xet_cache_writable()
    assert Path(os.environ[transfers.PLACE]).parent == tmp_path
    assert Path(os.environ[transfers.PLACE]).is_dir()


def test_a_folder_that_is_missing_is_judged_by_the_one_it_would_be_made_in(tmp_path):
    assert transfers.may_write(tmp_path / "not" / "there")
    (tmp_path / "file").touch()
    assert not transfers.may_write(tmp_path / "file" / "not" / "there")
