from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from solo_hub.core import paths
from solo_hub.core.errors import RunError

ROOT = Path(__file__).resolve().parents[2]
TEMPLATES = ("adapter.md.jinja", "dataset.md.jinja", "knowledge.md.jinja")


def test_the_source_tree_has_them():
    assert paths.shipped("cards") == ROOT / "cards"
    assert sorted(path.name for path in paths.shipped("cards").glob("*.jinja")) == list(TEMPLATES)


def test_an_installed_package_has_them_inside(monkeypatch, tmp_path):
    (tmp_path / "solo_hub" / "_cards").mkdir(parents=True)
    for name in TEMPLATES:
        (tmp_path / "solo_hub" / "_cards" / name).write_text("x")
    monkeypatch.setattr(paths, "PACKAGE", tmp_path / "solo_hub")
    assert paths.shipped("cards") == tmp_path / "solo_hub" / "_cards"


def test_a_damaged_installation_says_so(monkeypatch, tmp_path):
    monkeypatch.setattr(paths, "PACKAGE", tmp_path / "solo_hub")
    with pytest.raises(RunError, match="Install solo-hub again"):
        paths.shipped("cards")


def test_the_wheel_carries_them(tmp_path):
    pytest.importorskip("hatchling")
    pytest.importorskip("build")
    # Only what the build reads, so that it neither sees nor leaves anything in the source tree.
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        source = ROOT / name
        (tmp_path / name).write_bytes(source.read_bytes() if source.exists() else b"")
    for name in ("solo_hub", "cards"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "spaces").mkdir()
    (tmp_path / "spaces" / "placeholder").write_text("")
    built = subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", tmp_path / "dist", tmp_path],
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stdout + built.stderr
    [wheel] = (tmp_path / "dist").glob("*.whl")
    inside = {name: zipfile.ZipFile(wheel).read(f"solo_hub/_cards/{name}") for name in TEMPLATES}
    assert inside == {name: (ROOT / "cards" / name).read_bytes() for name in TEMPLATES}
