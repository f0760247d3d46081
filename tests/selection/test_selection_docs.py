"""docs/selection.md names every method with every option and its default, and its example runs."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from selection_cases import kept, labels

from solo_hub.core.records import Selection, Verdict
from solo_hub.selection.at_random import AtRandom
from solo_hub.selection.cckd_l import CckdL
from solo_hub.selection.cckd_t_reg import CckdTReg
from solo_hub.selection.confidence import Confidence
from solo_hub.selection.entropy_score import EntropyScore
from solo_hub.selection.everything import Everything
from solo_hub.selection.freematch import FreeMatch
from solo_hub.selection.llkd import Llkd, LlkdW
from solo_hub.selection.llkd_ahead import LlkdAhead
from solo_hub.selection.no_ds import NoDs
from solo_hub.selection.random_step import RandomStep
from solo_hub.selection.softmatch import SoftMatch
from solo_hub.selection.unixkd import UnixKd

STATIC = [Everything, AtRandom, Confidence, EntropyScore, CckdL, LlkdAhead]
METHODS = [*STATIC, Llkd, LlkdW, FreeMatch, SoftMatch, UnixKd, CckdTReg, RandomStep, NoDs]
TEXT = (Path(__file__).parents[2] / "docs" / "selection.md").read_text("utf-8")


def section(name):
    return re.split(r"\n##+ ", TEXT.split(f"\n### `{name}`\n")[1])[0]


def documented(name):
    return dict(re.findall(r"^\| `(\w+)` \| ([^|]+) \|", section(name), re.MULTILINE))


def as_written(default):
    if default is None:
        return "-"
    return str(default).lower() if isinstance(default, bool) else str(default)


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_every_option_is_documented_with_its_default(method):
    shown = documented(method.name)
    if method is LlkdW:
        shown = {**documented("llkd"), **shown}
    fields = method.options_model.model_fields
    assert shown.keys() == fields.keys()
    for name, field in fields.items():
        default = field.get_default(call_default_factory=True)
        assert shown[name] == as_written(default)
        assert field.description


def test_no_method_is_documented_that_does_not_exist():
    assert set(re.findall(r"^### `(\w+)`", TEXT, re.MULTILINE)) == {method.name for method in METHODS}


def test_the_example_of_a_selector_runs():
    source = re.search(r"```python\n(.*?)```", TEXT, re.DOTALL)[1]
    names = {"Selection": Selection, "Verdict": Verdict}
    exec(source, names)
    assert kept(names["MostCertain"]({}, 0).select(labels(0.95, 0.5, None))) == "a"


def test_selection_loads_nothing_heavy():
    modules = [path.stem for path in (Path(__file__).parents[2] / "solo_hub" / "selection").glob("[a-z]*.py")]
    assert "llkd" in modules
    code = f"import sys, importlib\nfor m in {modules}: importlib.import_module('solo_hub.selection.' + m)\n"
    code += "sys.exit(', '.join({'torch', 'transformers', 'datasets', 'sklearn'} & set(sys.modules)))"
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False).stderr.strip() == ""
    )
