"""ZeroGPU lends a GPU to functions that say so: the one that asks the model does, wherever the package is there."""

from __future__ import annotations

import ast
import inspect
import sys
from importlib.util import find_spec
from types import ModuleType

import pytest

from solo_hub.publishing.space import load_app, space_folder

pytestmark = [
    pytest.mark.filterwarnings("ignore::Warning"),  # of gradio, its server and their threads
    pytest.mark.skipif(find_spec("gradio") is None, reason="the extra 'space' is not installed"),
]


@pytest.fixture
def lent(monkeypatch):
    """Stands for the package `spaces`; what it was asked to lend a GPU to."""
    asked = []

    def gpu(duration):
        def lend(function):
            asked.append((duration, function))
            return function

        return lend

    package = ModuleType("spaces")
    package.GPU = gpu
    monkeypatch.setitem(sys.modules, "spaces", package)
    return asked


def test_the_function_that_asks_the_model_is_lent_a_gpu(lent, comparison):
    load_app().build(comparison).close()
    ((duration, function),) = lent
    assert 0 < duration <= 120
    assert inspect.isgeneratorfunction(function), "answers arrive one after the other"
    assert "comparison.answer(" in inspect.getsource(function)


def test_elsewhere_it_is_asked_as_it_is(monkeypatch, comparison):
    """A folder `spaces` on the path is a package without anything in it; none at all is an ImportError."""
    for found in (ModuleType("spaces"), None):
        monkeypatch.setitem(sys.modules, "spaces", found)
        app = load_app()
        assert app.on_gpu is None
        app.build(comparison).close()


def test_it_is_imported_before_anything_that_imports_torch():
    """ZeroGPU takes torch's place where it is imported first; afterwards it refuses to start."""
    tree = ast.parse((space_folder() / "app.py").read_text("utf-8"))
    lines = {
        (node.module if isinstance(node, ast.ImportFrom) else node.names[0].name): node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
    }
    later = [name for name in lines if name.split(".")[0] in {"gradio", "solo_hub", "torch", "transformers"}]
    assert later
    assert all(lines["spaces"] < lines[name] for name in later)
