"""Every benchmark can be imported, and says how it is used."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks"
SCRIPTS = sorted(path for path in FOLDER.glob("*.py") if '__name__ == "__main__"' in path.read_text("utf-8"))
MODULES = sorted(set(FOLDER.glob("*.py")) - set(SCRIPTS))
pytestmark = pytest.mark.soak  # they import every library there is

ASK = """
import contextlib, importlib, io, json, runpy, sys, traceback
from pathlib import Path
folder, scripts, modules = json.loads(sys.argv[1])
sys.path.insert(0, folder)
told = {}
for script in scripts:
    sys.argv = [script, "--help"]
    out, code = io.StringIO(), "went on after --help"
    try:
        with contextlib.redirect_stdout(out):
            runpy.run_path(script, run_name="__main__")
    except SystemExit as end:
        code = end.code
    except BaseException:
        code = traceback.format_exc()
    told[Path(script).name] = [code, out.getvalue()]
for module in modules:
    importlib.import_module(Path(module).stem)
print(json.dumps(told))
"""


@pytest.fixture(scope="module")
def told():
    """What each script says to `--help`; all in one process, since most import the same large libraries."""
    pytest.importorskip("torch", reason="the extra 'train' is not installed")
    asked = json.dumps([str(FOLDER), [str(path) for path in SCRIPTS], [str(path) for path in MODULES]])
    done = subprocess.run([sys.executable, "-c", ASK, asked], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


@pytest.mark.parametrize("script", [path.name for path in SCRIPTS])
def test_a_script_says_how_it_is_used(told, script):
    code, said = told[script]
    assert code == 0, code
    assert f"usage: {script}" in said
    assert "--quick" in said
    assert "--format" in said
